# SPDX-License-Identifier: Apache-2.0
"""The power goes, and the simulated machine boots again: what lies on its disk is what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.vfs.plan import ENABLED, WATCHED
from nicpass.engine.lock import hold_lock
from nicpass.host.system.actor import read_actor
from nicpass.model.guard import HOOK
from tests.support.simulation.networks import Networks

if TYPE_CHECKING:
    from tests.support.simulation.contents import Raw
    from tests.support.simulation.host import Machine, SimulatedHost

_DISK = ("root/etc", "root/var", "root/lib")
_BOOT_ID = "root/proc/sys/kernel/random/boot_id"


def reboot(host: SimulatedHost, first: Raw, number: int) -> None:
    """The machine as it was when it was `first` started, with the disk as it is now; no VM runs, no VF is there."""
    now = host.raw()
    disk = {path: entry for path, entry in now.items() if path.startswith(_DISK)}
    fresh = {path: entry for path, entry in first.items() if not path.startswith(_DISK)}
    fresh[_BOOT_ID] = ("file", f"00000000-0000-4000-8000-{number:012d}\n".encode(), 0o644)
    if f"root{HOOK}" in disk:  # libvirtd looks for hooks when it starts
        fresh["hooks-known"] = ("file", b"", 0o644)
    if f"root{WATCHED}" in disk:
        fresh["systemd.json"] = ("file", b'{"nicpass-vfs.path":[]}', 0o644)
    host.put_back(fresh | disk)
    Networks(host.base / "root").start_at_boot()
    if f"root{ENABLED}" in disk:
        done = host.run(make_vfs)
        assert done.exit_code == 0, done
        host.settle()


def make_vfs(machine: Machine) -> None:
    """Do what the unit of `nicpass vf restore` does."""
    with hold_lock(machine.files, read_actor(machine.files, ["vf", "restore"])):
        machine.make_declared_vfs()
