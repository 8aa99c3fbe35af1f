# SPDX-License-Identifier: Apache-2.0
"""The fields of a NIC's state in the words of the report, in which they are compared too.

Fields that the record did not know are left out of both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.dependence.usage import describe_whole_route
from nicpass.model.network import NO_MAC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.network import IpAddress, Link, Route, VfSettings


def describe_link_state(link: Link) -> str:
    """The state of an interface's link: `down`; `up, carrier`; `up, no carrier`."""
    if not link.up:
        return "down"
    return "up, carrier" if link.carrier else "up, no carrier"


def describe_upper(upper: Link) -> str:
    """An upper interface in words: `eth1.20 (vlan 20 802.1Q on eth1, MAC 52:54:00:00:00:01, MTU 1500, up)`."""
    kind = " ".join([upper.kind or "interface", *([f"{upper.vlan_id} {upper.vlan_protocol}"] if upper.vlan_id else [])])
    state = "up" if upper.up else "down"
    return f"{upper.name} ({kind} on {upper.lower}, MAC {upper.mac}, MTU {upper.mtu}, {state})"


def describe_vf(vf: VfSettings | None, recorded: VfSettings) -> str:
    """The VF's settings in words, with those fields that `recorded` knows."""
    if vf is None:
        return "unknown"
    return ", ".join(_vf_words(vf, recorded))


def _vf_words(vf: VfSettings, recorded: VfSettings) -> Iterator[str]:
    # Where the PF had given the VF no MAC, it shows the MAC that the VF's own driver chooses, each time another.
    yield f"MAC {vf.mac if recorded.mac != NO_MAC else 'any'}"
    yield f"VLAN {vf.vlan or 'none'}"
    if recorded.vlan and recorded.qos is not None:
        yield f"qos {vf.qos}"
    if recorded.vlan and recorded.vlan_protocol is not None:
        yield str(vf.vlan_protocol)
    for name in ("spoofchk", "trust", "query_rss"):
        if getattr(recorded, name) is not None:
            yield f"{name} {'on' if getattr(vf, name) else 'off'}"
    if recorded.link_state is not None:
        yield f"link {vf.link_state}"
    if recorded.min_tx_rate is not None:
        yield f"rate {vf.min_tx_rate or 0} to {vf.max_tx_rate or 'any'}"
    for name in ("node_guid", "port_guid"):
        if getattr(recorded, name) is not None:
            yield f"{name} {getattr(vf, name)}"


def describe_addresses(
    addresses: tuple[IpAddress, ...], recorded: tuple[IpAddress, ...], own_names: frozenset[str]
) -> str:
    """The addresses in words, sorted; without the temporary ones, which are never the same."""
    flags = all(address.flags is not None for address in recorded)
    kept = (address for address in addresses if not address.temporary)
    return ", ".join(sorted(describe_address(address, own_names, flags=flags) for address in kept)) or "none"


def describe_address(address: IpAddress, own_names: frozenset[str] = frozenset(), *, flags: bool = True) -> str:
    """The address, `10.0.0.5/24 noprefixroute`, with an upper's name before it. A tentative one is not there yet."""
    words = [] if not own_names or address.netdev in own_names else [address.netdev]
    words.append(address.text)
    words += ["peer", address.peer] if address.peer else []
    words += ["brd", address.broadcast] if address.broadcast else []
    words += ["label", address.label] if address.label not in (None, address.netdev) else []
    words += ["scope", address.scope] if address.scope != "global" else []
    if flags:
        words += ["metric", str(address.metric)] if address.metric else []
        # The kernel deprecates an address that has a lifetime by itself.
        words += [flag for flag in address.flags or () if not (address.dynamic and flag == "deprecated")]
    return " ".join([*words, *(["(tentative)"] if address.tentative else [])])


def describe_routes(routes: tuple[Route, ...], recorded: tuple[Route, ...]) -> str:
    """The routes in words, sorted."""
    known = all(route.onlink is not None for route in recorded)
    return ", ".join(sorted(describe_whole_route(route if known else plain_route(route)) for route in routes)) or "none"


def plain_route(route: Route) -> Route:
    """The route with only the fields that records had of a route before they had all of them."""
    return msgspec.structs.replace(
        route,
        onlink=None,
        weight=None,
        tos=None,
        from_prefix=None,
        preference=None,
        realm=None,
        metrics=(),
        nexthop_id=None,
        encapsulation=None,
    )
