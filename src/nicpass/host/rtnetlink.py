# SPDX-License-Identifier: Apache-2.0
"""Dumps of links, addresses and routes from the kernel: our socket, the library's decoding.

`import pyroute2` loads a hundred and sixty modules, for nftables, WireGuard and a database among others, and takes
four times as long as its three decoders alone: more than all else that a command of ours does. So the decoders are
loaded by themselves. Source: rtnetlink(7), netlink(7), Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import struct
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Message = Any
"""A decoded message: fields by subscription, attributes by `get_attr`. The library is not typed."""

_LIBRARY = "pyroute2"
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x1, 0x300, 0x10  # linux/netlink.h
_NLMSG_ERROR, _NLMSG_DONE = 0x2, 0x3
_EXT_MASK = struct.pack("=HHI", 8, 29, 1)  # IFLA_EXT_MASK: RTEXT_FILTER_VF, what PFs enforce on their VFs
_RECEIVE_BYTES = 1 << 20  # the kernel sends at most 32 KiB at once, or one message that is larger
_TRIES = 5


class Kind(NamedTuple):
    """One kind of object: the request's type and body, and the library's decoder of the answers."""

    request: int
    body: bytes
    decoder: str


LINKS = Kind(18, bytes(16) + _EXT_MASK, "ifinfmsg")  # RTM_GETLINK, struct ifinfomsg
ADDRESSES = Kind(22, bytes(8), "ifaddrmsg")  # RTM_GETADDR, struct ifaddrmsg
ROUTES = Kind(26, bytes(12), "rtmsg")  # RTM_GETROUTE, struct rtmsg


def dump(kind: Kind) -> list[Message]:
    """Every object of one kind in this network namespace.

    Raises:
        OSError: the kernel's answer, or EINTR when the table changed during each of several dumps.
    """
    decode = load_decoder(kind.decoder)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        for sequence in range(1, _TRIES + 1):
            flags = _NLM_F_REQUEST | _NLM_F_DUMP
            kernel.send(_HEADER.pack(_HEADER.size + len(kind.body), kind.request, flags, sequence, 0) + kind.body)
            found = list(_receive(kernel))
            if not any(flags & _NLM_F_DUMP_INTR for flags, _ in found):
                return [_decode(decode, content) for _, content in found if content]
    raise InterruptedError("the kernel's tables changed while they were read")


def load_decoder(name: str) -> type[Message]:
    """A class of messages of the library, without the rest of the library."""
    module = f"{_LIBRARY}.netlink.rtnl.{name}"
    if _LIBRARY in sys.modules:
        return _class_of(importlib.import_module(module), name)
    found = importlib.util.find_spec(_LIBRARY)
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(f"{_LIBRARY} is not installed")
    bare = types.ModuleType(_LIBRARY)
    bare.__path__ = list(found.submodule_search_locations)
    sys.modules[_LIBRARY] = bare
    try:
        return _class_of(importlib.import_module(module), name)
    finally:
        # Whoever imports the library after this gets it whole.
        del sys.modules[_LIBRARY]


def _class_of(module: types.ModuleType, name: str) -> type[Message]:
    found: type[Message] = getattr(module, name)
    return found


def _receive(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """(flags, whole message) of each, up to the end of the dump."""
    while True:
        data, _, how, _ = kernel.recvmsg(_RECEIVE_BYTES)
        if how & socket.MSG_TRUNC:
            raise OSError(f"a message of the kernel is longer than {_RECEIVE_BYTES} bytes")
        offset = 0
        while offset < len(data):
            length, kind, flags, _, _ = _HEADER.unpack_from(data, offset)
            if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                # The end of a dump carries an errno too: one that failed half way is not a short one.
                code = -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                yield flags, b""
                return
            yield flags, data[offset : offset + length]
            offset += (length + 3) & ~3  # NLMSG_ALIGN


def _decode(decoder: type[Message], content: bytes) -> Message:
    message = decoder(content)
    message.decode()
    return message
