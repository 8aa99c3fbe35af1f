# SPDX-License-Identifier: Apache-2.0
"""Decodes PCI configuration space. Source: linux/pci_regs.h; PCI Express Base Specification 5.0, 7.5 to 7.9, 9.3.3.

Every read of a live configuration space goes out to the device, at most four bytes at a time. So the extended part is
not read whole: its capability list is followed, and only wanted capabilities are fetched.
Nothing here trusts a pointer or a length: a list ends at its first loop or its first step outside.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.model.config_space import (
    Acs,
    AcsControl,
    Ari,
    ConfigSpace,
    Msi,
    Msix,
    Pcie,
    PcieLink,
    PortType,
    PowerManagement,
    Sriov,
    VfBar,
)
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nicpass.host.doors.files import Files

    Read = Callable[[int, int], bytes]
    """A function of (offset, length) to the bytes there; fewer or none where they cannot be read."""

HEADER_SIZE, CONVENTIONAL_SIZE, EXTENDED_SIZE = 64, 256, 4096  # PCI_STD_HEADER_SIZEOF, PCI_CFG_SPACE_SIZE, ..._EXP_SIZE

_STATUS, _HEADER_TYPE, _INTERRUPT_PIN = 0x06, 0x0E, 0x3D
_SECONDARY_BUS, _SUBORDINATE_BUS = 0x19, 0x1A
_STATUS_CAP_LIST = 0x10
_BRIDGE, _CARDBUS = 1, 2
_LIST_START = {_CARDBUS: 0x14}  # PCI_CB_CAPABILITY_LIST; all others PCI_CAPABILITY_LIST
_ONES = 0xFFFFFFFF

# MT/s by the number in the link registers (PCI_EXP_LNKCAP_SLS_2_5GB and the following).
LINK_SPEEDS = {1: 2500, 2: 5000, 3: 8000, 4: 16000, 5: 32000, 6: 64000}
_PORT_TYPES: dict[int, PortType] = {
    0x0: "endpoint",
    0x1: "legacy endpoint",
    0x4: "root port",
    0x5: "upstream switch port",
    0x6: "downstream switch port",
    0x7: "PCIe-to-PCI bridge",
    0x8: "PCI-to-PCIe bridge",
    0x9: "root complex integrated endpoint",
    0xA: "root complex event collector",
}
_ACS_CONTROLS: tuple[AcsControl, ...] = ("SV", "TB", "RR", "CR", "UF", "EC", "DT")  # PCI_ACS_SV is bit 0
_FORWARDING = ("root port", "downstream switch port")  # DEVCAP2: ARI Forwarding Supported (7.5.3.15)

_NOT_ROOT = Unknown("only the first 64 bytes of config could be read: run as root")
_NO_EXTENDED = Unknown("only 256 bytes of config can be reached, and what is above them is extended")
_DAMAGED = Unknown("the capability list in config is damaged")
_GONE = Unknown("config reads as ones: the device does not answer")


class Capability(msgspec.Struct, frozen=True):
    """A wanted capability: its field of ConfigSpace, its length in bytes, and the function that makes a value of it."""

    field: str
    length: int
    """Bytes that are read, from its header on; a capability that has several versions decodes fewer, too."""
    decode: Callable[[bytes], Any]
    """Raises ValueError, with the reason, for an impossible body, and struct.error for one that is too short."""


def read_config(files: Files, path: str) -> Fact[ConfigSpace]:
    """The config attribute of one function; None where there is none."""
    with files.open_for_reading(path) as opened:
        if opened is None or isinstance(opened, Unknown):
            return opened
        header = opened.read(0, CONVENTIONAL_SIZE)
        if not isinstance(header, bytes):
            return header
        size = min(opened.size, EXTENDED_SIZE) if len(header) == CONVENTIONAL_SIZE else len(header)
        return _decode(header, size, opened.read_part)


def decode_config(content: bytes) -> ConfigSpace:
    """Decode a whole configuration space, or as much as could be read of it. Never raises."""
    content = content[:EXTENDED_SIZE]
    return _decode(content[:CONVENTIONAL_SIZE], len(content), lambda at, length: content[at : at + length])


def _decode(header: bytes, size: int, read: Read) -> ConfigSpace:
    if len(header) < HEADER_SIZE:
        problem = f"the header has {len(header)} of {HEADER_SIZE} bytes"
        return _blank(size, Unknown(f"config: {problem}"), (problem,))
    if header.count(0xFF) == len(header):
        return _blank(size, _GONE, (), responds=False)
    vendor_id, device_id = struct.unpack_from("<HH", header)
    header_type = header[_HEADER_TYPE] & 0x7F
    is_bridge = header_type in (_BRIDGE, _CARDBUS)  # both have their bus numbers in the same place
    problems: list[str] = []
    found, rest = _conventional(header, header_type, problems)
    extended, extended_rest = _extended(found.get("pcie", rest), size, read, problems)
    return ConfigSpace(
        bytes_read=size,
        vendor_id=vendor_id,
        device_id=device_id,
        header_type=header_type,
        multifunction=bool(header[_HEADER_TYPE] & 0x80),
        interrupt_pin=header[_INTERRUPT_PIN],
        secondary_bus=header[_SECONDARY_BUS] if is_bridge else None,
        subordinate_bus=header[_SUBORDINATE_BUS] if is_bridge else None,
        **_filled(CONVENTIONAL, found, rest),
        **_filled(EXTENDED, extended, extended_rest),
        problems=tuple(problems),
    )


def _blank(size: int, why: Unknown, problems: tuple[str, ...], *, responds: bool = True) -> ConfigSpace:
    unknown = _filled(CONVENTIONAL, {}, why) | _filled(EXTENDED, {}, why)
    return ConfigSpace(bytes_read=size, responds=responds, problems=problems, **unknown)


def _filled(wanted: Mapping[int, Capability], found: Mapping[str, Any], rest: Unknown | None) -> dict[str, Any]:
    """The fields of all `wanted` capabilities: their values in `found`, and for others `rest`, which says why."""
    return {capability.field: found.get(capability.field, rest) for capability in wanted.values()}


def _conventional(header: bytes, header_type: int, problems: list[str]) -> tuple[dict[str, Any], Unknown | None]:
    """The capabilities of the list below 256, and the answer for those that are not in it (7.5.1.1.11)."""
    if not header[_STATUS] & _STATUS_CAP_LIST:
        return {}, None
    start = _LIST_START.get(header_type, 0x34)
    if len(header) < CONVENTIONAL_SIZE:
        return {}, _NOT_ROOT
    found: dict[str, Any] = {}
    seen: set[int] = set()
    at = header[start] & 0xFC
    while at:
        number = header[at] if at >= HEADER_SIZE else 0xFF
        reason = _why_broken(at, seen, in_range=at >= HEADER_SIZE, ones=number == 0xFF)
        if reason:
            problems.append(reason)
            return found, _DAMAGED
        seen.add(at)
        if (capability := CONVENTIONAL.get(number)) is not None:
            _take(capability, found, header[at : at + capability.length], at, problems)
        at = header[at + 1] & 0xFC
    return found, None


def _extended(pcie: Fact[Pcie], size: int, read: Read, problems: list[str]) -> tuple[dict[str, Any], Unknown | None]:
    """The capabilities of the list that begins at 256, and the answer for others; PCI Express alone has one (7.6)."""
    if size < CONVENTIONAL_SIZE or (size == CONVENTIONAL_SIZE and isinstance(pcie, Unknown)):
        return {}, pcie if isinstance(pcie, Unknown) else (None if pcie is None else _NOT_ROOT)
    if size == CONVENTIONAL_SIZE or pcie is None:
        return {}, None if pcie is None else _NO_EXTENDED
    found: dict[str, Any] = {}
    seen: set[int] = set()
    at = CONVENTIONAL_SIZE
    while at:
        head = read(at, 4) if at >= CONVENTIONAL_SIZE else b""
        value = int.from_bytes(head, "little")
        reason = _why_broken(at, seen, in_range=len(head) == 4, ones=value == _ONES)
        if reason:
            problems.append(reason)
            return found, _DAMAGED
        seen.add(at)
        if (capability := EXTENDED.get(value & 0xFFFF)) is not None:
            _take(capability, found, read(at, capability.length), at, problems)
        at = value >> 20 & 0xFFC
    return found, None


def _why_broken(at: int, seen: set[int], *, in_range: bool, ones: bool) -> str | None:
    if at in seen:
        return f"the capability list loops at 0x{at:x}"
    if not in_range:
        return f"the capability list points outside, at 0x{at:x}"
    return f"the capability at 0x{at:x} reads as ones" if ones else None


def _take(capability: Capability, found: dict[str, Any], body: bytes, at: int, problems: list[str]) -> None:
    """Decode one capability; where a function has two of a kind, the first counts, as it does for the kernel."""
    if capability.field in found:
        return
    try:
        found[capability.field] = capability.decode(body)
    except (ValueError, struct.error, IndexError) as error:
        reason = error if isinstance(error, ValueError) else "it reaches over the end"
        problem = f"{capability.field} at 0x{at:x}: {reason}"
        problems.append(problem)
        found[capability.field] = Unknown(f"config: {problem}")


def _decode_pm(body: bytes) -> PowerManagement:
    capabilities, control = struct.unpack_from("<HH", body, 2)
    return PowerManagement(
        no_soft_reset=bool(control & 0x8),
        d1=bool(capabilities & 0x200),
        d2=bool(capabilities & 0x400),
        pme_from_d3cold=bool(capabilities & 0x8000),
        state=control & 0x3,
    )


def _decode_msi(body: bytes) -> Msi:
    (flags,) = struct.unpack_from("<H", body, 2)
    if (power := flags >> 1 & 7) > 5:  # 6.8.1.3 of PCI 3.0: 110 and 111 are reserved
        raise ValueError(f"reserved number of vectors 2^{power}")
    return Msi(vectors=1 << power, enabled=bool(flags & 1))


def _decode_msix(body: bytes) -> Msix:
    (flags,) = struct.unpack_from("<H", body, 2)
    return Msix(table_size=(flags & 0x7FF) + 1, enabled=bool(flags & 0x8000))


def _decode_af_flr(body: bytes) -> bool:
    if body[2] < 4:  # PCI_AF_LENGTH; the specification has 6
        raise ValueError(f"a length of {body[2]} has no room for its own registers")
    return bool(body[3] & 0x2)


def _decode_pcie(body: bytes) -> Pcie:
    (flags, devcap) = struct.unpack_from("<HI", body, 2)
    port_type = _PORT_TYPES.get(flags >> 4 & 0xF, "reserved")
    forwards = port_type in _FORWARDING
    slot = struct.unpack_from("<I", body, 0x14)[0] >> 19 if flags & 0x100 and forwards else 0
    # A capability of version 1 ends before the second set of registers (7.5.3.2).
    second = forwards and flags & 0xF >= 2
    devcap2, devctl2 = struct.unpack_from("<IH", body, 0x24) if second else (0, 0)
    return Pcie(
        port_type=port_type,
        flr=bool(devcap & 0x10000000),
        link=_decode_link(body),
        slot=slot or None,
        ari_forwarding=bool(devcap2 & 0x20) if forwards else None,
        ari_forwarding_enabled=bool(devctl2 & 0x20) if forwards else None,
    )


def _decode_link(body: bytes) -> PcieLink | None:
    (capabilities,) = struct.unpack_from("<I", body, 0x0C)
    (status,) = struct.unpack_from("<H", body, 0x12)
    if not capabilities & 0x3FF:
        return None
    return PcieLink(
        speed=LINK_SPEEDS.get(status & 0xF),
        width=status >> 4 & 0x3F or None,
        max_speed=LINK_SPEEDS.get(capabilities & 0xF),
        max_width=capabilities >> 4 & 0x3F or None,
    )


def _decode_sriov(body: bytes) -> Sriov:
    control, initial, total, num, offset, stride, device_id = struct.unpack_from("<H2x3H2x2H2xH", body, 0x08)
    if num > total or initial > total:
        raise ValueError(f"{num} VFs enabled and {initial} initial ones of {total}")
    supported, system = struct.unpack_from("<II", body, 0x1C)
    return Sriov(
        initial_vfs=initial,
        total_vfs=total,
        num_vfs=num,
        first_vf_offset=offset,
        vf_stride=stride,
        vf_device_id=device_id,
        vf_enable=bool(control & 0x1),
        memory_enable=bool(control & 0x8),
        ari_hierarchy=bool(control & 0x10),
        supported_page_sizes=supported,
        system_page_size=system,
        vf_bars=_decode_vf_bars(struct.unpack_from("<6I", body, 0x24)),
    )


def _decode_vf_bars(registers: tuple[int, ...]) -> tuple[VfBar, ...]:
    """The VF BARs that are there for certain: a 32-bit one without an address reads as zero, as an absent one does."""
    bars: list[VfBar] = []
    index = 0
    while index < len(registers):
        low = registers[index]
        is_64bit = low & 0x6 == 0x4 and index + 1 < len(registers)
        address = low & ~0xF | (registers[index + 1] << 32 if is_64bit else 0)
        if low or address:
            bars.append(VfBar(index=index, address=address, is_64bit=is_64bit, prefetchable=bool(low & 0x8)))
        index += 2 if is_64bit else 1
    return tuple(bars)


def _decode_ari(body: bytes) -> Ari:
    return Ari(next_function=body[5])


def _decode_acs(body: bytes) -> Acs:
    capable, enabled = struct.unpack_from("<HH", body, 4)
    return Acs(capable=_acs_controls(capable), enabled=_acs_controls(enabled))


def _acs_controls(bits: int) -> tuple[AcsControl, ...]:
    return tuple(name for number, name in enumerate(_ACS_CONTROLS) if bits >> number & 1)


def _decode_ats(body: bytes) -> bool:
    return bool(body[7] & 0x80)


def _decode_pri(body: bytes) -> bool:
    return bool(body[4] & 0x1)


def _decode_pasid(body: bytes) -> bool:
    return bool(body[6] & 0x1)


def _decode_serial_number(body: bytes) -> str:
    (number,) = struct.unpack_from("<Q", body, 4)
    return int.to_bytes(number, 8, "big").hex("-")


# PCI_CAP_ID_* and PCI_EXT_CAP_ID_*. The length of PCI Express covers all that is read of its version 2.
CONVENTIONAL: dict[int, Capability] = {
    0x01: Capability("pm", 6, _decode_pm),
    0x05: Capability("msi", 4, _decode_msi),
    0x10: Capability("pcie", 0x2C, _decode_pcie),
    0x11: Capability("msix", 4, _decode_msix),
    0x13: Capability("af_flr", 4, _decode_af_flr),
}
EXTENDED: dict[int, Capability] = {
    0x03: Capability("serial_number", 12, _decode_serial_number),
    0x0D: Capability("acs", 8, _decode_acs),
    0x0E: Capability("ari", 8, _decode_ari),
    0x0F: Capability("ats", 8, _decode_ats),
    0x10: Capability("sriov", 0x3C, _decode_sriov),
    0x13: Capability("pri", 8, _decode_pri),
    0x1B: Capability("pasid", 8, _decode_pasid),
}
