# SPDX-License-Identifier: Apache-2.0
"""A network namespace of a test's own, in this process: real interfaces, real events, nothing left behind."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

import pytest

from nicpass.host.network.rtnetlink import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_RTM_NEWLINK, _IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 16, 3, 18, 1  # linux/rtnetlink.h, linux/if_link.h
_REQUEST_ACK_CREATE_EXCL = 0x1 | 0x4 | 0x400 | 0x200  # linux/netlink.h
_KINDS = ("dummy", "ifb", "bridge")
"""Interfaces that stand alone; not every kernel has each."""


def in_own_namespace(work: Callable[[Maker], T]) -> T:
    """The answer of `work`, from a thread that has a network namespace for itself; skips without the right to one."""
    answer: Future[T] = Future()
    thread = threading.Thread(target=_run, args=(work, answer), daemon=True)
    thread.start()
    try:
        return answer.result(timeout=60)
    except PermissionError:
        pytest.skip("no right to make a network namespace")
    finally:
        thread.join(timeout=10)


def _run(work: Callable[[Maker], T], answer: Future[T]) -> None:
    try:
        _enter_new_namespace()
        with Maker() as maker:
            answer.set_result(work(maker))
    except BaseException as error:
        answer.set_exception(error)


def _enter_new_namespace() -> None:
    """Give the calling thread alone a new network namespace (unshare(2)); it goes with its last socket and thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Maker:
    """Makes interfaces in the namespace of the thread that made it; another thread may use it."""

    def __init__(self) -> None:
        self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._kernel.bind((0, 0))
        self._kernel.settimeout(10)
        self._kind = next((kind for kind in _KINDS if self._add("probe", kind) == 0), "none")

    def __enter__(self) -> Maker:
        return self

    def __exit__(self, *_: object) -> None:
        self._kernel.close()

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            assert self._add(name, self._kind) == 0, f"this kernel makes none of {_KINDS}"

    def _add(self, name: str, kind: str) -> int:
        """Make one interface: 0, or the kernel's errno, negative."""
        info = _attribute(_IFLA_INFO_KIND, kind.encode())
        body = bytes(16) + _attribute(_IFLA_IFNAME, name.encode() + b"\0") + _attribute(_IFLA_LINKINFO, info)
        self._kernel.send(HEADER.pack(HEADER.size + len(body), _RTM_NEWLINK, _REQUEST_ACK_CREATE_EXCL, 1, 0) + body)
        answer: int = struct.unpack_from("=i", self._kernel.recv(4096), HEADER.size)[0]
        return answer


def _attribute(kind: int, content: bytes) -> bytes:
    padding = -len(content) % 4
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(padding)
