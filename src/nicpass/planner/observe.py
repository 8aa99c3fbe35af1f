# SPDX-License-Identifier: Apache-2.0
"""What a NIC is to the host, and how two such states differ (law 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.nics import pf_of
from nicpass.checks.usage import describe_route
from nicpass.model.fact import value_or
from nicpass.model.plan import Difference, NicState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.checks.index import HostIndex
    from nicpass.model.host import IpAddress, Link, PciFunction, Route


def observe_state(function: PciFunction, index: HostIndex) -> NicState:
    """What the NIC is to the host now."""
    links = tuple(index.netdevs(function))
    names = [link.name for link in links]
    pf = pf_of(function, index)
    return NicState(
        address=function.address,
        driver=value_or(function.driver, None),
        links=links,
        addresses=tuple(address for name in names for address in index.addresses.get(name, ())),
        routes=tuple(route for name in names for route in index.routes.get(name, ())),
        vf=(pf[0], pf[1]) if pf is not None and pf[1] is not None else None,
    )


def compare_states(before: NicState, after: NicState) -> tuple[Difference, ...]:
    """Every field of the state, before and after; `equal` tells the two apart.

    Left out is what changes by itself: counters, lifetimes, the interface's index.
    """
    return tuple(_compare(before, after))


def differences(before: NicState, after: NicState) -> tuple[Difference, ...]:
    """Only the fields that differ; empty when the NIC is what it was."""
    return tuple(field for field in _compare(before, after) if not field.equal)


def _compare(before: NicState, after: NicState) -> Iterator[Difference]:
    yield Difference("driver", before.driver or "none", after.driver or "none")
    pairs = list(zip(before.links, after.links, strict=False))
    for old, new in pairs:
        yield from (Difference(name, read(old), read(new)) for name, read in _LINK_FIELDS)
    for lost in before.links[len(pairs) :]:
        yield Difference("name", lost.name, "none")
    yield Difference("addresses", _address_text(before.addresses), _address_text(after.addresses))
    yield Difference("routes", _route_text(before.routes), _route_text(after.routes))


def describe_link_state(link: Link) -> str:
    """`down`; `up, carrier`; `up, no carrier`."""
    if not link.up:
        return "down"
    return "up, carrier" if link.carrier else "up, no carrier"


_LINK_FIELDS: tuple[tuple[str, Callable[[Link], str]], ...] = (
    ("name", lambda link: link.name),
    ("MAC", lambda link: link.mac or "none"),
    ("MTU", lambda link: str(link.mtu)),
    ("link", describe_link_state),
    ("master", lambda link: link.master or "none"),
)


def _address_text(addresses: tuple[IpAddress, ...]) -> str:
    return ", ".join(sorted(address.text for address in addresses)) or "none"


def _route_text(routes: tuple[Route, ...]) -> str:
    return ", ".join(sorted(describe_route(route) for route in routes)) or "none"
