# SPDX-License-Identifier: Apache-2.0
"""Hosts with NUMA nodes and VMs on them, as values: quick to make, for those who place VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.address import Address
from nicpass.model.cpus import CpuClaim, Cpus, Interrupt, NicInterrupts
from nicpass.model.domain import CpuPin, Definition, Domain, DomainDevice
from nicpass.model.host import Host
from nicpass.model.memory import HugepagePool, Memory, NumaNode, format_cpulist
from nicpass.model.pci import PciFunction
from nicpass.model.plan import PlaceDomain, Plan
from tests.support.trees import ETHERNET, UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

NIC = Address("0000:03:00.0")
OTHER_NIC = Address("0000:83:00.0")
GIB, MIB = 1 << 30, 1 << 20


def cpus(*, per_node: int, nodes: int = 2, threads: int = 1, **more: object) -> Cpus:
    """Nodes of `per_node` CPUs each, of which `threads` in a row are a core."""
    count = per_node * nodes
    cores = [frozenset(range(first, min(first + threads, count))) for first in range(0, count, threads)]
    plain = Cpus(
        online=format_cpulist(frozenset(range(count))),
        cores=tuple(map(format_cpulist, cores)),
        claims=(),
        hugepage_mounts=(2 * MIB, GIB),
    )
    return msgspec.structs.replace(plain, **more)


def memory(*, per_node: int, nodes: int = 2, free: int = 64 * GIB, pages: Mapping[int, int] | None = None) -> Memory:
    pools = tuple(HugepagePool(size=size, total=count, free=count) for size, count in (pages or {}).items())
    return Memory(
        hugepage_size=2 * MIB,
        hugepages=pools,
        nodes=tuple(
            NumaNode(
                node=node,
                cpus=format_cpulist(frozenset(range(node * per_node, (node + 1) * per_node))),
                total=2 * free,
                free=free,
                hugepages=pools,
            )
            for node in range(nodes)
        ),
    )


def nic(address: Address = NIC, node: int | None = 1) -> PciFunction:
    return PciFunction(address=address, class_code=ETHERNET, numa_node=node, netdevs=("lan0",), driver="ixgbe")


def domain(name: str = "web", number: int = 1, *, nics: tuple[Address, ...] = (NIC,), **more: object) -> Domain:
    """A VM with 4 GiB that is off; fields of its definition in `more`."""
    fields = {"vcpus": 2, "memory": 4 * GIB, "placement": "static", **more}
    devices = tuple(DomainDevice(address=each, element="hostdev", managed=True) for each in nics)
    return Domain(name=name, uuid=UUID.format(number), config_devices=devices, config=Definition(**fields))  # type: ignore[arg-type]


def running(off: Domain) -> Domain:
    return msgspec.structs.replace(off, running=True, live=off.config, live_devices=off.config_devices)


def pinned(*lists: str) -> tuple[CpuPin, ...]:
    return tuple(CpuPin(number, each) for number, each in enumerate(lists))


def other(*lists: str, number: int = 2, **more: object) -> Domain:
    """Another VM, `db`, pinned to these."""
    return domain("db", number, nics=(), vcpus=len(lists) or 1, vcpu_pins=pinned(*lists), **more)


def claim(text: str, source: str = "/etc/systemd/system/dpdk.service") -> CpuClaim:
    return CpuClaim(source=source, text=f"CPUAffinity={text}", cpus=text)


def interrupts(*lists: str, address: Address = NIC) -> tuple[NicInterrupts, ...]:
    each = tuple(Interrupt(number=60 + number, cpus=text) for number, text in enumerate(lists))
    return (NicInterrupts(address=address, interrupts=each),)


def host(
    *domains: Domain,
    nics: tuple[PciFunction, ...] = (),
    per_node: int = 4,
    nodes: int = 2,
    threads: int = 1,
    free: int = 64 * GIB,
    pages: Mapping[int, int] | None = None,
    **of_cpus: object,
) -> Host:
    return Host(
        pci=nics or (nic(),),
        memory=memory(per_node=per_node, nodes=nodes, free=free, pages=pages),
        cpus=cpus(per_node=per_node, nodes=nodes, threads=threads, **of_cpus),
        domains=domains or (domain(),),
    )


def place_of(plan: Plan) -> PlaceDomain:
    (step,) = (step for step in plan.steps if isinstance(step, PlaceDomain))
    return step


def after(before: Host, plan: Plan) -> Host:
    """The host when the plan was carried out, as it is read then."""
    step = place_of(plan)
    placed = step.after
    changes = {
        "vcpu_pins": placed.pins,
        "emulator_pin": placed.emulator,
        "placement": "static",
        "memory_mode": placed.mode,
        "memory_nodes": placed.nodes,
        "hugepages": placed.hugepages,
        "hugepage_sizes": (placed.page_size,) if placed.page_size else None,
    }
    assert isinstance(before.domains, tuple)
    domains = tuple(
        msgspec.structs.replace(each, config=msgspec.structs.replace(each.config, **changes))  # type: ignore[type-var]
        if each.uuid == step.uuid
        else each
        for each in before.domains
    )
    return msgspec.structs.replace(before, domains=domains)
