# SPDX-License-Identifier: Apache-2.0
"""A NIC leaves the host and comes back: its record, its interface, and who is to be asked."""
