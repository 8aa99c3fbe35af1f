# SPDX-License-Identifier: Apache-2.0
"""Dumps from the kernel over netlink: one socket, the messages' frames, and their attributes.

Only reading, and only what is needed: a library that decodes every attribute takes a second for a thousand
interfaces, and this module takes as long as `ip -json`. Numbers come from the kernel's headers, named where they stand.
Source: netlink(7), rtnetlink(7), Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import _socket as socket
import errno
import os
import struct
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Attributes = dict[int, bytes]
"""Type of an attribute, without its flags, to its content; of one that comes twice, the last."""

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length with this head, type
_ERRNO = struct.Struct("=i")
_MAX_ERRNO = 4095  # linux/err.h
_ORDER: Literal["little", "big"] = sys.byteorder
_NUMBERS = frozenset({1, 2, 4, 8})
_TYPE_MASK = 0x3FFF  # NLA_TYPE_MASK: above it NLA_F_NESTED and NLA_F_NET_BYTEORDER
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x1, 0x4, 0x300, 0x10  # linux/netlink.h
_NLMSG_NOOP, _NLMSG_ERROR, _NLMSG_DONE = 0x1, 0x2, 0x3
_RECEIVE_BYTES = 1 << 20  # the kernel sends at most 32 KiB at once, or one message that is larger
_TRIES = 5
_SECONDS = 10.0  # a kernel that answers does so at once

# IFLA_EXT_MASK (29): RTEXT_FILTER_VF, what PFs enforce on their VFs, and RTEXT_FILTER_SKIP_STATS, no counters.
_EXT_MASK = struct.pack("=HHI", 8, 29, 0x1 | 0x8)


class MalformedError(OSError):
    """The bytes that came are no netlink message; the errno is EBADMSG."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of object: the request's type and body, and how long the fixed part of an answer is."""

    request: int
    body: bytes
    fixed: int
    protocol: int = socket.NETLINK_ROUTE


LINKS = Kind(18, bytes(16) + _EXT_MASK, 16)  # RTM_GETLINK, struct ifinfomsg
ADDRESSES = Kind(22, bytes(8), 8)  # RTM_GETADDR, struct ifaddrmsg
ROUTES = Kind(26, bytes(12), 12)  # RTM_GETROUTE, struct rtmsg
RULES = Kind(34, bytes(12), 12)  # RTM_GETRULE, struct fib_rule_hdr
NEXTHOPS = Kind(106, bytes(8), 8)  # RTM_GETNEXTHOP, struct nhmsg


def dump(kind: Kind) -> list[bytes]:
    """The body of every object of one kind in this network namespace: its fixed part and its attributes.

    Raises:
        OSError: the kernel's answer; EINTR when the table changed during each of several dumps; MalformedError
            when what came is no netlink message.
    """
    return _ask(kind, _NLM_F_DUMP)


def ask(kind: Kind) -> list[bytes]:
    """The body of the one object that the request names.

    Raises:
        OSError: as of `dump`.
    """
    return _ask(kind, _NLM_F_ACK)  # which ends the answer as the end of a dump does


def _ask(kind: Kind, flags: int) -> list[bytes]:
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, kind.protocol)) as kernel:
        kernel.bind((0, 0))
        kernel.settimeout(_SECONDS)
        receive = _receiver(kernel)
        for sequence in range(1, _TRIES + 1):
            head = HEADER.pack(HEADER.size + len(kind.body), kind.request, _NLM_F_REQUEST | flags, sequence, 0)
            kernel.send(head + kind.body)
            bodies, interrupted = collect_dump(receive, kind.fixed)
            if not interrupted:
                return bodies
    raise InterruptedError(errno.EINTR, "the kernel's tables changed while they were read")


def collect_dump(receive: Callable[[], bytes], fixed: int) -> tuple[list[bytes], bool]:
    """(the bodies, whether the kernel says that the table changed meanwhile), up to the end of the dump.

    Raises:
        OSError: the errno with which the dump ended, or MalformedError.
    """
    bodies: list[bytes] = []
    interrupted = False
    while True:
        for kind, flags, body in split_messages(receive()):
            interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTR)
            if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                _raise_errno(body)
                return bodies, interrupted
            if kind != _NLMSG_NOOP:
                if len(body) < fixed:
                    raise _malformed("a message is shorter than its kind is")
                bodies.append(body)


def split_messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, flags, body) of each message of one datagram.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    offset, end = 0, len(data)
    if not end:
        raise _malformed("an empty datagram")
    while offset + HEADER.size <= end:
        length, kind, flags, _, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > end:
            raise _malformed(f"a message of {length} bytes, {end - offset} are there")
        yield kind, flags, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3  # NLMSG_ALIGN


def split_attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(type, content) of each attribute from `offset` on.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            raise _malformed(f"an attribute of {length} bytes, {end - offset} are there")
        yield kind & _TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3  # NLA_ALIGN


def read_attributes(data: bytes, offset: int = 0) -> Attributes:
    """All attributes from `offset` on, by type.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    # As dict(split_attributes(...)), and in half the time: a thousand interfaces have fifty thousand of these.
    found: Attributes = {}
    end = len(data)
    last = end - 4
    unpack = _ATTRIBUTE.unpack_from
    while offset <= last:
        length, kind = unpack(data, offset)
        after = offset + length
        if length < 4 or after > end:
            raise _malformed(f"an attribute of {length} bytes, {end - offset} are there")
        found[kind & 0x3FFF] = data[offset + 4 : after]
        offset = (after + 3) & ~3 if after & 3 else after
    return found


def text_of(content: bytes | None) -> str | None:
    """A string that ends with NUL; bytes that are not UTF-8 are kept escaped."""
    return content.split(b"\0", 1)[0].decode("utf-8", "backslashreplace") if content is not None else None


def number_of(content: bytes | None) -> int | None:
    """A number of one, two, four or eight bytes, in the machine's order.

    Raises:
        MalformedError: the content has another length.
    """
    if content is None:
        return None
    if len(content) in _NUMBERS:
        return int.from_bytes(content, _ORDER)
    raise _malformed(f"a number of {len(content)} bytes")


def ip_of(content: bytes | None) -> str | None:
    """An IPv4 or IPv6 address, as inet_ntop(3) writes it; None where there is none.

    Raises:
        MalformedError: the content is neither 4 nor 16 bytes long.
    """
    if content is None:
        return None
    if len(content) == 4:
        return socket.inet_ntop(socket.AF_INET, content)
    if len(content) == 16:
        return socket.inet_ntop(socket.AF_INET6, content)
    raise _malformed(f"an address of {len(content)} bytes")


def fixed_part(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    """The fixed part of a message or of an attribute.

    Raises:
        MalformedError: the body is too short.
    """
    if len(body) < layout.size:
        raise _malformed(f"{len(body)} bytes, {layout.size} are wanted")
    return layout.unpack_from(body)


def _receiver(kernel: socket.socket) -> Callable[[], bytes]:
    """A function that receives one datagram a call, into one buffer: to make one takes longer than to fill it."""
    buffer = memoryview(bytearray(_RECEIVE_BYTES))

    def receive() -> bytes:
        length = kernel.recv_into(buffer, 0, socket.MSG_TRUNC)  # with it, the length of what came, not of what fitted
        if length > _RECEIVE_BYTES:
            raise OSError(errno.EMSGSIZE, f"a message of the kernel is longer than {_RECEIVE_BYTES} bytes")
        return bytes(buffer[:length])

    return receive


def _raise_errno(body: bytes) -> None:
    """Raise the errno that the end of a dump carries too: a dump that failed half way is not a short one."""
    (code,) = fixed_part(_ERRNO, body)
    if code:
        number = -code if -_MAX_ERRNO <= code < 0 else errno.EBADMSG
        raise OSError(number, os.strerror(number))


def _malformed(what: str) -> MalformedError:
    return MalformedError(errno.EBADMSG, f"not a netlink message: {what}")
