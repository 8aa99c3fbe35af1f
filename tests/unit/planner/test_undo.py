# SPDX-License-Identifier: Apache-2.0
"""Taking a change back later: planned for the host as it is then, refused where the world has moved on."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nicpass.engine.journal import last_to_undo, undone_by
from nicpass.model.address import Address
from nicpass.model.change import Change, Closed, Confirmed, Opened, Outcome, Phase, StepRecord
from nicpass.model.errors import BadInputError, ExitCode, RefusedError
from nicpass.model.host import Host
from nicpass.model.plan import (
    ArmTimer,
    DefineDevice,
    DisarmTimer,
    GiveBackNic,
    Plan,
    SetNumvfs,
    StartDomain,
    StartWindow,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
)
from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest, VfRequest
from nicpass.planner.confirm import DEFAULT_SECONDS, SESSION_CODES
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.nic.detach import OnRecord, plan_detach
from nicpass.planner.refuse import OVERRIDABLE
from nicpass.planner.undo import Kept, nics_of, plan_undo
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import VM, address, link, network, nic, pf_with_vfs, ready_host, route
from tests.support.trees import Tree, hostdev_xml

NIC = "0000:01:00.0"
OWNER = dataclasses.replace(VM, devices=hostdev_xml(NIC))


def read(tree: Tree) -> Host:
    with tempfile.TemporaryDirectory() as root:
        return tree.read(Path(root))


FREE = read(ready_host())
GIVEN = read(ready_host(vms=(OWNER,)))


def change_of(plan: Plan, identity: str = "1", *, exit_code: int | None = 0, confirmed: bool = False) -> Change:
    """A change that carried out `plan`."""
    steps = [
        StepRecord(time=2.0, number=number, phase=phase, step=step)
        for number, step in enumerate(plan.steps)
        for phase in (Phase.DOING, Phase.DONE)
    ]
    return Change(
        identity=identity,
        opened=Opened(time=1.0, boot_id="boot", plan=plan),
        steps=tuple(steps),
        confirmed=Confirmed(time=3.0) if confirmed else None,
        closed=Closed(time=3.0, exit_code=exit_code) if exit_code is not None else None,
    )


def undo(host: Host, change: Change, **more: Any) -> Plan:
    """With what the change itself kept of the NIC."""
    steps = change.opened.plan.steps if change.opened is not None else ()
    kept = tuple(OnRecord(step.address, step.state) for step in steps if isinstance(step, TakeNic))
    return plan_undo(host, change, UndoRequest(change=change.identity, **more), Kept(kept))


def run_guest(host: Host) -> Host:
    """The same with its VM running, with all that its definition gives it."""
    assert isinstance(host.domains, tuple)
    (guest,) = host.domains
    return msgspec.structs.replace(
        host, domains=(msgspec.structs.replace(guest, running=True, live_devices=guest.config_devices),)
    )


def kinds(plan: Plan) -> list[type[Step]]:
    return [type(step) for step in plan.steps]


def attached(**more: Any) -> Change:
    return change_of(plan_attach(FREE, AttachRequest(vm="guest", nic="eth1", **more)))


class TestAttach:
    """An attach is taken back by a detach of today."""

    def test_it_is_detached(self) -> None:
        plan = undo(GIVEN, attached())
        assert kinds(plan) == [UndefineDevice, GiveBackNic]
        assert plan.request == UndoRequest(change="1")
        assert "Undo 1" in plan.summary

    def test_a_timer_that_runs_is_taken_away_last(self) -> None:
        assert kinds(undo(GIVEN, attached(confirm_within=60))) == [UndefineDevice, GiveBackNic, DisarmTimer]

    def test_a_confirmed_change_has_no_timer_any_more(self) -> None:
        plan = plan_attach(FREE, AttachRequest(vm="guest", nic="eth1", confirm_within=60))
        assert kinds(undo(GIVEN, change_of(plan, confirmed=True))) == [UndefineDevice, GiveBackNic]

    def test_a_running_vm_is_stopped_only_when_told(self) -> None:
        running = run_guest(GIVEN)
        with pytest.raises(RefusedError, match="guest is running") as caught:
            undo(running, attached(start=True))
        assert "--stop" in caught.value.hint
        plan = undo(running, attached(start=True), stop=True)
        assert kinds(plan) == [StopDomain, UndefineDevice, GiveBackNic]
        (stop, *_) = plan.steps
        assert isinstance(stop, StopDomain)
        assert stop.for_all

    def test_a_vm_that_has_it_no_more(self) -> None:
        with pytest.raises(BadInputError, match="does not have"):
            undo(FREE, attached())

    def test_a_nic_that_has_gone(self) -> None:
        """Its entry is taken out, and its record is closed."""
        plan = undo(read(ready_host(nic("0000:09:00.0", "eth9"), vms=(OWNER,))), attached())
        assert kinds(plan) == [UndefineDevice, GiveBackNic]
        assert isinstance(plan.steps[-1], GiveBackNic)
        assert plan.steps[-1].gone


class TestDetach:
    """A detach is taken back with all of today's checks."""

    def detached(self) -> Change:
        return change_of(plan_detach(GIVEN, DetachRequest(vm="guest", nic=NIC), None))

    def test_the_vm_gets_what_it_had(self) -> None:
        plan = undo(FREE, self.detached())
        assert kinds(plan) == [TakeNic, DefineDevice]
        define = plan.steps[-1]
        assert isinstance(define, DefineDevice)
        assert define.device.xml is not None

    def test_the_host_has_come_to_use_it(self) -> None:
        net = network(link("eth1"), address("eth1", "192.0.2.1/24"))
        host = read(ready_host(net=net))
        with pytest.raises(RefusedError, match=r"192\.0\.2\.1"):
            undo(host, self.detached())
        assert kinds(undo(host, self.detached(), allow=frozenset({"HAS_ADDRESS"}))) == [TakeNic, DefineDevice]

    def test_it_was_given_again_meanwhile(self) -> None:
        with pytest.raises(RefusedError, match="already"):
            undo(GIVEN, self.detached())


class TestVf:
    """VFs are made as many as there were, if they are as many as this change made."""

    def made(self) -> Change:
        step = SetNumvfs(address=Address(NIC), before=0, after=2)
        return change_of(Plan(summary="", request=VfRequest(pf=NIC, count=2), steps=(step,)))

    def host(self, count: int) -> Host:
        links = [link("eth1"), *(link(f"eth1v{n}") for n in range(count))]
        return read(ready_host(*pf_with_vfs(NIC, "eth1", count), net=network(*links)))

    def test_they_are_removed(self) -> None:
        (step,) = undo(self.host(2), self.made()).steps
        assert isinstance(step, SetNumvfs)
        assert (step.before, step.after) == (2, 0)

    def test_there_are_others_by_now(self) -> None:
        with pytest.raises(RefusedError, match="is 3 by now, not the 2"):
            undo(self.host(3), self.made())


class TestWhich:
    """What can be undone at all."""

    @pytest.mark.parametrize("exit_code", [ExitCode.ROLLED_BACK, ExitCode.NEEDS_PERSON])
    def test_not_what_was_not_done(self, exit_code: int) -> None:
        plan = plan_attach(FREE, AttachRequest(vm="guest", nic="eth1"))
        with pytest.raises(BadInputError, match="was not done"):
            undo(GIVEN, change_of(plan, exit_code=exit_code))

    def test_not_what_was_cut_off(self) -> None:
        plan = plan_attach(FREE, AttachRequest(vm="guest", nic="eth1"))
        with pytest.raises(RefusedError) as caught:
            nics_of(change_of(plan, exit_code=None))
        assert caught.value.hint == "nicpass recover"

    def test_the_last_that_was_done_and_not_taken_back(self) -> None:
        first, second = attached(), msgspec.structs.replace(attached(), identity="2")
        failed = change_of(Plan(summary="", request=VfRequest(pf=NIC, count=1), steps=()), "3", exit_code=1)
        changes = (first, second, failed)
        assert last_to_undo(changes).identity == "2"
        undone = change_of(undo(GIVEN, second), "4")
        assert undone_by(second, (*changes, undone)) == "4"
        assert last_to_undo((*changes, undone)).identity == "1"
        with pytest.raises(BadInputError, match="no change to undo"):
            last_to_undo((failed,))


class TestConfirm:
    """The dead man's hand: when asked for, or when the administrator's own way may go through the NIC."""

    def armed(self, host: Host, **more: Any) -> list[int]:
        plan = plan_attach(host, AttachRequest(vm="guest", nic="eth1", **more))
        steps = [step for step in plan.steps if isinstance(step, ArmTimer)]
        assert not steps or isinstance(plan.steps[0], ArmTimer), "before anything else is done"
        return [step.seconds for step in steps]

    def test_when_asked_for(self) -> None:
        assert self.armed(FREE) == []
        assert self.armed(FREE, confirm_within=30) == [30]

    def test_by_default_where_the_way_in_is_given_away(self) -> None:
        net = network(link("eth1"), address("eth1", "192.0.2.5/24"), route("eth1"))
        host = read(ready_host(net=net))
        allow = frozenset(OVERRIDABLE)
        assert self.armed(host, allow=allow) == [DEFAULT_SECONDS]
        assert self.armed(host, allow=allow, confirm_within=0) == []
        assert self.armed(host, allow=allow, confirm_within=900) == [900]

    @pytest.mark.parametrize("seconds", [-1, 1, 4, 86401])
    def test_no_such_time(self, seconds: int) -> None:
        with pytest.raises(BadInputError, match="no time"):
            self.armed(FREE, confirm_within=seconds)

    def test_the_codes_can_be_overridden(self) -> None:
        assert SESSION_CODES <= OVERRIDABLE

    def test_vfs_of_the_nic_that_carries_the_way_in(self) -> None:
        net = network(link("eth1"), route("eth1"))
        host = read(ready_host(*pf_with_vfs(NIC, "eth1", 0), net=net))
        assert [type(step) for step in plan_vf(host, VfRequest(pf=NIC, count=2)).steps] == [
            ArmTimer,
            SetNumvfs,
            StartWindow,
        ]
        plan = plan_vf(host, VfRequest(pf=NIC, count=2, confirm_within=0))
        assert [type(step) for step in plan.steps] == [SetNumvfs]

    def test_it_is_part_of_the_outcome(self) -> None:
        plan = plan_attach(FREE, AttachRequest(vm="guest", nic="eth1", confirm_within=60))
        assert change_of(plan).outcome == Outcome.UNCONFIRMED
        assert change_of(plan, confirmed=True).outcome == Outcome.DONE
        assert change_of(plan).confirm_within == 60


def test_a_start_alone_is_undone_by_a_stop() -> None:
    step = StartDomain(address=Address(NIC), domain="guest", uuid=VM.uuid)
    change = change_of(Plan(summary="", request=AttachRequest(vm="guest", nic=NIC, start=True), steps=(step,)))
    assert kinds(undo(GIVEN, change)) == [], "it is off by now"
    running = run_guest(GIVEN)
    with pytest.raises(RefusedError):
        undo(running, change)
    assert kinds(undo(running, change, stop=True)) == [StopDomain]
