# SPDX-License-Identifier: Apache-2.0
"""What a NIC is to the host, and how two such states differ (law 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.nics import pf_of
from nicpass.checks.usage import describe_route
from nicpass.model.fact import known, value_or
from nicpass.model.plan import Difference, NicState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.checks.index import HostIndex
    from nicpass.model.network import IpAddress, Link, Route, VfSettings
    from nicpass.model.pci import PciFunction


def observe_state(function: PciFunction, index: HostIndex) -> NicState:
    """What the NIC is to the host now."""
    links = tuple(index.netdevs(function))
    names = [link.name for link in links]
    return NicState(
        address=function.address,
        driver=value_or(function.driver, None),
        links=links,
        addresses=tuple(address for name in names for address in index.addresses.get(name, ())),
        routes=tuple(route for name in names for route in index.routes.get(name, ())),
        vf=_observe_vf(function, index),
        managers=tuple(m for name in names for m in index.managers.get(name, ()) if known(m.profile)),
    )


def _observe_vf(function: PciFunction, index: HostIndex) -> VfSettings | None:
    place = pf_of(function, index)
    if place is None or place[0] not in index.functions:
        return None
    pf_links = index.netdevs(index.functions[place[0]])
    return next((vf for link in pf_links for vf in link.vfs if vf.vf_index == place[1]), None)


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
    if before.vf is not None or after.vf is not None:
        yield Difference("VF", _vf_text(before.vf), _vf_text(after.vf))
    if before.managers:
        yield Difference("manager", _manager_text(before), _manager_text(after))
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


def _vf_text(vf: VfSettings | None) -> str:
    if vf is None:
        return "unknown"
    switches = [f"{name} {'on' if on else 'off'}" for name, on in (("spoofchk", vf.spoofchk), ("trust", vf.trust))]
    return ", ".join([f"MAC {vf.mac}", f"VLAN {vf.vlan or 'none'}", *switches])


def _manager_text(state: NicState) -> str:
    """By name only: a profile may be made anew, and under the same name it may say something else."""
    return ", ".join(f"{manager.netdev} by {manager.manager}" for manager in state.managers) or "none"


def _address_text(addresses: tuple[IpAddress, ...]) -> str:
    """A tentative address is not there yet."""
    texts = (f"{address.text}{' (tentative)' if address.tentative else ''}" for address in addresses)
    return ", ".join(sorted(texts)) or "none"


def _route_text(routes: tuple[Route, ...]) -> str:
    return ", ".join(sorted(describe_route(route) for route in routes)) or "none"
