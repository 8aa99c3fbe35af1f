# SPDX-License-Identifier: Apache-2.0
"""A host turned over once, so that every question about one NIC is a look-up and a thousand NICs stay linear."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from nicpass.checks.scopes import ScopeIndex
from nicpass.model.fact import known
from nicpass.model.network import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.address import Address
    from nicpass.model.class_devices import ClassDevice
    from nicpass.model.domain import Domain
    from nicpass.model.fact import Fact
    from nicpass.model.groups import IommuGroup
    from nicpass.model.host import Host
    from nicpass.model.network import IpAddress, Route
    from nicpass.model.pci import PciFunction


# Drivers in the kernel's tree that bind VFs only: they tell a VF where a capture lacks `physfn`.
VF_DRIVERS = frozenset(
    {"bnxtvf", "cxgb4vf", "enic_vf", "fm10kvf", "hinic_vf", "iavf", "i40evf", "igbvf", "ixgbevf", "nfp_netvf"}
)


class HostIndex:
    """Look-ups into one frozen host; each is built when it is first asked for."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @cached_property
    def functions(self) -> dict[Address, PciFunction]:
        return {function.address: function for function in self.host.pci}

    @cached_property
    def groups(self) -> dict[int, list[PciFunction]]:
        grouped: dict[int, list[PciFunction]] = defaultdict(list)
        for function in self.host.pci:
            if known(function.iommu_group):
                grouped[function.iommu_group].append(function)
        return grouped

    @cached_property
    def group_facts(self) -> dict[int, IommuGroup]:
        """Group to its domain type and reserved regions."""
        found = self.host.iommu_groups
        return {group.number: group for group in (found if known(found) else ())}

    @cached_property
    def scopes(self) -> ScopeIndex:
        """What the firmware's IOMMU tables name."""
        return ScopeIndex(self)

    @cached_property
    def buses(self) -> dict[str, list[PciFunction]]:
        """`0000:01` to the functions on that bus."""
        return _by_prefix(self.host.pci, -5)

    @cached_property
    def slots(self) -> dict[str, list[PciFunction]]:
        """`0000:01:00` to the functions of that device."""
        return _by_prefix(self.host.pci, -2)

    @cached_property
    def shows_reset_methods(self) -> bool:
        """Whether the kernel, or the capture, has `reset_method`: then a function without it has no reset."""
        return any(known(function.reset_methods) for function in self.host.pci)

    def bridges_above(self, function: PciFunction) -> list[PciFunction]:
        """From the nearest to the root port; those that a capture lacks are left out."""
        chain: dict[Address, PciFunction] = {}
        above = function.bridge
        while above is not None and above not in chain and above in self.functions:
            chain[above] = self.functions[above]
            above = chain[above].bridge
        return list(chain.values())

    @cached_property
    def vf_indices(self) -> dict[Address, tuple[Address, int]]:
        """VF to (its PF, its index), from the PF's own numbered links."""
        return {vf: (pf.address, index) for pf in self.host.pci for index, vf in enumerate(pf.virtfns)}

    @cached_property
    def stray_vfs(self) -> dict[tuple[Address | None, Fact[int]], list[Address]]:
        """(Bridge above, vendor) to the VFs there whose PF no link tells; only captures have such."""
        stray: dict[tuple[Address | None, Fact[int]], list[Address]] = defaultdict(list)
        for function in self.host.pci:
            if function.driver in VF_DRIVERS and not known(function.physfn) and function.address not in self.vf_indices:
                stray[function.bridge, function.vendor_id].append(function.address)
        return stray

    @cached_property
    def bridges_in_use(self) -> frozenset[Address]:
        """Bridges with something behind them."""
        return frozenset(function.bridge for function in self.host.pci if function.bridge is not None)

    @cached_property
    def class_devices(self) -> dict[Address, list[ClassDevice]]:
        """Function to what hangs on it: disks, keyboards, screens."""
        hanging: dict[Address, list[ClassDevice]] = defaultdict(list)
        devices = self.host.class_devices
        for device in devices if known(devices) else ():
            for address in device.addresses:
                hanging[address].append(device)
        return hanging

    @cached_property
    def links(self) -> dict[str, Link]:
        return {link.name: link for link in self.host.network.links}

    @cached_property
    def uppers(self) -> dict[str, list[Link]]:
        """Interface to those that stand on it: its master, and the VLANs and macvlans that name it as lower."""
        standing: dict[str, list[Link]] = defaultdict(list)
        for link in self.host.network.links:
            if link.lower is not None:
                standing[link.lower].append(link)
            if link.master is not None:
                # One that is not shown may just have gone, or the capture lacks it: its port is in use all the same.
                standing[link.name].append(self.links.get(link.master) or Link(name=link.master))
        return standing

    @cached_property
    def addresses(self) -> dict[str, list[IpAddress]]:
        found = self.host.network.addresses
        return _by_netdev(found if known(found) else ())

    @cached_property
    def routes(self) -> dict[str, list[Route]]:
        found = self.host.network.routes
        return _by_netdev(found if known(found) else ())

    @cached_property
    def owners(self) -> dict[Address, list[Domain]]:
        """NIC to the VMs in whose live or lasting definition it stands; usually one."""
        owning: dict[Address, list[Domain]] = defaultdict(list)
        domains = self.host.domains
        for domain in domains if known(domains) else ():
            for address in {device.address for device in (*domain.config_devices, *domain.live_devices)}:
                owning[address].append(domain)
        return owning

    def netdevs(self, function: PciFunction) -> list[Link]:
        """The function's interfaces that the host's own namespace shows."""
        names = function.netdevs
        return [self.links[name] for name in (names if known(names) else ()) if name in self.links]


NetdevItem = TypeVar("NetdevItem", "IpAddress", "Route")


def _by_netdev(items: Iterable[NetdevItem]) -> dict[str, list[NetdevItem]]:
    grouped: dict[str, list[NetdevItem]] = defaultdict(list)
    for item in items:
        grouped[item.netdev].append(item)
    return grouped


def _by_prefix(functions: Iterable[PciFunction], end: int) -> dict[str, list[PciFunction]]:
    grouped: dict[str, list[PciFunction]] = defaultdict(list)
    for function in functions:
        grouped[function.address[:end]].append(function)
    return grouped
