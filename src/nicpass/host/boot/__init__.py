# SPDX-License-Identifier: Apache-2.0
"""How the host boots: its loader, its initramfs generator, the files that they go by, and NICs bound at boot."""
