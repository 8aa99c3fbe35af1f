# SPDX-License-Identifier: Apache-2.0
"""The files of a host's CPUs and NUMA nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.memory import format_cpulist, parse_cpulist

if TYPE_CHECKING:
    from collections.abc import Mapping

CPUS, NODES = "/sys/devices/system/cpu", "/sys/devices/system/node"
MIB, GIB = 1 << 20, 1 << 30


def cpu_files(
    nodes: Mapping[int, str],
    *,
    threads: int = 1,
    free: int = 64 * GIB,
    isolated: str = "",
    nohz_full: str | None = None,
    pages: Mapping[int, int] | None = None,
) -> dict[str, str]:
    """A host whose nodes have these CPUs: threads of a core are neighbours, `free` bytes a node, free huge pages."""
    everything = frozenset().union(*(parse_cpulist(cpus) or frozenset() for cpus in nodes.values()))
    files = {f"{CPUS}/online": f"{format_cpulist(everything)}\n", f"{CPUS}/isolated": f"{isolated}\n"}
    if nohz_full is not None:
        files[f"{CPUS}/nohz_full"] = f"{nohz_full}\n"
    for cpu in everything:
        first = cpu - cpu % threads
        core = format_cpulist(frozenset(range(first, first + threads)) & everything)
        files[f"{CPUS}/cpu{cpu}/topology/thread_siblings_list"] = f"{core}\n"
    for node, cpus in nodes.items():
        files |= _node_files(node, cpus, free, pages or {})
    return files


def _node_files(node: int, cpus: str, free: int, pages: Mapping[int, int]) -> dict[str, str]:
    folder = f"{NODES}/node{node}"
    files = {
        f"{folder}/cpulist": f"{cpus}\n",
        f"{folder}/meminfo": f"Node {node} MemTotal: {2 * free >> 10} kB\nNode {node} MemFree: {free >> 10} kB\n",
    }
    for size, count in pages.items():
        pool = f"{folder}/hugepages/hugepages-{size >> 10}kB"
        files |= {f"{pool}/nr_hugepages": f"{count}\n", f"{pool}/free_hugepages": f"{count}\n"}
    return files
