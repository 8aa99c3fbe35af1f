# SPDX-License-Identifier: Apache-2.0
"""Reads which VFs were asked for at every boot, and what stands where that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.host.boot.own_folder import read_folder
from nicpass.model.declared_vfs import FOLDER, SUFFIX, VfDeclarations
from nicpass.model.fact import Unknown, value_or

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.binding import DamagedFile
    from nicpass.model.declared_vfs import DeclaredVfs
    from nicpass.model.file_image import FileImage


def read_declared_vfs(files: Files) -> VfDeclarations:
    """What is asked for, in the order of the files' names, and which of the files are damaged."""
    damaged: list[DamagedFile] = []
    found = read_folder(files, FOLDER, SUFFIX, _parse, damaged)
    return VfDeclarations(found=() if found is None else found, damaged=tuple(damaged))


def _parse(name: str, content: bytes) -> DeclaredVfs | DamagedFile:
    from nicpass.boot.vfs.declaration import parse_declaration  # late: many a host has none

    return parse_declaration(name, content)


def read_vf_places(files: Files) -> dict[str, FileImage | None]:
    """Path to image, of each path that a plan for lasting VFs may write or remove.

    A path that cannot be read counts as nothing, for a dry run may lack the rights.
    """
    from nicpass.boot.vfs.plan import PLACES  # late: who only reads a host plans nothing

    names = sorted(name for name in value_or(files.list_directory(FOLDER), ()) if name.endswith(SUFFIX))
    images = {path: files.read_image(path) for path in (*PLACES, *(f"{FOLDER}/{name}" for name in names))}
    return {path: None if isinstance(image, Unknown) else image for path, image in images.items()}
