# SPDX-License-Identifier: Apache-2.0
"""The worked examples in docs/examples: each is read, planned on a host such as it is for, and planned to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nicpass.cli.source import Source
from nicpass.cli.state.planning import plan_apply
from nicpass.host.doors.files import Files
from nicpass.model.plan import DefineDevice, SetNumvfs
from nicpass.model.request import ApplyRequest
from nicpass.planner.state.text import parse_state
from tests.support.hosts import bridge, nic, pf_with_vfs, ready_host
from tests.support.trees import UUID, Tree, Vm

if TYPE_CHECKING:
    from nicpass.model.plan import Plan

EXAMPLES = Path(__file__).resolve().parents[4] / "docs" / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


def host(name: str) -> Tree:
    """A host with the PF, the card and the VMs that the examples name; the VFs are there."""
    content = (EXAMPLES / name).read_bytes()
    state = parse_state(name, content).state
    vfs = state.pfs["enp3s0f0"].vfs if state.pfs else 0
    functions = (
        bridge("0000:00:01.0"),
        *pf_with_vfs("0000:03:00.0", "enp3s0f0", vfs, totalvfs=63, under="0000:00:01.0"),
        bridge("0000:00:02.0", group=2),
        nic("0000:05:00.0", "enp5s0f0", group=90, under="0000:00:02.0"),
        nic("0000:05:00.1", "enp5s0f1", group=90, under="0000:00:02.0"),
    )
    vms = tuple(Vm(name=vm, uuid=UUID.format(number)) for number, vm in enumerate(state.vms, 1))
    return ready_host(*functions).but(vms=vms)


def planned(name: str, tree: Tree, root: Path) -> Plan:
    file = parse_state(name, (EXAMPLES / name).read_bytes())
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


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("firewall")])
def test_vfs_are_made_and_set_first(name: str, tmp_path: Path) -> None:
    tree = host(name)
    functions = tuple(function for function in tree.functions if function.pf is None)
    bare = tree.but(functions=tuple(f.__class__(**{**vars(f), "vfs": ()}) if f.vfs else f for f in functions))
    plan = planned(name, bare, tmp_path)
    (step,) = [step for step in plan.steps if isinstance(step, SetNumvfs)]
    state = parse_state(name, (EXAMPLES / name).read_bytes()).state
    assert step.after == state.pfs["enp3s0f0"].vfs
    assert [vf.vlan for vf in step.after_vfs] == [state.pfs["enp3s0f0"].each[n].vlan for n in range(step.after)]
    assert plan.more
