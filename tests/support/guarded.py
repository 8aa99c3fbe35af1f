# SPDX-License-Identifier: Apache-2.0
"""A host with a NIC that a VM was given, and libvirt's hook on it; for tests of the guard and of what it missed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.host_steps import read_state
from nicpass.engine.lock import PATH
from nicpass.engine.nic.store import BOOT_ID, KeptNic, keep_nic, read_kept_nic
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.hypervisor.libvirt.hook import Hook
from nicpass.model.address import Address
from nicpass.model.plan import NicOwner
from tests.support.hosts import address, link, network, ready_host, route
from tests.support.trees import Tree, Vm, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nicpass.model.plan import NicState

NIC, SECOND = Address("0000:01:00.0"), Address("0000:02:00.0")
VM = Vm(name="guest", devices=hostdev_xml(NIC))
BOOT = "0f2a1f4e-0000-4000-8000-000000000001"
OWNER = NicOwner(domain="guest", uuid=VM.uuid)
USED = (link("eth1"), address("eth1", "10.0.0.5/24"), route("eth1", "10.9.0.0/16"))


def host_with(*items: object, vm: Vm = VM, **more: object) -> Tree:
    """The NIC, with these things on its interface."""
    net = network(*(items or (link("eth1"),)))  # type: ignore[arg-type]
    return ready_host(net=net, vms=(vm,), files={BOOT_ID: f"{BOOT}\n"}, **more)


class Host:
    """A tree, and a hook on it whose restoring is remembered."""

    def __init__(self, root: Path, tree: Tree) -> None:
        self.files = Files(str(tree.write(root)))
        self.root = root
        self.restored: list[NicState] = []
        self.failure: BaseException | None = None
        self.hook = Hook(self.files, Processes, self._restore)

    def _restore(self, state: NicState) -> None:
        self.restored.append(state)
        if self.failure is not None:
            raise self.failure

    def give(self, nic: Address = NIC, **owner: object) -> KeptNic:
        """What `nicpass attach` leaves."""
        chosen = msgspec.structs.replace(OWNER, **owner)
        kept = KeptNic(state=read_state(self.files, nic), owner=chosen)
        keep_nic(self.files, kept)
        return kept

    def put(self, *items: object) -> None:
        """The network is this from now on."""
        content = msgspec.json.encode(network(*items))  # type: ignore[arg-type]
        (self.root / "netlink.json").write_bytes(content)

    def kept(self, nic: Address = NIC) -> KeptNic:
        found = read_kept_nic(self.files, nic)
        assert found is not None
        return found


@contextlib.contextmanager
def at_work(files: Files, words: str = "process 1, nicpass attach web eth1\n") -> Iterator[None]:
    """Another run of nicpass has the lock."""
    with files.open_for_lock(PATH) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.pwrite(descriptor, words.encode(), 0)
        yield
