# SPDX-License-Identifier: Apache-2.0
"""Established TCP connections of this network namespace: /proc/net/tcp and tcp6 (proc_pid_net(5), proc_net_tcp.rst)."""

from __future__ import annotations

import _socket as socket
import struct
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

_MAPPED = b"\0" * 10 + b"\xff\xff"  # RFC 4291, 2.5.5.2: an IPv4 address written as IPv6

_ESTABLISHED, _LISTEN = "01", "0A"  # enum in net/tcp_states.h


class Connection(msgspec.Struct, frozen=True):
    """One established connection, and the inode of its socket at this end."""

    local: str
    local_port: int
    peer: str
    peer_port: int
    inode: int

    @property
    def is_loopback(self) -> bool:
        """Whether both ends are on this host."""
        return is_loopback(self.peer)


class Connections(msgspec.Struct, frozen=True):
    """All established connections, and the ports on which somebody listens."""

    established: tuple[Connection, ...]
    listening: frozenset[int]


def read_connections(files: Files) -> Fact[Connections]:
    """The TCP connections; Unknown where a table could not be read. IPv6 may be switched off, and then has none."""
    texts = [files.read_text(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    if not isinstance(texts[0], str):
        return texts[0] or Unknown("not captured: /proc/net/tcp")
    if isinstance(texts[1], Unknown):
        return texts[1]
    established: list[Connection] = []
    listening: set[int] = set()
    for line in (line for text in texts if isinstance(text, str) for line in text.splitlines()[1:]):
        fields = line.split(None, 10)
        if len(fields) < 10 or fields[3] not in (_ESTABLISHED, _LISTEN):
            continue
        try:
            local, port = _parse_end(fields[1])
            if fields[3] == _LISTEN:
                listening.add(port)
            else:
                established.append(Connection(local, port, *_parse_end(fields[2]), int(fields[9])))
        except (ValueError, struct.error):
            return Unknown(f"not a connection: /proc/net/tcp: {line[:60]!r}")
    return Connections(tuple(established), frozenset(listening))


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _parse_end(text: str) -> tuple[str, int]:
    """Address and port: `0500000A:0016` is 10.0.0.5:22, words of four bytes in the machine's order, the port in hex."""
    digits, _, port = text.partition(":")
    data = bytes.fromhex(digits)
    words = struct.unpack(f">{len(data) // 4}I", data)
    data = struct.pack(f"={len(words)}I", *words)
    if len(data) == 16 and data.startswith(_MAPPED):
        data = data[12:]
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data), int(port, 16)
