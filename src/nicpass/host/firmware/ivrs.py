# SPDX-License-Identifier: Apache-2.0
"""Decodes the IVRS table. Source: AMD I/O Virtualization Technology (IOMMU) Specification, 48882, chapter 5."""

from __future__ import annotations

import struct

from nicpass.host.firmware.acpi import Problems, parse_header, walk_records
from nicpass.model.fact import Unknown
from nicpass.model.firmware import Ivhd, IvhdDetails, IvhdEntry, Ivmd, IvmdDetails, Ivrs

_FIXED = 48
"""Bytes before the first block: header, IVinfo and eight reserved bytes."""

_IVHD_TYPES = {0x10: 24, 0x11: 40, 0x40: 40}
"""Type of an IVHD to its length in bytes before the first device entry."""

_IVMD_ALL, _IVMD_ONE, _IVMD_RANGE = 0x20, 0x21, 0x22
_IVMD_LENGTH = 32
_UNITY, _READ, _WRITE, _EXCLUSION = 1, 2, 4, 8

_IVHD = struct.Struct("<BBHHHQHHI")
_EFR = struct.Struct("<QQ")
_IVMD = struct.Struct("<BBHHHH6xQQ")

_ALL, _SELECT, _START, _END = 1, 2, 3, 4
_ALIAS_SELECT, _ALIAS_START, _EXTENDED_SELECT, _EXTENDED_START, _SPECIAL, _ACPI_HID = 0x42, 0x43, 0x46, 0x47, 0x48, 0xF0
_SPECIAL_KINDS = {1: "IOAPIC", 2: "HPET"}
_LAST_DEVID = 0xFFFF


def decode_ivrs(table: bytes) -> Ivrs | Unknown:
    """The IVRS as a value. Damaged blocks are left out and named in `problems`; Unknown when the table is no IVRS."""
    problems = Problems()
    header = parse_header(table, "IVRS", _FIXED, problems)
    if isinstance(header, Unknown):
        return header
    units: list[tuple[Ivhd, IvhdDetails]] = []
    memory: list[tuple[Ivmd, IvmdDetails]] = []
    kinds: list[str] = []
    for kind, offset, length in walk_records(table, _FIXED, min(header.length, len(table)), _head, 4, problems):
        kinds.append(hex(kind))
        shortest = _IVHD_TYPES.get(kind, _IVMD_LENGTH if kind in (_IVMD_ALL, _IVMD_ONE, _IVMD_RANGE) else 4)
        if length < shortest:
            problems.add(f"the block at offset {offset} is {length} bytes long, and its type has {shortest}")
        elif kind in _IVHD_TYPES:
            units.append(_decode_ivhd(table, offset, offset + length, problems))
        elif shortest == _IVMD_LENGTH:
            memory.append(_decode_ivmd(table, offset, problems))
    (info,) = struct.unpack_from("<I", table, 36)
    return Ivrs(
        length=header.length,
        checksum_ok=header.checksum_ok,
        revision=header.revision,
        oem_id=header.oem_id,
        oem_table_id=header.oem_table_id,
        oem_revision=header.oem_revision,
        ivinfo=hex(info),
        efr_sup=bool(info & 1),
        preboot_dma_remap=bool(info & 2),
        physical_address_width=info >> 8 & 0x7F,
        virtual_address_width=info >> 15 & 0x7F,
        blocks=tuple(kinds),
        ivhd=tuple(unit for unit, _ in units),
        ivhd_details=tuple(details for _, details in units),
        ivmd=tuple(definition for definition, _ in memory),
        ivmd_details=tuple(details for _, details in memory),
        problems=tuple(problems),
    )


def _head(table: bytes, offset: int) -> tuple[int, int]:
    return table[offset], table[offset + 2] | table[offset + 3] << 8


def _decode_ivhd(table: bytes, offset: int, end: int, problems: Problems) -> tuple[Ivhd, IvhdDetails]:
    kind, flags, _length, devid, capability, base, segment, info, features = _IVHD.unpack_from(table, offset)
    unit = Ivhd(type=hex(kind), flags=hex(flags), iommu_devid=hex(devid), base=hex(base), segment=segment)
    efr, efr2 = _EFR.unpack_from(table, offset + 24) if kind != 0x10 else (None, None)
    return unit, IvhdDetails(
        capability_offset=hex(capability),
        info=hex(info),
        features=hex(features),
        efr=hex(efr) if efr is not None else None,
        efr2=hex(efr2) if efr2 is not None else None,
        entries=_decode_entries(table, offset + _IVHD_TYPES[kind], end, problems),
    )


def _decode_entries(table: bytes, start: int, end: int, problems: Problems) -> tuple[IvhdEntry, ...]:
    """The device entries; a start of a range and its end become one entry (5.2.2.2 and following)."""
    entries: list[IvhdEntry] = []
    opened: IvhdEntry | None = None
    for offset, length in _walk_entries(table, start, end, problems):
        kind = table[offset]
        devid = table[offset + 1] | table[offset + 2] << 8
        if kind == _END and opened is not None:
            entries.append(_close_range(opened, devid))
            opened = None
            continue
        if kind == _END:
            problems.add(f"the device entry at offset {offset} ends a range that none begins")
            continue
        entry = _decode_entry(table, offset, length, kind, devid)
        if kind in (_START, _ALIAS_START, _EXTENDED_START):
            if opened is not None:
                problems.add(f"the device entry at offset {offset} begins a range inside another")
            opened = entry
        elif entry is not None:
            entries.append(entry)
    if opened is not None:
        problems.add(f"the range of devices from {opened.first} has no end")
    return tuple(entries)


def _close_range(opened: IvhdEntry, last: int) -> IvhdEntry:
    return IvhdEntry(type=opened.type, first=opened.first, last=hex(last), settings=opened.settings, alias=opened.alias)


def _walk_entries(table: bytes, start: int, end: int, problems: Problems) -> list[tuple[int, int]]:
    """(Offset, length) of each entry. Its type's two highest bits tell the length: 4, 8, 16 or 32 bytes.

    Type F0h alone states its own length: 22 bytes and a unique id, whose length is the last of them.
    """
    found: list[tuple[int, int]] = []
    while start < end:
        kind = table[start]
        length = 4 << (kind >> 6)
        if kind == _ACPI_HID:
            length = 22 + table[start + 21] if start + 22 <= end else 22
        if length > end - start:
            problems.add(f"the device entry at offset {start} is {length} bytes long, and {end - start} are left")
            break
        found.append((start, length))
        start += length
    return found


def _decode_entry(table: bytes, offset: int, length: int, kind: int, devid: int) -> IvhdEntry | None:
    """One device entry; None for padding and for types that the specification does not have."""
    first, last, alias, special = devid, devid, None, None
    if kind == _ALL:
        first, last = 0, _LAST_DEVID
    elif kind in (_ALIAS_SELECT, _ALIAS_START):
        alias = hex(table[offset + 5] | table[offset + 6] << 8)
    elif kind == _SPECIAL:
        # Handle, the devid in whose name it asks, and its variety (5.2.2.6).
        first = last = table[offset + 5] | table[offset + 6] << 8
        special = f"{_SPECIAL_KINDS.get(table[offset + 7], 'special')} {table[offset + 4]}"
    elif kind == _ACPI_HID:
        special = _decode_hid(table[offset : offset + length])
    elif kind not in (_SELECT, _START, _EXTENDED_SELECT, _EXTENDED_START):
        return None
    return IvhdEntry(
        type=hex(kind), first=hex(first), last=hex(last), settings=hex(table[offset + 3]), alias=alias, special=special
    )


def _decode_hid(entry: bytes) -> str:
    """`AMDI0020:_SB.FUR0`: hardware id (8 bytes at 4), and unique id, a number or text (5.2.2.7)."""
    hardware = entry[4:12].decode("ascii", "backslashreplace").rstrip("\0")
    form, raw = entry[20], entry[22:]
    unique = str(int.from_bytes(raw, "little")) if form == 1 else raw.decode("ascii", "backslashreplace").rstrip("\0")
    return f"{hardware}:{unique}" if raw else hardware


def _decode_ivmd(table: bytes, offset: int, problems: Problems) -> tuple[Ivmd, IvmdDetails]:
    kind, flags, _length, devid, aux, segment, start, size = _IVMD.unpack_from(table, offset)
    if size == 0 or start + size > 1 << 64:
        problems.add(f"the memory definition at offset {offset} has {size} bytes from {start:#x}")
    first, last = {_IVMD_ALL: (0, _LAST_DEVID), _IVMD_RANGE: (devid, aux)}.get(kind, (devid, devid))
    if last < first:
        problems.add(f"the memory definition at offset {offset} is for devices {first:#x} to {last:#x}")
    exclusion = bool(flags & _EXCLUSION)
    definition = Ivmd(
        type=hex(kind),
        flags=hex(flags),
        devid=hex(devid),
        aux=hex(aux),
        start=hex(start),
        length=hex(size),
        unity=bool(flags & _UNITY),
        exclusion_range=exclusion,
    )
    return definition, IvmdDetails(
        end=hex(min(max(start + size - 1, start), 2**64 - 1)),
        first=hex(first),
        last=hex(last),
        segment=segment,
        # An exclusion range is open to its devices; the kernel maps it for reading and writing too.
        readable=exclusion or bool(flags & _READ),
        writable=exclusion or bool(flags & _WRITE),
    )
