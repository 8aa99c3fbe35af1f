# SPDX-License-Identifier: Apache-2.0
"""RDMA devices, clocks, userspace devices, vDPA and subfunctions, and the PCI function to which each belongs.

A class's entry in sysfs is a link into the tree of devices; the last PCI address on that path is its function.
Source: Documentation/ABI/stable/sysfs-class-infiniband, testing/sysfs-ptp, testing/sysfs-bus-vdpa,
driver-api/uio-howto.rst, vfio.rst, networking/devlink/devlink-port.rst; drivers/vhost/vdpa.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nicpass.model.activity import FunctionDevice
from nicpass.model.address import Address, is_netdev_name, last_address
from nicpass.model.fact import Fact, Unknown, value_or

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files

_Kind = Literal["rdma", "ptp", "uio", "vfio", "vdpa", "sf"]
_CLASSES: tuple[tuple[_Kind, str, str], ...] = (
    ("rdma", "/sys/class/infiniband", ""),
    ("ptp", "/sys/class/ptp", "/dev/{}"),
    ("uio", "/sys/class/uio", "/dev/{}"),
    ("vfio", "/sys/class/vfio-dev", "/dev/vfio/devices/{}"),
)
_NESTED: tuple[tuple[_Kind, str, str], ...] = (
    ("vdpa", "/sys/bus/vdpa/devices", ""),
    ("sf", "/sys/bus/auxiliary/devices", ".sf."),
)
"""Kind, folder, and what is in the names of these."""
_VHOST = "vhost-vdpa-"
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
    for kind, folder, part in _NESTED:
        names = files.list_directory(folder)
        if isinstance(names, Unknown):
            return names
        made = (_nested(files, kind, f"{folder}/{name}") for name in sorted(names or ()) if part in name)
        found += [device for device in made if device is not None]
    return tuple(found)


def _nested(files: Files, kind: _Kind, path: str) -> FunctionDevice | None:
    """A device with devices of its own: what QEMU opens of vDPA, the interfaces of a subfunction.

    vDPA that virtio_vdpa drives has its interfaces below `virtioN`.
    """
    address = function_of(files, path)
    if address is None:
        return None
    inside = value_or(files.list_directory(path), ())
    homes = [path, *(f"{path}/{name}" for name in inside if name.startswith("virtio"))]
    netdevs = {name for home in homes for name in value_or(files.list_directory(f"{home}/net"), ())}
    return FunctionDevice(
        kind=kind,
        name=path.rsplit("/", 1)[-1],
        address=address,
        nodes=tuple(f"/dev/{name}" for name in sorted(inside) if name.startswith(_VHOST)),
        netdevs=tuple(sorted(netdevs)),
    )


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
