# SPDX-License-Identifier: Apache-2.0
"""Files that are nicpass's altogether, unlike those of others that get its tokens: the changes to the wanted state.

A plan says which paths are its own and what is to stand there. A file that was there before is the journal's affair:
the inverse of a change puts it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from nicpass.model.binding import DamagedFile
from nicpass.model.file_image import FileChange, FileImage, Folder, RegularFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Images: TypeAlias = Mapping[str, FileImage | None]
    """Path to the image of what stands there; None, or no such key: nothing stands there."""


def change_files(
    now: Images, desired: Mapping[str, FileImage], is_ours: Callable[[str], bool]
) -> tuple[FileChange, ...]:
    """The changes that write missing or other files, in the order of `desired`, then remove ours that are not in it.

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
    """Whether `image` stands there already; a folder's permissions are its owner's affair."""
    return isinstance(now, Folder) if isinstance(image, Folder) else now == image


def keep_damaged(now: Images, folder: str, parse: Callable[[str, bytes], object]) -> dict[str, FileImage]:
    """Damaged files in a folder of ours, which stay: nothing comes of them, and they are their author's to mend."""
    return {
        path: image
        for path, image in now.items()
        if path.startswith(f"{folder}/")
        and isinstance(image, RegularFile)
        and isinstance(parse(path.rpartition("/")[2], image.content), DamagedFile)
    }
