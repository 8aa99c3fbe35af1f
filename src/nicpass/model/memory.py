# SPDX-License-Identifier: Apache-2.0
"""The host's memory, by NUMA node and page size. Sizes are in bytes."""

from __future__ import annotations

import re

import msgspec

from nicpass.model.fact import Fact

_MAX_NUMBER = 16383  # libvirt's VIR_DOMAIN_CPUMASK_LEN, 16384, bounds what a hostile list can make us hold
_MAX_LENGTH = 65536
_PART = r"(\^?)([0-9]{1,5})(?:-([0-9]{1,5}))?"


class HugepagePool(msgspec.Struct, frozen=True, kw_only=True):
    """The huge pages of one size (Documentation/admin-guide/mm/hugetlbpage.rst)."""

    size: int
    total: int
    free: int
    """How many pages are neither used nor, where the kernel says it, promised to somebody already."""
    overcommit: int = 0
    """How many more pages the kernel may make when they are asked for."""


class NumaNode(msgspec.Struct, frozen=True, kw_only=True):
    """One NUMA node (Documentation/ABI/stable/sysfs-devices-node)."""

    node: int
    cpus: Fact[str] = None
    """The node's CPUs, as a list such as `0-15,32-47`."""
    total: Fact[int] = None
    free: Fact[int] = None
    hugepages: tuple[HugepagePool, ...] = ()


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of the host."""

    total: Fact[int] = None
    available: Fact[int] = None
    """The memory that the kernel thinks can be had without swapping: MemAvailable, proc_meminfo(5)."""
    hugepage_size: Fact[int] = None
    """The default size of a huge page."""
    hugepages: Fact[tuple[HugepagePool, ...]] = None
    nodes: Fact[tuple[NumaNode, ...]] = None


def parse_cpulist(text: str) -> frozenset[int] | None:
    """The numbers of a list, `0-3,8` or, as libvirt also has it, `0-7,^3`; None if `text` is no such list.

    Source: Documentation/core-api/printk-formats.rst (bitmap lists), libvirt's formatdomain, `cpuset`.
    """
    mask = 0  # one number, so that a list that names a thousand ranges a thousand times costs nothing
    if len(text) > _MAX_LENGTH:
        return None
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(_PART, part)
        if match is None:
            return None
        first, last = int(match[2]), int(match[3] or match[2])
        if first > last or last > _MAX_NUMBER:
            return None
        numbers = ((1 << (last - first + 1)) - 1) << first
        mask = mask & ~numbers if match[1] else mask | numbers
    return frozenset(number for number in range(mask.bit_length()) if mask >> number & 1)


def format_cpulist(numbers: frozenset[int]) -> str:
    """The shortest list of `numbers`, `0-3,8`; empty for no numbers."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def format_size(size: int) -> str:
    """The size as text, `1536 MiB`, `16 GiB`: in the largest unit in which it is a whole number, from KiB to GiB."""
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size} bytes"
