# SPDX-License-Identifier: Apache-2.0
"""In which network namespace a NIC's interface is, when it is not here. Source: network_namespaces(7), ip-netns(8).

Only then are processes started: one nsenter(1) a namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.host.use.holders import read_program
from nicpass.model.activity import ForeignNetdev
from nicpass.model.address import Address, is_netdev_name, parse_address
from nicpass.model.fact import Fact, Unknown, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.model.pci import PciFunction

_NAMED = "/run/netns"
_MAX_NAMESPACES = 64
_SECONDS = 5.0
_NETWORK_CLASS = 0x02  # PCI Code and ID Assignment Specification, 1.3


def find_foreign_netdevs(
    files: Files, functions: tuple[PciFunction, ...], processes: Callable[[], Processes] | None
) -> Fact[tuple[ForeignNetdev, ...]]:
    """The interfaces of NICs that show none here; unknown when not every namespace could be looked into."""
    lost = {function.address: function for function in functions if _is_lost(function)}
    if not lost:
        return ()
    if not files.is_live or processes is None:
        return Unknown("other network namespaces were not looked into")
    found: list[ForeignNetdev] = []
    barred: Unknown | None = None
    door = processes()
    for number, (path, program) in enumerate(_namespaces(files)):
        if lost.keys() <= {netdev.address for netdev in found}:
            return tuple(found)  # a namespace with a name is seen again in its processes
        if number == _MAX_NAMESPACES:
            return Unknown(f"there are more than {_MAX_NAMESPACES} network namespaces")
        answer = door.run(["nsenter", f"--net={path}", "ip", "-json", "-details", "link"], timeout=_SECONDS)
        links = parse_links(answer.output) if answer.exit_code == 0 else None
        if links is None:
            barred = barred or Unknown(f"network namespace {path}: {answer.error or 'no answer'}")
        for name, device in links or ():
            address = _owner(files, device, lost)
            if address is not None:
                found.append(ForeignNetdev(address=address, netdev=name, namespace=path, program=program))
    everything = lost.keys() <= {netdev.address for netdev in found}
    return tuple(found) if everything or barred is None else barred


def parse_links(output: str) -> list[tuple[str, str]] | None:
    """(name, device that it belongs to) of what `ip -json -details link` prints; None when it is something else."""
    try:
        links: Any = msgspec.json.decode(output)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(links, list):
        return None
    pairs = ((link.get("ifname"), link.get("parentdev")) for link in links if isinstance(link, dict))
    return [(n, d) for n, d in pairs if isinstance(n, str) and isinstance(d, str) and is_netdev_name(n)]


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


def _namespaces(files: Files) -> Iterator[tuple[str, str]]:
    """(file, program) of every network namespace but ours: those with a name first, then those of processes."""
    seen = {files.read_link("/proc/self/ns/net")}
    named = files.list_directory(_NAMED)
    for name in sorted(named if known(named) else ()):
        yield f"{_NAMED}/{name}", ""
    processes = files.list_directory("/proc")
    for process in sorted(int(name) for name in (processes if known(processes) else ()) if name.isdecimal()):
        namespace = files.read_link(f"/proc/{process}/ns/net")
        if isinstance(namespace, str) and namespace not in seen:
            seen.add(namespace)
            yield f"/proc/{process}/ns/net", read_program(files, process)
