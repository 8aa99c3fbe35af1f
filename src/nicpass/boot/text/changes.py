# SPDX-License-Identifier: Apache-2.0
"""Changes of boot files, made from what was read of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.errors import BadInputError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import FileChange, RegularFile
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.model.boot import Boot, BootFile


def content_of(boot: Boot, path: str) -> bytes | None:
    """The content of a file that is to be edited; None if there is no such file.

    Raises:
        BadInputError: the file could not be read.
    """
    file = boot.file(path)
    if file is None:
        return None
    if isinstance(file.content, Unknown):
        raise BadInputError(
            _("{path} cannot be read: {reason}.").format(path=path, reason=file.content.unknown),
            _("Nothing was changed. See to it that root can read it, and run nicpass again."),
        )
    return file.content


def plan_file(boot: Boot, path: str, after: bytes | None, mode: int = 0o644) -> tuple[FileChange, ...]:
    """The change that leaves `after` at `path` (None: no file), none if it is so; `mode` is for a new file.

    Raises:
        BadInputError: the file that stands there could not be read.
    """
    before = content_of(boot, path)
    if before == after:
        return ()
    file = boot.file(path)
    mode = file.mode if file is not None and before is not None else mode
    return (
        FileChange(
            path=file.target if file is not None and file.target is not None else path,
            before=None if before is None else RegularFile(before, mode),
            after=None if after is None else RegularFile(after, mode),
        ),
    )


def is_there(file: BootFile | None) -> bool:
    """Whether a file stands at the path, readable or not."""
    return file is not None and file.content is not None
