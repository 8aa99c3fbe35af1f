# SPDX-License-Identifier: Apache-2.0
"""Reads what places a VM: cores, isolated CPUs, what services are bound to, interrupts of NICs, mounts of huge pages.

Sources: Documentation/ABI/testing/sysfs-devices-system-cpu, admin-guide/cputopology.rst, admin-guide/cgroup-v2.rst
(cpuset), core-api/irq/irq-affinity.rst, ABI/testing/sysfs-bus-pci (`msi_irqs`), systemd.exec(5) (CPUAffinity=),
systemd.resource-control(5) (AllowedCPUs=), systemd-system.conf(5).
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from nicpass.host.intent.unit_file import parse_unit
from nicpass.host.system.mounts import list_mounts
from nicpass.model.cpus import CpuClaim, Cpus, Interrupt, NicInterrupts
from nicpass.model.fact import Fact, Unknown
from nicpass.model.memory import format_cpulist, parse_cpulist

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.pci import PciFunction

_CPUS = "/sys/devices/system/cpu"
_CGROUPS = "/sys/fs/cgroup"
_DEVICES = "/sys/bus/pci/devices"
_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
_MANAGER = ("/etc/systemd/system.conf", "/etc/systemd/system.conf.d")
_VMS = "machine.slice"
"""Where libvirt's VMs are: where these run, their definitions say."""
_KEYS = ("CPUAffinity", "AllowedCPUs")
_OF_A_USER = re.compile(r"user@[0-9]+\.service")
"""A user's own: groups below are his to make, thousands of them, and claim nothing of the host's (law 11)."""
_LIMIT = 1 << 16
_DEEPEST, _MOST_GROUPS = 5, 5000
_SHIFTS = {"K": 10, "M": 20, "G": 30}
_BALANCER = "irqbalance"


def read_cpus(files: Files, pci: Iterable[PciFunction]) -> Cpus:
    """Everything of `Cpus`; the interrupts of those functions of `pci` that VFIO has."""
    online = _read_list(files, f"{_CPUS}/online")
    return Cpus(
        online=online,
        cores=_read_cores(files, online),
        isolated=_united(_read_list(files, f"{_CPUS}/isolated"), _read_list(files, f"{_CGROUPS}/cpuset.cpus.isolated")),
        nohz_full=_read_list(files, f"{_CPUS}/nohz_full"),
        claims=_read_claims(files),
        interrupts=tuple(
            NicInterrupts(address=function.address, interrupts=read_interrupts(files, function.address))
            for function in pci
            if isinstance(function.driver, str) and "vfio" in function.driver
        ),
        hugepage_mounts=_read_hugepage_mounts(files),
        balancer=_BALANCER if files.exists(f"/run/systemd/units/invocation:{_BALANCER}.service") else None,
    )


def read_interrupts(files: Files, address: Address) -> Fact[tuple[Interrupt, ...]]:
    """The message-signalled interrupts that a function has now, with the CPUs that may handle each."""
    folder = f"{_DEVICES}/{address}/msi_irqs"
    names = files.list_directory(folder)
    if not isinstance(names, tuple):
        return names
    found = []
    for number in sorted(int(name) for name in names if re.fullmatch("[0-9]{1,9}", name)):
        cpus = files.read_attribute(affinity_path(number))
        if isinstance(cpus, Unknown):
            return cpus
        if cpus is not None:  # one that was let go of since the folder was listed
            found.append(Interrupt(number=number, cpus=cpus))
    return tuple(found)


def affinity_path(number: int) -> str:
    return f"/proc/irq/{number}/smp_affinity_list"


def _read_list(files: Files, path: str) -> Fact[str]:
    """A list of CPUs; None for no file and for no CPU, which some kernels print as `(null)`."""
    text = files.read_attribute(path)
    if not isinstance(text, str) or text in ("", "(null)"):
        return text if isinstance(text, Unknown) else None
    return text if parse_cpulist(text) is not None else Unknown(f"not a list of CPUs: {path}: {text[:40]!r}")


def _united(one: Fact[str], other: Fact[str]) -> Fact[str]:
    if isinstance(one, Unknown) or isinstance(other, Unknown):
        return one if isinstance(one, Unknown) else other
    both = [parse_cpulist(text) or frozenset() for text in (one, other) if text is not None]
    return format_cpulist(frozenset().union(*both)) or None


def _read_cores(files: Files, online: Fact[str]) -> Fact[tuple[str, ...]]:
    """Each core's threads. A kernel or a VM that tells nothing of threads has one a core."""
    if not isinstance(online, str):
        return online
    cores: dict[str, None] = {}
    for cpu in sorted(parse_cpulist(online) or ()):
        threads = _read_list(files, f"{_CPUS}/cpu{cpu}/topology/thread_siblings_list")
        if isinstance(threads, Unknown):
            return threads
        cores[threads or str(cpu)] = None
    return tuple(cores)


def _read_claims(files: Files) -> Fact[tuple[CpuClaim, ...]]:
    """What systemd's units and settings bind to some CPUs, running or not, and cpusets of slices and services."""
    found: dict[tuple[str, str], CpuClaim] = {}
    for source, text, value in (*_unit_lines(files), *_cpusets(files)):
        if isinstance(value, Unknown):
            return value
        cpus = parse_cpulist(",".join(value.replace(",", " ").split()))
        if cpus:  # else an empty value, which takes back, or `numa`
            found[source, text] = CpuClaim(source=source, text=text, cpus=format_cpulist(cpus))
    return tuple(found.values())


def _unit_lines(files: Files) -> Iterator[tuple[str, str, str | Unknown]]:
    """(File, line, value) of units that bind to CPUs; the first file of a name hides those behind (systemd.unit(5))."""
    seen: set[str] = set()
    for folder in _UNITS:
        for path in _unit_files(files, folder):
            if (name := path.removeprefix(folder)) not in seen:
                seen.add(name)
                yield from _lines_of(files, path)
    yield from _lines_of(files, _MANAGER[0])
    for name in _names(files, _MANAGER[1]):
        yield from _lines_of(files, f"{_MANAGER[1]}/{name}")


def _unit_files(files: Files, folder: str) -> Iterator[str]:
    for name in _names(files, folder):
        if name.startswith(_VMS):
            continue
        if name.endswith((".service", ".slice", ".scope")):
            yield f"{folder}/{name}"
        elif name.endswith((".service.d", ".slice.d", ".scope.d")):
            yield from (f"{folder}/{name}/{part}" for part in _names(files, f"{folder}/{name}"))


def _lines_of(files: Files, path: str) -> Iterator[tuple[str, str, str | Unknown]]:
    content = files.read_bytes(path, _LIMIT)
    if isinstance(content, Unknown):
        if files.read_link(path) != "/dev/null":  # so a unit is masked (systemctl(1), mask): it never runs
            yield path, "", content
    elif content is not None and (b"CPUAffinity" in content or b"AllowedCPUs" in content):
        for line in parse_unit(content.decode("utf-8", "backslashreplace")):
            if line.key in _KEYS:
                yield path, f"{line.key}={line.value}", line.value


def _cpusets(files: Files) -> Iterator[tuple[str, str, str | Unknown]]:
    """(File, what it says, CPUs) of slices and what is in them; a container's may lie five deep (kubepods.slice)."""
    folders, seen = [""], 0
    for _depth in range(_DEEPEST):
        roots = [folder for folder in folders if not _OF_A_USER.fullmatch(posixpath.basename(folder))]
        folders = [f"{folder}/{name}" for folder in roots for name in _groups_in(files, f"{_CGROUPS}{folder}")]
        seen += len(folders)
        if seen > _MOST_GROUPS:
            yield _CGROUPS, "", Unknown(f"too many: {_CGROUPS}")
            return
        for folder in folders:
            path = f"{_CGROUPS}{folder}/cpuset.cpus"
            cpus = _read_list(files, path)
            if cpus is not None:
                yield path, f"cpuset.cpus={cpus}", cpus


def _groups_in(files: Files, folder: str) -> list[str]:
    kinds = (".slice", ".scope", ".service")
    return [name for name in _names(files, folder) if name.endswith(kinds) and name != _VMS]


def _read_hugepage_mounts(files: Files) -> tuple[int, ...]:
    """As hugetlbfs_show_options() in fs/hugetlbfs/inode.c tells each: `pagesize=1024M`."""
    sizes: dict[int, None] = {}
    for mount in list_mounts(files):
        if mount.kind == "hugetlbfs":
            found = re.search(r"\bpagesize=([0-9]{1,9})([KMG])", mount.options)
            sizes[int(found[1]) << _SHIFTS[found[2]] if found is not None else 0] = None
    return tuple(sorted(sizes))


def _names(files: Files, folder: str) -> list[str]:
    names = files.list_directory(folder)
    return sorted(names) if isinstance(names, tuple) else []
