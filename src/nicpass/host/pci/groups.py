# SPDX-License-Identifier: Apache-2.0
"""Reads IOMMU groups. Source: Documentation/ABI/testing/sysfs-kernel-iommu_groups of the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import Fact, Unknown
from nicpass.model.groups import IommuGroup, ReservedRegion

if TYPE_CHECKING:
    from collections.abc import Collection

    from nicpass.host.doors.files import Files

GROUPS = "/sys/kernel/iommu_groups"

_HEX = frozenset("0123456789abcdef")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz-")


def read_groups(files: Files, only: Collection[int] | None = None) -> Fact[tuple[IommuGroup, ...]]:
    """All groups or `only` these, by number. A host whose IOMMU is off has the folder, and nothing in it."""
    names = files.list_directory(GROUPS)
    if not isinstance(names, tuple):
        return names
    if only is not None:
        names = tuple(str(number) for number in only if str(number) in names)
    numbers = sorted(int(name) for name in names if name.isdecimal() and name.isascii() and len(name) < 10)
    parsed: dict[str, Fact[tuple[ReservedRegion, ...]]] = {}
    return tuple(_read_group(files, number, parsed) for number in numbers)


def _read_group(files: Files, number: int, parsed: dict[str, Fact[tuple[ReservedRegion, ...]]]) -> IommuGroup:
    path = f"{GROUPS}/{number}/reserved_regions"
    regions = files.read_attribute(path)
    if isinstance(regions, str):
        # A thousand groups have the same few texts.
        if regions not in parsed:
            parsed[regions] = parse_regions(regions)
        return IommuGroup(number=number, type=_read_type(files, number), reserved_regions=parsed[regions])
    return IommuGroup(number=number, type=_read_type(files, number), reserved_regions=regions)


def _read_type(files: Files, number: int) -> Fact[str]:
    return files.read_attribute(f"{GROUPS}/{number}/type")


def parse_regions(text: str) -> Fact[tuple[ReservedRegion, ...]]:
    """The regions in lines of `0x00000000fee00000 0x00000000feefffff msi`; Unknown if one of them is something else."""
    regions: list[ReservedRegion] = []
    for line in text.splitlines():
        region = _parse_region(line.strip())
        if region is None:
            return Unknown(f"not a reserved region: {line[:80]!r}")
        regions.append(region)
    return tuple(regions)


def _parse_region(line: str) -> ReservedRegion | None:
    """iommu_group_show_resv_regions() writes `0x%016llx 0x%016llx %s`."""
    words = line.split(" ")
    if len(words) != 3 or not all(_is_number(word) for word in words[:2]):
        return None
    start, end, kind = words
    is_word = 0 < len(kind) <= 32 and _WORD.issuperset(kind)
    return ReservedRegion(hex(int(start, 16)), hex(int(end, 16)), kind) if is_word else None


def _is_number(word: str) -> bool:
    return word.startswith("0x") and 2 < len(word) <= 18 and _HEX.issuperset(word[2:])
