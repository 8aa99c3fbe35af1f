# SPDX-License-Identifier: Apache-2.0
"""Reads what the kernel has made of the IOMMU: its units, their width, interrupt remapping."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.model.address import parse_address
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.platform import IommuCapability

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

TABLES = "/sys/firmware/acpi/tables"
UNITS = "/sys/class/iommu"
GROUPS = "/sys/kernel/iommu_groups"
IOMMU_TABLES = ("DMAR", "IVRS", "IORT", "VIOT")
"""Intel's, AMD's, Arm's and virtio's description of the IOMMU (ACPI 6.5, 5.6; VIOT: its own specification)."""


def read_tables(files: Files) -> Fact[tuple[str, ...]]:
    """Which IOMMU tables the firmware publishes."""
    names = files.list_directory(TABLES)
    if not known(names):
        return names
    # Where there are several of one signature, the kernel numbers them: DMAR1, DMAR2.
    return tuple(table for table in IOMMU_TABLES if table in names or f"{table}1" in names)


def read_units(files: Files) -> Fact[tuple[str, ...]]:
    """The units that a driver has taken into use, by name."""
    names = files.list_directory(UNITS)
    return tuple(sorted(names)) if known(names) else names


def read_capabilities(files: Files, units: Fact[tuple[str, ...]]) -> tuple[IommuCapability, ...]:
    """The capability register of each VT-d unit; the others have no such file."""
    found = []
    for unit in units if known(units) else ():
        path = f"{UNITS}/{unit}/intel-iommu/cap"
        text = files.read_attribute(path)
        if text is not None:
            found.append(IommuCapability(unit=unit, register=_parse_hexadecimal(text, path)))
    return tuple(found)


def _parse_hexadecimal(text: str | Unknown, path: str) -> int | Unknown:
    """The value of a register, which the kernel writes with %llx: no 0x before it."""
    if isinstance(text, Unknown):
        return text
    return int(text, 16) if re.fullmatch("[0-9a-f]{1,16}", text) else Unknown(f"not hexadecimal: {path}")


def count_groups(files: Files) -> Fact[int]:
    """How many IOMMU groups there are; 0 where no IOMMU is in use."""
    names = files.list_directory(GROUPS)
    return len(names) if isinstance(names, tuple) else names


def read_interrupt_chips(files: Files) -> Fact[tuple[str, ...]]:
    """Distinct names of interrupt controllers in /proc/interrupts (proc(5); show_interrupts() in kernel/irq/proc.c).

    After the name of the interrupt and one count for each processor comes the controller's name.
    """
    text = files.read_text("/proc/interrupts")
    if not isinstance(text, str):
        return text
    lines = text.splitlines()
    processors = len(lines[0].split()) if lines else 0
    chips = set()
    for line in lines[1:]:
        words = line.split()
        if len(words) > processors + 1 and words[0].rstrip(":").isdecimal():
            # Since Linux 6.2 each device has a controller of its own, named after it: `IR-PCI-MSIX-0000:01:00.0`.
            chip, _dash, device = words[processors + 1].rpartition("-")
            chips.add(chip if parse_address(device) is not None else words[processors + 1])
    return tuple(sorted(chips)) if chips else Unknown("no interrupt has a controller: /proc/interrupts")
