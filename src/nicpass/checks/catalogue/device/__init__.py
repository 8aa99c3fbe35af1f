# SPDX-License-Identifier: Apache-2.0
"""Codes about one NIC as a device, by the same files as its checks."""
