# SPDX-License-Identifier: Apache-2.0
"""Asks the running kernel over rtnetlink(7) what its interfaces, addresses and routes are."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from nicpass.host.ethtool import read_driver_info
from nicpass.host.rtnetlink import ADDRESSES, LINKS, ROUTES, Message, dump
from nicpass.model.fact import Fact, Unknown
from nicpass.model.network import IpAddress, Link, Network, Route, VfSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

_IFF_UP = 0x1  # linux/if.h
_IFA_F_TENTATIVE = 0x40
_IFA_F_PERMANENT = 0x80  # linux/if_addr.h: without it the address has a lifetime
# linux/rtnetlink.h: enum rt_scope_t
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}
# /etc/iproute2/rt_protos; numbers that it does not name stay numbers
_PROTOCOLS = {1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 16: "dhcp"}
_RT_TABLE_LOCAL = 255
_RTN_UNICAST = 1  # linux/rtnetlink.h: local, broadcast and multicast routes come with the address


def dump_network() -> Network:
    """Every interface, address and unicast route of this network namespace, in one dump of each."""
    links, addresses, routes = dump(LINKS), dump(ADDRESSES), dump(ROUTES)
    names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in links}
    return Network(
        links=tuple(_link_of(message, names) for message in links),
        addresses=tuple(_address_of(message, names) for message in addresses),
        routes=_read_routes(routes, names),
    )


def _read_routes(messages: list[Message], names: dict[int, str]) -> Fact[tuple[Route, ...]]:
    """Unknown when a route only names a nexthop object (sysctl net.ipv4.nexthop_compat_mode=0), and so no NIC."""
    for message in messages:
        outlet = message.get_attr("RTA_OIF") or message.get_attr("RTA_MULTIPATH")
        if message["type"] == _RTN_UNICAST and outlet is None and message.get_attr("RTA_NH_ID") is not None:
            return Unknown("a route names its nexthop object only: sysctl net.ipv4.nexthop_compat_mode=1")
    return tuple(route for message in messages for route in _routes_of(message, names))


def _link_of(message: Message, names: dict[int, str]) -> Link:
    name = message.get_attr("IFLA_IFNAME")
    info = message.get_attr("IFLA_LINKINFO")
    driver = read_driver_info(name)
    # An interface whose other end lies in another namespace names an index that is not ours.
    is_foreign = message.get_attr("IFLA_LINK_NETNSID") is not None
    lower = None if is_foreign else names.get(message.get_attr("IFLA_LINK"))
    return Link(
        name=name,
        mac=message.get_attr("IFLA_ADDRESS"),
        permanent_mac=message.get_attr("IFLA_PERM_ADDRESS"),
        mtu=message.get_attr("IFLA_MTU"),
        up=bool(message["flags"] & _IFF_UP),
        operstate=(message.get_attr("IFLA_OPERSTATE") or "unknown").lower(),
        carrier=bool(message.get_attr("IFLA_CARRIER")),
        master=names.get(message.get_attr("IFLA_MASTER")),
        lower=lower if lower != name else None,
        kind=info.get_attr("IFLA_INFO_KIND") if info is not None else None,
        altnames=_altnames_of(message),
        driver_version=driver.version if driver else None,
        firmware_version=driver.firmware if driver else None,
        vfs=tuple(_vfs_of(message)),
    )


def _altnames_of(message: Message) -> tuple[str, ...]:
    properties = message.get_attr("IFLA_PROP_LIST")
    return tuple(properties.get_attrs("IFLA_ALT_IFNAME")) if properties is not None else ()


def _vfs_of(message: Message) -> Iterable[VfSettings]:
    listing = message.get_attr("IFLA_VFINFO_LIST")
    for info in listing.get_attrs("IFLA_VF_INFO") if listing is not None else ():
        mac = info.get_attr("IFLA_VF_MAC")
        vlan = info.get_attr("IFLA_VF_VLAN")
        yield VfSettings(
            vf_index=mac["vf"],
            mac=mac["mac"],
            vlan=vlan["vlan"] if vlan is not None else 0,
            spoofchk=_switch_of(info, "spoofchk"),
            trust=_switch_of(info, "trust"),
        )


def _switch_of(info: Message, name: str) -> bool | None:
    """A VF's switch; a driver that does not know it says 0xffffffff (net/core/rtnetlink.c)."""
    attribute = info.get_attr(f"IFLA_VF_{name.upper()}")
    value = attribute[name] if attribute is not None else None
    return bool(value) if value in (0, 1) else None


def _address_of(message: Message, names: dict[int, str]) -> IpAddress:
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    # On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours; else both are ours, or the first alone.
    far = message.get_attr("IFA_ADDRESS")
    own = message.get_attr("IFA_LOCAL") or far
    return IpAddress(
        netdev=names.get(message["index"], str(message["index"])),
        address=own,
        peer=far if far != own else None,
        broadcast=message.get_attr("IFA_BROADCAST"),
        label=message.get_attr("IFA_LABEL"),
        prefix_length=message["prefixlen"],
        scope=_SCOPES.get(message["scope"], str(message["scope"])),
        tentative=bool(flags & _IFA_F_TENTATIVE),
        dynamic=not flags & _IFA_F_PERMANENT,
    )


def _routes_of(message: Message, names: dict[int, str]) -> Iterable[Route]:
    if message["type"] != _RTN_UNICAST or message["table"] == _RT_TABLE_LOCAL:
        return
    hops = message.get_attr("RTA_MULTIPATH")
    outlets = [(hop["oif"], hop.get_attr("RTA_GATEWAY")) for hop in hops or ()]
    if not hops:
        outlets = [(message.get_attr("RTA_OIF"), message.get_attr("RTA_GATEWAY"))]
    target = message.get_attr("RTA_DST")
    for index, gateway in outlets:
        if index in names:
            yield Route(
                netdev=names[index],
                destination=f"{target}/{message['dst_len']}" if target else "default",
                table=message.get_attr("RTA_TABLE") or message["table"],
                gateway=gateway,
                protocol=_PROTOCOLS.get(message["proto"], str(message["proto"])),
                metric=message.get_attr("RTA_PRIORITY"),
                scope=_SCOPES.get(message["scope"], str(message["scope"])),
                source=message.get_attr("RTA_PREFSRC"),
                family="inet6" if message["family"] == socket.AF_INET6 else "inet",
                multipath=bool(hops),
            )
