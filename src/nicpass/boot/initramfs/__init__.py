# SPDX-License-Identifier: Apache-2.0
"""Initramfs generators, a file each, and the script that they put into the image."""
