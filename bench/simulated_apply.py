# SPDX-License-Identifier: Apache-2.0
"""`nicpass apply` of a file with many VFs, on the simulated host of the tests, in a process of its own.

What counts as nicpass's own time is as in `simulated_vfs`. A VM has every fourth VF.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.simulated_vfs import Meter, take_off

if TYPE_CHECKING:
    from nicpass.model.state import DeclaredState
    from tests.support.trees import Tree

_SHARE = 4


def main() -> None:
    """`FOLDER PFS VFS`: print as JSON nicpass's own seconds for so many PFs with so many VFs each, and what is left."""
    folder, pfs, vfs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    from tests.support.simulation import hardware

    names = _make_room(pfs, vfs, hardware)  # before the kernel knows its cards
    state, tree = _declare(names, vfs), _tree(hardware, names, pfs * vfs // _SHARE)

    from nicpass.model.request import ApplyRequest
    from tests.support.simulation.effects import Effects
    from tests.support.simulation.host import Machine, SimulatedHost, change

    host = SimulatedHost(folder, tree)
    machine, meter = Machine(host.base, Effects()), Meter(time.process_time)
    machine.install()
    take_off(machine, meter)
    request = ApplyRequest(file="host.yaml", state=state, confirm_within=0)
    begin, meter.seconds = time.process_time(), 0.0
    change(machine, request)
    seconds = time.process_time() - begin - meter.seconds
    left = machine.plan_all(request).first.steps
    json.dump({"seconds": seconds, "left": len(left), "vfs": pfs * vfs}, sys.stdout)


def _make_room(pfs: int, vfs: int, hardware: Any) -> list[str]:
    """Let the simulated machine have these PFs too; the names of their interfaces."""
    from tests.support.hosts import pf_with_vfs

    names = []
    for number in range(pfs):
        made = pf_with_vfs(
            f"0000:{0x10 + number:02x}:00.0",
            f"pf{number}",
            vfs,
            totalvfs=vfs,
            group=100 + 100 * number,
            under="0000:00:01.0",
        )
        hardware.CARDS.update({card.address: card for card in made})
        names.append(f"pf{number}")
    hardware.NUMBERS.update({address: number for number, address in enumerate(hardware.CARDS)})
    return names


def _declare(names: list[str], vfs: int) -> DeclaredState:
    from nicpass.model.state import DeclaredNic, DeclaredPf, DeclaredState, DeclaredVf, DeclaredVm

    each = {number: DeclaredVf(vlan=100 + number) for number in range(vfs)}
    places = [(name, number) for name in names for number in range(0, vfs, _SHARE)]
    return DeclaredState(
        pfs={name: DeclaredPf(vfs=vfs, all=DeclaredVf(trust=True), each=each) for name in names},
        vms={f"vm{n}": DeclaredVm(nics=(DeclaredNic(pf=pf, vf=vf),)) for n, (pf, vf) in enumerate(places)},
    )


def _tree(hardware: Any, names: list[str], vms: int) -> Tree:
    from tests.support.trees import UUID, Vm

    hardware.GUESTS = tuple(
        Vm(name=f"vm{number}", uuid=UUID.format(number), devices=hardware.PORTS) for number in range(vms)
    )
    tree: Tree = hardware.simulated_tree()
    bare = tuple(dataclasses.replace(card, vfs=()) if card.vfs else card for card in tree.functions)
    assert tree.network is not None
    links = tuple(msgspec.structs.replace(link, up=link.up or link.name in names) for link in tree.network.links)
    network = msgspec.structs.replace(tree.network, links=links)
    return dataclasses.replace(tree, functions=bare, network=network)


if __name__ == "__main__":
    main()
