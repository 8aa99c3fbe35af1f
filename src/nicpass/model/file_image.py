# SPDX-License-Identifier: Apache-2.0
"""The content of a path, as data: a step can put it there, and the step's inverse can put back what was before."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class RegularFile(msgspec.Struct, frozen=True, tag="file"):
    """A file with its permissions (`0o755`); its owner is root."""

    content: bytes
    mode: int = 0o644


class SymbolicLink(msgspec.Struct, frozen=True, tag="link"):
    """A link, with its target as it is written."""

    target: str


class Folder(msgspec.Struct, frozen=True, tag="folder"):
    """A folder, whatever is in it."""

    mode: int = 0o755


FileImage: TypeAlias = RegularFile | SymbolicLink | Folder


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """One path, as it was and as it shall be; None: nothing stands there."""

    path: str
    before: FileImage | None = None
    after: FileImage | None = None


def invert_changes(changes: tuple[FileChange, ...]) -> tuple[FileChange, ...]:
    """The changes that take `changes` back, in reverse order: what was made last goes first."""
    return tuple(FileChange(path=c.path, before=c.after, after=c.before) for c in reversed(changes))
