# SPDX-License-Identifier: Apache-2.0
"""Reads what administrators have a boot do with devices by scripts and the like: drivers given, VFs made.

Sources: rc.local of systemd-rc-local-generator(8) and of sysvinit; initramfs-tools(7), `scripts`; tmpfiles.d(5);
sysfsutils' sysfs.conf; interfaces(5), `pre-up`; OpenRC's local.d; systemd.unit(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.model.fact import Unknown, known
from nicpass.model.leftovers import BootLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files

_FILES = ("/etc/rc.local", "/etc/rc.d/rc.local", "/etc/sysfs.conf", "/etc/network/interfaces", "/etc/crontab")
_FOLDERS = (
    *(("/etc/sysfs.d", ""), ("/etc/tmpfiles.d", ".conf"), ("/etc/local.d", ".start"), ("/etc/cron.d", "")),
    *(("/etc/network/interfaces.d", ""), ("/etc/network/if-pre-up.d", ""), ("/etc/network/if-up.d", "")),
    ("/etc/systemd/system", ".service"),
)
_INITRAMFS = "/etc/initramfs-tools/scripts"
_OURS = "nicpass"
_LIMIT = 1 << 17  # bytes; such a script has a few hundred
# These two stay text: few hosts have such a file, and re keeps what it has made of them.
_GIVES = rb"sriov_numvfs|driver_override|vfio[-_]pci|/drivers/[^/\s]+/(?:new_id|bind)\b"
_DEVICE = r"\b[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]\b|(?<=class/net/)[^\s/$\"'*]+"


def read_boot_lines(files: Files, unread: list[str]) -> Iterator[BootLine]:
    """The lines that matter, of all such files that are there; why a file could not be read is added to `unread`."""
    for path in _paths(files, unread):
        content = files.read_bytes(path, _LIMIT)
        if isinstance(content, Unknown):
            unread.append(content.unknown)
        elif content is not None and re.search(_GIVES, content):
            yield from parse_lines(path, content.decode("utf-8", "backslashreplace"))


def parse_lines(path: str, text: str) -> Iterator[BootLine]:
    """The lines of a file that give a driver or VFs, without comments."""
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    devices = tuple(dict.fromkeys(found[0].lower() for line in lines for found in re.finditer(_DEVICE, line)))
    for line in lines:
        if re.search(_GIVES, line.encode()):
            yield BootLine(path=path, text=line, devices=devices)


def _paths(files: Files, unread: list[str]) -> Iterator[str]:
    yield from (path for path in _FILES if files.exists(path))
    folders = [*_FOLDERS]
    if files.exists(_INITRAMFS):
        folders += [(f"{_INITRAMFS}/{name}", "") for name in _names(files, _INITRAMFS, unread)]
    for folder, end in folders:
        for name in _names(files, folder, unread) if files.exists(folder) else ():
            path = f"{folder}/{name}"
            # A link is how a package's unit is enabled or masked.
            if name.endswith(end) and _OURS not in name and not known(files.read_link(path)):
                yield path


def _names(files: Files, folder: str, unread: list[str]) -> list[str]:
    names = files.list_directory(folder)
    if isinstance(names, Unknown):
        unread.append(names.unknown)
    return sorted(names) if known(names) else []
