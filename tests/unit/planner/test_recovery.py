# SPDX-License-Identifier: Apache-2.0
"""Which way a change that was cut off goes, and by which steps, in the same boot and after another."""

from __future__ import annotations

import msgspec
import pytest

from nicpass.model.address import Address
from nicpass.model.change import Change, Opened, Phase, StepRecord
from nicpass.model.inverse import invert_step
from nicpass.model.plan import (
    ArmTimer,
    DefineDevice,
    DeviceSpec,
    DisarmTimer,
    GiveBackNic,
    NicState,
    Plan,
    SetNumvfs,
    StartDomain,
    StartWindow,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
)
from nicpass.model.request import DetachRequest
from nicpass.planner.recovery import (
    Direction,
    choose_direction,
    invert_after_boot,
    invert_unattended,
    steps_begun,
    steps_to_finish,
)

NIC = Address("0000:01:00.0")
STATE = NicState(address=NIC, driver="ixgbe")
SPEC = DeviceSpec(address=NIC, element="hostdev")
TAKE = TakeNic(address=NIC, state=STATE)
BACK = GiveBackNic(address=NIC, state=STATE)
DEFINE = DefineDevice(address=NIC, domain="web", uuid="1", device=SPEC)
UNDEFINE = UndefineDevice(address=NIC, domain="web", uuid="1", device=SPEC)
START = StartDomain(address=NIC, domain="web", uuid="1", guarded=True)
STOP = StopDomain(address=NIC, domain="web", uuid="1")
VFS = SetNumvfs(address=NIC, before=0, after=2)
ARM = ArmTimer(address=NIC, seconds=60)
WINDOW = StartWindow(address=NIC, seconds=60, allowance=10)
DISARM = DisarmTimer(address=NIC, seconds=60)
OF_THE_BOOT = (START, STOP, VFS, ARM, WINDOW, DISARM)
DONE, DOING = Phase.DONE, Phase.DOING


def change(*steps: Step, phases: dict[int, Phase] | None = None) -> Change:
    plan = Plan(summary="", request=DetachRequest(vm="web", nic="eth1"), steps=steps)
    records = tuple(
        StepRecord(time=1.0, number=number, phase=phase, step=steps[number]) for number, phase in (phases or {}).items()
    )
    return Change(identity="1", opened=Opened(time=0.0, boot_id="b", plan=plan), steps=records)


class TestDirection:
    """The host's NIC comes first."""

    @pytest.mark.parametrize(
        ("cut", "direction"),
        [
            (Change(identity="1"), Direction.CLOSE),
            (change(TAKE, DEFINE), Direction.CLOSE),
            (change(UNDEFINE, BACK), Direction.CLOSE),
            (change(TAKE, DEFINE, phases={0: DOING}), Direction.TAKE_BACK),
            (change(UNDEFINE, BACK, phases={0: DOING}), Direction.FINISH),
            (change(UNDEFINE, BACK, phases={0: DONE, 1: DONE}), Direction.FINISH),
            (change(UNDEFINE, BACK, phases={0: Phase.UNDOING}), Direction.TAKE_BACK),
            (change(UNDEFINE, BACK, phases={0: Phase.UNDO_FAILED, 1: DONE}), Direction.TAKE_BACK),
            (change(UNDEFINE, BACK, phases={0: DONE, 1: Phase.UNDONE}), Direction.TAKE_BACK),
        ],
    )
    def test_it(self, cut: Change, direction: Direction) -> None:
        assert choose_direction(cut) == direction


class TestFinishing:
    """What was not seen done."""

    STEPS = (STOP, UNDEFINE, BACK)

    def test_in_the_same_boot_all_that_is_left(self) -> None:
        assert steps_to_finish(change(*self.STEPS, phases={0: DONE, 1: DOING}), same_boot=True) == (
            (1, UNDEFINE),
            (2, BACK),
        )

    def test_what_was_lost_again_is_done_again(self) -> None:
        cut = change(*self.STEPS, phases={0: DONE, 1: DONE, 2: DOING})
        assert steps_to_finish(cut, same_boot=True, lost=frozenset({1})) == ((1, UNDEFINE), (2, BACK))

    def test_after_a_boot_the_host_has_set_the_nic_up(self) -> None:
        (undefine, back) = steps_to_finish(change(*self.STEPS), same_boot=False)
        assert undefine == (1, UNDEFINE)
        assert back == (2, msgspec.structs.replace(BACK, after_boot=True))

    def test_nothing_of_a_plan_that_is_not_known(self) -> None:
        assert steps_to_finish(Change(identity="1"), same_boot=True) == ()

    @pytest.mark.parametrize("step", OF_THE_BOOT, ids=lambda step: type(step).__name__)
    def test_what_ends_with_the_boot(self, step: Step) -> None:
        assert steps_to_finish(change(step), same_boot=False) == ()
        assert steps_to_finish(change(step), same_boot=True) == ((0, step),)
        assert invert_after_boot(step) is None


class TestTakingBack:
    """What may have acted."""

    def test_steps_begun_and_not_seen_undone(self) -> None:
        phases = {0: DONE, 1: DOING, 2: Phase.UNDO_FAILED, 3: Phase.UNDONE, 4: Phase.UNDOING}
        cut = change(TAKE, DEFINE, START, VFS, ARM, WINDOW, phases=phases)
        assert [number for number, _ in steps_begun(cut)] == [0, 1, 2, 4]
        assert steps_begun(cut)[1] == (1, DEFINE)

    def test_nothing_of_a_plan_that_is_not_known(self) -> None:
        assert steps_begun(Change(identity="1")) == ()

    def test_after_a_boot_a_definition_is_taken_back_all_the_same(self) -> None:
        assert invert_after_boot(DEFINE) == UNDEFINE
        inverse = invert_after_boot(TAKE)
        assert isinstance(inverse, GiveBackNic)
        assert inverse.after_boot

    def test_by_the_dead_mans_hand_the_vm_is_stopped_whoever_started_it(self) -> None:
        assert invert_unattended(START) == StopDomain(
            address=NIC, domain="web", uuid="1", for_all=True, unattended=True, guarded=True
        )
        guarded = invert_unattended(msgspec.structs.replace(START, guarded=False))
        assert isinstance(guarded, StopDomain)
        assert not guarded.guarded

    @pytest.mark.parametrize("step", [TAKE, DEFINE, VFS], ids=lambda step: type(step).__name__)
    def test_all_else_as_anybody_would(self, step: Step) -> None:
        assert invert_unattended(step) == invert_step(step)
