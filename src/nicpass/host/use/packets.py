# SPDX-License-Identifier: Apache-2.0
"""Sockets that see an interface's packets beside the network stack: packet(7), and AF_XDP by sock_diag(7)."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.use.holders import read_program
from nicpass.model.activity import BoundSocket
from nicpass.model.fact import Fact, Unknown, known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files
    from nicpass.host.use.holders import Descriptors

_PACKET = "/proc/net/packet"
_PROTOCOLS = "/proc/net/protocols"
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _AF_XDP = 4, 20, 44  # linux/netlink.h, sock_diag.h, socket.h
_REQUEST = struct.Struct("=BBHIIII")  # struct xdp_diag_req: family, protocol, pad, inode, what to show, cookie
_ANSWER = struct.Struct("=BBHIII")  # struct xdp_diag_msg: family, type, pad, inode, cookie
_XDP_SHOW_INFO, _XDP_DIAG_INFO = 1, 1
_INFO = struct.Struct("=II")  # struct xdp_diag_info: interface, queue


class RawSocket(msgspec.Struct, frozen=True):
    """A socket that is bound to the interface with this index; 0 is any."""

    ifindex: int
    inode: int
    queue: int | None = None


def read_packet_sockets(files: Files) -> Fact[tuple[RawSocket, ...]]:
    """The packet sockets that are bound to one interface; a line has `sk RefCnt Type Proto Iface R Rmem User Inode`."""
    text = files.read_text(_PACKET)
    if not isinstance(text, str):
        # A kernel without packet sockets has no such file.
        return text or (() if files.is_live else Unknown(f"not captured: {_PACKET}"))
    rows = [line.split() for line in text.splitlines()[1:]]
    if any(len(row) < 9 or not (row[4].isdecimal() and row[8].isdecimal()) for row in rows):
        return Unknown(f"a line that is no socket: {_PACKET}")
    return tuple(RawSocket(int(row[4]), int(row[8])) for row in rows if row[4] != "0")


def read_xdp_sockets(files: Files) -> Fact[tuple[RawSocket, ...]]:
    """The AF_XDP sockets, asked for only when there are some: the question makes the kernel load a module."""
    text = files.read_text(_PROTOCOLS)
    if not isinstance(text, str):
        return text or Unknown(f"not captured: {_PROTOCOLS}")
    counts = [line.split()[2] for line in text.splitlines() if line.startswith("XDP ") and len(line.split()) > 2]
    if not counts or counts == ["0"]:
        return ()
    if not files.is_live:
        return Unknown("not captured: AF_XDP sockets")
    from nicpass.host.network.rtnetlink import Kind, dump  # late: hardly a host has any

    request = _REQUEST.pack(_AF_XDP, 0, 0, 0, _XDP_SHOW_INFO, 0, 0)
    try:
        bodies = dump(Kind(_SOCK_DIAG_BY_FAMILY, request, _ANSWER.size, _NETLINK_SOCK_DIAG))
        return tuple(parse_xdp_sockets(bodies))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return Unknown("the kernel has AF_XDP sockets and no module xsk_diag that tells whose")
        return Unknown(f"AF_XDP sockets: {error.strerror or error}")


def parse_xdp_sockets(bodies: Iterable[bytes]) -> Iterable[RawSocket]:
    """The AF_XDP sockets that are bound.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    from nicpass.host.network.rtnetlink import fixed_part, read_attributes

    for body in bodies:
        inode = fixed_part(_ANSWER, body)[3]
        info = read_attributes(body, _ANSWER.size).get(_XDP_DIAG_INFO)
        if info is not None:
            index, queue = fixed_part(_INFO, info)
            yield RawSocket(index, inode, queue)


def name_sockets(
    files: Files, found: Fact[tuple[RawSocket, ...]], descriptors: Descriptors
) -> Fact[tuple[BoundSocket, ...]]:
    """The sockets with interface and program; one that is bound to an interface that has gone is left out."""
    if found is None or isinstance(found, Unknown):
        return found
    if not found:
        return ()
    names = _names(files, {raw.ifindex for raw in found})
    sockets: list[BoundSocket] = []
    for raw in found:
        if raw.ifindex in names:
            process = descriptors.sockets.get(raw.inode)
            program = read_program(files, process) if process is not None else ""
            sockets.append(BoundSocket(netdev=names[raw.ifindex], process=process, program=program, queue=raw.queue))
    return tuple(sockets)


def name_interfaces() -> dict[int, str]:
    """Index to name of every interface of this network namespace, by the kernel."""
    import _socket  # late: mostly no socket is bound to one

    return dict(_socket.if_nameindex())


def _names(files: Files, wanted: set[int]) -> dict[int, str]:
    """Index to name of the wanted interfaces, by the kernel, or in a capture by its sysfs."""
    if files.is_live:
        return {index: name for index, name in name_interfaces().items() if index in wanted}
    listed = files.list_directory("/sys/class/net")
    pairs = ((files.read_int(f"/sys/class/net/{name}/ifindex"), name) for name in (listed if known(listed) else ()))
    return {index: name for index, name in pairs if isinstance(index, int) and index in wanted}
