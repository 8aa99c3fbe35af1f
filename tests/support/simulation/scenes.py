# SPDX-License-Identifier: Apache-2.0
"""The changes that the tests cut off: a host made ready for each, and the command."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from nicpass.model.request import (
    ApplyRequest,
    AttachRequest,
    DetachRequest,
    PoolAttachRequest,
    PoolDetachRequest,
    PoolRequest,
    TuneRequest,
    UndoRequest,
    VfRequest,
)
from nicpass.model.state import (
    DeclaredBoot,
    DeclaredNic,
    DeclaredPf,
    DeclaredPool,
    DeclaredState,
    DeclaredVf,
    DeclaredVm,
)
from nicpass.model.vf import VfSetRequest, VfWish
from tests.support.boot import BootTree
from tests.support.simulation.hardware import GUESTS, NIC, VFS, simulated_tree
from tests.support.simulation.host import LAST, Machine, SimulatedHost, change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nicpass.model.request import Request

ALLOW = frozenset({"HAS_ADDRESS", "CARRIES_ROUTE"})
WEB = GUESTS[0].uuid
_GIVE = AttachRequest(vm="web", nic=NIC, start=True, allow=ALLOW)
_GIVE_TWO = AttachRequest(vm="web", nic=NIC, more=(VFS[0],), start=True, mac="52:54:00:00:00:07", vlan=7, allow=ALLOW)
_GIVE_VF = AttachRequest(vm="web", nic=VFS[0], start=True, mac="52:54:00:00:00:07", vlan=7)
_POOL = PoolRequest(action="create", name="blue", pf="eth1", vfs="0-1", vlan=20)
_DRAW = PoolAttachRequest(vm="web", pool="blue", start=True)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A host, what was done on it before, and the change to be cut off."""

    request: Request
    numvfs: int = 0
    earlier: tuple[Request, ...] = ()
    meanwhile: Callable[[Machine], None] | None = None
    """The act of others between the earlier changes and this one."""
    numa: bool = False
    grub: bool = False
    """Whether it boots by GRUB, and that is looked at."""


def stop_web(machine: Machine) -> None:
    """The guest shuts down; libvirt gives its NICs back to their drivers, without addresses."""
    machine.daemon.stop(WEB)


def stop_unguarded(machine: Machine) -> None:
    """The guest shuts down under a libvirtd that calls no hooks: nobody puts the addresses back."""
    machine.daemon.hooks.known.unlink()
    machine.daemon.stop(WEB)


def lose_libvirt(machine: Machine) -> None:
    """The VM ends together with libvirtd, which therefore gives nothing back: the NIC stays on vfio-pci."""
    machine.daemon.save({})


def give_express(machine: Machine) -> None:
    """The VM's machine has PCI Express, as q35 does."""
    path = machine.daemon.definitions()[WEB]
    root = "    <controller type='pci' index='0' model='pcie-root'/>\n"
    path.write_text(path.read_text().replace("  <devices>\n", f"  <devices>\n{root}"))


def start_web(machine: Machine) -> None:
    """Somebody starts the VM, which has no NIC of the host's."""
    machine.daemon.start(WEB)


_APPLY = ApplyRequest(
    file="host.yaml",
    state=DeclaredState(
        pfs={"eth1": DeclaredPf(vfs=4, all=DeclaredVf(trust=True), each={1: DeclaredVf(vlan=7)})},
        vms={
            "web": DeclaredVm(nics=(DeclaredNic(pf="eth1", vf=0), NIC), allow=tuple(sorted(ALLOW))),
            "db": DeclaredVm(nics=(DeclaredNic(pf="eth1", vf=1, mac="52:54:00:00:00:07"),)),
        },
    ),
)


def start_db(machine: Machine) -> None:
    """Somebody starts the other VM, which has no NIC of the host's either."""
    machine.daemon.start(GUESTS[1].uuid)


_MOVE = ApplyRequest(
    file="host.yaml",
    prune=True,
    state=DeclaredState(
        pfs={"eth1": DeclaredPf(vfs=4)},
        vms={"db": DeclaredVm(nics=(DeclaredNic(pf="eth1", vf=0), NIC), allow=tuple(sorted(ALLOW)))},
    ),
)
"""A file that has the NICs of `web` with `db`."""
_BOTH_OF_WEB = (
    VfRequest(pf="eth1", count=4),
    AttachRequest(vm="web", nic=VFS[0]),
    AttachRequest(vm="web", nic=NIC, allow=ALLOW),
)
_APPLY_POOLS = ApplyRequest(
    file="host.yaml",
    state=DeclaredState(
        pfs={"eth1": DeclaredPf(vfs=4)},
        pools={
            "blue": DeclaredPool(vfs={"eth1": "0-1"}, vlan=20),
            "red": DeclaredPool(vfs={"eth1": (2,)}),
        },
        vms={
            "web": DeclaredVm(
                nics=(DeclaredNic(pool="blue"), DeclaredNic(pool="red", mac="52:54:00:00:00:07")),
            ),
            "db": DeclaredVm(nics=(DeclaredNic(pool="blue"), DeclaredNic(pf="eth1", vf=3))),
        },
    ),
)
_PRUNE = ApplyRequest(file="host.yaml", state=DeclaredState(), prune=True)
_PRUNE_RED = ApplyRequest(
    file="host.yaml",
    state=DeclaredState(
        pools={"blue": DeclaredPool(vfs={"eth1": (0, 2)}, vlan=20)},
        vms={"db": DeclaredVm(nics=(DeclaredNic(pool="blue"),))},
    ),
    prune=True,
)

_APPLY_BOOT = ApplyRequest(
    file="host.yaml",
    state=DeclaredState(
        boot=DeclaredBoot(nics=("lan0",), allow=tuple(sorted(ALLOW))),
        vms={"web": DeclaredVm(nics=(NIC,), allow=tuple(sorted(ALLOW)))},
    ),
)

SCENES: dict[str, Scene] = {
    "apply a file with pools": Scene(_APPLY_POOLS),
    "apply a file with pools to VFs that are there": Scene(_APPLY_POOLS, 4, meanwhile=start_web),
    "apply a file that gives VFs from pool to pool": Scene(_PRUNE_RED, earlier=(_APPLY_POOLS,)),
    "prune all that a file with pools brought": Scene(_PRUNE, earlier=(_APPLY_POOLS,)),
    "undo an apply with pools": Scene(UndoRequest(change=LAST), earlier=(_APPLY_POOLS,)),
    "apply a file with a boot": Scene(_APPLY_BOOT, grub=True),
    "undo an apply with a boot": Scene(UndoRequest(change=LAST), earlier=(_APPLY_BOOT,), grub=True),
    "prune a boot": Scene(_PRUNE, earlier=(_APPLY_BOOT,), grub=True),
    "undo a prune of all": Scene(UndoRequest(change=LAST), earlier=(_APPLY_POOLS, _PRUNE)),
    "apply a file": Scene(_APPLY),
    "apply a file by which NICs go to a VM that runs": Scene(_MOVE, earlier=_BOTH_OF_WEB, meanwhile=start_db),
    "apply a file of which a part is so": Scene(
        _APPLY,
        earlier=(VfRequest(pf="eth1", count=4), AttachRequest(vm="db", nic=VFS[1], mac="52:54:00:00:00:07", vlan=7)),
    ),
    "undo an apply": Scene(UndoRequest(change=LAST), earlier=(_APPLY,)),
    "attach": Scene(AttachRequest(vm="web", nic="lan0", allow=ALLOW)),
    "attach and start": Scene(_GIVE),
    "attach with more ports": Scene(
        AttachRequest(vm="web", nic=NIC, allow=ALLOW, add_ports=2), earlier=(), meanwhile=give_express
    ),
    "attach a VF": Scene(AttachRequest(vm="web", nic=VFS[1]), numvfs=2),
    "attach a VF with MAC and VLAN, and start": Scene(_GIVE_VF, numvfs=2),
    "attach, to be confirmed": Scene(AttachRequest(vm="web", nic=NIC, start=True, allow=ALLOW, confirm_within=60)),
    "attach two and start": Scene(_GIVE_TWO, numvfs=2),
    "attach another beside one": Scene(
        AttachRequest(vm="web", nic=NIC, more=(VFS[0],), allow=ALLOW | {"WAITED_FOR"}),
        numvfs=2,
        earlier=(AttachRequest(vm="web", nic=NIC, allow=ALLOW),),
    ),
    "detach two and stop": Scene(
        DetachRequest(vm="web", nic=NIC, more=(VFS[0],), stop=True), numvfs=2, earlier=(_GIVE_TWO,)
    ),
    "detach two from vfio-pci": Scene(
        DetachRequest(vm="web", nic=NIC, more=(VFS[0],)), numvfs=2, earlier=(_GIVE_TWO,), meanwhile=lose_libvirt
    ),
    "undo an attach of two": Scene(UndoRequest(change=LAST, stop=True), numvfs=2, earlier=(_GIVE_TWO,)),
    "start what was attached": Scene(_GIVE, earlier=(AttachRequest(vm="web", nic=NIC, allow=ALLOW),)),
    "allow more": Scene(
        AttachRequest(vm="web", nic=NIC, allow=ALLOW | {"WAITED_FOR"}),
        earlier=(AttachRequest(vm="web", nic=NIC, allow=ALLOW),),
    ),
    "detach": Scene(DetachRequest(vm="web", nic=NIC), earlier=(_GIVE,), meanwhile=stop_web),
    "detach what lost its addresses": Scene(
        DetachRequest(vm="web", nic=NIC), earlier=(_GIVE,), meanwhile=stop_unguarded
    ),
    "detach one of two": Scene(
        DetachRequest(vm="db", nic=VFS[0]), 2, earlier=(_GIVE, AttachRequest(vm="db", nic=VFS[0])), meanwhile=stop_web
    ),
    "detach what never left": Scene(
        DetachRequest(vm="web", nic=NIC), earlier=(AttachRequest(vm="web", nic=NIC, allow=ALLOW),)
    ),
    "detach from vfio-pci": Scene(DetachRequest(vm="web", nic=NIC), earlier=(_GIVE,), meanwhile=lose_libvirt),
    "detach and stop": Scene(DetachRequest(vm="web", nic=NIC, stop=True), earlier=(_GIVE,)),
    "detach a VF": Scene(DetachRequest(vm="web", nic=VFS[0]), 2, earlier=(_GIVE_VF,), meanwhile=stop_web),
    "detach a VF from vfio-pci": Scene(
        DetachRequest(vm="web", nic=VFS[0]), 2, earlier=(_GIVE_VF,), meanwhile=lose_libvirt
    ),
    "attach to a running VM": Scene(AttachRequest(vm="web", nic=NIC, allow=ALLOW), meanwhile=start_web),
    "attach to a running VM, to be confirmed": Scene(
        AttachRequest(vm="web", nic=NIC, allow=ALLOW, confirm_within=60), meanwhile=start_web
    ),
    "attach a VF to a running VM": Scene(
        AttachRequest(vm="web", nic=VFS[0], mac="52:54:00:00:00:07", vlan=7), 2, meanwhile=start_web
    ),
    "attach to the running machine alone": Scene(
        AttachRequest(vm="web", nic=NIC, allow=ALLOW, where="live"), meanwhile=start_web
    ),
    "attach for the next start": Scene(
        AttachRequest(vm="web", nic=NIC, allow=ALLOW, where="config"), meanwhile=start_web
    ),
    "detach from a running VM": Scene(DetachRequest(vm="web", nic=NIC), earlier=(_GIVE,)),
    "detach a VF from a running VM": Scene(DetachRequest(vm="web", nic=VFS[0]), 2, earlier=(_GIVE_VF,)),
    "detach from the running machine alone": Scene(DetachRequest(vm="web", nic=NIC, where="live"), earlier=(_GIVE,)),
    "detach for the next start": Scene(DetachRequest(vm="web", nic=NIC, where="config"), earlier=(_GIVE,)),
    "undo an attach to a running VM": Scene(
        UndoRequest(change=LAST), 2, earlier=(_GIVE_VF, AttachRequest(vm="web", nic=NIC, allow=ALLOW))
    ),
    "undo a detach from a running VM": Scene(
        UndoRequest(change=LAST, allow=ALLOW), 2, earlier=(_GIVE_VF, _GIVE, DetachRequest(vm="web", nic=NIC))
    ),
    "undo an attach": Scene(UndoRequest(change=LAST, stop=True), earlier=(_GIVE,)),
    "undo a start": Scene(
        UndoRequest(change=LAST, stop=True), earlier=(AttachRequest(vm="web", nic=NIC, allow=ALLOW), _GIVE)
    ),
    "tune": Scene(TuneRequest(vm="web"), earlier=(AttachRequest(vm="web", nic=NIC, allow=ALLOW),), numa=True),
    "tune a running VM": Scene(TuneRequest(vm="web"), earlier=(_GIVE,), numa=True),
    "undo the tuning of a running VM": Scene(
        UndoRequest(change=LAST), earlier=(_GIVE, TuneRequest(vm="web")), numa=True
    ),
    "make VFs": Scene(VfRequest(pf="eth1", count=4)),
    "make more VFs": Scene(VfRequest(pf="eth1", count=4), earlier=(VfRequest(pf="eth1", count=2),)),
    "make more VFs in steps": Scene(
        VfRequest(pf="eth1", count=4, in_steps=True), earlier=(VfRequest(pf="eth1", count=2), _GIVE_VF)
    ),
    "make VFs, to be confirmed": Scene(VfRequest(pf="eth1", count=2, confirm_within=60)),
    "make VFs and set them": Scene(VfRequest(pf="eth1", count=2, settings=VfWish(vlan=7, trust=True))),
    "set VFs": Scene(
        VfSetRequest(pf="eth1", vfs="1-2", settings=VfWish(vlan=7, qos=3, trust=True, max_tx_rate=100)), numvfs=4
    ),
    "set VFs, to be confirmed": Scene(
        VfSetRequest(pf=VFS[1], settings=VfWish(mac="52:54:00:00:00:07"), confirm_within=60), numvfs=2
    ),
    "undo the setting of VFs": Scene(
        UndoRequest(change=LAST),
        2,
        earlier=(VfSetRequest(pf="eth1", vfs="1", settings=VfWish(mac="52:54:00:00:00:07", spoofchk=False)),),
    ),
    "remove VFs": Scene(VfRequest(pf="eth1", count=0), numvfs=4),
    "remove VFs that last": Scene(VfRequest(pf="eth1", count=0), earlier=(VfRequest(pf="eth1", count=4),)),
    "make a pool": Scene(_POOL, 4),
    "add to a pool": Scene(PoolRequest(action="add", name="blue", vfs="3"), 4, earlier=(_POOL,)),
    "drain a pool": Scene(PoolRequest(action="drain", name="blue"), 4, earlier=(_POOL,)),
    "remove a pool": Scene(PoolRequest(action="remove", name="blue"), 4, earlier=(_POOL,)),
    "undo the making of a pool": Scene(UndoRequest(change=LAST), 4, earlier=(_POOL,)),
    "undo the removal of a pool": Scene(
        UndoRequest(change=LAST), 4, earlier=(_POOL, PoolRequest(action="remove", name="blue"))
    ),
    "attach from a pool and start": Scene(_DRAW, 4, earlier=(_POOL,)),
    "attach from a pool": Scene(PoolAttachRequest(vm="db", pool="blue"), 4, earlier=(_POOL, _DRAW)),
    "attach from a pool to a running VM": Scene(
        PoolAttachRequest(vm="web", pool="blue"), 4, earlier=(_POOL,), meanwhile=start_web
    ),
    "detach from a pool": Scene(PoolDetachRequest(vm="web", pool="blue"), 4, (_POOL, _DRAW), meanwhile=stop_web),
    "detach from a pool and stop": Scene(PoolDetachRequest(vm="web", pool="blue", stop=True), 4, (_POOL, _DRAW)),
    "detach from a pool while it runs": Scene(PoolDetachRequest(vm="web", pool="blue"), 4, (_POOL, _DRAW)),
    "undo an attach from a pool": Scene(UndoRequest(change=LAST, stop=True), 4, (_POOL, _DRAW)),
    "undo a detach from a pool": Scene(
        UndoRequest(change=LAST), 4, (_POOL, _DRAW, PoolDetachRequest(vm="web", pool="blue"))
    ),
    "let VFs last": Scene(VfRequest(pf="eth1", count=2), earlier=(VfRequest(pf="eth1", count=2, until_reboot=True),)),
}


MAIN_SCENES = (
    "apply a file with pools",
    "apply a file that gives VFs from pool to pool",
    "undo a prune of all",
    "apply a file with a boot",
    "apply a file",
    "undo an apply",
    "attach and start",
    "attach two and start",
    "detach two from vfio-pci",
    "attach a VF with MAC and VLAN, and start",
    "detach from vfio-pci",
    "detach and stop",
    "attach to a running VM",
    "detach a VF from a running VM",
    "undo an attach to a running VM",
    "detach a VF from vfio-pci",
    "undo a start",
    "allow more",
    "make more VFs",
    "make more VFs in steps",
    "attach with more ports",
    "make VFs, to be confirmed",
    "add to a pool",
    "remove a pool",
    "attach from a pool and start",
    "attach from a pool to a running VM",
    "detach from a pool while it runs",
    "set VFs",
    "undo the setting of VFs",
    "tune a running VM",
    "undo the tuning of a running VM",
)
"""The scenes of the default run: every kind of step and effect is in one of them."""


def make_ready(scene: Scene, folder: Path) -> SimulatedHost:
    """The host on which the scene's change is about to begin, settled."""
    simulated_tree(scene.numvfs, numa=scene.numa).write(folder / "root")
    if scene.grub:
        BootTree().write(folder / "root")
    host = SimulatedHost(folder)
    for request in scene.earlier:
        done = host.run(functools.partial(change, request=request))
        assert done.exit_code == 0, done
    if scene.meanwhile is not None:
        done = host.run(scene.meanwhile)
        assert done.exit_code == 0, done
    host.settle()
    return host
