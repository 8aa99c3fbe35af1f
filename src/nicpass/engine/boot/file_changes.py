# SPDX-License-Identifier: Apache-2.0
"""Carries out changes of files, and sees that they are done; each bears being done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import Folder, RegularFile, SymbolicLink
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.file_image import FileChange, FileImage


def apply_changes(files: Files, changes: tuple[FileChange, ...]) -> None:
    """Make the changes in their order; a path that is as it shall be is left alone.

    Raises:
        OSError: a change failed; it and those after it were not done.
    """
    for change in changes:
        if not is_done(files, change):
            _apply(files, change)


def verify_changes(files: Files, changes: tuple[FileChange, ...]) -> None:
    """Pass if every path is as its change wants it.

    Raises:
        StepError: it names the path that is not.
    """
    for change in changes:
        if not is_done(files, change):
            raise StepError(_("{path} is not what was written there.").format(path=change.path))


def image_at(files: Files, path: str) -> FileImage | None:
    """The file, link or folder at `path`, for a plan to start from; None where there is none or it cannot be read.

    A file that cannot be read is neither taken for what it should be nor put back: a dry run may lack the rights.
    """
    image = files.read_image(path)
    return None if isinstance(image, Unknown) else image


def _apply(files: Files, change: FileChange) -> None:
    match change.after:
        case RegularFile(content=content, mode=mode):
            files.write_atomic(change.path, content, mode)
        case SymbolicLink(target=target):
            files.link_atomic(change.path, target)
        case Folder(mode=mode):
            files.make_folder(change.path, mode)
        case None if isinstance(change.before, Folder):
            files.remove_folder(change.path)
        case None:
            files.remove(change.path)


def is_done(files: Files, change: FileChange) -> bool:
    """Whether a change is done. A folder's permissions are its owner's affair; a folder that others use by now stays.

    The leftover of a killed run beside a file is in the way of the folder's removal: so it goes with the file.
    """
    now = files.read_image(change.path)
    if isinstance(change.after, Folder):
        return isinstance(now, Folder)
    if change.after is None and isinstance(now, Folder):
        return bool(files.list_directory(change.path))
    return now == change.after and not files.has_leftover(change.path)
