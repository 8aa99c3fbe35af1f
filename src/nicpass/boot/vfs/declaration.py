# SPDX-License-Identifier: Apache-2.0
"""The files in /etc/nicpass/vfs.d, one a PF: JSON, so that a person can read and mend them."""

from __future__ import annotations

import msgspec

from nicpass.model.address import Address, parse_address
from nicpass.model.binding import DamagedFile
from nicpass.model.declared_vfs import FOLDER, SUFFIX, DeclaredVfs
from nicpass.model.file_image import RegularFile

_MOST = 65535
"""TotalVFs has 16 bits (PCI Express Base 6.0, 9.3.3.6)."""


def address_of(path: str) -> Address | None:
    """The PF's address when its VFs were asked for, of the path of its file; None for a path of another kind."""
    folder, _, name = path.rpartition("/")
    return parse_address(name.removesuffix(SUFFIX)) if folder == FOLDER and name.endswith(SUFFIX) else None


def render_declaration(declared: DeclaredVfs) -> RegularFile:
    """The file's image. Anybody may read what VFs there are to be."""
    content = msgspec.json.format(msgspec.json.encode(declared, order="deterministic"), indent=2)
    return RegularFile(content + b"\n", 0o644)


def parse_declaration(name: str, content: bytes) -> DeclaredVfs | DamagedFile:
    """What a file of this name (`0000:01:00.0.json`) asks for. Nothing that is not plain is guessed."""
    path = f"{FOLDER}/{name}"
    try:
        declared = msgspec.json.decode(content, type=DeclaredVfs)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return DamagedFile(path=path, reason=str(error))
    if parse_address(declared.address) != declared.address or name != f"{declared.address}{SUFFIX}":
        return DamagedFile(path=path, reason="its name is not that of its PF's address")
    if not 0 < declared.count <= _MOST:
        return DamagedFile(path=path, reason=f"there cannot be {declared.count} VFs")
    indices = [vf.vf_index for vf in declared.vfs]
    if len(set(indices)) < len(indices) or any(not 0 <= index < declared.count for index in indices):
        return DamagedFile(path=path, reason="it has settings of a VF twice, or of one that there is not to be")
    return declared
