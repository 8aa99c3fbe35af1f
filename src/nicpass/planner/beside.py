# SPDX-License-Identifier: Apache-2.0
"""What other interfaces have in common with a NIC while all of it is in its place (`planner/elsewhere.py` has use)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import value_or
from nicpass.model.plan import Beside

if TYPE_CHECKING:
    from nicpass.model.network import Network, Route
    from nicpass.model.plan import NicState


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
