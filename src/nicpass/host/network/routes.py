# SPDX-License-Identifier: Apache-2.0
"""Routes, nexthop objects and rules out of rtnetlink's messages.

Numbers: linux/rtnetlink.h, linux/nexthop.h, linux/fib_rules.h.
"""

from __future__ import annotations

import _socket as socket
import struct
from typing import TYPE_CHECKING, Literal, TypedDict

import msgspec

from nicpass.host.network.rtnetlink import (
    Attributes,
    fixed_part,
    ip_of,
    number_of,
    read_attributes,
    split_attributes,
    text_of,
)
from nicpass.model.fact import Fact, Unknown
from nicpass.model.network import Route, Rule, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}  # enum rt_scope_t
# /etc/iproute2/rt_protos; numbers that it does not name stay numbers
PROTOCOLS = {1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 16: "dhcp"}
_FAMILIES: dict[int, Literal["inet", "inet6"]] = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}
_RT_TABLE_LOCAL = 255
_RTN_UNICAST = 1  # local, broadcast and multicast routes come with the address
_RTM_F_CLONED = 0x200  # a route that the kernel has learned on the way (a path's MTU); nobody's own

# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=8BI")
RTNH_F_ONLINK = 0x4  # linux/rtnetlink.h
_HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, ifindex
_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _MULTIPATH, _TABLE, _VIA, _NH_ID = 1, 4, 5, 6, 7, 9, 15, 18, 30  # RTA_*
_SRC, _METRICS, _FLOW, _PREF, _ENCAP_TYPE = 2, 8, 11, 20, 21
_RARE = frozenset({_SRC, _METRICS, _FLOW, _ENCAP_TYPE, _NH_ID})
PREFERENCES = {0: "medium", 1: "high", 3: "low"}  # linux/icmpv6.h: ICMPV6_ROUTER_PREF_*
# RTAX_*: the values that a route has of its own beside its metric; in iproute2's words
METRICS = {
    1: "lock",
    2: "mtu",
    3: "window",
    4: "rtt",
    5: "rttvar",
    6: "ssthresh",
    7: "cwnd",
    8: "advmss",
    9: "reordering",
    10: "hoplimit",
    11: "initcwnd",
    12: "features",
    13: "rto_min",
    14: "initrwnd",
    15: "quickack",
    16: "congctl",
    17: "fastopen_no_cookie",
}
_CONGCTL = 16

_NHA_ID, _NHA_GROUP, _NHA_OIF, _NHA_GATEWAY = 1, 2, 5, 6
_NHMSG = struct.Struct("=4BI")  # struct nhmsg: family, scope, protocol, reserved, flags
_GROUP_ENTRY = struct.Struct("=IBBH")  # struct nexthop_grp: id, weight, two reserved
_MAX_GROUP_DEPTH = 4  # the kernel refuses groups of groups

# struct fib_rule_hdr: family, dst_len, src_len, tos, table, two reserved, action, flags
_RULE = struct.Struct("=8BI")
_FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_OIFNAME = 1, 2, 3, 6, 10, 15, 17
_FRA_L3MDEV = 19
_FR_ACT_TO_TBL = 1


class Outlet(msgspec.Struct, frozen=True):
    """One nexthop of a route: the interface's number, the gateway, flags (RTNH_F_*) and its weight among several."""

    number: int
    gateway: str | None
    flags: int = 0
    weight: int | None = None


class RouteMessage(msgspec.Struct, frozen=True):
    """A unicast route, its attributes taken apart."""

    head: tuple[int, ...]
    attributes: Attributes


def split_routes(bodies: Iterable[bytes]) -> Iterator[RouteMessage]:
    """The unicast routes outside the local table; the rest is not looked into.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    for body in bodies:
        if len(body) >= _ROUTE.size and (body[7] != _RTN_UNICAST or body[4] == _RT_TABLE_LOCAL):
            continue  # two of three messages: not even their head is taken apart
        head = fixed_part(_ROUTE, body)
        if head[0] in _FAMILIES and not head[8] & _RTM_F_CLONED:
            yield RouteMessage(head, read_attributes(body, _ROUTE.size))


def read_routes(
    bodies: Iterable[bytes], names: dict[int, str], nexthops: Callable[[], list[bytes]]
) -> Fact[tuple[Route, ...]]:
    """Unicast routes. `nexthops` asks for the nexthop objects; it is called only when a route names nothing but one.

    Unknown when such a route leads to an object that cannot be learned (sysctl net.ipv4.nexthop_compat_mode=0).

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    messages = list(split_routes(bodies))
    objects: dict[int, list[Outlet]] = {}
    if any(_names_object_only(message.attributes) for message in messages):
        try:
            objects = read_nexthops(nexthops())
        except OSError as error:
            return Unknown(f"a route names its nexthop object only, and those cannot be read: {error.strerror}")
    found: list[Route] = []
    for message in messages:
        outlets = _outlets_of(message, objects)
        if outlets is None:
            return Unknown("a route names a nexthop object that is not there: sysctl net.ipv4.nexthop_compat_mode=1")
        found += _build_routes(message, outlets, names)
    return tuple(found)


def read_nexthops(bodies: Iterable[bytes]) -> dict[int, list[Outlet]]:
    """Number of a nexthop object to its outlets; a group's are those of its members.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    single: dict[int, list[Outlet]] = {}
    groups: dict[int, list[int]] = {}
    for body in bodies:
        found = read_attributes(body, _NHMSG.size)
        number = number_of(found.get(_NHA_ID)) or 0
        if _NHA_GROUP in found:
            groups[number] = [entry[0] for entry in _entries(found[_NHA_GROUP])]
        elif _NHA_OIF in found:
            flags = fixed_part(_NHMSG, body)[4]
            single[number] = [Outlet(number_of(found[_NHA_OIF]) or 0, ip_of(found.get(_NHA_GATEWAY)), flags)]
        else:
            single[number] = []  # a blackhole
    for _ in range(_MAX_GROUP_DEPTH):
        ready = {number for number, members in groups.items() if all(member in single for member in members)}
        for number in ready:
            single[number] = [outlet for member in groups.pop(number) for outlet in single[member]]
    return single


def read_rules(bodies: Iterable[bytes]) -> Iterator[Rule]:
    """The rules of IPv4 and IPv6.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    for body in bodies:
        family, dst_len, src_len, _, table, _, _, action, _ = fixed_part(_RULE, body)
        if family not in _FAMILIES:
            continue
        found = read_attributes(body, _RULE.size)
        number = number_of(found.get(_FRA_TABLE)) or table
        yield Rule(
            priority=number_of(found.get(_FRA_PRIORITY)) or 0,
            family=_FAMILIES[family],
            iif=text_of(found.get(_FRA_IIFNAME)),
            oif=text_of(found.get(_FRA_OIFNAME)),
            source=_prefix(found.get(_FRA_SRC), src_len),
            destination=_prefix(found.get(_FRA_DST), dst_len),
            fwmark=number_of(found.get(_FRA_FWMARK)),
            table=number if action == _FR_ACT_TO_TBL and not number_of(found.get(_FRA_L3MDEV)) else None,
        )


def _names_object_only(found: Attributes) -> bool:
    return _NH_ID in found and _OIF not in found and _MULTIPATH not in found


def _outlets_of(message: RouteMessage, objects: dict[int, list[Outlet]]) -> list[Outlet] | None:
    """The outlets of a route; None when it names a nexthop object that is not known."""
    found = message.attributes
    if _MULTIPATH in found:
        return list(_hops_of(found[_MULTIPATH]))
    if _names_object_only(found):
        return objects.get(number_of(found[_NH_ID]) or 0)
    return [Outlet(number_of(found.get(_OIF)) or 0, _gateway_of(found), message.head[8])]


def _hops_of(content: bytes) -> Iterator[Outlet]:
    offset = 0
    while offset < len(content):
        length, flags, hops, index = fixed_part(_HOP, content[offset:])
        gateway = _gateway_of(read_attributes(content[: offset + length], offset + _HOP.size))
        yield Outlet(index, gateway, flags, hops + 1)  # rtnexthop counts the weight from 0
        offset += max(_HOP.size, (length + 3) & ~3)  # RTNH_ALIGN


def _gateway_of(found: Attributes) -> str | None:
    """The gateway: RTA_VIA, of another family than the route's (struct rtvia: family, address), or RTA_GATEWAY."""
    return ip_of(found[_VIA][2:]) if _VIA in found else ip_of(found.get(_GATEWAY))


def _build_routes(message: RouteMessage, outlets: list[Outlet], names: dict[int, str]) -> Iterator[Route]:
    family, dst_len, src_len, tos, table, protocol, scope, _, _ = message.head
    found = message.attributes
    rare: _Rare = _rare_of(found, src_len) if not _RARE.isdisjoint(found) else {}
    preference = number_of(found.get(_PREF)) if _PREF in found else None
    for outlet in outlets:
        if outlet.number in names:
            yield Route(
                netdev=names[outlet.number],
                destination=_prefix(found.get(_DST), dst_len) or "default",
                table=number_of(found.get(_TABLE)) or table,
                gateway=outlet.gateway,
                protocol=PROTOCOLS.get(protocol) or str(protocol),
                metric=number_of(found.get(_PRIORITY)),
                scope=SCOPES.get(scope) or str(scope),
                source=ip_of(found.get(_PREFSRC)),
                family=_FAMILIES[family],
                multipath=_MULTIPATH in found or len(outlets) > 1,
                weight=outlet.weight,
                onlink=bool(outlet.flags & RTNH_F_ONLINK),
                tos=tos or None,
                preference=PREFERENCES.get(preference) if preference is not None else None,
                **rare,
            )


class _Rare(TypedDict, total=False):
    """The fields of a Route that few routes have."""

    from_prefix: str | None
    realm: int | None
    metrics: tuple[Setting, ...]
    nexthop_id: int | None
    encapsulation: int | None


def _rare_of(found: Attributes, src_len: int) -> _Rare:
    return {
        "from_prefix": _prefix(found.get(_SRC), src_len),
        "realm": number_of(found.get(_FLOW)),
        "metrics": tuple(_metrics_of(found.get(_METRICS, b""))),
        "nexthop_id": number_of(found.get(_NH_ID)),
        "encapsulation": number_of(found.get(_ENCAP_TYPE)),
    }


def _metrics_of(content: bytes) -> Iterator[Setting]:
    """The metrics (RTAX_*) of a route; those that the kernel has learned by itself come with cloned routes only."""
    for kind, value in split_attributes(content):
        text = text_of(value) if kind == _CONGCTL else str(number_of(value))
        yield Setting(METRICS.get(kind, str(kind)), text or "")


def _prefix(content: bytes | None, length: int) -> str | None:
    return f"{ip_of(content)}/{length}" if content is not None else None


def _entries(content: bytes) -> Iterator[tuple[int, ...]]:
    for offset in range(0, len(content), _GROUP_ENTRY.size):
        yield fixed_part(_GROUP_ENTRY, content[offset:])
