# SPDX-License-Identifier: Apache-2.0
"""The lab: a whole Debian host with IOMMU, SR-IOV NICs, KVM and libvirt, emulated by QEMU without any hardware.

It drives nicpass as a user does and never imports it. Start reading at `machine.py`, which is what tests hold in
their hands, then `shape.py` (what a host can look like) and `stages.py` (how a booted host is had in seconds).
"""
