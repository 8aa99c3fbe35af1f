# SPDX-License-Identifier: Apache-2.0
"""Hears that something changed at the host, so that nobody has to sleep and look again.

A message is a wake-up, never a fact: it is thrown away unread, and the caller reads the host anew. So a message that
is lost in an overflow, or that another process sent, costs a look and can mislead nobody.
Source: netlink(7), rtnetlink(7), linux/rtnetlink.h, lib/kobject_uevent.c, systemd's sd-device monitor.
"""

from __future__ import annotations

import _socket as socket
import contextlib
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h; Python's socket module has no name for it
_KERNEL_EVENTS, _UDEV_EVENTS = 0x1, 0x2
"""Multicast groups: the kernel's events as they happen, and udev's once its rules (a new name) were carried out."""
_RTMGRP = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE."""
_SOURCES = ((_NETLINK_KOBJECT_UEVENT, _KERNEL_EVENTS | _UDEV_EVENTS), (socket.NETLINK_ROUTE, _RTMGRP))
_MOST_AT_ONCE = 10_000
"""Messages thrown away in one go; with more of them still coming it is time for a look all the same."""


class Changes:
    """A subscription to changes from the moment that it is made, so a change between that and a look is not lost.

    `descriptors` are further file descriptors that tell something by becoming readable, once each: a pidfd does when
    its process ends. They stay the caller's. Where the sockets may not be had (some containers) nothing is heard.
    """

    def __init__(self, descriptors: Iterable[int] = ()) -> None:
        self._poll = select.poll()
        self._sockets: dict[int, socket.socket] = {}
        for protocol, groups in _SOURCES:
            with contextlib.suppress(OSError):
                heard = _subscribe(protocol, groups)
                self._sockets[heard.fileno()] = heard
        for descriptor in (*self._sockets, *descriptors):
            self._poll.register(descriptor, select.POLLIN)

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for heard in self._sockets.values():
            heard.close()

    def wait(self, seconds: float) -> bool:
        """Sleep until something happens; False when nothing did within `seconds`."""
        ready = self._poll.poll(max(0.0, seconds) * 1000)
        for descriptor, _ in ready:
            if descriptor in self._sockets:
                _throw_away(self._sockets[descriptor])
            else:  # a caller's descriptor would be readable for ever
                self._poll.unregister(descriptor)
        return bool(ready)


def _subscribe(protocol: int, groups: int) -> socket.socket:
    kinds = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    heard = socket.socket(socket.AF_NETLINK, kinds, protocol)
    try:
        heard.bind((0, groups))
    except OSError:
        heard.close()
        raise
    return heard


def _throw_away(heard: socket.socket) -> None:
    """Empty the queue. ENOBUFS, the kernel's word for messages that it had to drop, is a message like any other."""
    for _ in range(_MOST_AT_ONCE):
        try:
            heard.recv(1)  # the rest of the message is dropped (recv(2), SOCK_RAW)
        except BlockingIOError:
            return
        except OSError:
            continue
