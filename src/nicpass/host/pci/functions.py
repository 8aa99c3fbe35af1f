# SPDX-License-Identifier: Apache-2.0
"""Reads PCI functions from sysfs. Source: Documentation/ABI/testing/sysfs-bus-pci of the kernel.

One listing of a function's folder tells which attributes exist, and `uevent` holds six of them in one
read; so a function costs four reads and as many links, and a host with a thousand is read in a tenth of a second.
Network controllers, and what they depend on, are read closer: `pci/details.py` says how.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nicpass.host.pci.details import needing_details, read_details
from nicpass.model.address import Address, parse_address, split_address
from nicpass.model.fact import Fact, Unknown, known, why_unknown
from nicpass.model.pci import PciFunction, Representor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nicpass.host.doors.files import Files

DEVICES = "/sys/bus/pci/devices"

_DIGITS_OF_VF = 5  # its number has 16 bits (linux/pci_regs.h: PCI_SRIOV_NUM_VF)
# devlink_port_phys_port_name_get() in net/devlink/port.c: the other end of a PF, VF or subfunction; `p0` is the card's
# own port. `hpf` is older mlx5's word for the PF of the host that a card serves.
_REPRESENTOR = r"(?:c[0-9]+)?pf[0-9]+(?:vf[0-9]+|sf[0-9]+|hpf)"
_IDENTIFIERS = ("PCI_CLASS", "PCI_ID", "PCI_SUBSYS_ID")
"""The keys in `uevent`; the latter two have an id of the vendor and one of the device."""
_ATTRIBUTES = {
    "class_code": "class",
    "vendor_id": "vendor",
    "device_id": "device",
    "subsystem_vendor_id": "subsystem_vendor",
    "subsystem_device_id": "subsystem_device",
}
"""The same as fields of a PciFunction, and the attribute of each."""
_NAMES_OF_A_VF = frozenset(
    {*_ATTRIBUTES.values(), "driver", "driver_override", "infiniband", "iommu_group", "net", "numa_node", "physfn"}
    | {"reset", "reset_method", "uevent"}
)
"""What a VF may have of all that is read of a function: no VFs of its own, and no label by the firmware."""
_NETWORK_CONTROLLER = 0x02  # base class, PCI Code and ID Assignment Specification, 1.3
_VIRTIO = 0x1AF4  # its vendor's id (Virtual I/O Device 1.2, 4.1.2)
_NO_OVERRIDE = "(null)"  # how the kernel writes an override that is not set


def read_pci(files: Files) -> tuple[PciFunction, ...]:
    """All functions, in the order of their addresses. No PCI bus at all gives an empty tuple."""
    names = files.list_directory(DEVICES)
    return read_functions(files, (a for name in (names if known(names) else ()) if (a := parse_address(name))))


def read_functions(files: Files, addresses: Iterable[Address]) -> tuple[PciFunction, ...]:
    """These functions, in the order of their addresses, with the details of NICs and of what they depend on."""
    readers: list[_Attributes] = []
    fields: list[dict[str, Any]] = []
    vfs: set[Address] = set()
    for address in sorted(addresses, key=split_address):
        readers.append(_Attributes(files, address, is_vf=address in vfs))
        fields.append(_read_fields(readers[-1]))
        vfs.update(fields[-1].get("virtfns", ()))  # a VF comes after its PF: First VF Offset is no less than 1
    wanted = needing_details(fields)
    for reader, found in zip(readers, fields, strict=True):
        if reader.address in wanted:
            found |= read_details(reader)
    return tuple(PciFunction(**found) for found in fields)


def why_pci_unread(files: Files, functions: tuple[PciFunction, ...]) -> str | None:
    """Why functions may be missing: a bus that cannot be listed, or functions that do not tell what they are."""
    names = files.list_directory(DEVICES) if not functions else ()
    if isinstance(names, Unknown):
        return names.unknown
    if names is None and not files.is_live:  # a running machine without this folder has no PCI
        return f"not captured: {DEVICES}"
    silent = [function for function in functions if not known(function.class_code)]
    if not silent:
        return None
    first = why_unknown(silent[0].class_code) or f"absent: {DEVICES}/{silent[0].address}/class"
    return first if len(silent) == 1 else f"{first}, and {len(silent) - 1} more"


def read_function(files: Files, address: Address) -> PciFunction:
    """One function, without its details; an attribute that its folder lacks is None, an unreadable one Unknown."""
    return PciFunction(**_read_fields(_Attributes(files, address)))


def _read_fields(reader: _Attributes) -> dict[str, Any]:
    """The fields of a PciFunction that are read of every function, and that it may have."""
    common = {
        "address": reader.address,
        **reader.identifiers(),
        "driver": reader.driver(),
        "driver_override": reader.driver_override(),
        "bridge": parse_address(reader.folder.rsplit("/", 2)[-2]),
        "iommu_group": reader.iommu_group(),
        "numa_node": reader.numa_node(),
        "reset_methods": reader.reset_methods(),
        "physfn": reader.physfn(),
        **reader.network(),
        "rdma": reader.rdma(),
    }
    if not reader.is_listed:
        return common
    return common | {
        "totalvfs": reader.number("sriov_totalvfs"),
        "numvfs": reader.number("sriov_numvfs"),
        "vf_autoprobe": reader.flag("sriov_drivers_autoprobe"),
        **reader.virtfns(),
        "board_label": reader.text("label") if "label" in reader.names else None,
        "block_devices": reader.block_devices(),
    }


class _Attributes:
    """One function's folder: its listing and its `uevent`, read once.

    To list a folder takes as long as to look for four attributes that are not there, and of a network controller that
    is a VF, as its PF says, it is known which may be: these are looked for without a listing.
    """

    def __init__(self, files: Files, address: Address, *, is_vf: bool = False) -> None:
        self.files = files
        self.address = address
        link = files.read_link(f"{DEVICES}/{address}")
        # Where the folder really lies is its place in the tree; reading there spares the kernel the link.
        self.folder = _resolve(link) if isinstance(link, str) else f"{DEVICES}/{address}"
        self.names: frozenset[str] = _NAMES_OF_A_VF
        self.unlisted: Unknown | None = None
        self.is_listed = False
        if is_vf:
            self._read_uevent()
        if not is_vf or not _is_plain(self.told):
            self._list()
            self._read_uevent()

    def _list(self) -> None:
        listing = self.files.list_directory(self.folder)
        self.unlisted = listing if isinstance(listing, Unknown) else None
        self.names = frozenset(listing if isinstance(listing, tuple) else ())
        self.is_listed = True
        # The few names with a number in them, sought once: `virtfn7` of a PF, `virtio3` of a virtio function.
        self.numbered = [name for name in self.names if name[:4] == "virt"]

    def _read_uevent(self) -> None:
        self.uevent = _parse_uevent(self.text("uevent"))
        self.told = _parse_identifiers(*map(self.uevent.get, _IDENTIFIERS))

    # An attribute that is not among the names is absent without a further look.

    def text(self, name: str) -> Fact[str]:
        return self.files.read_attribute(f"{self.folder}/{name}") if name in self.names else self.unlisted

    def number(self, name: str) -> Fact[int]:
        return self.files.read_int(f"{self.folder}/{name}") if name in self.names else self.unlisted

    def flag(self, name: str) -> Fact[bool]:
        value = self.number(name)
        return bool(value) if isinstance(value, int) else value

    def link(self, name: str) -> Fact[str]:
        """The last part of a link's target."""
        if name not in self.names:
            return self.unlisted
        target = self.files.read_link(f"{self.folder}/{name}")
        return target.rsplit("/", 1)[-1] if isinstance(target, str) else target

    def identifiers(self) -> Mapping[str, Fact[int]]:
        """What the function is: by `uevent`, or by an id's own attribute where uevent lacks it."""
        if len(self.told) == len(_ATTRIBUTES):
            return self.told
        return {f: self.told[f] if f in self.told else self.number(name) for f, name in _ATTRIBUTES.items()}

    def driver(self) -> Fact[str]:
        if (driver := self.uevent.get("DRIVER")) is not None:
            return driver
        return self.link("driver")

    def driver_override(self) -> Fact[str]:
        override = self.text("driver_override")
        return None if override in (_NO_OVERRIDE, "") else override

    def iommu_group(self) -> Fact[int]:
        group = self.link("iommu_group")
        if not isinstance(group, str):
            return group
        return int(group) if group.isdecimal() else Unknown(f"not a number: {self.folder}/iommu_group")

    def numa_node(self) -> Fact[int]:
        """The node; -1, the kernel's word for a machine without nodes, is None."""
        node = self.number("numa_node")
        return None if node == -1 else node

    def reset_methods(self) -> Fact[tuple[str, ...]]:
        """Reset methods: since Linux 5.15 `reset_method` lists them; before, `reset` only tells that there is one."""
        methods = self.text("reset_method")
        if isinstance(methods, str):
            return tuple(methods.split())
        if methods is None and "reset" in self.names and self.files.exists(f"{self.folder}/reset"):
            return Unknown(f"the kernel does not say which: {self.folder}/reset_method")
        return methods

    def physfn(self) -> Fact[Address]:
        name = self.link("physfn")
        if not isinstance(name, str):
            return name
        return parse_address(name) or Unknown(f"not a PCI address: {self.folder}/physfn")

    def virtfns(self) -> dict[str, object]:
        """`virtfns` and `virtfn_indices`: the VF's index is the number in the link's name."""
        if not self.numbered:
            return {}
        found: list[tuple[int, Address]] = []
        numbers = [name[6:] for name in self.numbered if name.startswith("virtfn")]
        for index in sorted(int(n) for n in numbers if n.isascii() and n.isdecimal() and len(n) <= _DIGITS_OF_VF):
            link = self.link(f"virtfn{index}")
            if isinstance(link, str) and (address := parse_address(link)) is not None:
                found.append((index, address))
        indices = tuple(index for index, _ in found)
        plain = indices == tuple(range(len(indices)))
        return {"virtfns": tuple(address for _, address in found), "virtfn_indices": None if plain else indices}

    def network(self) -> dict[str, object]:
        """`netdevs` and `representors`; a function with one interface has none to tell apart."""
        found = self._netdevs()
        if not known(found) or len(found) < 2:
            return {"netdevs": found}
        ports = {name: self.files.read_attribute(f"{self.folder}/net/{name}/phys_port_name") for name in found}
        representors = tuple(
            Representor(netdev=name, port=port)
            for name, port in ports.items()
            if isinstance(port, str) and re.fullmatch(_REPRESENTOR, port)
        )
        others = {representor.netdev for representor in representors}
        return {"netdevs": tuple(name for name in found if name not in others), "representors": representors}

    def _netdevs(self) -> Fact[tuple[str, ...]]:
        """The interfaces, by the names in `net/`; virtio puts them one folder lower, below `virtioN`."""
        if "net" in self.names:
            found = self.files.list_directory(f"{self.folder}/net")
            return tuple(sorted(found)) if known(found) else found
        for name in self._virtio_devices() if self.is_listed else ():
            found = self.files.list_directory(f"{self.folder}/{name}/net")
            return tuple(sorted(found)) if known(found) else found
        return self.unlisted

    def rdma(self) -> Fact[tuple[str, ...]]:
        """Names in `infiniband/`: the folder stays when its devices are in another network namespace."""
        folder = f"{self.folder}/infiniband"
        if "infiniband" not in self.names or not (self.is_listed or self.files.exists(folder)):
            return None
        found = self.files.list_directory(folder)
        return tuple(sorted(found)) if known(found) else found

    def _virtio_devices(self) -> list[str]:
        return [name for name in self.numbered if name.startswith("virtio") and name[6:].isdecimal()]

    def block_devices(self) -> tuple[str, ...]:
        """Names of disks right below the function: NVMe namespaces and virtio disks; SCSI lies deeper."""
        names: list[str] = []
        for parent in self._storage_folders():
            children = self.files.list_directory(parent)
            names += [child for child in (children if known(children) else ()) if _is_disk(child)]
        return tuple(sorted(names))

    def _storage_folders(self) -> list[str]:
        folders: list[str] = []
        if "nvme" in self.names:
            controllers = self.files.list_directory(f"{self.folder}/nvme")
            folders += [f"{self.folder}/nvme/{name}" for name in (controllers if known(controllers) else ())]
        return folders + [f"{self.folder}/{name}/block" for name in self._virtio_devices()]


def _resolve(link: str) -> str:
    """The path that a link in DEVICES leads to: the kernel's begin with `../../../devices/`, that is /sys/devices/."""
    return f"/sys/{link[9:]}" if link.startswith("../../../devices/") else posixpath.normpath(f"{DEVICES}/{link}")


def _is_disk(name: str) -> bool:
    return name.startswith(("vd", "sd")) or (name.startswith("nvme") and "n" in name[4:])


@lru_cache(maxsize=256)  # a thousand functions are of a few kinds
def _parse_identifiers(kind: str | None, ids: str | None, subsystem: str | None) -> dict[str, int]:
    """The fields that can be told by the values of `_IDENTIFIERS`, hexadecimal as in `8086:10C9`."""
    words = (kind, *_pair(ids), *_pair(subsystem))
    found = {}
    for field, word in zip(_ATTRIBUTES, words, strict=True):
        with contextlib.suppress(ValueError):
            found[field] = int(word or "", 16)
    return found


def _pair(text: str | None) -> tuple[str, str]:
    first, _, second = (text or "").partition(":")
    return first, second


def _is_plain(ids: Mapping[str, int]) -> bool:
    """Whether it is a network controller without devices below it that have a number: only virtio's have."""
    return ids.get("class_code", 0) >> 16 == _NETWORK_CONTROLLER and ids.get("vendor_id", _VIRTIO) != _VIRTIO


def _parse_uevent(text: Fact[str]) -> dict[str, str]:
    if not isinstance(text, str):
        return {}
    return dict([line.split("=", 1) for line in text.splitlines() if "=" in line])
