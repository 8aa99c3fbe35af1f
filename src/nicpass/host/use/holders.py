# SPDX-License-Identifier: Apache-2.0
"""Who has a device or a socket open: one scan of /proc/PID/fd.

Any user may open files by the million, and make thousands of processes that share them. So root's processes are looked
through to the end, and those of each other user for so many seconds: who makes more of them than that is not seen in
full, and neither delays nor bars what root does (law 11). That a file of a NIC is open by such a process, behind some
hundred thousand others, is not known then; the NIC's own user is the one who is harmed by it.
Source: proc_pid_fd(5), proc_pid_status(5), subuid(5); Documentation/driver-api/vfio.rst.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.pci.functions import DEVICES
from nicpass.model.activity import Holder
from nicpass.model.fact import Fact, Unknown, known, value_or

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address

_CDEVS = "/dev/vfio/devices/"
_NODES = ("/dev/vfio/", "/dev/vhost-vdpa-", "/dev/uio", "/dev/infiniband/uverbs", "/dev/ptp")
_SOCKET, _NAMESPACE = "socket:[", "net:["
_SECONDS = 2.0
"""For the processes of one user: in that time some hundred thousand open files are looked at."""
_OTHERS = 65536
"""User ids from here on are given out by users themselves (subuid(5)): they count as one."""


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
    namespaces: dict[str, tuple[int, str]] = {}
    """A network namespace, `net:[4026532]`, to a process that has it open and the file by which: /proc/PID/fd/7."""


def scan_descriptors(files: Files, inodes: Collection[int], *, seconds: float = _SECONDS) -> Descriptors:
    """Find the holders of NICs' device files, and the processes that have the sockets of these inodes.

    The processes of each user but root are looked at for so many `seconds`.
    """
    found: list[Holder] = []
    sockets: dict[int, int] = {}
    owned: dict[int, list[int]] = {}
    namespaces: dict[str, tuple[int, str]] = {}
    wanted = frozenset(inodes)
    names = files.list_directory("/proc")
    processes = [int(name) for name in (names if known(names) else ()) if name.isdecimal()]
    barred = None if processes else Unknown("not captured: /proc/PID/fd")
    for process, links in _in_turn(files, processes, seconds):
        if isinstance(links, Unknown):
            barred = barred or links
            continue
        for path, target in links:
            if target.startswith(_SOCKET):
                number = target[8:-1]
                if number.isdecimal() and int(number) in wanted:
                    sockets.setdefault(int(number), process)
                    owned.setdefault(process, []).append(int(number))
            elif target.startswith(_NODES) and target != "/dev/vfio/vfio":
                found.append(Holder(process=process, program=read_program(files, process), node=target))
            elif target.startswith(_NAMESPACE):
                namespaces.setdefault(target, (process, path))
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


def _in_turn(
    files: Files, processes: list[int], seconds: float
) -> Iterator[tuple[int, Iterator[tuple[str, str]] | Unknown]]:
    """(process, (path, target) of each of its descriptors); root's first, those of others while their time lasts."""
    users = {process: _user_of(files, process) for process in processes}
    left: dict[int, float] = {}
    for process in sorted(processes, key=lambda process: (users[process], process)):
        user = users[process]
        if user and left.setdefault(user, seconds) <= 0:
            continue
        begin = time.monotonic()
        links = files.follow_links(f"/proc/{process}/fd")
        if links is not None and not isinstance(links, Unknown) and user:
            links = _while_time_lasts(links, begin + left[user])
        if links is not None:
            yield process, links
        if user:
            left[user] -= time.monotonic() - begin


def _while_time_lasts(links: Iterator[tuple[str, str]], end: float) -> Iterator[tuple[str, str]]:
    for link in links:
        yield link
        if time.monotonic() >= end:
            return


def _user_of(files: Files, process: int) -> int:
    """Whose a process is: 0 only for one that is root's with all of its user ids, or does not tell.

    Not by who owns /proc/PID, which is root for a process that wants it so (proc(5), PR_SET_DUMPABLE).
    """
    text = files.read_text(f"/proc/{process}/status")
    line = next((line for line in text.splitlines() if line.startswith("Uid:")), "") if isinstance(text, str) else ""
    ids = {int(word) for word in line.split()[1:] if word.isascii() and word.isdecimal()}
    return min(max(ids, default=0), _OTHERS)
