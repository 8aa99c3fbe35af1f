# SPDX-License-Identifier: Apache-2.0
"""Who has a device or a socket open: one scan of /proc/PID/fd.

Source: proc_pid_fd(5); Documentation/driver-api/vfio.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.pci.functions import DEVICES
from nicpass.model.activity import Holder
from nicpass.model.fact import Fact, Unknown, known, value_or

if TYPE_CHECKING:
    from collections.abc import Collection

    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address

_CDEVS = "/dev/vfio/devices/"
_NODES = ("/dev/vfio/", "/dev/vhost-vdpa-", "/dev/uio", "/dev/infiniband/uverbs", "/dev/ptp")
_SOCKET, _NAMESPACE = "socket:[", "net:["


class Descriptors(msgspec.Struct, frozen=True):
    """The device files and sockets that processes have open, of those that were looked for."""

    opened: tuple[Holder, ...]
    """The holders that were seen."""
    barred: Unknown | None
    """Why there may be more holders."""
    sockets: dict[int, int]
    """Inode of a socket to a process that has it."""
    inodes: dict[int, list[int]]
    """Process to its sockets."""
    namespaces: dict[str, int] = {}
    """A network namespace, `net:[4026532]`, to a process that has it open."""


def scan_descriptors(files: Files, inodes: Collection[int]) -> Descriptors:
    """Find the holders of NICs' device files, and the processes that have the sockets of these inodes."""
    found: list[Holder] = []
    sockets: dict[int, int] = {}
    owned: dict[int, list[int]] = {}
    namespaces: dict[str, int] = {}
    wanted = frozenset(inodes)
    names = files.list_directory("/proc")
    processes = [int(name) for name in (names if known(names) else ()) if name.isdecimal()]
    barred = None if processes else Unknown("not captured: /proc/PID/fd")
    for process in processes:
        targets = _targets(files, process)
        if isinstance(targets, Unknown):
            barred = barred or targets
            continue
        for target in targets:
            if target.startswith(_SOCKET):
                number = target[8:-1]
                if number.isdecimal() and int(number) in wanted:
                    sockets.setdefault(int(number), process)
                    owned.setdefault(process, []).append(int(number))
            elif target.startswith(_NODES) and target != "/dev/vfio/vfio":
                found.append(Holder(process=process, program=read_program(files, process), node=target))
            elif target.startswith(_NAMESPACE):
                namespaces.setdefault(target, process)
    return Descriptors(tuple(found), barred, sockets, owned, namespaces)


def read_program(files: Files, process: int) -> str:
    """The name of a process (proc_pid_comm(5)); `?` when it has just gone."""
    name = files.read_text(f"/proc/{process}/comm")
    return name if isinstance(name, str) else "?"


def find_vfio_user(files: Files, address: Address, iommu_group: Fact[int]) -> Fact[int]:
    """The process that has this function open, by its group's file or by its own (VFIO device cdev, vfio.rst).

    Unknown where a process could not be looked into, or no process is shown.
    """
    nodes = {f"{_CDEVS}{name}" for name in value_or(files.list_directory(f"{DEVICES}/{address}/vfio-dev"), ())}
    nodes |= {f"/dev/vfio/{iommu_group}"} if known(iommu_group) else set()
    descriptors = scan_descriptors(files, ())
    user = next((holder.process for holder in descriptors.opened if holder.node in nodes), None)
    return user if user is not None else descriptors.barred


def _targets(files: Files, process: int) -> list[str] | Unknown:
    """The files to which a process's descriptors lead; empty when it has just gone."""
    folder = f"/proc/{process}/fd"
    names = files.list_directory(folder)
    if isinstance(names, Unknown):
        return names
    links = (files.read_link(f"{folder}/{name}") for name in names or ())
    return [link for link in links if isinstance(link, str)]
