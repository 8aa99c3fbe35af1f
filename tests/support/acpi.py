# SPDX-License-Identifier: Apache-2.0
"""Builds small ACPI tables: DMAR as in the VT-d specification, chapter 8, IVRS as in AMD's 48882, chapter 5."""

from __future__ import annotations

import struct

from lab.dmar import Path, pack_rmrr, pack_scope, seal_table

__all__ = [
    "Path", "acpi_table", "andd", "atsr", "dmar", "drhd", "ivhd", "ivmd", "ivrs", "pack_rmrr", "pack_scope",
    "rhsa", "satc", "seal_table", "sidp",
]  # fmt: skip

INTR_REMAP, X2APIC_OPT_OUT, DMA_OPT_IN = 1, 2, 4


def acpi_table(signature: str, body: bytes, revision: int = 1) -> bytes:
    """A table with the common header in front (ACPI 6.5, 5.2.6)."""
    header = struct.pack(
        "<4sIBB6s8sI4sI", signature.encode(), 0, revision, 0, b"NICPAS", b"TESTTABL", 1, b"TEST", 0x20250101
    )
    return seal_table(header + body)


def dmar(*records: bytes, flags: int = INTR_REMAP, host_address_width: int = 46) -> bytes:
    """A DMAR table; without records, one unit for all of segment 0."""
    fixed = struct.pack("<BB10x", host_address_width - 1, flags)
    return acpi_table("DMAR", fixed + b"".join(records or (drhd(include_pci_all=True),)))


def drhd(*scopes: bytes, base: int = 0xFED90000, include_pci_all: bool = False, segment: int = 0) -> bytes:
    body = b"".join(scopes)
    return struct.pack("<HHBBHQ", 0, 16 + len(body), include_pci_all, 0, segment, base) + body


def atsr(*scopes: bytes, all_ports: bool = False, segment: int = 0) -> bytes:
    body = b"".join(scopes)
    return struct.pack("<HHBBH", 2, 8 + len(body), all_ports, 0, segment) + body


def rhsa(base: int, domain: int) -> bytes:
    return struct.pack("<HHIQI", 3, 20, 0, base, domain)


def andd(number: int, name: str) -> bytes:
    text = name.encode() + b"\0"
    return struct.pack("<HH3xB", 4, 8 + len(text), number) + text


def satc(*scopes: bytes, atc_required: bool = False, segment: int = 0) -> bytes:
    body = b"".join(scopes)
    return struct.pack("<HHBBH", 5, 8 + len(body), atc_required, 0, segment) + body


def sidp(*scopes: bytes, segment: int = 0) -> bytes:
    body = b"".join(scopes)
    return struct.pack("<HHHH", 6, 8 + len(body), 0, segment) + body


def ivrs(*blocks: bytes, ivinfo: int = 0x203041, revision: int = 2) -> bytes:
    """An IVRS table; without blocks, one unit for all of segment 0."""
    return acpi_table("IVRS", struct.pack("<I8x", ivinfo) + b"".join(blocks or (ivhd(b"\x01\0\0\0"),)), revision)


def ivhd(*entries: bytes, kind: int = 0x11, base: int = 0xFD380000, segment: int = 0, flags: int = 0xB0) -> bytes:
    """A unit at 00:00.2; `entries` are whole device entries, 4 or more bytes each."""
    rest = b"" if kind == 0x10 else struct.pack("<QQ", 0x246577EFA2254AFA, 0)
    body = rest + b"".join(entries)
    return struct.pack("<BBHHHQHHI", kind, flags, 24 + len(body), 2, 0x40, base, segment, 0, 0) + body


def ivmd(start: int, size: int, devid: int = 0, aux: int = 0, *, kind: int = 0x21, flags: int = 0x08) -> bytes:
    """A memory definition; kind 20h is for all devices, 21h for one, 22h for `devid` to `aux`."""
    return struct.pack("<BBHHH8xQQ", kind, flags, 32, devid, aux, start, size)
