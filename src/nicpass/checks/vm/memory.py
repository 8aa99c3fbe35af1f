# SPDX-License-Identifier: Apache-2.0
"""Memory and CPUs of the VM against those of the host, and against the NUMA node of the NIC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label
from nicpass.checks.vm.definition import devices_of, handle_of, source_of
from nicpass.checks.vm.layout import leaves_hole, memory_ranges, most_below, newer_type
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.memory import HugepagePool, format_cpulist, format_size, parse_cpulist

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.domain import Definition, Domain
    from nicpass.model.fact import Fact
    from nicpass.model.finding import Finding
    from nicpass.model.firmware import Dmar
    from nicpass.model.memory import Memory, NumaNode
    from nicpass.model.pci import PciFunction

make_finding = Finder("vm.memory")

# qemuDomainGetMemLockLimitBytes() of libvirt allows VFIO so much beside the guest's memory.
_BESIDE = 1 << 30
_UNMAPPABLE = frozenset({"reserved", "msi"})
_HOST_WIDTH = ("host-passthrough", "maximum")
"""CPU modes in which libvirt lets QEMU take the host's own address width."""


def check_memory_lock(function: PciFunction, domain: Domain, index: HostIndex) -> Iterator[Finding]:
    """All of the guest's memory is pinned: how much of it is allowed, and how much there is."""
    definition, host = domain.definition, index.host.memory
    if definition is None or not known(definition.memory):
        return
    memory, address = definition.memory, function.address
    facts = {"vm": domain.name, "nic": label(function), "memory": format_size(memory), "handle": handle_of(domain)}
    shown = (source_of(domain, "memory"), format_size(memory))
    yield make_finding("VM_MEMORY_LOCK", address, (shown,), **facts)
    yield from _check_limit(function, domain, definition, memory, index)
    if definition.hugepages or domain.running:  # a running VM has its memory; huge pages are counted elsewhere
        return
    if known(host.total) and host.total < memory:
        total = format_size(host.total)
        yield make_finding("VM_MEMORY_TOO_BIG", address, (shown, ("/proc/meminfo", total)), total=total, **facts)
    elif known(host.available) and host.available < memory:
        available = format_size(host.available)
        evidence = (shown, ("/proc/meminfo, MemAvailable", available))
        yield make_finding("VM_MEMORY_SHORT", address, evidence, available=available, **facts)


def _check_limit(
    function: PciFunction, domain: Domain, definition: Definition, memory: int, index: HostIndex
) -> Iterator[Finding]:
    """With a virtual IOMMU each device has an address space of its own, for which all memory is locked once more."""
    limit, times = definition.memory_limit, 1
    if definition.iommu is not None:
        times = len({function.address, *index.together, *(device.address for device in devices_of(domain))})
    locked, told = memory * times, format_size(memory)
    shown = (source_of(domain, "memory"), told)
    facts = {"vm": domain.name, "nic": label(function), "handle": handle_of(domain)}
    if times > 1:
        told = _("{locked} ({times} times {memory})").format(locked=format_size(locked), times=times, memory=told)
        evidence = (shown, (source_of(domain, "iommu"), definition.iommu.model if definition.iommu else None))
        yield make_finding("VM_MEMORY_LOCK_EACH", function.address, evidence, memory=told, times=times, **facts)
    if known(limit) and limit < locked + _BESIDE:
        code = "VM_MEMORY_LIMIT" if limit < locked else "VM_MEMORY_LIMIT_TIGHT"
        evidence = (shown, (source_of(domain, "memtune hard_limit"), format_size(limit)))
        enough, text = (locked + 2 * _BESIDE) >> 10, format_size(limit)
        yield make_finding(code, function.address, evidence, limit=text, enough_kib=enough, memory=told, **facts)


def check_reserved_memory(function: PciFunction, domain: Domain, index: HostIndex) -> Iterator[Finding]:
    """Memory of the guest where the NIC's group has addresses that nobody may map: VFIO_IOMMU_MAP_DMA fails there."""
    definition = domain.definition
    group = index.group_facts.get(function.iommu_group) if known(function.iommu_group) else None
    if definition is None or group is None or not known(definition.memory) or not known(definition.machine):
        return
    regions = group.reserved_regions if known(group.reserved_regions) else ()
    ranges = memory_ranges(definition.machine, definition.memory) or ()
    for region in regions:
        start, end = int(region.start, 16), int(region.end, 16)
        if region.type in _UNMAPPABLE and any(each.start <= end and start < each.stop for each in ranges):
            most = format_size(most_below(definition.machine, start) >> 30 << 30)
            mend = _("Less than {most} of memory.").format(most=most)
            if leaves_hole(definition.machine) is False:
                newer = newer_type(definition.machine)
                text = _("The machine type {newer} or a newer one, which leaves that range out, or {most} at most.")
                mend = text.format(newer=newer, most=most)
            path = f"/sys/kernel/iommu_groups/{group.number}/reserved_regions"
            yield make_finding(
                "VM_MEMORY_RESERVED",
                function.address,
                ((source_of(domain, "memory"), format_size(definition.memory)), (path, f"{region.start}-{region.end}")),
                vm=domain.name,
                nic=label(function),
                memory=format_size(definition.memory),
                machine=definition.machine,
                region=f"{region.start}-{region.end}",
                handle=handle_of(domain),
                mend=mend,
            )
            return


def check_hugepages(function: PciFunction, domain: Domain, index: HostIndex) -> Iterator[Finding]:
    """Huge pages of the VM: a running VM has its pages; a stopped one needs them free."""
    definition, host = domain.definition, index.host.memory
    if definition is None:
        return
    if not definition.hugepages:
        evidence = ((source_of(domain, "memoryBacking"), "no hugepages"),)
        yield make_finding("VM_HUGEPAGES_ABSENT", function.address, evidence, vm=domain.name)
        return
    size = _hugepage_size(definition, host)
    if domain.running or size is None or not known(definition.memory) or not known(host.hugepages):
        return
    nodes = _strict_nodes(definition, host)
    free = _free_pages(host, size, nodes)
    need = -(-definition.memory // size)
    if free < need:
        pool, path = _pool(host.hugepages, size), _pool_path(size, nodes)
        had = _pool(nodes[0].hugepages, size).total if len(nodes) == 1 else pool.total
        yield make_finding(
            "VM_HUGEPAGES_SHORT",
            function.address,
            ((source_of(domain, "memoryBacking"), "hugepages"), (path, f"{had} set aside, {free} to be had")),
            vm=domain.name,
            need=need,
            size=format_size(size),
            free=free,
            wanted=had + need - free,
            path=path,
        )


def check_numa(function: PciFunction, domain: Domain, index: HostIndex) -> Iterator[Finding]:
    """Whether CPUs and memory of the VM lie where the NIC is."""
    definition, node = domain.definition, _node_of(function, index)
    if definition is None or node is None or not known(node.cpus):
        return
    near = parse_cpulist(node.cpus) or frozenset()
    last = max(0, definition.vcpus - 1) if known(definition.vcpus) else 0
    facts = {"vm": domain.name, "nic": label(function), "handle": handle_of(domain), "node": node.node}
    more = {"near": format_cpulist(near), "last": last}
    where = (f"/sys/bus/pci/devices/{function.address}/numa_node", str(node.node))
    cpus, nodes = _pinned_cpus(definition), _numbers(definition.memory_nodes)
    if cpus is not None and cpus - near:
        text = format_cpulist(cpus)
        evidence = (where, (source_of(domain, "cputune"), text))
        yield make_finding("VM_CPU_REMOTE", function.address, evidence, cpus=text, **facts, **more)
    if nodes is not None and nodes != {node.node}:
        text = format_cpulist(nodes)
        evidence = (where, (source_of(domain, "numatune"), text))
        yield make_finding("VM_MEMORY_REMOTE", function.address, evidence, nodes=text, **facts)
    if _is_unpinned(definition):
        evidence = (where, (source_of(domain), "no cputune, no numatune"))
        yield make_finding("VM_UNPINNED", function.address, evidence, **facts, **more)


def check_address_width(function: PciFunction, domain: Domain, index: HostIndex) -> Iterator[Finding]:
    bits, found = _guest_bits(domain.definition, index), _iommu_width(index)
    if bits is not None and found is not None and bits > found[1]:
        source, width = found
        evidence = ((source, width), (source_of(domain, "cpu"), bits))
        handle = handle_of(domain)
        yield make_finding(
            "VM_ADDRESS_WIDTH", function.address, evidence, vm=domain.name, bits=bits, width=width, handle=handle
        )


def _hugepage_size(definition: Definition, host: Memory) -> int | None:
    """The one size of huge pages that the VM uses, in bytes; None where there are several, or it is not known."""
    sizes = definition.hugepage_sizes
    if known(sizes):
        return sizes[0] if len(sizes) == 1 and sizes[0] > 0 else None
    if sizes is not None or not known(host.hugepage_size):
        return None
    return host.hugepage_size or None


def _strict_nodes(definition: Definition, host: Memory) -> tuple[NumaNode, ...]:
    """The NUMA nodes from which alone the VM's memory may come; empty for all of them."""
    wanted = _numbers(definition.memory_nodes)
    if wanted is None or definition.memory_mode not in (None, "strict") or not known(host.nodes):
        return ()
    return tuple(node for node in host.nodes if node.node in wanted)


def _free_pages(host: Memory, size: int, nodes: tuple[NumaNode, ...]) -> int:
    """How many pages a VM could get; those that the kernel may make in addition count, as it might succeed."""
    pool = _pool(host.hugepages if known(host.hugepages) else (), size)
    free = sum(_pool(node.hugepages, size).free for node in nodes) if nodes else pool.free
    return free + pool.overcommit


def _pool(pools: tuple[HugepagePool, ...], size: int) -> HugepagePool:
    return next((pool for pool in pools if pool.size == size), HugepagePool(size=size, total=0, free=0))


def _pool_path(size: int, nodes: tuple[NumaNode, ...]) -> str:
    folder = f"/sys/devices/system/node/node{nodes[0].node}" if len(nodes) == 1 else "/sys/kernel/mm"
    return f"{folder}/hugepages/hugepages-{size >> 10}kB/nr_hugepages"


def _node_of(function: PciFunction, index: HostIndex) -> NumaNode | None:
    """The NIC's NUMA node, on a host that has several; a negative number says that the firmware does not tell."""
    nodes = index.host.memory.nodes
    if not known(nodes) or len(nodes) < 2 or not known(function.numa_node) or function.numa_node < 0:
        return None
    return next((node for node in nodes if node.node == function.numa_node), None)


def _pinned_cpus(definition: Definition) -> frozenset[int] | None:
    """All CPUs of the host that some virtual CPU is pinned to; None where one may run anywhere."""
    pins, everywhere = definition.vcpu_pins, _numbers(definition.cpuset)
    if not known(pins):
        return None
    lists = [parse_cpulist(pin.cpus) or frozenset() for pin in pins]
    some_are_free = not known(definition.vcpus) or len({pin.vcpu for pin in pins}) < definition.vcpus
    if some_are_free and everywhere is not None:
        lists.append(everywhere)
    return frozenset().union(*lists) if lists else None


def _is_unpinned(definition: Definition) -> bool:
    free = (definition.vcpu_pins or None, definition.cpuset, definition.memory_nodes)
    return all(fact is None for fact in free) and definition.placement != "auto"


def memory_nodes(domain: Domain, index: HostIndex) -> frozenset[int]:
    """The NUMA nodes from which the VM's memory comes, on a host that has several; empty where that is not said."""
    nodes, definition = index.host.memory.nodes, domain.definition
    if definition is None or not known(nodes) or len(nodes) < 2:
        return frozenset()
    return _numbers(definition.memory_nodes) or frozenset()


def _numbers(text: Fact[str]) -> frozenset[int] | None:
    return parse_cpulist(text) if known(text) else None


def _guest_bits(definition: Definition | None, index: HostIndex) -> int | None:
    """How wide the virtual processor's physical addresses are, where the definition tells."""
    if definition is None:
        return None
    own, host = definition.address_bits, index.host.platform.physical_bits
    if definition.address_bits_mode == "emulate":
        return own if known(own) else None
    if definition.address_bits_mode == "passthrough" or definition.cpu_mode in _HOST_WIDTH:
        return host if known(host) else None
    return None


def _iommu_width(index: HostIndex) -> tuple[str, int] | None:
    """(where it is said, how many bits DMA can have): of the narrowest unit, else of the firmware's table."""
    units = {unit.unit: width for unit in index.host.platform.iommu_capabilities if (width := unit.address_width)}
    if units:
        narrowest = min(units, key=lambda unit: units[unit])
        return f"/sys/class/iommu/{narrowest}/intel-iommu/cap", units[narrowest]
    dmar: Fact[Dmar] = index.host.firmware.dmar
    return ("DMAR, host address width", dmar.host_address_width) if known(dmar) else None
