# SPDX-License-Identifier: Apache-2.0
"""Interfaces, addresses and routes: from the kernel over netlink, from drivers by ioctl, from managers' files."""
