# SPDX-License-Identifier: Apache-2.0
"""Reads which VFs were asked for at every boot, and what stands where that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.vfs.declaration import FOLDER, SUFFIX, parse_declaration
from nicpass.model.binding import DamagedFile
from nicpass.model.declared_vfs import DeclaredVfs, VfDeclarations
from nicpass.model.fact import Unknown, value_or

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.file_image import FileImage

_LIMIT = 1 << 22
"""Bytes of one file: VFs are 65,535 at the most, but no card makes more than some hundred."""


def read_declared_vfs(files: Files) -> VfDeclarations:
    """What is asked for, in the order of the files' names, and which of the files are damaged."""
    names = files.list_directory(FOLDER)
    if isinstance(names, Unknown):
        return VfDeclarations(found=names)
    found: list[DeclaredVfs] = []
    damaged: list[DamagedFile] = []
    for name in _files_among(names or ()):
        content = files.read_bytes(f"{FOLDER}/{name}", _LIMIT)
        if content is None:
            continue  # the file has gone meanwhile
        if isinstance(content, Unknown):
            damaged.append(DamagedFile(path=f"{FOLDER}/{name}", reason=content.unknown))
            continue
        parsed = parse_declaration(name, content)
        if isinstance(parsed, DamagedFile):
            damaged.append(parsed)
        else:
            found.append(parsed)
    return VfDeclarations(found=tuple(found), damaged=tuple(damaged))


def read_vf_places(files: Files) -> dict[str, FileImage | None]:
    """Path to image, of each path that a plan for lasting VFs may write or remove.

    A path that cannot be read counts as nothing, for a dry run may lack the rights.
    """
    from nicpass.boot.vfs.plan import PLACES  # late: who only reads a host plans nothing

    names = _files_among(value_or(files.list_directory(FOLDER), ()))
    images = {path: files.read_image(path) for path in (*PLACES, *(f"{FOLDER}/{name}" for name in names))}
    return {path: None if isinstance(image, Unknown) else image for path, image in images.items()}


def _files_among(names: tuple[str, ...]) -> list[str]:
    """The names of declarations; hidden ones are files being written."""
    return sorted(name for name in names if name.endswith(SUFFIX) and not name.startswith("."))
