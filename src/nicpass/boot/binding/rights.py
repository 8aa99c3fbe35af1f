# SPDX-License-Identifier: Apache-2.0
"""Plans who may use VFIO, which modules it needs, and that network managers leave NICs alone that are given away.

Sources: modules-load.d(5); udev(7); NetworkManager.conf(5), `unmanaged-devices`; systemd.network(5),
`PermanentMACAddress=` and `Unmanaged=`. No file takes effect at once: a NIC stays to the host what it is until the
reboot. Only a file that is taken away makes the managers look again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nicpass.boot.text.own_files import change_files
from nicpass.model.boot import BootChange, Generator
from nicpass.model.file_image import FileImage, Folder, RegularFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.boot.text.own_files import Images

MODULES_LOAD: Final = "/etc/modules-load.d/nicpass.conf"
UDEV_RULE: Final = "/etc/udev/rules.d/70-nicpass.rules"
# NetworkManager's list is appended to those of other files, so the file sorts after them; the first .network file that
# matches counts, so networkd's sorts before the others.
NETWORK_MANAGER: Final = "/etc/NetworkManager/conf.d/zz-nicpass.conf"
NETWORKD: Final = "/etc/systemd/network/00-nicpass.network"

_OURS = (MODULES_LOAD, UDEV_RULE, NETWORK_MANAGER, NETWORKD)
_NM_FOLDER = "/etc/NetworkManager/conf.d"
_NETWORKD_SIGNS = (
    "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
    "/sys/fs/cgroup/system.slice/systemd-networkd.service",
)
"""Paths that exist where systemd-networkd is enabled, or runs."""
PLACES: Final = (*_OURS, *(path.rpartition("/")[0] for path in _OURS), *_NETWORKD_SIGNS)
"""Every path of which `plan_rights` wants to know the image."""

_HEAD = "# Put here by nicpass prepare; nicpass prepare --remove takes it away.\n"
_GROUP = r"[a-zA-Z_][a-zA-Z0-9_.-]{0,30}"  # useradd(8) allows less, directory services allow more
_RELOAD = {
    NETWORK_MANAGER: Generator(argv=("systemctl", "try-reload-or-restart", "NetworkManager.service")),
    NETWORKD: Generator(argv=("systemctl", "try-reload-or-restart", "systemd-networkd.service")),
    UDEV_RULE: Generator(argv=("udevadm", "control", "--reload")),
}


def is_group_name(text: str) -> bool:
    """Whether a udev rule can name a group `text`; whether there is such a group is another question."""
    return re.fullmatch(_GROUP, text) is not None


def plan_rights(now: Images, macs: Iterable[str] = (), group: str | None = None) -> BootChange:
    """The change to a host that loads VFIO at boot, and whose managers leave the NICs with these permanent MACs alone.

    `now` is as `read_places` has it. With `group`, its members may open the nodes of all devices that VFIO has; without
    one, an existing rule of ours goes.

    Raises:
        ValueError: `group` or a MAC cannot be written into a rule.
    """
    wanted = sorted(set(macs))
    if group is not None and not is_group_name(group):
        raise ValueError(f"no name of a group: {group!r}")
    if bad := [mac for mac in wanted if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac)]:
        raise ValueError(f"no MAC: {bad[0]!r}")
    desired: dict[str, FileImage] = {MODULES_LOAD: _file("vfio-pci\nvfio_iommu_type1\n")}
    if group is not None:
        # The subsystem of /dev/vfio/GROUP and of /dev/vfio/devices/vfioN. /dev/vfio/vfio is open to all: it gives
        # nobody a device.
        rule = f'SUBSYSTEM=="vfio", GROUP="{group}", MODE="0660"\nSUBSYSTEM=="vfio-dev", GROUP="{group}", MODE="0660"\n'
        desired[UDEV_RULE] = _file(rule)
    if wanted and isinstance(now.get(_NM_FOLDER), Folder):
        devices = ";".join(f"mac:{mac}" for mac in wanted)
        desired[NETWORK_MANAGER] = _file(f"[keyfile]\nunmanaged-devices+={devices}\n")
    if wanted and any(now.get(sign) is not None for sign in _NETWORKD_SIGNS):
        match = f"[Match]\nPermanentMACAddress={' '.join(wanted)}\n"
        desired[NETWORKD] = _file(f"{match}\n[Link]\nUnmanaged=yes\n")
    return _change(now, _with_folders(now, desired))


def plan_rights_removal(now: Images) -> BootChange:
    """The change that removes all files of `plan_rights`; empty where none of them is there."""
    return _change(now, {})


def _file(text: str) -> RegularFile:
    return RegularFile((_HEAD + text).encode())


def _with_folders(now: Images, desired: dict[str, FileImage]) -> dict[str, FileImage]:
    """`desired` with the folders that are missing above it, readable for those who look there."""
    folders: dict[str, FileImage] = {path.rpartition("/")[0]: Folder(0o755) for path in desired}
    return {path: folder for path, folder in folders.items() if now.get(path) is None} | desired


def _change(now: Images, desired: dict[str, FileImage]) -> BootChange:
    files = change_files(now, desired, lambda path: path in _OURS)
    taken = [change.path for change in files if change.after is None]
    return BootChange(files=files, generators=tuple(_RELOAD[path] for path in _RELOAD if path in taken))
