# SPDX-License-Identifier: Apache-2.0
"""Reads network interfaces, addresses and routes.

On the running machine rtnetlink(7) answers. Under another root the kernel is never asked: `/netlink.json`
there holds a `Network`, and without it sysfs tells of the interfaces and nothing of addresses and routes.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.network.links import IFF_UP
from nicpass.host.network.managers import read_managers
from nicpass.host.network.stacking import CLASS_NET, add_lowers
from nicpass.model.errors import BadInputError
from nicpass.model.fact import Unknown, known
from nicpass.model.language import _
from nicpass.model.network import Link, Network

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

CAPTURE = "/netlink.json"


def read_network(files: Files) -> Network:
    """The interfaces, what is configured on them, and by whom.

    Raises:
        BadInputError: the capture's `/netlink.json` is there and is not a `Network`.
    """
    network = add_lowers(files, _read_kernel(files))
    managers = read_managers(files, network.links)
    return msgspec.structs.replace(network, managers=managers) if managers else network


def _read_kernel(files: Files) -> Network:
    if files.is_live:
        from nicpass.host.network.netlink import dump_network  # late: loading the library takes longer than a scan

        try:
            return dump_network()
        except OSError as error:
            why = Unknown(f"rtnetlink: {error.strerror or error}")
            return Network(links=read_sysfs_links(files), addresses=why, routes=why)
    content = files.read_bytes(CAPTURE)
    if not isinstance(content, bytes):
        missing = content or Unknown(f"not captured: {CAPTURE}")
        return Network(links=read_sysfs_links(files), addresses=missing, routes=missing)
    try:
        return msgspec.json.decode(content, type=Network)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(
            _("{path} does not hold what rtnetlink says: {error}.").format(path=files.path(CAPTURE), error=error)
        ) from None


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
