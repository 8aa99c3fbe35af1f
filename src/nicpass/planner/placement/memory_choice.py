# SPDX-License-Identifier: Apache-2.0
"""Chooses where a VM's memory comes from: the node of its NIC, in huge pages where there are enough of them there.

`strict` on a node that has too little would fail the start of the VM, or have the kernel kill something for it, for
with a NIC all of the guest's memory is locked at its start. So it is `strict` where the node has enough free at this
moment, and else `preferred`, which takes what the node has and the rest from elsewhere; and the reason is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.model.errors import ImpossibleError
from nicpass.model.fact import known, value_or
from nicpass.model.language import _
from nicpass.model.memory import format_size
from nicpass.planner.placement.cpu_claims import numbers_of

if TYPE_CHECKING:
    from nicpass.model.domain import Definition, Domain, Placement
    from nicpass.model.host import Host
    from nicpass.model.memory import HugepagePool, NumaNode


class Pages(NamedTuple):
    """The huge pages of one size on the node, and how many of them a VM needs."""

    size: int
    free: int
    """Without those that other VMs, which are off, need at their next start."""
    total: int
    need: int
    mounted: bool
    """Whether libvirt can get at them, by a hugetlbfs of this size."""

    @property
    def suffice(self) -> bool:
        return self.free >= self.need


def choose_memory(
    domain: Domain, before: Placement, node: NumaNode, host: Host, *, hugepages: bool
) -> tuple[Placement, tuple[str, ...]]:
    """(`before` with another place for the memory, what there is to say of it).

    On a host with one node the memory is where the NIC is in any case; there it is only about huge pages.

    Raises:
        ImpossibleError: there are not enough huge pages, and they were asked for.
    """
    definition = domain.config
    if definition is None or not known(definition.memory):
        return before, (_("How much memory {name} has cannot be read, so it is left alone.").format(name=domain.name),)
    several = known(host.memory.nodes) and len(host.memory.nodes) > 1
    pages = _pages_for(domain, definition, node, host)
    if hugepages and not (before.hugepages and domain.running):  # then it has them, and they are not free for that
        _refuse_too_few(domain, pages, node)
    chosen = next((each for each in pages if each.suffice and each.mounted), None)
    placement, notes = before, []
    if chosen is not None and not before.hugepages:
        placement = msgspec.structs.replace(before, hugepages=True, page_size=chosen.size, hugepages_xml=None)
    if several:
        placement, note = _place(domain, placement, node, definition.memory, pages)
        notes += [note] if note else []
    return placement, tuple(notes)


def _place(
    domain: Domain, placement: Placement, node: NumaNode, memory: int, pages: list[Pages]
) -> tuple[Placement, str]:
    here = frozenset({node.node})
    if placement.mode == "strict" and numbers_of(placement.nodes) == here and placement.by_hand:
        return placement, ""  # whether there is enough was seen then; while it runs, it is itself what takes it
    note = _why_not_strict(domain, placement, node, memory, pages)
    mode = "preferred" if note else "strict"
    if placement.mode == mode and numbers_of(placement.nodes) == here:
        return placement, note
    return msgspec.structs.replace(placement, mode=mode, nodes=str(node.node), numatune_xml=None), note


def _why_not_strict(domain: Domain, placement: Placement, node: NumaNode, memory: int, pages: list[Pages]) -> str:
    """Why the node's memory alone would not do, for the user; empty where it does."""
    facts = {"name": domain.name, "memory": format_size(memory), "node": node.node}
    if placement.hugepages:
        if any(each.suffice for each in pages):
            return ""
        sentence = _("Node {node} has not enough free huge pages for {name} ({memory}), so it is only preferred.")
        return sentence.format(**facts)
    free = node.free
    if not known(free):
        sentence = _("How much memory of node {node} is free cannot be read, so it is only preferred.")
        return sentence.format(**facts)
    if free < memory:
        sentence = _("Node {node} has {free} free, and {name} needs {memory}, so it is only preferred.")
        return sentence.format(free=format_size(free), **facts)
    return ""


def _pages_for(domain: Domain, definition: Definition, node: NumaNode, host: Host) -> list[Pages]:
    """The huge pages of the node that the VM's memory can be made of, the largest first; what it has is not changed."""
    memory = value_or(definition.memory, 0)
    sizes = [pool.size for pool in node.hugepages if pool.size > 0 and memory % pool.size == 0]
    if definition.hugepages:
        own = value_or(definition.hugepage_sizes, ()) or (value_or(host.memory.hugepage_size, 0),)
        sizes = [size for size in sizes if size in own]
    return [_pages(size, domain, node, host, memory) for size in sorted(sizes, reverse=True)]


def _pages(size: int, domain: Domain, node: NumaNode, host: Host, memory: int) -> Pages:
    pool: HugepagePool = next(pool for pool in node.hugepages if pool.size == size)
    promised = sum(
        _promised(other, size, node, host) for other in value_or(host.domains, ()) or () if other.uuid != domain.uuid
    )
    mounts = host.cpus.hugepage_mounts
    is_default = known(host.memory.hugepage_size) and host.memory.hugepage_size == size
    mounted = size in mounts or (0 in mounts and is_default)
    return Pages(size, max(0, pool.free - promised), pool.total, -(-memory // size), mounted)


def _promised(other: Domain, size: int, node: NumaNode, host: Host) -> int:
    """How many pages of the node another VM, which is off, may take at its next start (law 9)."""
    definition = other.config
    if other.running or definition is None or not definition.hugepages or not known(definition.memory):
        return 0
    sizes = value_or(definition.hugepage_sizes, ()) or (value_or(host.memory.hugepage_size, 0),)
    nodes = numbers_of(definition.memory_nodes)
    return -(-definition.memory // size) if size in sizes and (not nodes or node.node in nodes) else 0


def _refuse_too_few(domain: Domain, pages: list[Pages], node: NumaNode) -> None:
    if any(each.suffice and each.mounted for each in pages):
        return
    if not pages:
        raise ImpossibleError(
            _("NUMA node {node} has no huge pages of a size that divides the memory of {name}.").format(
                node=node.node, name=domain.name
            ),
            f"ls /sys/devices/system/node/node{node.node}/hugepages",
        )
    if (enough := next((each for each in pages if each.suffice), None)) is not None:
        raise ImpossibleError(
            _(
                "There are enough huge pages of {size} for {name}, and no hugetlbfs by which libvirt could get them."
            ).format(size=format_size(enough.size), name=domain.name),
            _("Mount one, as /etc/fstab does it too, and restart libvirt's daemon: {command}").format(
                command=_mount_command(enough.size >> 10)
            ),
        )
    smallest = pages[-1]
    raise ImpossibleError(
        _("{name} needs {need} huge pages of {size} of node {node}, and {free} are free.").format(
            name=domain.name, need=smallest.need, size=format_size(smallest.size), node=node.node, free=smallest.free
        ),
        _("Set more aside, and read it back: {command}").format(command=_command(smallest, node)),
    )


def _mount_command(kib: int) -> str:
    place = f"/dev/hugepages-{kib}K"
    return f"mkdir -p {place} && mount -t hugetlbfs -o pagesize={kib}K none {place}"


def _command(pages: Pages, node: NumaNode) -> str:
    path = f"/sys/devices/system/node/node{node.node}/hugepages/hugepages-{pages.size >> 10}kB/nr_hugepages"
    return f"echo {pages.total + pages.need - pages.free} > {path} && cat {path}"
