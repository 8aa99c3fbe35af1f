# SPDX-License-Identifier: Apache-2.0
"""Codes about the VM that shall have the NIC, by the same files as its checks."""
