# SPDX-License-Identifier: Apache-2.0
"""Reads a folder of nicpass's own files, each of which stands for one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nicpass.model.binding import DamagedFile
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.host.doors.files import Files

T = TypeVar("T")

_LIMIT = 1 << 22
"""Bytes of one file: what describes the most VFs that a PF can have."""


def read_folder(
    files: Files, folder: str, suffix: str, parse: Callable[[str, bytes], T | DamagedFile], damaged: list[DamagedFile]
) -> Fact[tuple[T, ...]]:
    """The files of a folder that `parse` understands, others go to `damaged`; hidden names are files being written."""
    names = files.list_directory(folder)
    if not isinstance(names, tuple):
        return names
    found: list[T] = []
    for name in sorted(name for name in names if name.endswith(suffix) and not name.startswith(".")):
        content = files.read_bytes(f"{folder}/{name}", _LIMIT)
        if content is None:
            continue  # the file has gone meanwhile
        if isinstance(content, Unknown):
            damaged.append(DamagedFile(path=f"{folder}/{name}", reason=content.unknown))
            continue
        parsed = parse(name, content)
        if isinstance(parsed, DamagedFile):
            damaged.append(parsed)
        else:
            found.append(parsed)
    return tuple(found)
