# SPDX-License-Identifier: Apache-2.0
"""The endpoints of a WireGuard interface's peers: generic netlink, since rtnetlink does not tell.

Source: linux/wireguard.h, linux/genetlink.h. Only root is told (GENL_UNS_ADMIN_PERM).
"""

from __future__ import annotations

import _socket as socket
import os
import struct
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.network.rtnetlink import Kind, dump, fixed_part, ip_of, number_of, read_attributes, split_attributes
from nicpass.model.fact import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.model.network import Link

_NETLINK_GENERIC = 16  # linux/netlink.h
_HEADER = struct.Struct("=BBxx")  # struct genlmsghdr: command, version
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
_WG_CMD_GET_DEVICE, _WGDEVICE_A_IFNAME, _WGDEVICE_A_PEERS, _WGPEER_A_ENDPOINT = 0, 2, 8, 4
_SOCKADDR = struct.Struct("=H")  # struct sockaddr: family; the address begins at 4 (IPv4) or 8 (IPv6)


def with_endpoints(link: Link) -> Link:
    """`link` with its peers' endpoints, or Unknown for them."""
    try:
        remotes = tuple(dict.fromkeys(read_endpoints(_ask(link.name))))
    except OSError as error:
        return msgspec.structs.replace(link, tunnel_remotes=Unknown(f"wireguard: {error.strerror or error}"))
    return msgspec.structs.replace(link, tunnel_remotes=remotes)


def read_endpoints(bodies: Iterable[bytes]) -> Iterator[str]:
    """The addresses of all peers that have one.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    for body in bodies:
        for _, peer in split_attributes(read_attributes(body, _HEADER.size).get(_WGDEVICE_A_PEERS, b"")):
            endpoint = read_attributes(peer).get(_WGPEER_A_ENDPOINT)
            if endpoint is None:
                continue
            (family,) = fixed_part(_SOCKADDR, endpoint)
            address = ip_of(endpoint[4:8] if family == socket.AF_INET else endpoint[8:24])
            if address is not None:
                yield address


def _ask(netdev: str) -> list[bytes]:
    return dump(_kind(_family(), _WG_CMD_GET_DEVICE, _WGDEVICE_A_IFNAME, netdev))


def _family() -> int:
    """The number that the kernel gave the family `wireguard` at this boot, sought in the list of every family."""
    for body in dump(Kind(_GENL_ID_CTRL, _HEADER.pack(_CTRL_CMD_GETFAMILY, 1), 4, _NETLINK_GENERIC)):
        found = read_attributes(body, _HEADER.size)
        if found.get(_CTRL_ATTR_FAMILY_NAME) == b"wireguard\0":
            return number_of(found.get(_CTRL_ATTR_FAMILY_ID)) or 0
    raise OSError(2, os.strerror(2))


def _kind(family: int, command: int, attribute: int, text: str) -> Kind:
    content = text.encode() + b"\0"
    padded = content + bytes(-len(content) % 4)
    body = _HEADER.pack(command, 1) + struct.pack("=HH", 4 + len(content), attribute) + padded
    return Kind(family, body, _HEADER.size, _NETLINK_GENERIC)
