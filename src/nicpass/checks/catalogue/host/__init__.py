# SPDX-License-Identifier: Apache-2.0
"""Codes about the host, by the same files as its checks."""
