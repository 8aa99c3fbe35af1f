# SPDX-License-Identifier: Apache-2.0
"""Block devices and what they stand on. Source: Documentation/ABI/testing/sysfs-block, sysfs-rules.rst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import known

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

BLOCK = "/sys/class/block"
_MAX_DEPTH = 32  # of device mapper on device mapper


def read_slaves(files: Files, name: str) -> tuple[str, ...]:
    """The devices on which a device of device mapper or RAID stands; none for all other devices."""
    names = files.list_directory(f"{BLOCK}/{name}/slaves")
    return tuple(sorted(names)) if known(names) else ()


def base_disks(files: Files, name: str, depth: int = 0) -> set[str]:
    """The disks below a block device: a partition's own, and by device mapper or RAID several."""
    target = files.read_link(f"{BLOCK}/{name}")
    if isinstance(target, str):
        parts = target.split("/")
        if len(parts) > 1 and files.exists(f"{BLOCK}/{parts[-2]}"):
            name = parts[-2]  # a partition lies in its disk's folder
    slaves = read_slaves(files, name)
    if not slaves or depth >= _MAX_DEPTH:
        return {name}
    return {disk for slave in slaves for disk in base_disks(files, slave, depth + 1)}


def device_name(files: Files, number: str) -> str | None:
    """The name of the block device of this number: `sda1` for `8:1`."""
    target = files.read_link(f"/sys/dev/block/{number}")
    return target.rsplit("/", 1)[-1] if isinstance(target, str) else None
