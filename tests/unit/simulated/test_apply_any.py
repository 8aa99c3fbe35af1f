# SPDX-License-Identifier: Apache-2.0
"""Any file after any other: it is so then, a second time nothing is left, and undo gives the host from before."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.state.planning import differ
from nicpass.model.request import ApplyRequest, UndoRequest
from nicpass.model.state import DeclaredNic, DeclaredPf, DeclaredPool, DeclaredState, DeclaredVf, DeclaredVm
from nicpass.planner.state.export import export_state, render_state
from nicpass.planner.state.text import parse_state
from tests.support.simulation.hardware import NIC, simulated_tree
from tests.support.simulation.host import LAST, Machine, SimulatedHost, change
from tests.support.simulation.scenes import ALLOW, start_web

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spawns

EVERY = [pytest.param(seed, marks=() if seed < 4 else pytest.mark.full) for seed in range(100)]


def any_state(rand: random.Random) -> DeclaredState:
    """A file that can be so: no VF for two, no pool with more takers than VFs."""
    count = rand.choice([2, 3, 4, 4])
    free = list(range(count))
    rand.shuffle(free)
    pools: dict[str, DeclaredPool] = {}
    nics: dict[str, list[str | DeclaredNic]] = {"web": [], "db": []}
    for name in ("blue", "red"):
        if rand.random() < 0.6 and free:
            own = [free.pop() for _ in range(rand.randint(1, min(2, len(free))))]
            pf = rand.choice(["eth1", "0000:01:00.0"])
            vlan = rand.choice([None, 20]) if name == "blue" else None
            pools[name] = DeclaredPool(vfs={pf: tuple(own)}, vlan=vlan)
            for vm in [vm for vm in nics if rand.random() < 0.5][: len(own)]:
                own_mac = f"52:54:00:00:0{len(nics[vm])}:0{ord(vm[0]) % 10}"
                nics[vm].append(DeclaredNic(pool=name, mac=rand.choice([None, None, own_mac])))
    while free and rand.random() < 0.5:
        nic = DeclaredNic(pf="eth1", vf=free.pop(), vlan=rand.choice([None, 7]))
        nics[rand.choice(["web", "db"])].append(nic)
    if rand.random() < 0.3:
        nics[rand.choice(["web", "db"])].append(NIC)
    trust = DeclaredVf(trust=rand.choice([None, True]))
    vms = {vm: DeclaredVm(nics=tuple(own), allow=tuple(sorted(ALLOW))) for vm, own in nics.items() if own}
    return DeclaredState(pfs={"eth1": DeclaredPf(vfs=count, all=trust)}, pools=pools, vms=vms)


def comparable(host: SimulatedHost) -> dict[str, list[str]]:
    """The host; of what a record or libvirt lists the order does not count."""
    state = {name: text for name, text in host.state().items() if "/var/lib/nicpass/journal" not in name}
    return {
        name: sorted(text.replace("\\\\n", ",").split(",")) if "/nics/" in name or name == "libvirt.json" else [text]
        for name, text in state.items()
    }


def check_it_is_so(machine: Machine, request: ApplyRequest, text: bytes) -> None:
    assert differ(parse_state("f", text), machine.source(), prune=request.prune) == ()
    assert machine.plan_all(request).first.steps == ()
    source = machine.source()
    written = render_state(export_state(HostIndex(source.host)))
    assert differ(parse_state("exported", written.encode()), source, prune=True) == (), written


@pytest.mark.parametrize("seed", EVERY)
def test_any_file_after_any_other(seed: int, quick_path: Path) -> None:
    rand = random.Random(seed)  # noqa: S311 - that it comes again is the point
    host = SimulatedHost(quick_path, simulated_tree(rand.choice([0, 4])))
    if rand.random() < 0.4:
        assert host.run(start_web).exit_code == 0
        host.settle()
    for _ in range(3):
        text = render_state(any_state(rand)).encode()
        request = ApplyRequest(file="f", state=parse_state("f", text).state, prune=rand.random() < 0.6)
        before = comparable(host)
        done = host.run(functools.partial(change, request=request))
        after = comparable(host)
        if done.exit_code != 0:
            assert done.exit_code in (3, 4), done
            assert after == before, "what is refused changes nothing"
            continue
        checked = host.run(functools.partial(check_it_is_so, request=request, text=text))
        assert checked.exit_code == 0, checked
        if after == before:
            continue
        raw = host.raw()
        undone = host.run(functools.partial(change, request=UndoRequest(change=LAST, allow=ALLOW)))
        assert undone.exit_code == 0, (undone, text)
        assert comparable(host) == before, text
        host.put_back(raw)
