# SPDX-License-Identifier: Apache-2.0
"""Commands about NICs and the VMs that have them."""
