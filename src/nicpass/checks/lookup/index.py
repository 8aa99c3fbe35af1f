# SPDX-License-Identifier: Apache-2.0
"""A host turned over once, so that every question about one NIC is a look-up and a thousand NICs stay linear."""

from __future__ import annotations

import copy
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from nicpass.checks.lookup.chains import (
    add_redirects,
    add_tunnels,
    find_uppers,
    walk_uppers,
    why_unfounded,
    why_unplaced,
)
from nicpass.checks.lookup.functions import FunctionIndex
from nicpass.checks.lookup.machines import MachineUses
from nicpass.model.address import Address
from nicpass.model.fact import known, value_or

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.checks.lookup.routing import RoutingTables
    from nicpass.checks.lookup.scopes import ScopeIndex
    from nicpass.model.activity import (
        BoundSocket,
        ForeignNetdev,
        ForeignUpper,
        FunctionDevice,
        Holder,
        NetworkStorage,
        Session,
    )
    from nicpass.model.binding import Match
    from nicpass.model.boot import BootBinding
    from nicpass.model.class_devices import ClassDevice
    from nicpass.model.domain import Domain
    from nicpass.model.given import GivenNic
    from nicpass.model.groups import IommuGroup
    from nicpass.model.host import Host
    from nicpass.model.network import Intent, IpAddress, Link, LinkManager, Route, Rule
    from nicpass.model.pci import PciFunction


class Station(msgspec.Struct, frozen=True):
    """Who has a MAC in a VLAN; 0 is no VLAN."""

    mac: str
    vlan: int
    holder: str
    """Who it is, in words."""
    vf: Address | None = None
    """None for the PF itself."""
    vm: str = ""
    uuid: str = ""


class HostIndex(FunctionIndex):
    """Look-ups into one frozen host; each is built when it is first asked for."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._netdevs: dict[Address, list[Link]] = {}
        self._chains: dict[Address, list[list[Link]]] = {}
        self.redirected: set[tuple[str, str]] = set()
        """(Interface, the one above) that only a filter of tc joins; filled with `uppers`."""
        self.stations: dict[Address, dict[tuple[str, int], list[Station]]] = {}
        """PF to the stations of its switch, by MAC and VLAN; filled by the check that asks for them."""
        self.taker: Domain | None = None
        """The VM that shall have the NIC, where one is meant: what is that VM's is no other VM's."""
        self.together: tuple[Address, ...] = ()
        """What is to go to that VM in one change: each is looked at by itself, and stands in no other's way."""
        self.idle: dict[Address, bool] = {}
        """Member of a group to whether the host leaves it alone: asked once, for a group may have hundreds."""

    def for_vm(self, domain: Domain | None, together: tuple[Address, ...] = ()) -> Self:
        """The same host, looked at for this VM, which gets these at once; what has been looked up stays looked up."""
        if (domain, together) == (self.taker, self.together):
            return self
        other = copy.copy(self)
        other.taker, other.together = domain, together
        return other

    @cached_property
    def group_facts(self) -> dict[int, IommuGroup]:
        """Group to its domain type and reserved regions."""
        found = self.host.iommu_groups
        return {group.number: group for group in (found if known(found) else ())}

    @cached_property
    def scopes(self) -> ScopeIndex:
        """The functions that the firmware's IOMMU tables name."""
        from nicpass.checks.lookup.scopes import ScopeIndex  # late, as in `tables`: often nobody asks

        return ScopeIndex(self)

    @cached_property
    def class_devices(self) -> dict[Address, list[ClassDevice]]:
        """Function to the devices that hang on it: disks, keyboards, screens."""
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
        """Interface to those interfaces that stand on it: by the kernel's links, tunnels by where packets leave."""
        standing = find_uppers(self.links)
        if any(link.tunnel_remotes is not None for link in self.host.network.links):
            add_tunnels(standing, self.links, self.tables, self.places)
        if redirects := value_or(self.host.network.redirects, ()):
            self.redirected = add_redirects(standing, self.links, redirects)
        return standing

    @cached_property
    def unfounded(self) -> list[str]:
        """Of an interface whose kind is not understood and below which nothing is shown, any NIC may be below."""
        made = [link for link in self.host.network.links if link.kind is not None]  # a driver's own has no kind
        return [why for link in made if (why := why_unfounded(link, self.ports)) is not None]

    @cached_property
    def foreign_uppers(self) -> dict[str, list[ForeignUpper]]:
        """Interface to those in other network namespaces that stand on it."""
        grouped: dict[str, list[ForeignUpper]] = defaultdict(list)
        for upper in value_or(self.host.activity.foreign_uppers, ()):
            grouped[upper.lower].append(upper)
        return grouped

    @cached_property
    def unplaced_tunnels(self) -> list[str]:
        """Why nobody knows by which NIC a tunnel goes, a reason for each that names neither end nor lower interface."""
        return [why for link in self.host.network.links if (why := why_unplaced(link)) is not None]

    @cached_property
    def ports(self) -> dict[str, list[Link]]:
        """Bond, team or bridge to its ports."""
        grouped: dict[str, list[Link]] = defaultdict(list)
        for link in self.host.network.links:
            if link.master is not None:
                grouped[link.master].append(link)
        return grouped

    @cached_property
    def tables(self) -> RoutingTables:
        from nicpass.checks.lookup.routing import RoutingTables

        return RoutingTables(value_or(self.host.network.routes, ()))

    @cached_property
    def places(self) -> dict[str, list[IpAddress]]:
        """The text of an IP address to its entries, one for each interface that has it."""
        grouped: dict[str, list[IpAddress]] = defaultdict(list)
        for address in value_or(self.host.network.addresses, ()):
            grouped[address.address].append(address)
        return grouped

    def find_netdevs(self, local: str | None, remotes: Iterable[str]) -> set[str]:
        """The interfaces that packets from `local` to `remotes` may use: the local address's, and the best routes'."""
        found = {route.netdev for remote in remotes for route in self.tables.best(remote)}
        return found | {address.netdev for address in self.places.get(local or "", ())}

    def chains(self, function: PciFunction) -> list[list[Link]]:
        """All chains that stand on the function's interfaces (`walk_uppers`), walked once."""
        if function.address not in self._chains:
            found = [chain for link in self.netdevs(function) for chain in walk_uppers(link, self.uppers)]
            self._chains[function.address] = found
        return self._chains[function.address]

    @cached_property
    def occupied(self) -> frozenset[str | None]:
        """Interfaces on which anything stands, or that anybody uses otherwise: of a thousand VFs mostly none.

        What every interface that is up has by itself, a link-local address and its routes, is nothing.
        """
        network = self.host.network
        return frozenset(
            {
                *(lower for lower, standing in self.uppers.items() if standing),
                *(each.netdev for each in value_or(network.addresses, ()) if not each.comes_with_link),
                *(route.netdev for route in value_or(network.routes, ()) if not _is_own(route)),
                *(link.name for link in network.links if link.xdp_programs),
                *self.foreign_uppers,
                *self.rules,
                *self.sessions,
                *self.storage,
                *self.packet_sockets,
                *self.xdp_sockets,
            }
        )

    def is_occupied(self, function: PciFunction) -> bool:
        """Whether one of the function's interfaces is occupied: where none is, no chain of it has anything to tell."""
        return isinstance(names := function.netdevs, tuple) and not self.occupied.isdisjoint(names)

    @cached_property
    def rules(self) -> dict[str, list[Rule]]:
        """Interface to the rules that name it."""
        grouped: dict[str, list[Rule]] = defaultdict(list)
        for rule in value_or(self.host.network.rules, ()):
            for name in {rule.iif, rule.oif} - {None}:
                grouped[name or ""].append(rule)
        return grouped

    @cached_property
    def sessions(self) -> dict[str | None, list[Session]]:
        """Interface to the sessions that it may carry; under None the sessions whose interface is not known."""
        grouped: dict[str | None, list[Session]] = defaultdict(list)
        for session in value_or(self.host.activity.sessions, ()):
            peers = [session.peer_address] if session.peer_address else []
            found: set[str] = self.find_netdevs(session.local_address, peers)
            for netdev in found or (None,):
                grouped[netdev].append(session)
        return grouped

    @cached_property
    def storage(self) -> dict[str | None, list[NetworkStorage]]:
        """Interface to the network storage that it may carry; under None the storage whose interface is not known."""
        grouped: dict[str | None, list[NetworkStorage]] = defaultdict(list)
        for storage in value_or(self.host.activity.storage, ()):
            bound = {storage.netdev} if storage.netdev else set()
            for netdev in bound | self.find_netdevs(storage.local_address, storage.servers) or (None,):
                grouped[netdev].append(storage)
        return grouped

    @cached_property
    def devices(self) -> dict[Address, list[FunctionDevice]]:
        """Function to the devices that it offers beside its interface: RDMA devices, clocks."""
        grouped: dict[Address, list[FunctionDevice]] = defaultdict(list)
        for device in value_or(self.host.activity.devices, ()):
            grouped[device.address].append(device)
        return grouped

    @cached_property
    def holders(self) -> dict[str, list[Holder]]:
        """A device's file to the processes that have it open."""
        grouped: dict[str, list[Holder]] = defaultdict(list)
        for holder in value_or(self.host.activity.holders, ()):
            grouped[holder.node].append(holder)
        return grouped

    @cached_property
    def packet_sockets(self) -> dict[str, list[BoundSocket]]:
        return _by_netdev(value_or(self.host.activity.packet_sockets, ()))

    @cached_property
    def xdp_sockets(self) -> dict[str, list[BoundSocket]]:
        return _by_netdev(value_or(self.host.activity.xdp_sockets, ()))

    @cached_property
    def foreign_netdevs(self) -> dict[Address, list[ForeignNetdev]]:
        """Function to its interfaces in other network namespaces."""
        grouped: dict[Address, list[ForeignNetdev]] = defaultdict(list)
        for netdev in value_or(self.host.activity.foreign_netdevs, ()):
            grouped[netdev.address].append(netdev)
        return grouped

    @cached_property
    def addresses(self) -> dict[str, list[IpAddress]]:
        found = self.host.network.addresses
        return _by_netdev(found if known(found) else ())

    @cached_property
    def default_routes(self) -> tuple[Route, ...]:
        """The default routes of the main table, by which the host reaches the world (rt_tables(5))."""
        found = self.host.network.routes
        return tuple(r for r in (found if known(found) else ()) if r.destination == "default" and r.table == 254)

    @cached_property
    def routes(self) -> dict[str, list[Route]]:
        found = self.host.network.routes
        return _by_netdev(found if known(found) else ())

    @cached_property
    def managers(self) -> dict[str, list[LinkManager]]:
        return _by_netdev(self.host.network.managers)

    @cached_property
    def intents(self) -> dict[str, list[Intent]]:
        """Interface to what is meant to be done with it (law 9)."""
        intents = self.host.network.intents
        return _by_netdev(intents.found if intents is not None else ())

    @cached_property
    def owners(self) -> dict[Address, list[Domain]]:
        """NIC to the VMs in whose live or lasting definition it stands; usually one."""
        owning: dict[Address, list[Domain]] = defaultdict(list)
        domains = self.host.domains
        for domain in domains if known(domains) else ():
            for address in {device.address for device in (*domain.config_devices, *domain.live_devices)}:
                owning[address].append(domain)
        return owning

    @cached_property
    def given(self) -> dict[Address, GivenNic]:
        """Address to the NIC that nicpass has given to a VM, as its record tells."""
        return {nic.address: nic for nic in value_or(self.host.given, ())}

    @cached_property
    def machine_uses(self) -> MachineUses:
        """What VMs and libvirt's networks use without having it as a PCI device."""
        return MachineUses(self.host)

    @cached_property
    def binding_matches(self) -> list[tuple[BootBinding, Match]]:
        """Each boot binding with the devices that it means on this host."""
        if not (bindings := value_or(self.host.boot_bindings.bindings, ())):
            return []
        from nicpass.boot.binding.identity import match_identity  # late: few hosts have any

        return [(binding, match_identity(binding.identity, self.host.pci)) for binding in bindings]

    @cached_property
    def boot_bindings(self) -> dict[Address, BootBinding]:
        """NIC to the binding that means it: found now, or by the boot's script, which could read more than we can."""
        bound = {r.name: r.addresses for r in value_or(self.host.boot_bindings.reports, ()) if r.outcome == "bound"}
        return {
            address: binding
            for binding, match in self.binding_matches
            for address in (match.addresses if match.outcome == "found" else bound.get(binding.name, ()))
            if address in self.functions and match.outcome in ("found", "unread")
        }

    def netdevs(self, function: PciFunction) -> list[Link]:
        """The function's interfaces that the host's own namespace shows; many checks ask, so they are sought once."""
        found = self._netdevs.get(function.address)
        if found is None:
            names = value_or(function.netdevs, ())
            found = self._netdevs[function.address] = [self.links[name] for name in names if name in self.links]
        return found


def _is_own(route: Route) -> bool:
    """Whether the kernel has made the route for an address, or for the link itself."""
    return route.protocol == "kernel" and route.destination != "default"


NetdevItem = TypeVar("NetdevItem", "BoundSocket", "Intent", "IpAddress", "LinkManager", "Route")


def _by_netdev(items: Iterable[NetdevItem]) -> dict[str, list[NetdevItem]]:
    grouped: dict[str, list[NetdevItem]] = defaultdict(list)
    for item in items:
        grouped[item.netdev].append(item)
    return grouped
