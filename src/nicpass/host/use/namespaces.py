# SPDX-License-Identifier: Apache-2.0
"""What of this host's NICs is in other network namespaces: their own interfaces, and those that stand on ours.

Container runtimes put a macvlan, an ipvlan or a VLAN of ours into a container, and nothing here shows it any more: the
kernel tells of the interface below (IFLA_LINK) only there, with the number that our namespace has there
(IFLA_LINK_NETNSID). So each namespace is entered, by a thread of its own that never comes back here and that can be
left behind; to start a program in each takes ten times as long. Where there is no other namespace, nothing is started.
Any user may make namespaces by the thousand, into which root alone could put anything of ours. They are entered last,
and for a second: what of them is not seen by then bars nobody (law 11).
Source: network_namespaces(7), setns(2), ip-netns(8), linux/net_namespace.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.system.mounts import list_mounts
from nicpass.host.use.holders import read_program
from nicpass.model.activity import ForeignNetdev, ForeignUpper
from nicpass.model.address import Address, parse_address
from nicpass.model.fact import Fact, Unknown, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.host.network.links import Parents
    from nicpass.model.pci import PciFunction

_SECONDS = 5.0
"""For all of them together; the kernel answers in less than a millisecond each."""
_SECONDS_FOR_USERS = 1.0
"""For all that other users than root have made."""
_NETWORK_CLASS = 0x02  # PCI Code and ID Assignment Specification, 1.3
_NSFS = "net:["


class Namespace(msgspec.Struct, frozen=True):
    """A network namespace that is not ours."""

    path: str
    """A file that nsenter(1) takes."""
    process: int | None = None
    program: str = ""

    @property
    def has_name(self) -> bool:
        return not self.path.startswith("/proc/")

    def __str__(self) -> str:
        return self.path if self.process is None else f"{self.path} (process {self.process}, {self.program})"


class Elsewhere(msgspec.Struct, frozen=True):
    """What of `Activity` this file reads."""

    netdevs: Fact[tuple[ForeignNetdev, ...]]
    uppers: Fact[tuple[ForeignUpper, ...]]
    unseen: str | None = None


Seen = dict[Namespace, tuple["Parents", ...] | OSError | None]
"""Namespace to its interfaces, or why they could not be read, or None where it has gone meanwhile."""


def look_elsewhere(
    files: Files,
    functions: tuple[PciFunction, ...],
    held: Mapping[str, tuple[int, str]],
    processes: Callable[[], Processes] | None,
    names: Callable[[], dict[int, str]],
    look: Callable[[Files, Sequence[Namespace]], Seen] | None = None,
) -> Elsewhere:
    """What was seen, and why there may be more; lost interfaces that were not found are then unknown.

    `held` leads from a namespace (`net:[4026532]`) to a process that has it open, and the file by which; without
    `processes` nothing beyond files is asked. `names` tells this namespace's interfaces by index, and `look` is how
    the others are asked.
    """
    lost = {function.address: function for function in functions if _is_lost(function)}
    if not files.is_live or processes is None:
        unread = Unknown("other network namespaces were not looked into")
        return _captured(files, unread if lost else ())
    there, barred = list_namespaces(files, held)
    seen = (look or look_into)(files, there) if there else {}
    failed = [(space, why.strerror or why) for space, why in seen.items() if isinstance(why, OSError)]
    barred = barred or next((Unknown(f"network namespace {space}: {why}") for space, why in failed), None)
    answers = {space: links for space, links in seen.items() if isinstance(links, tuple)}
    netdevs = tuple(_lost_netdevs(files, answers, lost)) if lost else ()
    here = names() if any(link.netnsid is not None for links in answers.values() for link in links) else {}
    uppers = tuple(_uppers(answers, here))
    found_all = lost.keys() <= {netdev.address for netdev in netdevs}
    return Elsewhere(netdevs if found_all or barred is None else barred, uppers, barred.unknown if barred else None)


def _captured(files: Files, netdevs: Fact[tuple[ForeignNetdev, ...]]) -> Elsewhere:
    """A capture whose processes are all in one namespace has no other; one that shows no namespaces does not tell."""
    if not isinstance(_own(files), str):
        return Elsewhere(netdevs, None)
    there, barred = list_namespaces(files, {})
    unseen = f"a capture does not show what is in network namespace {there[0]}" if there else None
    return Elsewhere(netdevs, (), unseen or (barred.unknown if barred else None))


def _lost_netdevs(
    files: Files, answers: dict[Namespace, tuple[Parents, ...]], lost: dict[Address, PciFunction]
) -> Iterator[ForeignNetdev]:
    for space, links in answers.items():
        for link in links:
            address = _owner(files, link.device, lost) if link.device else None
            if address is not None:
                program = "" if space.has_name else space.program
                yield ForeignNetdev(address=address, netdev=link.name, namespace=space.path, program=program)


def _uppers(answers: dict[Namespace, tuple[Parents, ...]], here: dict[int, str]) -> Iterator[ForeignUpper]:
    for space, links in answers.items():
        for link in links:
            # The other end of a veth is told by the bridge here that it is a port of.
            if link.netnsid is not None and link.lower in here and link.kind != "veth":
                yield ForeignUpper(
                    netdev=link.name,
                    lower=here[link.lower],
                    kind=link.kind,
                    namespace=space.path,
                    process=space.process,
                    program=space.program,
                )


def _is_lost(function: PciFunction) -> bool:
    """Whether a NIC is on a driver and without an interface; drivers that hand the device to a program make none."""
    is_nic = known(function.class_code) and function.class_code >> 16 == _NETWORK_CLASS
    if not is_nic or not known(function.driver) or function.netdevs:
        return False
    return "vfio" not in function.driver and "uio" not in function.driver


def _owner(files: Files, device: str, lost: dict[Address, PciFunction]) -> Address | None:
    """The function that a device is, or that it lies below, as `virtio3` does."""
    address = parse_address(device)
    if address is not None:
        return address if address in lost else None
    below = (address for address in lost if files.exists(f"/sys/bus/pci/devices/{address}/{device}"))
    return next(below, None) if "/" not in device else None


def _own(files: Files) -> Fact[str]:
    """Ours is that of the thread, which is the process's too unless the thread has left it (proc_pid_task(5))."""
    found = files.read_link("/proc/thread-self/ns/net")
    return found if isinstance(found, str) else files.read_link("/proc/self/ns/net")


def list_namespaces(files: Files, held: Mapping[str, tuple[int, str]]) -> tuple[list[Namespace], Unknown | None]:
    """(every one but ours: of processes, with a name, or only held open; why there may be more)."""
    own, barred = _own(files), None
    found: dict[str, Namespace] = {}
    listed = files.list_directory("/proc")
    for process in sorted(int(name) for name in (listed if known(listed) else ()) if name.isdecimal()):
        path = f"/proc/{process}/ns/net"
        namespace = files.read_link(path)
        if isinstance(namespace, Unknown):
            barred = barred or Unknown(f"network namespace of process {process}: {namespace.unknown}")
        elif namespace is not None and namespace != own and namespace not in found:
            found[namespace] = Namespace(path, process, read_program(files, process))
    for path, namespace in _named(files):
        if namespace != own:
            seen = found.get(namespace)
            named = Namespace(path, seen.process, seen.program) if seen is not None else Namespace(path)
            # The name by which ip-netns(8) knows it is the one to tell.
            if seen is None or not seen.has_name or path.startswith("/run/netns/"):
                found[namespace] = named
    for namespace, (process, path) in held.items():
        if namespace != own and namespace not in found:
            found[namespace] = Namespace(path, process, read_program(files, process))
    return list(found.values()), barred


def _named(files: Files) -> Iterator[tuple[str, str]]:
    """(path, namespace) of those that are kept by a mount, wherever: /run/netns, /run/docker/netns."""
    for mount in list_mounts(files):
        if mount.kind == "nsfs" and mount.root.startswith(_NSFS):
            yield mount.path, mount.root


def look_into(
    files: Files,
    there: Sequence[Namespace],
    ask_all: Callable[..., dict[str, tuple[Parents, ...] | OSError | None]] | None = None,
    whose: Callable[[str], int | None] | None = None,
) -> Seen:
    """The interfaces of each, all in some milliseconds. One of a user's that does not answer in time tells nothing."""
    from nicpass.host.doors.visits import ask_within, maker_of  # late: many a host has no other namespace
    from nicpass.host.network.links import read_parents

    ask_all, whose = ask_all or ask_within, whose or maker_of
    places = {files.path(space.path): space for space in there}
    of_users = tuple(path for path in places if whose(path))
    ours = tuple(path for path in places if path not in set(of_users))
    found = ask_all(ours, read_parents, _SECONDS) if ours else {}
    if of_users:
        told = ask_all(of_users, read_parents, _SECONDS_FOR_USERS)
        found |= {path: None if isinstance(answer, TimeoutError) else answer for path, answer in told.items()}
    return {places[path]: answer for path, answer in found.items()}
