# SPDX-License-Identifier: Apache-2.0
"""The bytes of a function's configuration space, as far as `lspci -vvv` reads them.

Layout: linux/pci_regs.h, which has the offsets of PCI 3.0 (6.1) and of PCI Express 5.0 (7.5, 9.3.3).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_CAPABILITY_LIST = 0x10  # PCI_STATUS_CAP_LIST
_BRIDGE_HEADER = 1
_MULTI_FUNCTION = 0x80
_PCIE, _PCIE_AT = 0x10, 0x40
_ENDPOINT, _ROOT_PORT = 0, 4
_FLR = 1 << 28  # PCI_EXP_DEVCAP_FLR
_SRIOV, _ARI, _SERIAL = 0x10, 0x0E, 0x03  # extended capabilities


class Sriov(NamedTuple):
    """What the SR-IOV capability of a PF says."""

    totalvfs: int
    numvfs: int
    offset: int
    stride: int
    vf_device_id: int


class Identity(NamedTuple):
    """What every header says."""

    vendor_id: int
    device_id: int
    subsystem_vendor_id: int
    subsystem_device_id: int
    class_code: int


def build_config(
    identity: Identity,
    size: int,
    *,
    secondary_bus: int | None = None,
    is_vf: bool = False,
    sriov: Sriov | None = None,
    serial: int | None = None,
) -> bytes:
    """`size` bytes: 64 are what an unprivileged reader gets, 256 conventional PCI, 4096 PCI Express."""
    space = bytearray(4096)
    # A VF's own ids read as ones: software takes them from its PF (PCI Express 5.0, 9.3.4.1.1).
    ids = (0xFFFF, 0xFFFF) if is_vf else (identity.vendor_id, identity.device_id)
    struct.pack_into("<HHHH", space, 0, *ids, 0x0406, _CAPABILITY_LIST)
    struct.pack_into("<I", space, 8, identity.class_code << 8 | 0x01)
    space[0x34] = _PCIE_AT
    if secondary_bus is not None:
        space[0x0E] = _BRIDGE_HEADER
        space[0x18:0x1B] = bytes((0, secondary_bus, secondary_bus))
    else:
        struct.pack_into("<HH", space, 0x2C, identity.subsystem_vendor_id, identity.subsystem_device_id)
        space[0x0E] = _MULTI_FUNCTION
    kind = _ROOT_PORT if secondary_bus is not None else _ENDPOINT
    struct.pack_into("<BBHI", space, _PCIE_AT, _PCIE, 0, kind << 4 | 2, _FLR)
    _put_extended(space, sriov, serial)
    return bytes(space[:size])


def _put_extended(space: bytearray, sriov: Sriov | None, serial: int | None) -> None:
    """The chain of extended capabilities at 0x100, 0x140 and 0x160; a serial number, ARI, SR-IOV."""
    wanted = [(_SERIAL, 0x100)] if serial is not None else []
    wanted += [(_ARI, 0x140), (_SRIOV, 0x160)] if sriov is not None else []
    for number, (capability, offset) in enumerate(wanted):
        following = wanted[number + 1][1] if number + 1 < len(wanted) else 0
        # The chain begins at 0x100, whatever stands there.
        struct.pack_into("<I", space, 0x100 if number == 0 else offset, following << 20 | 1 << 16 | capability)
        if number == 0 and offset != 0x100:
            struct.pack_into("<I", space, 0x100, offset << 20)
            struct.pack_into("<I", space, offset, following << 20 | 1 << 16 | capability)
    if serial is not None:
        struct.pack_into("<Q", space, 0x104, serial)
    if sriov is not None:
        enabled = 0x9 if sriov.numvfs else 0  # VF enable, VF memory space enable
        struct.pack_into("<IHH", space, 0x164, 0, enabled, 0)
        struct.pack_into("<HHHH", space, 0x16C, sriov.totalvfs, sriov.totalvfs, sriov.numvfs, 0)
        struct.pack_into("<HHHH", space, 0x174, sriov.offset, sriov.stride, 0, sriov.vf_device_id)
