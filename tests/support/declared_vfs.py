# SPDX-License-Identifier: Apache-2.0
"""Hosts that have each of the findings about VFs that are to be there at every boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.vfs.declaration import render_declaration
from nicpass.model.address import Address
from nicpass.model.declared_vfs import FOLDER, DeclaredVfs
from nicpass.model.network import VfSettings
from tests.support.boot_bindings import IDENTITY, NIC, PORT
from tests.support.hosts import nic, pf_with_vfs, ready_host

if TYPE_CHECKING:
    from nicpass.model.boot import DeviceIdentity
    from tests.support.trees import Tree

PF = nic(NIC, "eth1", under=PORT.address, totalvfs=8)
ON_ROOT_BUS = msgspec.structs.replace(IDENTITY, slots=("pci0000:01", "00.0"))
VFS = tuple(VfSettings(vf_index=number, mac=f"02:1b:21:00:00:0{number}") for number in range(4))


def declared(count: int = 4, identity: DeviceIdentity = IDENTITY, name: str = NIC) -> DeclaredVfs:
    return DeclaredVfs(address=Address(name), identity=identity, count=count, vfs=VFS[:count])


def kept(tree: Tree, *declarations: DeclaredVfs) -> Tree:
    """The host with the files of these PFs in vfs.d."""
    files = {f"{FOLDER}/{one.address}.json": render_declaration(one).content for one in declarations}
    return tree.but(files={**tree.files, **files})


HAVING: dict[str, Tree] = {
    "VFS_MISSING": kept(ready_host(PORT, PF), declared()),
    "VFS_TOO_MANY": kept(ready_host(*pf_with_vfs(NIC, "eth1", 6)), declared(identity=ON_ROOT_BUS)),
    "PF_OF_VFS_ABSENT": kept(
        ready_host(PORT, PF), declared(identity=msgspec.structs.replace(IDENTITY, device_id=0x1521))
    ),
    "VF_FILE_DAMAGED": ready_host(files={f"{FOLDER}/{NIC}.json": "count: 4\n"}),
}
