# SPDX-License-Identifier: Apache-2.0
"""Floor 5: one file a hypervisor. Each reads its VMs and brings handlers for its own steps."""
