# SPDX-License-Identifier: Apache-2.0
"""RDMA devices, clocks and userspace devices, and the PCI function to which each belongs.

A class's entry in sysfs is a link into the tree of devices; the last PCI address on that path is its function.
Source: Documentation/ABI/stable/sysfs-class-infiniband, testing/sysfs-ptp, driver-api/uio-howto.rst, vfio.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nicpass.model.activity import FunctionDevice
from nicpass.model.address import Address, is_netdev_name, last_address
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files

_Kind = Literal["rdma", "ptp", "uio", "vfio"]
_CLASSES: tuple[tuple[_Kind, str, str], ...] = (
    ("rdma", "/sys/class/infiniband", ""),
    ("ptp", "/sys/class/ptp", "/dev/{}"),
    ("uio", "/sys/class/uio", "/dev/{}"),
    ("vfio", "/sys/class/vfio-dev", "/dev/vfio/devices/{}"),
)
_VERBS = "/sys/class/infiniband_verbs"


def read_devices(files: Files) -> Fact[tuple[FunctionDevice, ...]]:
    """All RDMA devices, clocks and userspace devices of functions; a class that the kernel does not have has none."""
    if not files.exists("/sys/class"):
        return Unknown("not captured: /sys/class")
    found: list[FunctionDevice] = []
    verbs = _verbs_nodes(files)
    for kind, folder, node in _CLASSES:
        names = files.list_directory(folder)
        if isinstance(names, Unknown):
            return names
        for name in sorted(names or ()):
            address = function_of(files, f"{folder}/{name}") or _function_below(files, f"{folder}/{name}")
            if address is not None:
                nodes = verbs.get(name, ()) if kind == "rdma" else (node.format(name),)
                found.append(FunctionDevice(kind=kind, name=name, address=address, nodes=nodes))
    return tuple(found)


def function_of(files: Files, path: str) -> Address | None:
    """The last PCI address on the way that a link in a class leads; None for one that is no part of a PCI device."""
    target = files.read_link(path)
    if not isinstance(target, str):
        return None
    return last_address(target)


def _function_below(files: Files, path: str) -> Address | None:
    """The function below an RDMA device in software (rxe): `parent` names the interface that it stands on."""
    netdev = files.read_attribute(f"{path}/parent")
    return (
        function_of(files, f"/sys/class/net/{netdev}") if isinstance(netdev, str) and is_netdev_name(netdev) else None
    )


def _verbs_nodes(files: Files) -> dict[str, tuple[str, ...]]:
    """Name of an RDMA device to its device files: `uverbs0/ibdev` holds that name."""
    nodes: dict[str, tuple[str, ...]] = {}
    for name, device in _verbs(files):
        nodes[device] = (*nodes.get(device, ()), f"/dev/infiniband/{name}")
    return nodes


def _verbs(files: Files) -> Iterator[tuple[str, str]]:
    names = files.list_directory(_VERBS)
    for name in sorted(names) if isinstance(names, tuple) else ():
        device = files.read_attribute(f"{_VERBS}/{name}/ibdev")
        if isinstance(device, str):
            yield name, device
