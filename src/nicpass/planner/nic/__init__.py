# SPDX-License-Identifier: Apache-2.0
"""A NIC goes to a VM, or comes back."""
