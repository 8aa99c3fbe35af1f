# SPDX-License-Identifier: Apache-2.0
"""Storage on other machines, and what of this host stands on it: mounts, the root file system, swap space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.system.block import base_disks, device_name
from nicpass.host.system.mounts import read_mounts, read_swaps
from nicpass.host.use.disks import read_network_disks
from nicpass.host.use.network_mounts import ips_in, network_mounts
from nicpass.model.activity import NetworkStorage
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files
    from nicpass.host.system.mounts import Mount
    from nicpass.host.use.connections import Connections
    from nicpass.host.use.holders import Descriptors


def read_storage(
    files: Files, connections: Fact[Connections], descriptors: Descriptors
) -> Fact[tuple[NetworkStorage, ...]]:
    """All storage on other machines; unknown when the mounts or the swap space are."""
    mounts = read_mounts(files)
    if not isinstance(mounts, tuple):
        return mounts
    swaps = read_swaps(files)
    if isinstance(swaps, Unknown):
        return swaps
    disks = read_network_disks(files, connections, descriptors)
    remote = [_with_swap_files(storage, swaps) for storage in network_mounts(mounts)]
    found = [*remote, *_used_disks(files, disks, mounts, swaps)]
    if not any(storage.root for storage in found):
        found += _root_of_cmdline(files)
    return tuple(found)


def _with_swap_files(storage: NetworkStorage, swaps: tuple[str, ...]) -> NetworkStorage:
    folders = tuple(f"{path.rstrip('/')}/" for path in storage.mounts if path != "/")
    return msgspec.structs.replace(storage, swap=bool(folders) and any(path.startswith(folders) for path in swaps))


def _used_disks(
    files: Files, disks: dict[str, NetworkStorage], mounts: tuple[Mount, ...], swaps: tuple[str, ...]
) -> Iterator[NetworkStorage]:
    if not disks:
        return
    mounted: dict[str, list[str]] = {}
    for mount in mounts:
        if not mount.device.startswith("0:"):
            mounted.setdefault(mount.device, []).append(mount.path)
    places: dict[str, list[str]] = {}
    for number, paths in mounted.items():
        for base in base_disks(files, device_name(files, number) or ""):
            places.setdefault(base, []).extend(paths)
    swapped = {base for path in swaps for base in base_disks(files, path.rsplit("/", 1)[-1])}
    for name, disk in disks.items():
        paths = places.get(name, [])
        yield msgspec.structs.replace(disk, mounts=tuple(paths), root="/" in paths, swap=name in swapped)


def _root_of_cmdline(files: Files) -> Iterator[NetworkStorage]:
    """The root by the kernel's arguments (nfsroot.rst, dracut.cmdline(7)), where mounts hide it behind an overlay."""
    text = files.read_text("/proc/cmdline")
    for word in text.split() if isinstance(text, str) else ():
        name, _, value = word.partition("=")
        kind = value.partition(":")[0]
        # The part before an @ is a user's name and password, and no concern of anybody's.
        if name == "nfsroot" or (name == "root" and kind in ("/dev/nfs", "nfs", "nfs4")):
            yield NetworkStorage(kind="nfs", source=value.rpartition("@")[2], servers=ips_in(value), root=True)
        elif name == "netroot" or (name == "root" and kind in ("iscsi", "nbd", "nvmf")):
            yield NetworkStorage(kind=kind, source=value.rpartition("@")[2], servers=ips_in(value), root=True)
