# SPDX-License-Identifier: Apache-2.0
"""Pools are made of VFs that are free, changed while nobody has one of theirs, and taken back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.model.errors import BadInputError, ImpossibleError, NicpassError, RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.inverse import invert_step
from nicpass.model.libvirt_network import PoolState
from nicpass.model.plan import DefineDevice, SetPool
from nicpass.model.request import AttachRequest, PoolRequest, UndoRequest, VfRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.pool.network import plan_pool, plan_pool_back
from nicpass.planner.pool.states import steps_between
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import link, network, nic, ready_host
from tests.support.pools import PF, PLAIN, VFS, address_xml, drawing_xml, holding, pool_file, started, with_pool
from tests.support.trees import Vm, network_file, vf_interface_xml

MAC = "52:54:00:00:00:01"
CREATE = PoolRequest(action="create", name="blue", pf="eth1", vfs="2-3")


def states(steps: tuple[Any, ...]) -> list[tuple[Any, ...] | None]:
    """(addresses, active, autostart) after each step."""
    found: list[tuple[Any, ...] | None] = []
    for step in steps:
        assert isinstance(step, SetPool)
        after = step.after
        found.append(None if after is None else (after.addresses, after.active, after.autostart))
    return found


def test_a_pool_is_defined_then_left_to_libvirt_then_started(tmp_path: Path) -> None:
    plan = plan_pool(PLAIN.read(tmp_path), msgspec.structs.replace(CREATE, vlan=20))
    assert states(plan.steps) == [(VFS[2:], False, False), (VFS[2:], False, True), (VFS[2:], True, True)]
    first = plan.steps[0]
    assert isinstance(first, SetPool)
    assert first.before is None
    assert first.after is not None
    assert (first.after.name, first.after.vlan) == ("blue", 20)
    assert plan.summary == "Make the pool blue of VFs 2-3 of eth1 (0000:01:00.0)"


def test_the_same_pool_again_is_nothing_to_do(tmp_path: Path) -> None:
    host = started(with_pool(*VFS[2:]).read(tmp_path))
    assert plan_pool(host, CREATE).steps == ()


BAD = {
    "no name": ({"name": "a b"}, BadInputError, "no name for a pool"),
    "a path": ({"name": "../x"}, BadInputError, "no name for a pool"),
    "an option": ({"name": "-x"}, BadInputError, "no name for a pool"),
    "no PF of this host": ({"pf": "eth7"}, BadInputError, "There is no NIC 'eth7'"),
    "no VFs": ({"vfs": "two"}, BadInputError, "does not say which VFs"),
    "a VF that could be": ({"vfs": "2-7"}, BadInputError, "has no VF 7 now"),
    "a VF that cannot be": ({"vfs": "63"}, BadInputError, "has no VF 63"),
    "VLAN 0": ({"vlan": 0}, BadInputError, "0 is not a VLAN"),
    "VLAN 4095": ({"vlan": 4095}, BadInputError, "4095 is not a VLAN"),
}


@pytest.mark.parametrize(("fields", "kind", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_made(fields: dict[str, Any], kind: type[NicpassError], words: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=words) as caught:
        plan_pool(PLAIN.read(tmp_path), msgspec.structs.replace(CREATE, **fields))
    assert caught.value.hint


def test_vfs_that_are_not_there_come_with_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        plan_pool(PLAIN.read(tmp_path), msgspec.structs.replace(CREATE, vfs="2-7"))
    assert "nicpass vf create 0000:01:00.0 --count 8" in caught.value.hint
    bare = ready_host(nic(PF, "eth1", totalvfs=8), net=network(link("eth1")))
    with pytest.raises(BadInputError, match="its VFs are none") as caught:
        plan_pool(bare.read(tmp_path / "bare"), CREATE)
    assert "--count 4" in caught.value.hint


def test_a_nic_that_makes_no_vfs_has_no_pool(tmp_path: Path) -> None:
    plain = ready_host(nic(PF, "eth1"), net=network(link("eth1")))
    with pytest.raises(ImpossibleError, match="cannot make VFs"):
        plan_pool(plain.read(tmp_path), CREATE)


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    for number, forward in enumerate(("<forward mode='nat'/>", "<forward mode='hostdev'><pf dev='eth9'/></forward>")):
        host = PLAIN.but(files=network_file("blue", forward)).read(tmp_path / str(number))
        with pytest.raises(BadInputError, match="has a network blue already"):
            plan_pool(host, CREATE)


def test_vfs_that_somebody_has(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="belongs to the network red"):
        plan_pool(PLAIN.but(files=pool_file(VFS[3], name="red")).read(tmp_path / "pool"), CREATE)
    vm = Vm(name="web", uuid="2", devices=vf_interface_xml(VFS[2], MAC))
    with pytest.raises(RefusedError, match="belongs to the VM web"):
        plan_pool(PLAIN.but(vms=(vm,)).read(tmp_path / "vm"), CREATE)
    host = PLAIN.read(tmp_path / "none")
    unknown = msgspec.structs.replace(host, libvirt_networks=Unknown("libvirt: broken pipe"))
    with pytest.raises(ImpossibleError, match="broken pipe"):
        plan_pool(unknown, CREATE)


def test_what_a_pool_has_is_free_for_nobody_else(tmp_path: Path) -> None:
    """Law 9, by its name in the sentence, and by the command that takes a VF out of it."""
    host = with_pool(*VFS[:2]).read(tmp_path)
    with pytest.raises(RefusedError, match="the network blue of libvirt") as caught:
        plan_attach(host, AttachRequest(vm="web", nic=VFS[1]))
    assert caught.value.findings[0].command == "nicpass pool drain blue --pf 0000:01:00.0 --vfs 1"
    plan = plan_attach(host, AttachRequest(vm="web", nic="eth1", from_pf=True))
    assert {step.address for step in plan.steps if isinstance(step, DefineDevice)} == {VFS[2]}
    for count in (0, 8):
        with pytest.raises(RefusedError, match="the network blue of libvirt"):
            plan_vf(host, VfRequest(pf="eth1", count=count))


def test_vfs_are_added_and_drained_by_stopping_the_pool(tmp_path: Path) -> None:
    host = started(with_pool(*VFS[:2]).read(tmp_path))
    added = plan_pool(host, PoolRequest(action="add", name="blue", vfs="1-3"))
    assert states(added.steps) == [(VFS[:2], False, True), (VFS, False, True), (VFS, True, True)]
    drained = plan_pool(host, PoolRequest(action="drain", name="blue", vfs="0"))
    assert states(drained.steps) == [(VFS[:2], False, True), (VFS[1:2], False, True), (VFS[1:2], True, True)]
    assert states(plan_pool(host, PoolRequest(action="drain", name="blue")).steps)[-1] == ((), True, True)
    assert plan_pool(host, PoolRequest(action="add", name="blue", vfs="0")).steps == ()
    assert plan_pool(host, PoolRequest(action="drain", name="blue", vfs="3")).steps == ()
    removed = plan_pool(host, PoolRequest(action="remove", name="blue"))
    assert states(removed.steps) == [(VFS[:2], False, True), (VFS[:2], False, False), None]


@pytest.mark.parametrize("action", ["add", "drain", "remove"])
def test_while_a_running_vm_has_a_vf_of_it_a_pool_stays(action: Any, tmp_path: Path) -> None:
    host = started(with_pool(*VFS[:2], web=drawing_xml(MAC)).read(tmp_path))
    host = holding(host, "web", VFS[0], MAC)
    vfs = {"add": "3", "drain": "1", "remove": None}[action]
    with pytest.raises(RefusedError, match=r"Running VMs have VFs of the pool blue: web \(0000:01:02.0\)"):
        plan_pool(host, PoolRequest(action=action, name="blue", vfs=vfs))


def test_a_pool_that_a_stopped_vm_draws_from_is_drained_with_a_note_and_not_removed(tmp_path: Path) -> None:
    host = started(with_pool(*VFS[:2], web=drawing_xml(MAC)).read(tmp_path))
    (note,) = plan_pool(host, PoolRequest(action="drain", name="blue")).notes
    assert "web draw from it" in note
    with pytest.raises(RefusedError, match="web has an interface of the pool blue") as caught:
        plan_pool(host, PoolRequest(action="remove", name="blue"))
    assert caught.value.hint == "nicpass detach web --from-pool blue"


def test_a_pool_of_a_whole_pf_is_not_ours_to_fill(tmp_path: Path) -> None:
    host = PLAIN.but(files=network_file("all", "<forward mode='hostdev'><pf dev='eth1'/></forward>")).read(tmp_path)
    for action in ("add", "drain"):
        with pytest.raises(ImpossibleError, match="lends every VF of eth1"):
            plan_pool(host, PoolRequest(action=action, name="all", vfs="0"))
    with pytest.raises(BadInputError, match="There is no pool 'al'") as caught:
        plan_pool(host, PoolRequest(action="add", name="al", vfs="0"))
    assert "Did you mean all?" in caught.value.hint


def test_a_pool_of_a_whole_pf_is_removed_as_it_was_defined(tmp_path: Path) -> None:
    """While it runs libvirt lists the VFs too; in a definition `<pf>` and `<address>` exclude each other."""
    forward = f"<forward mode='hostdev'><pf dev='eth1'/>{''.join(map(address_xml, VFS))}</forward>"
    host = started(PLAIN.but(files=network_file("all", forward)).read(tmp_path))
    first = plan_pool(host, PoolRequest(action="remove", name="all")).steps[0]
    assert isinstance(first, SetPool)
    assert first.before is not None
    assert first.before.addresses == ()


@pytest.mark.parametrize("action", ["add", "drain", "remove"])
def test_a_pool_without_a_lasting_definition_stays(action: Any, tmp_path: Path) -> None:
    host = started(with_pool(*VFS[:2]).read(tmp_path))
    (blue,) = host.libvirt_networks  # type: ignore[misc]
    host = msgspec.structs.replace(host, libvirt_networks=(msgspec.structs.replace(blue, persistent=False),))
    with pytest.raises(ImpossibleError, match="no lasting definition"):
        plan_pool(host, PoolRequest(action=action, name="blue", vfs=None if action == "remove" else "1"))


def test_an_empty_pool_is_filled_by_the_pf_that_is_named(tmp_path: Path) -> None:
    host = started(with_pool().read(tmp_path))
    with pytest.raises(BadInputError, match="Of which PF"):
        plan_pool(host, PoolRequest(action="add", name="blue", vfs="0"))
    plan = plan_pool(host, PoolRequest(action="add", name="blue", pf="eth1", vfs="0"))
    assert states(plan.steps)[-1] == (VFS[:1], True, True)


class TestBack:
    """A change of a pool is taken back only from the state in which it left the pool."""

    def test_the_way_back_is_the_way_reversed(self, tmp_path: Path) -> None:
        request = UndoRequest(change="x")
        made = plan_pool(PLAIN.read(tmp_path / "none"), CREATE)
        host = started(with_pool(*VFS[2:]).read(tmp_path / "made"))
        (uuid,) = {step.after.uuid for step in made.steps if isinstance(step, SetPool) and step.after}
        (blue,) = host.libvirt_networks  # type: ignore[misc]
        host = msgspec.structs.replace(host, libvirt_networks=(msgspec.structs.replace(blue, uuid=uuid),))
        back = plan_pool_back(host, made.steps, request)  # type: ignore[arg-type]
        assert states(back.steps)[-1] is None

    def test_another_pool_by_now(self, tmp_path: Path) -> None:
        made = plan_pool(PLAIN.read(tmp_path / "none"), CREATE)
        with pytest.raises(RefusedError, match="not as this change left it"):
            plan_pool_back(PLAIN.read(tmp_path / "again"), made.steps, UndoRequest(change="x"))  # type: ignore[arg-type]


ADDRESSES = st.lists(st.sampled_from(VFS), unique=True, max_size=4).map(tuple)
STATES = st.none() | st.builds(
    PoolState,
    name=st.just("blue"),
    uuid=st.just("u"),
    addresses=ADDRESSES,
    vlan=st.none() | st.integers(1, 4094),
    active=st.booleans(),
    autostart=st.booleans(),
)


@given(STATES, STATES)
def test_every_way_is_whole_stops_before_it_changes_and_goes_back(
    before: PoolState | None, after: PoolState | None
) -> None:
    """Each step begins where the last one ended; no definition changes under a pool that runs; each has its inverse."""
    steps = steps_between(before, after)
    places = [before, *(step.after for step in steps)]
    assert [step.before for step in steps] == places[:-1]
    assert places[-1] == after or before == after
    for step in steps:
        if step.before is None or step.after is None:
            assert not (step.before or step.after or PoolState(name="", uuid="", addresses=())).active
        elif (step.before.addresses, step.before.vlan) != (step.after.addresses, step.after.vlan):
            assert not step.before.active
            assert not step.after.active
        assert invert_step(step) == SetPool(before=step.after, after=step.before)
