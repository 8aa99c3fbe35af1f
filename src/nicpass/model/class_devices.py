# SPDX-License-Identifier: Apache-2.0
"""Devices by which the host uses a PCI function: those that its drivers made, and what stands on them."""

from __future__ import annotations

import msgspec

from nicpass.model.address import Address


class ClassDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the kernel's classes: a disk, a partition, a keyboard, a screen, a sound card."""

    subsystem: str
    """`block`, `input`, `drm`, `graphics`, `sound`, `tty`, `nvme`, `tpm`; `net` for an interface on USB or such."""
    name: str
    addresses: tuple[Address, ...] = ()
    """The PCI functions without which the device would be gone; more than one for a disk with several paths."""
    label: str | None = None
    """The device's name for itself, such as `Logitech USB Keyboard`."""
    mounts: tuple[str, ...] = ()
    """Where the device is mounted, or what stands on it through device mapper, LVM, RAID or btrfs."""
    swap: bool = False
    """Whether the device, or what stands on it, is swapped to."""
    keyboard: bool = False
    console: bool = False
    """Whether the host's console is on it: a screen that shows a picture, or a serial port that the kernel logs to."""
