# SPDX-License-Identifier: Apache-2.0
"""Floor 2: how the kernel is told its arguments; one file a boot loader, one an initramfs generator."""
