# SPDX-License-Identifier: Apache-2.0
"""Asks the running kernel over rtnetlink(7) what its interfaces, addresses, routes and rules are."""

from __future__ import annotations

import _socket as socket
import struct
from typing import TYPE_CHECKING

from nicpass.host.network.links import build_link, split_link
from nicpass.host.network.redirects import read_redirects
from nicpass.host.network.routes import SCOPES, read_routes, read_rules
from nicpass.host.network.rtnetlink import (
    ADDRESSES,
    LINKS,
    NEXTHOPS,
    ROUTES,
    RULES,
    dump,
    fixed_part,
    ip_of,
    number_of,
    read_attributes,
    text_of,
)
from nicpass.host.network.wireguard import with_endpoints
from nicpass.model.network import IpAddress, Link, Network

if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/if_addr.h; without PERMANENT the address has a lifetime
_IFA_F_SECONDARY, _IFA_F_TENTATIVE, _IFA_F_PERMANENT = 0x01, 0x40, 0x80
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST, _IFA_FLAGS, _IFA_RT_PRIORITY = 1, 2, 3, 4, 8, 9
ADDRESS_FLAGS = {
    "nodad": 0x02,
    "home": 0x10,
    "deprecated": 0x20,
    "mngtmpaddr": 0x100,
    "noprefixroute": 0x200,
    "autojoin": 0x400,
}
"""Flags (IFA_F_*) that somebody has chosen, in the words of ip-address(8)."""
_CHOSEN = sum(ADDRESS_FLAGS.values())
_HEADER = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefixlen, flags, scope, index


def dump_network() -> Network:
    """Every interface, address, unicast route and rule of this network namespace, in one dump of each.

    Raises:
        OSError: the kernel's answer, or MalformedError when it could not be understood.
    """
    links, names = read_links(dump(LINKS))
    return Network(
        links=tuple(with_endpoints(link) if link.kind == "wireguard" else link for link in links),
        addresses=read_addresses(dump(ADDRESSES), names),
        routes=read_routes(dump(ROUTES), names, lambda: dump(NEXTHOPS)),
        rules=tuple(read_rules(dump(RULES))),
        redirects=read_redirects(names),
    )


def read_links(bodies: Iterable[bytes]) -> tuple[tuple[Link, ...], dict[int, str]]:
    """(the interfaces, their names by index).

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    messages = [split_link(body) for body in bodies]
    names = {message.number: message.name for message in messages}
    return tuple(build_link(message, names) for message in messages), names


def read_addresses(bodies: Iterable[bytes], names: dict[int, str]) -> tuple[IpAddress, ...]:
    """The IP addresses; `names` are those of all interfaces, by index.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    return tuple(address for body in bodies if (address := _address_of(body, names)) is not None)


def _address_of(body: bytes, names: dict[int, str]) -> IpAddress | None:
    family, prefix_length, flags, scope, index = fixed_part(_HEADER, body)
    found = read_attributes(body, _HEADER.size)
    flags = number_of(found.get(_IFA_FLAGS)) or flags
    # On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours; else both are ours, or the first alone.
    far = ip_of(found.get(_IFA_ADDRESS))
    own = ip_of(found.get(_IFA_LOCAL)) or far
    if own is None:  # an address of another family than IP
        return None
    return IpAddress(
        netdev=names.get(index, str(index)),
        address=own,
        peer=far if far != own else None,
        broadcast=ip_of(found.get(_IFA_BROADCAST)),
        label=text_of(found.get(_IFA_LABEL)),
        prefix_length=prefix_length,
        scope=SCOPES.get(scope, str(scope)),
        tentative=bool(flags & _IFA_F_TENTATIVE),
        dynamic=not flags & _IFA_F_PERMANENT,
        metric=number_of(found.get(_IFA_RT_PRIORITY)) or None,
        flags=_flags_of(flags, family),
    )


def _flags_of(flags: int, family: int) -> tuple[str, ...]:
    """An address's flags in words. One bit has two: the second IPv4 address of a network, a temporary one of IPv6."""
    words = [name for name, bit in ADDRESS_FLAGS.items() if flags & bit] if flags & _CHOSEN else []
    if flags & _IFA_F_SECONDARY:
        words.append("temporary" if family == socket.AF_INET6 else "secondary")
    return tuple(words)
