# SPDX-License-Identifier: Apache-2.0
"""Decodes the DMAR table. Source: Intel Virtualization Technology for Directed I/O, chapter 8."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from nicpass.host.firmware.acpi import Problems, parse_header, walk_records
from nicpass.model.fact import Unknown
from nicpass.model.firmware import Andd, Atsr, Dmar, Drhd, OtherRecord, Rhsa, Rmrr, Satc, Scope, Sidp

if TYPE_CHECKING:
    from collections.abc import Callable

_FIXED = 48
"""Bytes before the first record: header, host address width, flags and ten reserved bytes (8.1)."""

_HEAD = struct.Struct("<HH")
_DRHD = struct.Struct("<BxHQ")
_RMRR = struct.Struct("<2xHQQ")
_FLAGS_SEGMENT = struct.Struct("<BxH")
_RHSA = struct.Struct("<4xQI")
_SCOPE = 6

_FIRST_OTHER = 4
"""The kind of ANDD; it and the kinds above it came with later revisions."""


def decode_dmar(table: bytes) -> Dmar | Unknown:
    """The DMAR as a value. Damaged records are left out and named in `problems`; Unknown when the table is no DMAR."""
    problems = Problems()
    header = parse_header(table, "DMAR", _FIXED, problems)
    if isinstance(header, Unknown):
        return header
    found: dict[int, list[Any]] = {kind: [] for kind in _DECODERS}
    others: list[OtherRecord] = []
    for kind, offset, length in walk_records(table, _FIXED, min(header.length, len(table)), _head, 4, problems):
        if kind >= _FIRST_OTHER:
            others.append(OtherRecord(kind, length))
        if kind not in _DECODERS:
            continue
        shortest, decode = _DECODERS[kind]
        if length < shortest:
            problems.add(f"the record at offset {offset} is {length} bytes long, and its kind has {shortest}")
            continue
        found[kind].append(decode(table, offset, offset + length, problems))
    drhd, rmrr, atsr, rhsa, andd, satc, sidp = (tuple(records) for records in found.values())
    width, flags = table[36], table[37]
    return Dmar(
        length=header.length,
        checksum_ok=header.checksum_ok,
        revision=header.revision,
        oem_id=header.oem_id,
        oem_table_id=header.oem_table_id,
        oem_revision=header.oem_revision,
        host_address_width=width + 1,
        flags=flags,
        intr_remap=bool(flags & 1),
        x2apic_opt_out=bool(flags & 2),
        dma_ctrl_platform_opt_in=bool(flags & 4),
        drhd=drhd,
        rmrr=rmrr,
        atsr=atsr,
        rhsa=rhsa,
        andd=andd,
        satc=satc,
        sidp=sidp,
        n_drhd=len(drhd),
        n_atsr=len(atsr),
        n_rhsa=len(rhsa),
        other_subtables=tuple(others),
        problems=tuple(problems),
    )


def _head(table: bytes, offset: int) -> tuple[int, int]:
    kind, length = _HEAD.unpack_from(table, offset)
    return kind, length


def _decode_drhd(table: bytes, offset: int, end: int, problems: Problems) -> Drhd:
    flags, segment, base = _DRHD.unpack_from(table, offset + 4)
    scopes = _decode_scopes(table, offset + 16, end, problems)
    return Drhd(base=hex(base), include_pci_all=bool(flags & 1), segment=segment, scopes=scopes)


def _decode_rmrr(table: bytes, offset: int, end: int, problems: Problems) -> Rmrr:
    segment, base, last = _RMRR.unpack_from(table, offset + 4)
    if last < base:
        problems.add(f"the RMRR at offset {offset} ends before it begins: {base:#x} to {last:#x}")
    scopes = _decode_scopes(table, offset + 24, end, problems)
    return Rmrr(base=hex(base), end=hex(last), segment=segment, scopes=scopes)


def _decode_atsr(table: bytes, offset: int, end: int, problems: Problems) -> Atsr:
    flags, segment = _FLAGS_SEGMENT.unpack_from(table, offset + 4)
    return Atsr(all_ports=bool(flags & 1), segment=segment, scopes=_decode_scopes(table, offset + 8, end, problems))


def _decode_rhsa(table: bytes, offset: int, _end: int, _problems: Problems) -> Rhsa:
    base, domain = _RHSA.unpack_from(table, offset + 4)
    return Rhsa(hex(base), domain)


def _decode_andd(table: bytes, offset: int, end: int, _problems: Problems) -> Andd:
    name = table[offset + 8 : end].split(b"\0", 1)[0].decode("ascii", "backslashreplace")
    return Andd(device_number=table[offset + 7], name=name)


def _decode_satc(table: bytes, offset: int, end: int, problems: Problems) -> Satc:
    flags, segment = _FLAGS_SEGMENT.unpack_from(table, offset + 4)
    return Satc(atc_required=bool(flags & 1), segment=segment, scopes=_decode_scopes(table, offset + 8, end, problems))


def _decode_sidp(table: bytes, offset: int, end: int, problems: Problems) -> Sidp:
    _flags, segment = _FLAGS_SEGMENT.unpack_from(table, offset + 4)
    flags: list[int] = []
    scopes = _decode_scopes(table, offset + 8, end, problems, flags)
    return Sidp(segment=segment, scopes=scopes, scope_flags=tuple(flags))


def _decode_scopes(
    table: bytes, start: int, end: int, problems: Problems, flags: list[int] | None = None
) -> tuple[Scope, ...]:
    """The device scopes in `table[start:end]` (8.3.1); `flags` takes the flags of each."""
    if start == end:
        return ()
    scopes: list[Scope] = []
    for kind, offset, length in walk_records(table, start, end, _scope_head, _SCOPE, problems):
        if length % 2 or length == _SCOPE:
            # Half a hop, or none: the rest of the path would name another function than was meant.
            problems.add(f"the device scope at offset {offset} is {length} bytes long, which is no whole path")
            continue
        hops = table[offset + _SCOPE : offset + length]
        path = tuple(zip(hops[::2], hops[1::2], strict=True))
        scopes.append(Scope(kind, table[offset + 4], table[offset + 5], path))
        if flags is not None:
            flags.append(table[offset + 2])
    return tuple(scopes)


def _scope_head(table: bytes, offset: int) -> tuple[int, int]:
    return table[offset], table[offset + 1]


_DECODERS: dict[int, tuple[int, Callable[[bytes, int, int, Problems], Any]]] = {
    0: (16, _decode_drhd),
    1: (24, _decode_rmrr),
    2: (8, _decode_atsr),
    3: (20, _decode_rhsa),
    4: (8, _decode_andd),
    5: (8, _decode_satc),
    6: (8, _decode_sidp),
}
"""Kind of record to (its shortest length, its decoder), in the order in which `decode_dmar` names them."""
