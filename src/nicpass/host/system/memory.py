# SPDX-License-Identifier: Apache-2.0
"""Reads the host's memory: how much, in which NUMA nodes, in pages of which size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.model.fact import Fact, Unknown
from nicpass.model.memory import HugepagePool, Memory, NumaNode, parse_cpulist

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

_HUGEPAGES = "/sys/kernel/mm/hugepages"
_NODES = "/sys/devices/system/node"
_NODE = r"node([0-9]{1,6})"
_POOL = r"hugepages-([0-9]{1,12})kB"
_FIELD = r"(?m)^(?:Node [0-9]+ )?(\w+): +([0-9]{1,18}) kB$"


def read_memory(files: Files) -> Memory:
    """Everything of `Memory`; what cannot be read is Unknown there."""
    fields = _read_fields(files, "/proc/meminfo")
    return Memory(
        total=_field(fields, "MemTotal"),
        available=_field(fields, "MemAvailable"),
        hugepage_size=_field(fields, "Hugepagesize"),
        hugepages=_read_pools(files, _HUGEPAGES),
        nodes=_read_nodes(files),
    )


def _read_fields(files: Files, path: str) -> Fact[dict[str, int]]:
    """The fields of /proc/meminfo or of a node's own, by name, in bytes (proc_meminfo(5))."""
    text = files.read_text(path)
    if not isinstance(text, str):
        return text
    return {name: int(number) << 10 for name, number in re.findall(_FIELD, text)}


def _field(fields: Fact[dict[str, int]], name: str) -> Fact[int]:
    return fields.get(name) if isinstance(fields, dict) else fields


def _read_pools(files: Files, folder: str) -> Fact[tuple[HugepagePool, ...]]:
    """The pools of hugepages, one a size. The files of a node lack `resv_hugepages` and `nr_overcommit_hugepages`."""
    names = files.list_directory(folder)
    if not isinstance(names, tuple):
        return names
    pools = [_read_pool(files, f"{folder}/{name}", int(match[1]) << 10) for name in names if (match := _match(name))]
    wrong = next((pool for pool in pools if isinstance(pool, Unknown)), None)
    return wrong or tuple(sorted((p for p in pools if isinstance(p, HugepagePool)), key=lambda pool: pool.size))


def _match(name: str) -> re.Match[str] | None:
    return re.fullmatch(_POOL, name)


def _read_pool(files: Files, folder: str, size: int) -> HugepagePool | Unknown:
    total, free, reserved, overcommit = (
        files.read_int(f"{folder}/{name}")
        for name in ("nr_hugepages", "free_hugepages", "resv_hugepages", "nr_overcommit_hugepages")
    )
    if not isinstance(total, int) or not isinstance(free, int):
        wrong = next((fact for fact in (total, free) if isinstance(fact, Unknown)), None)
        return wrong or Unknown(f"absent: {folder}/nr_hugepages")
    # Promised pages are still counted as free (hugetlbpage.rst, HugePages_Rsvd).
    promised = reserved if isinstance(reserved, int) else 0
    more = overcommit if isinstance(overcommit, int) else 0
    return HugepagePool(size=size, total=total, free=max(0, free - promised), overcommit=more)


def _read_nodes(files: Files) -> Fact[tuple[NumaNode, ...]]:
    names = files.list_directory(_NODES)
    if not isinstance(names, tuple):
        return names
    numbers = sorted(int(match[1]) for name in names if (match := re.fullmatch(_NODE, name)))
    return tuple(_read_node(files, number) for number in numbers)


def _read_node(files: Files, number: int) -> NumaNode:
    folder = f"{_NODES}/node{number}"
    fields = _read_fields(files, f"{folder}/meminfo")
    pools = _read_pools(files, f"{folder}/hugepages")
    return NumaNode(
        node=number,
        cpus=_read_cpulist(files, f"{folder}/cpulist"),
        total=_field(fields, "MemTotal"),
        free=_field(fields, "MemFree"),
        hugepages=pools if isinstance(pools, tuple) else (),
    )


def _read_cpulist(files: Files, path: str) -> Fact[str]:
    """The CPUs of a node; None for one that has memory only: its list is empty."""
    text = files.read_attribute(path)
    if not isinstance(text, str) or not text:
        return text or None
    return text if parse_cpulist(text) is not None else Unknown(f"not a list of CPUs: {path}: {text[:40]!r}")
