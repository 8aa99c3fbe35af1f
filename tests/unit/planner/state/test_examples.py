# SPDX-License-Identifier: Apache-2.0
"""The worked examples in docs/examples: each is read, planned on a host such as it is for, and planned to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.cli.source import Source
from nicpass.cli.state.planning import plan_apply
from nicpass.host.doors.files import Files
from nicpass.model.errors import ImpossibleError
from nicpass.model.network import VfSettings
from nicpass.model.plan import DefineDevice, JoinPool, SetNumvfs, SetPool
from nicpass.model.request import ApplyRequest
from nicpass.planner.state.text import parse_state
from tests.support.hosts import bridge, idle_network, network, nic, pf_with_vfs, ready_host
from tests.support.trees import UUID, Tree, Vm

if TYPE_CHECKING:
    from nicpass.model.plan import Plan

EXAMPLES = Path(__file__).resolve().parents[4] / "docs" / "examples"
POOL = "thirty-vms-from-a-pool.yaml"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


def host(name: str) -> Tree:
    """A host with the PF, the card and the VMs that the examples name; the VFs are there."""
    content = (EXAMPLES / name).read_bytes()
    state = parse_state(name, content).state
    first, second = (state.pfs[pf].vfs if pf in state.pfs else 0 for pf in ("enp3s0f0", "enp3s0f1"))
    functions = (
        bridge("0000:00:01.0"),
        *pf_with_vfs("0000:03:00.0", "enp3s0f0", first, totalvfs=63, under="0000:00:01.0"),
        bridge("0000:00:03.0", group=3),
        *pf_with_vfs("0000:04:00.0", "enp3s0f1", second, totalvfs=63, group=120, under="0000:00:03.0"),
        bridge("0000:00:02.0", group=2),
        nic("0000:05:00.0", "enp5s0f0", group=90, under="0000:00:02.0"),
        nic("0000:05:00.1", "enp5s0f1", group=90, under="0000:00:02.0"),
    )
    vms = tuple(Vm(name=vm, uuid=UUID.format(number)) for number, vm in enumerate(state.vms, 1))
    vfs = {"enp3s0f0": tuple(map(_vf, range(first))), "enp3s0f1": tuple(map(_vf, range(second)))}
    links = idle_network(functions).links
    net = network(*(msgspec.structs.replace(one, vfs=vfs.get(one.name, ())) for one in links))
    return ready_host(*functions, net=net).but(vms=vms)


def _vf(number: int) -> VfSettings:
    """A VF that is set as the example with the pool says."""
    return VfSettings(vf_index=number, mac=f"02:00:00:00:00:{number:02x}", vlan=0, spoofchk=True, trust=False)


def without_vfs(tree: Tree) -> Tree:
    functions = tuple(function for function in tree.functions if function.pf is None)
    bare = tuple(f.__class__(**{**vars(f), "vfs": ()}) if f.vfs else f for f in functions)
    assert tree.network is not None
    links = [msgspec.structs.replace(one, vfs=()) for one in tree.network.links]
    return tree.but(functions=bare, network=network(*links))


def planned(name: str, tree: Tree, root: Path, content: bytes | None = None) -> Plan:
    file = parse_state(name, content or (EXAMPLES / name).read_bytes())
    source = Source(Files(str(root)), tree.read(root), is_live=False)
    request = ApplyRequest(file=name, state=file.state, confirm_within=0)
    return plan_apply(request, file, source, lambda: source).first


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("firewall")])
def test_every_nic_goes_to_its_vm(name: str, tmp_path: Path) -> None:
    tree = host(name)
    plan = planned(name, tree, tmp_path)
    given = [(step.domain, step.address) for step in plan.steps if isinstance(step, DefineDevice)]
    assert given == [("fw", "0000:05:00.0"), ("fw", "0000:05:00.1")]
    assert not plan.more


def test_thirty_vms_draw_from_one_pool_of_thirty_vfs(tmp_path: Path) -> None:
    tree = host(POOL)
    plan = planned(POOL, tree, tmp_path)
    assert not plan.more
    made = [step.after for step in plan.steps if isinstance(step, SetPool)][-1]
    assert made is not None
    assert (len(made.addresses), made.vlan, made.active, made.autostart) == (30, 20, True, True)
    assert {address[:8] for address in made.addresses} == {"0000:03:", "0000:04:"}
    joins = [step for step in plan.steps if isinstance(step, JoinPool)]
    assert [join.domain for join in joins] == [f"vm{number:02}" for number in range(1, 31)]
    assert len({join.mac for join in joins}) == 30


def test_the_pool_waits_for_its_vfs_and_no_vm_more_than_these_has_one(tmp_path: Path) -> None:
    plan = planned(POOL, without_vfs(host(POOL)), tmp_path / "bare")
    assert [(step.address, step.after) for step in plan.steps if isinstance(step, SetNumvfs)] == [
        ("0000:03:00.0", 15),
        ("0000:04:00.0", 15),
    ]
    assert plan.more
    assert (
        "The pool blue is looked at and planned once these VFs are there: enp3s0f0 0-14, enp3s0f1 0-14." in plan.notes
    )
    more = EXAMPLES.joinpath(POOL).read_bytes() + b"  vm31: {nics: [{pool: blue}]}\n"
    tree = host(POOL)
    tree = tree.but(vms=(*(tree.vms or ()), Vm(name="vm31", uuid=UUID.format(31))))
    with pytest.raises(ImpossibleError, match=r"line 43, column 17: No VF of the pool blue is free: vm01 draws"):
        planned(POOL, tree, tmp_path / "more", more)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("firewall") and name != POOL])
def test_vfs_are_made_and_set_first(name: str, tmp_path: Path) -> None:
    plan = planned(name, without_vfs(host(name)), tmp_path)
    (step,) = [step for step in plan.steps if isinstance(step, SetNumvfs)]
    state = parse_state(name, (EXAMPLES / name).read_bytes()).state
    assert step.after == state.pfs["enp3s0f0"].vfs
    assert [vf.vlan for vf in step.after_vfs] == [state.pfs["enp3s0f0"].each[n].vlan for n in range(step.after)]
    assert plan.more
