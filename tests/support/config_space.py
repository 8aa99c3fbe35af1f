# SPDX-License-Identifier: Apache-2.0
"""The bytes of a function's configuration space, as far as `lspci -vvv` reads them.

Layout: linux/pci_regs.h, which has the offsets of PCI 3.0 (6.1) and of PCI Express 5.0 (7.5, 9.3.3).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ENDPOINT, LEGACY_ENDPOINT, ROOT_PORT, UPSTREAM, DOWNSTREAM, PCI_BRIDGE = 0, 1, 4, 5, 6, 7
INTEGRATED = 9
ISOLATING = 0x1D
"""ACS: SV, RR, CR and UF, which the kernel asks of a port."""

_CAPABILITY_LIST = 0x10  # PCI_STATUS_CAP_LIST
_BRIDGE_HEADER = 1
_MULTI_FUNCTION = 0x80
_PM, _MSI, _PCIE, _MSIX, _AF = 0x01, 0x05, 0x10, 0x11, 0x13
_SERIAL, _ACS, _ARI, _SRIOV = 0x03, 0x0D, 0x0E, 0x10  # extended capabilities
_FLR = 1 << 28  # PCI_EXP_DEVCAP_FLR
_ARI_FORWARDING = 0x20
_SPEEDS = {2500: 1, 5000: 2, 8000: 3, 16000: 4, 32000: 5, 64000: 6}
_VF_BAR = 0xC  # 64 bits, prefetchable


class Sriov(NamedTuple):
    """What the SR-IOV capability of a PF says."""

    totalvfs: int
    numvfs: int
    offset: int
    stride: int
    vf_device_id: int
    vf_bar_address: int = 0x2000_0000_0000


class Identity(NamedTuple):
    """The ids and the class code, which every header has."""

    vendor_id: int
    device_id: int
    subsystem_vendor_id: int
    subsystem_device_id: int
    class_code: int


class Link(NamedTuple):
    """A PCIe link: MT/s and lanes, now and at most."""

    speed: int = 8000
    width: int = 8
    max_speed: int = 8000
    max_width: int = 8


class Capabilities(NamedTuple):
    """The capabilities that a function has besides its identity; None leaves a capability out."""

    pcie: int | None = ENDPOINT
    """The device/port type."""
    flr: bool = True
    link: Link | None = Link()
    slot: int = 0
    ari_forwarding: bool = True
    no_soft_reset: bool | None = True
    msi: bool = True
    msix: int | None = 64
    af_flr: bool | None = None
    ari: bool = False
    acs: tuple[int, int] | None = None
    """The bits of ACS that the function can do, and those that are on."""
    multifunction: bool = False


PORT = Capabilities(pcie=ROOT_PORT, flr=False, msix=None, acs=(ISOLATING | 0x42, ISOLATING))
CONVENTIONAL = Capabilities(pcie=None, flr=False, link=None, msix=None)


def build_config(
    identity: Identity,
    size: int,
    *,
    secondary_bus: int | None = None,
    is_vf: bool = False,
    sriov: Sriov | None = None,
    serial: int | None = None,
    capabilities: Capabilities | None = None,
) -> bytes:
    """`size` bytes of config space: an unprivileged reader gets 64, conventional PCI has 256, PCI Express 4096."""
    space = bytearray(4096)
    chosen = capabilities or (PORT if secondary_bus is not None else Capabilities())
    # A VF's own ids read as ones: software takes them from its PF (PCI Express 5.0, 9.3.4.1.1).
    ids = (0xFFFF, 0xFFFF) if is_vf else (identity.vendor_id, identity.device_id)
    struct.pack_into("<HHHH", space, 0, *ids, 0x0406, _CAPABILITY_LIST)
    struct.pack_into("<I", space, 8, identity.class_code << 8 | 0x01)
    if secondary_bus is not None:
        space[0x0E] = _BRIDGE_HEADER
        space[0x18:0x1B] = bytes((0, secondary_bus, secondary_bus))
    else:
        struct.pack_into("<HH", space, 0x2C, identity.subsystem_vendor_id, identity.subsystem_device_id)
    if chosen.multifunction:
        space[0x0E] |= _MULTI_FUNCTION
    _put_list(space, _conventional(chosen, is_vf=is_vf))
    _put_extended(space, _extended(chosen, sriov, serial))
    return bytes(space[:size])


def _conventional(chosen: Capabilities, *, is_vf: bool) -> dict[int, tuple[int, bytes]]:
    """The conventional capabilities: offset to (capability id, the bytes that follow the two of the list)."""
    wanted: dict[int, tuple[int, bytes]] = {}
    if chosen.no_soft_reset is not None and not is_vf:
        wanted[0x40] = (_PM, struct.pack("<HH", 0x0003, 0x8 if chosen.no_soft_reset else 0))
    if chosen.msi and not is_vf:
        wanted[0x50] = (_MSI, struct.pack("<H", 0x0080))
    if chosen.msix is not None:
        wanted[0x60] = (_MSIX, struct.pack("<H", chosen.msix - 1))
    if chosen.pcie is not None:
        wanted[0x70] = (_PCIE, _pcie(chosen, is_vf=is_vf))
    if chosen.af_flr is not None:
        wanted[0xB0] = (_AF, struct.pack("<BBBB", 6, 0x1 | 0x2 * chosen.af_flr, 0, 0))
    return wanted


def _pcie(chosen: Capabilities, *, is_vf: bool) -> bytes:
    link = chosen.link
    capabilities = status = 0
    if link is not None and not is_vf:  # a VF's link registers are reserved (9.3.5.6)
        capabilities = link.max_width << 4 | _SPEEDS[link.max_speed]
        status = link.width << 4 | _SPEEDS.get(link.speed, 0)
    forwarding = _ARI_FORWARDING if chosen.ari_forwarding and chosen.pcie in (ROOT_PORT, DOWNSTREAM) else 0
    flags = (chosen.pcie or 0) << 4 | 2 | (0x100 if chosen.slot else 0)
    head = struct.pack("<HIIIHH", flags, _FLR if chosen.flr else 0, 0, capabilities, 0, status)
    return head + struct.pack("<IIIIIHHI", chosen.slot << 19, 0, 0, 0, forwarding, forwarding, 0, 0)


def _extended(chosen: Capabilities, sriov: Sriov | None, serial: int | None) -> dict[int, tuple[int, bytes]]:
    wanted: dict[int, tuple[int, bytes]] = {}
    if serial is not None:
        wanted[0x100] = (_SERIAL, struct.pack("<Q", serial))
    if chosen.acs is not None:
        wanted[0x120] = (_ACS, struct.pack("<HH", *chosen.acs))
    if sriov is not None or chosen.ari:
        wanted[0x140] = (_ARI, struct.pack("<HH", 0, 0))
    if sriov is not None:
        wanted[0x160] = (_SRIOV, _sriov(sriov))
    return wanted


def _sriov(sriov: Sriov) -> bytes:
    enabled = 0x9 if sriov.numvfs else 0  # VF enable, VF memory space enable
    counts = struct.pack("<HHHH", sriov.totalvfs, sriov.totalvfs, sriov.numvfs, 0)
    routing = struct.pack("<HHHH", sriov.offset, sriov.stride, 0, sriov.vf_device_id)
    bars = struct.pack("<QQQ", _VF_BAR | sriov.vf_bar_address, 0, 0)
    return struct.pack("<IHH", 0, enabled, 0) + counts + routing + struct.pack("<II", 0x553, 1) + bars


def _put_list(space: bytearray, wanted: dict[int, tuple[int, bytes]]) -> None:
    pointer = 0x34
    for place, (number, body) in wanted.items():
        space[pointer] = place
        space[place] = number
        space[place + 2 : place + 2 + len(body)] = body
        pointer = place + 1


def _put_extended(space: bytearray, wanted: dict[int, tuple[int, bytes]]) -> None:
    """Write the extended capabilities; their list begins at 0x100, whatever stands there."""
    places = [place for place in wanted if place != 0x100]
    number, body = wanted.get(0x100, (0, b""))
    here = 0x100
    for following in [*places, 0]:
        struct.pack_into("<I", space, here, following << 20 | (1 << 16 if number else 0) | number)
        space[here + 4 : here + 4 + len(body)] = body
        here, (number, body) = following, wanted.get(following, (0, b""))
