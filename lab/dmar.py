# SPDX-License-Identifier: Apache-2.0
"""Changes a DMAR table: a host is given a reserved memory region (RMRR) that its own firmware does not have.

The kernel takes such a table from an uncompressed cpio archive before the initrd, as `kernel/firmware/acpi/dmar.aml`,
if its OEM ids are those of the table that it replaces and its OEM revision is higher
(Documentation/admin-guide/acpi/initrd_table_override.rst). Layouts: VT-d specification, chapter 8.
"""

from __future__ import annotations

import struct

_LENGTH, _CHECKSUM, _OEM_REVISION = 4, 9, 24
"""Offsets in the header of every ACPI table (ACPI 6.5, 5.2.6)."""

_RMRR, _ENDPOINT = 1, 1
_RECORDS = 48
"""Where the records of a DMAR table begin (8.1)."""

Path = tuple[tuple[int, int], ...]
"""(Device, function) of every hop from the bus where it starts, the function itself last."""


def seal_table(table: bytes) -> bytes:
    """`table` with its length and checksum made right."""
    sealed = bytearray(table)
    struct.pack_into("<I", sealed, _LENGTH, len(sealed))
    sealed[_CHECKSUM] = 0
    sealed[_CHECKSUM] = -sum(sealed) & 0xFF
    return bytes(sealed)


def pack_scope(path: Path, *, kind: int = _ENDPOINT, start_bus: int = 0, enumeration_id: int = 0) -> bytes:
    """One device scope (8.3.1)."""
    hops = bytes(number for hop in path for number in hop)
    return struct.pack("<BBHBB", kind, 6 + len(hops), 0, enumeration_id, start_bus) + hops


def pack_rmrr(base: int, end: int, scopes: bytes, segment: int = 0) -> bytes:
    """One RMRR (8.4); `end` is its last byte."""
    return struct.pack("<HHHHQQ", _RMRR, 24 + len(scopes), 0, segment, base, end) + scopes


def add_rmrr(dmar: bytes, base: int, end: int, path: Path, *, start_bus: int = 0, segment: int = 0) -> bytes:
    """`dmar` with one more RMRR, from `base` to its last byte `end`, on the function at `path`.

    `add_rmrr(table, 0x7D000000, 0x7D000FFF, ((0x1C, 4), (0, 0)))` reserves a page for what lies behind the
    root port 00:1c.4 as device 0, function 0. The OEM revision is one higher, so that the kernel takes it.
    The record goes right behind the units (DRHD), for the kinds must come in ascending order (8.2).

    Raises:
        ValueError: that is no DMAR table.
    """
    if dmar[:4] != b"DMAR" or len(dmar) < _RECORDS:
        raise ValueError("not a DMAR table")
    place = _end_of_kinds(dmar, _RMRR)
    made = bytearray(dmar[:place])
    made += pack_rmrr(base, end, pack_scope(path, start_bus=start_bus), segment) + dmar[place:]
    (revision,) = struct.unpack_from("<I", dmar, _OEM_REVISION)
    struct.pack_into("<I", made, _OEM_REVISION, revision + 1 & 0xFFFFFFFF)
    return seal_table(bytes(made))


def _end_of_kinds(dmar: bytes, kind: int) -> int:
    """Where the first record of a kind above `kind` begins, or the table ends."""
    offset = _RECORDS
    while offset + 4 <= len(dmar):
        found, length = struct.unpack_from("<HH", dmar, offset)
        if found > kind or length < 4 or offset + length > len(dmar):
            break
        offset += length
    return offset
