# SPDX-License-Identifier: Apache-2.0
"""Files that are ours altogether, as against those of others that get our tokens: from what stands there to what shall.

A plan says which paths are its own and what is to stand there. Whoever was there before is the journal's affair: the
inverse of a change puts it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from nicpass.model.file_image import FileChange, FileImage, Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Images: TypeAlias = Mapping[str, FileImage | None]
    """Path to what stands there; None, or no entry: nothing."""


def change_files(
    now: Images, desired: Mapping[str, FileImage], is_ours: Callable[[str], bool]
) -> tuple[FileChange, ...]:
    """What is missing or other is written in the order of `desired`; then what is ours and not desired is removed.

    A folder goes after what is in it, and stays while something else is.
    """
    written = [
        FileChange(path=path, before=now.get(path), after=image)
        for path, image in desired.items()
        if not _is_there(now.get(path), image)
    ]
    gone = [
        FileChange(path=path, before=image)
        for path, image in sorted(now.items(), reverse=True)
        if path not in desired and image is not None and is_ours(path)
    ]
    return (*written, *gone)


def _is_there(now: FileImage | None, image: FileImage) -> bool:
    """A folder's permissions are its owner's affair."""
    return isinstance(now, Folder) if isinstance(image, Folder) else now == image
