# SPDX-License-Identifier: Apache-2.0
"""Reads one file that decides about the boot, with what it takes to write it anew."""

from __future__ import annotations

import posixpath
import stat
from typing import TYPE_CHECKING

from nicpass.model.boot import BootFile
from nicpass.model.fact import Unknown, known

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

_LARGEST = 1 << 20  # bytes; files that people write have a few hundred
_MOST_LINKS = 8


def read_boot_file(files: Files, path: str) -> BootFile | None:
    """The file at `path`, a link followed; None where there is none. One larger than 1 MiB is unknown."""
    content = files.read_bytes(path, _LARGEST + 1)
    if content is None:
        return None
    if isinstance(content, bytes) and len(content) > _LARGEST:
        content = Unknown(f"larger than {_LARGEST >> 20} MiB: {path}")
    status = files.read_status(path)
    target = _follow(files, path)
    return BootFile(
        path=path,
        content=content,
        mode=stat.S_IMODE(status.st_mode) if known(status) else 0o644,
        target=target if target != path else None,
    )


def list_names(files: Files, folder: str) -> tuple[str, ...]:
    """The names in a folder; none where it is absent or cannot be read, which its files will tell."""
    names = files.list_directory(folder)
    return names if known(names) else ()


def _follow(files: Files, path: str) -> str:
    for _ in range(_MOST_LINKS):
        link = files.read_link(path)
        if not isinstance(link, str):
            break
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return path
