# SPDX-License-Identifier: Apache-2.0
"""ACPI tables: the header that all have, and the walk over records that the IOMMU tables share.

Source: ACPI 6.5, 5.2.6. The bytes may be damaged or lie: every length is checked before it is believed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import Fact, Unknown
from nicpass.model.firmware import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.host.doors.files import Files

TABLES = "/sys/firmware/acpi/tables"

MAX_TABLE = 1 << 20
"""Bytes of a table that are looked at. Real IOMMU tables have some hundred; a host full of units some thousand."""

_HEADER = struct.Struct("<4sIBB6s8sI")


class Header(msgspec.Struct, frozen=True):
    """The fields of the header that all ACPI tables have."""

    signature: str
    length: int
    """Bytes, as the header states; the table may hold less."""
    checksum_ok: bool
    revision: int
    oem_id: str
    oem_table_id: str
    oem_revision: int


class Problems(list[str]):
    """The faults found in a table, each once, and not without end: a table of noise has a thousand."""

    LIMIT = 16

    def add(self, problem: str) -> None:
        if len(self) < self.LIMIT and problem not in self:
            self.append(problem)


def read_table(files: Files, signature: str) -> Fact[bytes]:
    """The first table of this signature. The kernel numbers tables of which there are several: DMAR1, DMAR2."""
    table = files.read_bytes(f"{TABLES}/{signature}", MAX_TABLE)
    return files.read_bytes(f"{TABLES}/{signature}1", MAX_TABLE) if table is None else table


def parse_header(table: bytes, signature: str, fixed: int, problems: Problems) -> Header | Unknown:
    """The header of a table whose records begin at `fixed`; Unknown where not even that much can be believed."""
    if len(table) < fixed:
        return Unknown(f"{DAMAGED}{signature} has {len(table)} bytes, and {fixed} come before its first record")
    name, length, revision, _checksum, oem_id, oem_table_id, oem_revision = _HEADER.unpack_from(table)
    if name != signature.encode():
        return Unknown(f"{DAMAGED}{signature} begins with {_text(name)!a}")
    if length < fixed:
        return Unknown(f"{DAMAGED}{signature} says that it is {length} bytes long, which is less than its header")
    if length > len(table):
        problems.add(f"the table says that it is {length} bytes long, and {len(table)} are there")
    # All bytes of a table add up to zero.
    checksum_ok = length <= len(table) and sum(memoryview(table)[:length]) & 0xFF == 0
    if not checksum_ok:
        problems.add("the checksum is wrong")
    return Header(signature, length, checksum_ok, revision, _text(oem_id), _text(oem_table_id), oem_revision)


def walk_records(
    table: bytes, start: int, end: int, head: Callable[[bytes, int], tuple[int, int]], shortest: int, problems: Problems
) -> Iterator[tuple[int, int, int]]:
    """(kind, offset, length) of the records in `table[start:end]`; `head` reads kind and length at an offset.

    A record without a length, or longer than what is left, ends the walk, as it does in the kernel
    (dmar_walk_remapping_entries() in drivers/iommu/intel/dmar.c): nobody knows where the next one begins.
    """
    offset = start
    while offset < end:
        if end - offset < shortest:
            problems.add(f"{end - offset} bytes at offset {offset} are too few for a record")
            return
        kind, length = head(table, offset)
        if length < shortest:
            problems.add(f"the record at offset {offset} says that it is {length} bytes long")
            return
        if length > end - offset:
            problems.add(f"the record at offset {offset} is {length} bytes long, and {end - offset} are left")
            return
        yield kind, offset, length
        offset += length


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace").rstrip("\0 ")
