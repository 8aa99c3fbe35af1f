# SPDX-License-Identifier: Apache-2.0
"""Reads who may open the nodes below /dev/vfio, through which a device given away is driven.

Source: Documentation/driver-api/vfio.rst of the kernel, "VFIO Usage Example" and "VFIO device cdev".
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from nicpass.model.access import DeviceNode
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

_FOLDER = "/dev/vfio"
_DEVICES = f"{_FOLDER}/devices"


def read_vfio_nodes(files: Files) -> Fact[tuple[DeviceNode, ...]]:
    """Every node, groups and single devices, in the order of their paths; None where VFIO is not in use."""
    groups, devices = files.list_directory(_FOLDER), files.list_directory(_DEVICES)
    if not isinstance(groups, tuple):
        return groups if isinstance(groups, Unknown) or files.exists("/dev") else Unknown(f"not captured: {_FOLDER}")
    if isinstance(devices, Unknown):
        return devices
    paths = [f"{_FOLDER}/{name}" for name in groups if name != "devices"]
    paths += [f"{_DEVICES}/{name}" for name in devices or ()]
    users, members = _read_names(files, "/etc/passwd"), _read_names(files, "/etc/group")
    nodes = []
    for path in sorted(paths):
        status = files.read_status(path)
        if isinstance(status, Unknown):
            return status
        if status is not None:  # else it has gone since it was listed
            nodes.append(
                DeviceNode(
                    path=path,
                    is_device=stat.S_ISCHR(status.st_mode),
                    mode=stat.S_IMODE(status.st_mode),
                    uid=status.st_uid,
                    gid=status.st_gid,
                    user=users.get(status.st_uid),
                    group=members.get(status.st_gid),
                )
            )
    return tuple(nodes)


def _read_names(files: Files, path: str) -> dict[int, str]:
    """Number to name, from /etc/passwd or /etc/group (passwd(5), group(5)); the first line of a number holds."""
    text = files.read_text(path)
    names: dict[int, str] = {}
    for line in text.splitlines() if isinstance(text, str) else ():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10:
            names.setdefault(int(fields[2]), fields[0])
    return names
