# SPDX-License-Identifier: Apache-2.0
"""Codes about what the host would lose with a NIC, by the same files as its checks."""
