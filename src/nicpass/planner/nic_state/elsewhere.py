# SPDX-License-Identifier: Apache-2.0
"""What of a NIC's state is elsewhere by now: giving it back takes nothing from other interfaces, and doubles nothing.

While a NIC was in a VM, the administrator may have moved its address, its route, its name or its place in a bridge to
another interface. Written on the NIC as well, an address would answer from two places, and a second route or port would
lead the host's packets astray. So such a field is left where it is by now, and told.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from nicpass.checks.dependence.usage import describe_whole_route
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.network import NO_MAC
from nicpass.planner.nic_state.observe import own_names, way_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.network import IpAddress, Link, Network, Route, VfSettings
    from nicpass.model.plan import NicState

    Item = TypeVar("Item", IpAddress, Route)

_GUESTS_PORTS = frozenset({"tun", "veth"})
"""Kinds of ports that come and go with guests and containers; such a port takes no NIC's place."""


class Reachable(NamedTuple):
    """The part of a NIC's state that can be put back, and sentences about what is elsewhere by now."""

    state: NicState
    moved: tuple[str, ...] = ()


def find_reachable(state: NicState, now: NicState, network: Network) -> Reachable:
    """The `state` without what other interfaces of `network` have by now; `now` is what the NIC itself has."""
    search = _Search(state, now, network)
    renamed, links = search.links()
    uppers = search.uppers(renamed)
    lost = frozenset(u.name for u in state.uppers or ()) - frozenset(u.name for u in uppers or ())
    # A manager is asked by the interface's name, which is another interface's by now.
    unasked = {m.netdev for m in state.managers if m.netdev in renamed or m.netdev in lost}
    reachable = msgspec.structs.replace(
        state,
        links=links,
        uppers=uppers,
        managers=tuple(manager for manager in state.managers if manager.netdev not in unasked),
        addresses=tuple(_renamed(a, renamed) for a in state.addresses if a.netdev not in lost | unasked),
        routes=tuple(_renamed(r, renamed) for r in state.routes if r.netdev not in lost | unasked),
        vf=search.vf(),
    )
    moved, addresses = search.addresses(reachable)
    reachable = msgspec.structs.replace(reachable, addresses=addresses)
    reachable = msgspec.structs.replace(reachable, routes=search.routes(reachable, moved))
    return Reachable(reachable, tuple(dict.fromkeys(search.told)))


class _Search:
    """One comparison of a NIC's state with the rest of its host."""

    def __init__(self, state: NicState, now: NicState, network: Network) -> None:
        self.state, self.now, self.network = state, now, network
        self.beside = state.beside
        self.own = own_names(now)
        self.others = [link for link in network.links if link.name not in self.own]
        self.managed = frozenset(manager.netdev for manager in state.managers)
        self.told: list[str] = []

    def links(self) -> tuple[dict[str, str], tuple[Link, ...]]:
        """({name of before: name of now} where the first is another's, the links as they can be)."""
        renamed: dict[str, str] = {}
        found: list[Link] = []
        for position, link in enumerate(self.state.links):
            is_so = self.now.links[position] if position < len(self.now.links) else None
            wanted = link if is_so is None else self._link(link, is_so)
            if wanted.name != link.name:
                renamed[link.name] = wanted.name
            found.append(wanted)
        return renamed, tuple(found)

    def _link(self, link: Link, now: Link) -> Link:
        name = link.name
        if name != now.name and (other := self._holder_of(name)) is not None:
            self._tell_name(name, other)
            name = now.name
        altnames = []
        for altname in link.altnames:
            if altname not in now.altnames and (other := self._holder_of(altname)) is not None:
                self._tell_name(altname, other)
            else:
                altnames.append(altname)
        return msgspec.structs.replace(
            link, name=name, altnames=tuple(altnames), mac=self._mac(link, now), master=self._master(link, now)
        )

    def _holder_of(self, name: str) -> str | None:
        """The other interface that answers to the name."""
        return next((link.name for link in self.others if name == link.name or name in link.altnames), None)

    def _mac(self, link: Link, now: Link) -> str | None:
        if link.mac in (None, now.mac, NO_MAC):
            return link.mac
        kin = self._kin(link)
        other = next((o.name for o in self.others if o.mac == link.mac and o.name not in kin), None)
        if other is None:
            return link.mac
        self._tell(_("the MAC {what} is {netdev}'s by now"), link.mac or "", other)
        return now.mac

    def _kin(self, link: Link) -> set[str]:
        """Interfaces that have the NIC's MAC for a reason: those above it, and the ports of its bridge or bond."""
        kin = self.own | {link.name, *([link.master] if link.master else [])}
        for other in self.others * 2:  # twice, for a VLAN may be listed before the bond that it stands on
            if other.lower in kin or any(port.master == other.name for port in self.others if port.name in kin):
                kin.add(other.name)
        return kin | {other.name for other in self.others if other.master is not None and other.master in kin}

    def _master(self, link: Link, now: Link) -> str | None:
        master = link.master
        if master is None or master == now.master:
            return master
        if now.master is not None:
            self._tell(_("{what} is a port of {netdev} by now"), now.name, now.master)
            return now.master
        if all(other.name != master for other in self.others):
            self.told.append(_("{master} is not there any more").format(master=master))
            return None
        ports = [o for o in self.others if o.master == master and o.kind not in _GUESTS_PORTS]
        before = self.beside.ports if self.beside is not None else ()
        instead = [port.name for port in ports if port.name not in before]
        if instead:
            self._tell(_("{netdev} is a port of {what} by now"), master, ", ".join(instead))
            return None
        return master

    def uppers(self, renamed: dict[str, str]) -> tuple[Link, ...] | None:
        """The NIC's uppers without those whose name another interface has by now, and without what stands on those."""
        if self.state.uppers is None:
            return None
        lost: set[str] = set()
        kept: list[Link] = []
        names = {other.name: other for other in self.others}
        for upper in self.state.uppers:
            other = names.get(upper.name)
            if other is not None:
                lower = other.lower or other.kind or other.name
                self._tell(_("{what} stands on {netdev} by now"), upper.name, lower)
            if other is not None or upper.lower in lost:
                lost.add(upper.name)
            else:
                kept.append(msgspec.structs.replace(upper, lower=renamed.get(upper.lower or "", upper.lower)))
        return tuple(kept)

    def addresses(self, state: NicState) -> tuple[tuple[IpAddress, ...], tuple[IpAddress, ...]]:
        """(the addresses that are on other interfaces by now, the others)."""
        elsewhere = [a for a in value_or(self.network.addresses, ()) if a.netdev not in self.own]
        before = {(a.address, a.netdev) for a in (self.beside.addresses if self.beside is not None else ())}
        here = {(a.address, a.prefix_length, a.netdev) for a in self.now.addresses}
        moved: list[IpAddress] = []
        for address in state.addresses:
            if (address.address, address.prefix_length, address.netdev) in here or address.netdev in self.managed:
                continue
            if ip_address(address.address).is_link_local and ":" in address.address:
                continue  # each link has its own (RFC 4291, 2.5.6)
            others = [a for a in elsewhere if a.address == address.address and (a.address, a.netdev) not in before]
            if others:
                self._tell(_("{what} is on {netdev} by now"), address.text, others[0].netdev)
                moved.append(address)
        # One that is on the NIC too, otherwise than it was, stays so.
        gone = {address.address for address in moved}
        stay = tuple(a for a in self.now.addresses if a.address in gone)
        return tuple(moved), (*(a for a in state.addresses if a not in moved), *stay)

    def routes(self, state: NicState, moved: tuple[IpAddress, ...]) -> tuple[Route, ...]:
        return tuple(route for route in state.routes if self._is_free(route, state, moved))

    def _is_free(self, route: Route, state: NicState, moved: tuple[IpAddress, ...]) -> bool:
        if route.netdev in self.managed or any(_key_of(r) == _key_of(route) for r in self._own_routes(route)):
            return True
        if _follows(route, state.addresses, moved):
            return False
        if route.protocol == "kernel":
            return True
        rival = next((other for other in self._other_routes() if self._takes(other, route)), None)
        if rival is None:
            return True
        self._tell(_("the route {what} goes by {netdev} by now"), describe_whole_route(route), rival.netdev)
        return False

    def _own_routes(self, route: Route) -> Iterable[Route]:
        return (r for r in self.now.routes if r.netdev == route.netdev)

    def _other_routes(self) -> Iterable[Route]:
        up = {link.name for link in self.others if link.up}
        return (route for route in value_or(self.network.routes, ()) if route.netdev in up)

    def _takes(self, other: Route, route: Route) -> bool:
        """Whether the other interface's route has taken the place of `route` since the NIC left."""
        if way_of(other) != way_of(route) or (other.table, other.tos or 0) != (route.table, route.tos or 0):
            return False
        if self.beside is not None and any(
            (r.netdev, _key_of(r)) == (other.netdev, _key_of(other)) for r in self.beside.routes
        ):
            return False
        if (other.metric or 0) == (route.metric or 0):
            return True
        # Where nobody knows which default routes there were, one that comes after the other takes nothing from it.
        return route.destination == "default" and (self.beside is not None or (route.metric or 0) < (other.metric or 0))

    def vf(self) -> VfSettings | None:
        """What the PF shall enforce on this VF, but for a MAC that another interface or VF has by now."""
        wanted, is_so = self.state.vf, self.now.vf
        if wanted is None or is_so is None or wanted.mac in (is_so.mac, NO_MAC):
            return wanted
        kin = self.own | {link.name for link in self.state.links}
        for other in self.others:
            vfs = [vf for vf in other.vfs if vf.mac == wanted.mac and vf.vf_index != wanted.vf_index]
            if vfs or (other.mac == wanted.mac and other.name not in kin):
                self._tell(_("the MAC {what} is {netdev}'s by now"), wanted.mac, other.name)
                return msgspec.structs.replace(wanted, mac=is_so.mac)
        return wanted

    def _tell_name(self, name: str, other: str) -> None:
        is_its_own = _("another interface is called {what} by now")
        self._tell(is_its_own if name == other else _("the name {what} is {netdev}'s by now"), name, other)

    def _tell(self, sentence: str, what: str, netdev: str) -> None:
        self.told.append(sentence.format(what=what, netdev=netdev))


def _renamed(item: Item, renamed: dict[str, str]) -> Item:
    name = renamed.get(item.netdev)
    return item if name is None else msgspec.structs.replace(item, netdev=name)


def _key_of(route: Route) -> tuple[object, ...]:
    return (*way_of(route), route.table, route.metric or 0, route.tos or 0)


def _follows(route: Route, addresses: tuple[IpAddress, ...], moved: tuple[IpAddress, ...]) -> bool:
    """Whether a route needs one of the addresses that were moved: as its source, or to reach its gateway."""
    gone = [ip_interface(a.text) for a in moved if a.netdev == route.netdev]
    left = [ip_interface(a.text) for a in addresses if a.netdev == route.netdev]
    if any(route.source == str(each.ip) for each in gone):
        return True
    if route.protocol == "kernel" and route.destination != "default":
        leads_to = ip_network(route.destination, strict=False)
        return any(leads_to in (e.network, ip_network(e.ip)) for e in gone) and all(e.network != leads_to for e in left)
    if route.gateway is None or route.onlink:
        return False
    gateway = ip_address(route.gateway)
    return any(gateway in each.network for each in gone) and all(gateway not in each.network for each in left)
