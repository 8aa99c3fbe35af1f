# SPDX-License-Identifier: Apache-2.0
"""Reads which devices of the kernel's classes hang on which PCI function, and what the host does with them.

A class device's link in /sys/class leads through the functions that carry it; the last PCI address on the way is
the one that drives it (Documentation/admin-guide/sysfs-rules.rst). Mounts come from /proc/self/mountinfo by device
number, swap from /proc/swaps, and both are carried down through `slaves` to the disks below.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.system.block import read_slaves
from nicpass.host.system.mounts import list_mounts, read_swaps
from nicpass.model.address import last_address
from nicpass.model.class_devices import ClassDevice
from nicpass.model.fact import Fact, known, value_or

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.pci import PciFunction

CLASS = "/sys/class"
_CLASSES = ("drm", "graphics", "sound", "tty", "nvme", "tpm")
_CONTROLLER = r"nvme\d+"
_OF_A_NIC = r"/[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/(?:virtio\d+/)?net/[^/]+$"
_NETWORK_CONTROLLER, _BRIDGE = 0x02, 0x06  # base classes, PCI Code and ID Assignment Specification, 1.3 and 1.7


def read_class_devices(files: Files, pci: tuple[PciFunction, ...]) -> Fact[tuple[ClassDevice, ...]]:
    """Devices that hang on a PCI function, and all keyboards, by class and name. None where /sys/class is not there.

    `pci` are the functions that were read: interfaces are sought only where one of them may have some of others.
    """
    classes = files.list_directory(CLASS)
    if not isinstance(classes, tuple):
        return classes
    found = [*_BlockDevices(files).read(), *_read_inputs(files), *_read_netdevs_of_others(files, pci)]
    for subsystem in _CLASSES:
        if subsystem in classes:
            found += _read_class(files, subsystem)
    return tuple(found)


def _read_links(files: Files, subsystem: str, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """Name of each device of a class to its folder; a device that has just gone is left out."""
    base = f"{CLASS}/{subsystem}"
    names = frozenset(value_or(files.list_directory(base), ())) - without
    links = {name: files.read_link(f"{base}/{name}") for name in sorted(names)}
    return {name: posixpath.normpath(f"{base}/{link}") for name, link in links.items() if isinstance(link, str)}


def _read_class(files: Files, subsystem: str) -> list[ClassDevice]:
    found = []
    for name, folder in _read_links(files, subsystem).items():
        address = last_address(folder)
        if address is not None:
            console = _has_console(files, subsystem, name, folder)
            found.append(ClassDevice(subsystem=subsystem, name=name, addresses=(address,), console=console))
    return found


def _read_netdevs_of_others(files: Files, pci: tuple[PciFunction, ...]) -> list[ClassDevice]:
    """The interfaces whose function is no NIC: those of adapters for USB. A NIC's own are told with the NIC."""
    if not _may_have_others(pci):
        return []
    told = frozenset(name for function in pci for name in value_or(function.netdevs, ()))
    return [
        ClassDevice(subsystem="net", name=name, addresses=(address,))
        for name, folder in _read_links(files, "net", told).items()
        if not re.search(_OF_A_NIC, folder) and (address := last_address(folder)) is not None
    ]


def _may_have_others(pci: tuple[PciFunction, ...]) -> bool:
    """Whether there is more than NICs and bridges: a host with a thousand NICs has as many links to be read.

    A bridge counts too where it is in the IOMMU group of a NIC, for then it matters what hangs on it.
    """
    kinds = {function.address: _base_class(function) for function in pci}
    groups = {f.iommu_group for f in pci if kinds[f.address] == _NETWORK_CONTROLLER and known(f.iommu_group)}
    harmless = {_NETWORK_CONTROLLER, _BRIDGE}
    return any(
        kinds[f.address] not in harmless or (kinds[f.address] == _BRIDGE and f.iommu_group in groups) for f in pci
    )


def _base_class(function: PciFunction) -> int | None:
    return function.class_code >> 16 if known(function.class_code) else None


def _has_console(files: Files, subsystem: str, name: str, folder: str) -> bool:
    """Whether a class device shows the host's console.

    A connector of a card (`card0-HDMI-A-1`) says `enabled`; a framebuffer shows when a console is bound to it.
    Serial ports with a console are named in /sys/class/tty/console/active (Documentation/ABI/testing/sysfs-tty).
    """
    if subsystem == "drm":
        return files.read_attribute(f"{folder}/enabled") == "enabled"
    if subsystem == "tty":
        return name in str(files.read_attribute(f"{CLASS}/tty/console/active")).split()
    if subsystem != "graphics":
        return False
    consoles = files.list_directory(f"{CLASS}/vtconsole")
    return any(
        files.read_attribute(f"{CLASS}/vtconsole/{name}/bind") == "1"
        and "frame buffer" in str(files.read_attribute(f"{CLASS}/vtconsole/{name}/name"))
        for name in (consoles if known(consoles) else ())
    )


def _read_inputs(files: Files) -> list[ClassDevice]:
    """Keyboards and mice from /proc/bus/input/devices: blocks of lines, of which N, S and H matter.

    A device that the kernel's sysrq handler has taken has an Alt key (drivers/tty/sysrq.c): a keyboard and no button.
    """
    text = files.read_text("/proc/bus/input/devices")
    found = []
    for block in text.split("\n\n") if isinstance(text, str) else ():
        fields = {line[:1]: line[2:].strip() for line in block.splitlines() if line[1:2] == ":"}
        handlers = fields.get("H", "").removeprefix("Handlers=").split()
        address = last_address(fields.get("S", "").removeprefix("Sysfs="))
        is_keyboard = "sysrq" in handlers
        if is_keyboard or (address is not None and any(each.startswith("mouse") for each in handlers)):
            found.append(
                ClassDevice(
                    subsystem="input",
                    name=fields.get("S", "").rsplit("/", 1)[-1],
                    addresses=(address,) if address else (),
                    label=fields.get("N", "").removeprefix("Name=").strip('"') or None,
                    keyboard=is_keyboard,
                )
            )
    return found


class _BlockDevices:
    """Disks and partitions, and how mounts and swap reach down to them."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.folders = _read_links(files, "block")
        self.numbers = {files.read_attribute(f"{folder}/dev"): name for name, folder in self.folders.items()}
        self.mounts: dict[str, set[str]] = defaultdict(set)
        self.swaps: set[str] = set()

    def read(self) -> list[ClassDevice]:
        self._read_mounts()
        self._read_swaps()
        self._share_btrfs()
        self._carry_down()
        found = []
        for name, folder in self.folders.items():
            addresses = self._addresses(folder)
            if addresses:
                mounts = tuple(sorted(self.mounts.get(name, ())))
                device = ClassDevice(subsystem="block", name=name, addresses=addresses, mounts=mounts)
                found.append(msgspec.structs.replace(device, swap=name in self.swaps))
        return found

    def _addresses(self, folder: str) -> tuple[Address, ...]:
        """The functions that carry a disk; with NVMe's own multipath, those of every controller on its way."""
        address = last_address(folder)
        if address is not None:
            return (address,)
        if "/nvme-subsystem/" not in folder:
            return ()
        subsystem = "/".join(folder.split("/")[: folder.split("/").index("nvme-subsystem") + 2])
        names = self.files.list_directory(subsystem)
        controllers = [name for name in (names if known(names) else ()) if re.fullmatch(_CONTROLLER, name)]
        links = [self.files.read_link(f"{subsystem}/{name}") for name in controllers]
        paths = [posixpath.normpath(f"{subsystem}/{link}") for link in links if isinstance(link, str)]
        return tuple(sorted({found for path in paths if (found := last_address(path)) is not None}))

    def _read_mounts(self) -> None:
        """Find mounts' devices by number, or where the file system has one of its own, as btrfs has, by source."""
        for mount in list_mounts(self.files):
            name = self.numbers.get(mount.device) or self._name_of(mount.source)
            if name is not None:
                self.mounts[name].add(mount.path)

    def _read_swaps(self) -> None:
        """Find the devices that are swap space; a swap file's disk is known by its mount already."""
        swaps = read_swaps(self.files)
        self.swaps |= {name for path in (swaps if known(swaps) else ()) if (name := self._name_of(path)) is not None}

    def _name_of(self, path: str) -> str | None:
        """The kernel's name of a device by its path: `/dev/sda1`, `/dev/mapper/vg-root`."""
        if not path.startswith("/dev/"):
            return None
        if path.startswith("/dev/mapper/"):
            return self._mapped().get(path[12:])
        name = path[5:].replace("/", "!")  # how sysfs writes it, such as cciss!c0d0
        return name if name in self.folders else None

    def _mapped(self) -> dict[str, str]:
        names = {self.files.read_attribute(f"{f}/dm/name"): n for n, f in self.folders.items() if n.startswith("dm-")}
        return {mapped: name for mapped, name in names.items() if isinstance(mapped, str)}

    def _share_btrfs(self) -> None:
        """Give each device of a btrfs all its mounts: it is mounted from one of them and stands on all of them."""
        systems = self.files.list_directory("/sys/fs/btrfs")
        for system in systems if known(systems) else ():
            members = self.files.list_directory(f"/sys/fs/btrfs/{system}/devices")
            names = [name for name in (members if known(members) else ()) if name in self.folders]
            mounts = set().union(*(self.mounts[name] for name in names)) or {f"btrfs {system}"}
            for name in names:
                self.mounts[name] |= mounts

    def _carry_down(self) -> None:
        """Carry use down to the devices below: device mapper and RAID name them in `slaves`; each is gone to once."""
        ahead = [*self.mounts, *self.swaps]
        reached: set[tuple[str, int, bool]] = set()
        while ahead:
            name = ahead.pop()
            state = (name, len(self.mounts.get(name, ())), name in self.swaps)
            if state in reached or name not in self.folders:
                continue
            reached.add(state)
            for lower in read_slaves(self.files, name):
                self.mounts[lower] |= self.mounts.get(name, set())
                self.swaps |= {lower} if name in self.swaps else set()
                ahead.append(lower)
