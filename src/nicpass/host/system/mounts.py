# SPDX-License-Identifier: Apache-2.0
"""Mounts, and the devices and files that are swap space. Source: proc_pid_mountinfo(5), proc_swaps(5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

MOUNTINFO = "/proc/self/mountinfo"
SWAPS = "/proc/swaps"
_ESCAPE = r"\\([0-7]{3})"  # blanks, tabs, newlines and backslashes are written in octal


class Mount(msgspec.Struct, frozen=True):
    """One line of mountinfo."""

    device: str
    """The device's number: `8:1`; `0:45` where no disk is below."""
    path: str
    kind: str
    source: str
    options: str
    """The options of the file system, which all its mounts share."""
    own_options: str = ""
    """The options of this mount alone: `rw,noatime`."""
    root: str = "/"
    """The part of the file system that is mounted; of nsfs a namespace, `net:[4026532]`."""


def read_mounts(files: Files) -> Fact[tuple[Mount, ...]]:
    """Every mount of this mount namespace, in the order of mounting; unknown where one line is not understood."""
    text = files.read_text(MOUNTINFO)
    if not isinstance(text, str):
        return text or Unknown(f"not captured: {MOUNTINFO}")
    mounts = [_parse_mount(line) for line in text.splitlines()]
    if None in mounts:
        return Unknown(f"a line that is no mount: {MOUNTINFO}")
    return tuple(mount for mount in mounts if mount is not None)


def list_mounts(files: Files) -> tuple[Mount, ...]:
    """The mounts whose lines are read and understood, for callers that only add to what is known by other ways."""
    text = files.read_text(MOUNTINFO)
    mounts = (_parse_mount(line) for line in text.splitlines()) if isinstance(text, str) else ()
    return tuple(mount for mount in mounts if mount is not None)


def read_swaps(files: Files) -> tuple[str, ...] | Unknown:
    """Paths of swap partitions and files; a kernel without swap has no such table."""
    text = files.read_text(SWAPS)
    if isinstance(text, Unknown):
        return text
    return tuple(_unescape(line.split()[0]) for line in (text or "").splitlines()[1:] if line.split())


def _parse_mount(line: str) -> Mount | None:
    """The line `36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/root rw`; any number of fields before the dash."""
    before, dash, after = line.partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not dash or len(left) < 6 or len(right) < 2:
        return None
    options = right[2] if len(right) > 2 else ""
    return Mount(left[2], _unescape(left[4]), right[0], _unescape(right[1]), options, left[5], left[3])


def _unescape(text: str) -> str:
    return re.sub(_ESCAPE, lambda match: chr(int(match[1], 8)), text) if "\\" in text else text
