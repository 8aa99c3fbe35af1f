# SPDX-License-Identifier: Apache-2.0
"""The VFs that a PF is to have at every boot, as somebody has asked for them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from nicpass.model.address import Address
from nicpass.model.binding import DamagedFile
from nicpass.model.boot import DeviceIdentity
from nicpass.model.fact import Fact
from nicpass.model.network import VfSettings

FOLDER: Final = "/etc/nicpass/vfs.d"
SUFFIX: Final = ".json"


class DeclaredVfs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many VFs one PF is to have, and what it is to enforce on each; kept in a file of its own."""

    schema: Literal["nicpass.declared-vfs/1"] = "nicpass.declared-vfs/1"
    address: Address
    """The PF's address when this was asked for, which names the file; the PF may have moved since."""
    identity: DeviceIdentity
    count: int
    vfs: tuple[VfSettings, ...] = ()
    """Empty for a PF without an interface, through which its VFs could be set."""
    derived: tuple[int, ...] = ()
    """The VFs whose MAC nobody asked for: where the driver takes none, they have none."""
    up: bool = False
    """Whether the PF was up: a VF of a PF that is down reaches nothing, and libvirt starts no VM with it."""
    for_host: bool = False
    """Whether the host's own drivers are to have the VFs; else none has them, and so no network manager."""


def path_of(declared: DeclaredVfs) -> str:
    """The path of the file of this PF."""
    return f"{FOLDER}/{declared.address}{SUFFIX}"


class VfDeclarations(msgspec.Struct, frozen=True, kw_only=True):
    """All that was asked for of VFs on a host."""

    found: Fact[tuple[DeclaredVfs, ...]] = ()
    damaged: tuple[DamagedFile, ...] = ()
