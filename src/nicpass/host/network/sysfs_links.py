# SPDX-License-Identifier: Apache-2.0
"""Reads network interfaces from sysfs, for when rtnetlink(7) is not to be had; it tells less."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from nicpass.host.network.links import IFF_UP
from nicpass.host.network.stacking import CLASS_NET
from nicpass.model.fact import known
from nicpass.model.network import Link

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files


def read_sysfs_links(files: Files) -> tuple[Link, ...]:
    """Every interface of /sys/class/net, by name. Source: Documentation/ABI/testing/sysfs-class-net."""
    names = files.list_directory(CLASS_NET)
    return tuple(_read_link(files, name) for name in sorted(names if known(names) else ()))


def _read_link(files: Files, name: str) -> Link:
    target = files.read_link(f"{CLASS_NET}/{name}")
    folder = posixpath.normpath(f"{CLASS_NET}/{target}") if isinstance(target, str) else f"{CLASS_NET}/{name}"
    flags = files.read_int(f"{folder}/flags")
    up = isinstance(flags, int) and bool(flags & IFF_UP)
    mtu = files.read_int(f"{folder}/mtu")
    mac = files.read_text(f"{folder}/address")
    operstate = files.read_text(f"{folder}/operstate")
    # The carrier of an interface that is down cannot be read: the kernel answers EINVAL.
    carrier = files.read_int(f"{folder}/carrier") if up else None
    master = files.read_link(f"{folder}/master")
    return Link(
        name=name,
        mac=mac if isinstance(mac, str) else None,
        mtu=mtu if isinstance(mtu, int) else None,
        up=up,
        operstate=operstate if isinstance(operstate, str) else None,
        carrier=bool(carrier) if isinstance(carrier, int) else None,
        master=posixpath.basename(master) if isinstance(master, str) else None,
    )
