# SPDX-License-Identifier: Apache-2.0
"""Reads what stands where boot bindings and guests' rights are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.binding import plan as binding
from nicpass.boot.binding import rights
from nicpass.model.binding import FOLDER, SUFFIX
from nicpass.model.fact import Unknown, known

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.file_image import FileImage


def read_places(files: Files) -> dict[str, FileImage | None]:
    """Path to image, of each path that a plan of `boot.binding` (bindings, rights) may write or remove, or asks for.

    A path that cannot be read counts as nothing, for a dry run may lack the rights.
    """
    names = files.list_directory(FOLDER)
    paths = [f"{FOLDER}/{name}" for name in (sorted(names) if known(names) else ()) if name.endswith(SUFFIX)]
    images = {path: files.read_image(path) for path in (*binding.PLACES, *rights.PLACES, *paths)}
    return {path: None if isinstance(image, Unknown) else image for path, image in images.items()}
