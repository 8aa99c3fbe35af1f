# SPDX-License-Identifier: Apache-2.0
"""The state of a NIC, which is what it is to the host (law 4); `compare.py` beside it has how two of them differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.nics import permanent_mac_of, pf_of
from nicpass.model.fact import known, value_or
from nicpass.model.plan import Beside, NicState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.boot import DeviceIdentity
    from nicpass.model.network import Link, Network, Route, VfSettings
    from nicpass.model.pci import PciFunction


def observe_state(function: PciFunction, index: HostIndex) -> NicState:
    """The state of the NIC: what it is to the host now."""
    links = tuple(index.netdevs(function))
    uppers = tuple(_uppers_of(links, index))
    names = [link.name for link in links] + [upper.name for upper in uppers if upper.kind == "vlan"]
    state = NicState(
        address=function.address,
        driver=value_or(function.driver, None),
        links=links,
        addresses=tuple(address for name in names for address in index.addresses.get(name, ())),
        routes=tuple(route for name in names for route in index.routes.get(name, ())),
        vf=_observe_vf(function, index),
        pf=place[0] if (place := pf_of(function, index)) is not None else None,
        numvfs=value_or(function.numvfs, None),
        uppers=uppers,
        managers=tuple(m for name in names for m in index.managers.get(name, ()) if known(m.profile)),
        identity=_identify(function, index),
    )
    return msgspec.structs.replace(state, beside=observe_beside(state, index.host.network))


def _identify(function: PciFunction, index: HostIndex) -> DeviceIdentity | None:
    """The card's identity; None for a VF, which is what its PF makes of it, and where not all of it was read."""
    if pf_of(function, index) is not None:
        return None
    from nicpass.boot.binding.identity import identity_of  # late: most that are given are VFs

    found = identity_of(function, index.functions, permanent_mac_of(function, index))
    return found if known(found) else None


def _uppers_of(links: tuple[Link, ...], index: HostIndex) -> Iterator[Link]:
    """Interfaces above `links`, by the kernel's word for the lower one; a bond or bridge stays when its port goes."""
    names = [link.name for link in links]
    for name in names:  # grows while it is walked
        for upper in index.uppers.get(name, ()):
            if upper.lower == name and upper.name not in names:
                names.append(upper.name)
                yield upper


def _observe_vf(function: PciFunction, index: HostIndex) -> VfSettings | None:
    place = pf_of(function, index)
    if place is None or place[0] not in index.functions:
        return None
    pf_links = index.netdevs(index.functions[place[0]])
    return next((vf for link in pf_links for vf in link.vfs if vf.vf_index == place[1]), None)


def observe_beside(state: NicState, network: Network) -> Beside:
    """What other interfaces have in common with the NIC now, while all of it is in its place."""
    own = own_names(state)
    mine = {address.address for address in state.addresses}
    ways = {way_of(route) for route in state.routes} | {(6, "default"), (4, "default")}
    masters = {link.master for link in state.links} - {None}
    routes = (r for r in value_or(network.routes, ()) if r.netdev not in own and r.protocol != "kernel")
    return Beside(
        addresses=tuple(a for a in value_or(network.addresses, ()) if a.netdev not in own and a.address in mine),
        routes=tuple(r for r in routes if way_of(r) in ways),
        ports=tuple(link.name for link in network.links if link.master in masters and link.name not in own),
    )


def own_names(state: NicState) -> set[str]:
    """The interfaces of the NIC, and those that stand on it."""
    return {link.name for link in (*state.links, *(state.uppers or ()))}


def way_of(route: Route) -> tuple[int, str]:
    """Where the route leads: (4 or 6, its destination)."""
    return (6 if route.family == "inet6" else 4, route.destination)
