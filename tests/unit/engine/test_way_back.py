# SPDX-License-Identifier: Apache-2.0
"""Once a NIC is on its way back to the host there is only forward: once more at once, later by nicpass recover."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from nicpass.engine.handler import Handler
from nicpass.engine.journal import Journal, owed, read_changes, unsettled
from nicpass.engine.recovery import recover
from nicpass.engine.transaction import run_plan
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Outcome, Phase
from nicpass.model.errors import ExitCode, NeedsPersonError, StepError
from nicpass.model.plan import GiveBackNic, NicState, Plan, SetNumvfs
from nicpass.model.request import DetachRequest

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.engine.handler import Handlers
    from nicpass.model.plan import Step

NIC = Address("0000:01:00.0")
BEFORE, AFTER = (SetNumvfs(address=NIC, before=0, after=count) for count in (1, 2))
BACK = GiveBackNic(address=NIC, state=NicState(address=NIC, driver="igb"))
PLAN = Plan(summary="", request=DetachRequest(vm="web", nic=NIC), steps=(BEFORE, BACK, AFTER))


@dataclasses.dataclass
class World:
    """What was done, and what fails how often."""

    files: Files
    fails: dict[Step, int] = dataclasses.field(default_factory=dict)
    did: list[Step] = dataclasses.field(default_factory=list)

    def handlers(self) -> Handlers:
        handler = Handler(self._apply, self._verify)
        return {SetNumvfs: handler, GiveBackNic: handler}

    def _apply(self, step: Step) -> None:
        if self.fails.get(step, 0):
            self.fails[step] -= 1
            raise NeedsPersonError("Not as it was.") if step == BACK else StepError("No.")
        self.did.append(step)

    def _verify(self, step: Step) -> None:
        if step not in self.did:
            raise StepError("Not there.")

    def run(self) -> None:
        run_plan(PLAN, self.handlers(), self.files)

    def outcome(self) -> Outcome:
        (change,) = read_changes(self.files)
        return change.outcome


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Files(str(tmp_path)))


@pytest.mark.parametrize("step", [BACK, AFTER], ids=["the NIC", "what comes after it"])
def test_what_failed_once_is_tried_once_more(step: Step, world: World) -> None:
    world.fails[step] = 1
    world.run()
    assert world.did == [BEFORE, BACK, AFTER]
    assert world.outcome() == Outcome.DONE


@pytest.mark.parametrize("step", [BACK, AFTER], ids=["the NIC", "what comes after it"])
def test_what_goes_on_failing_is_not_taken_back_and_recovered_once_it_is_mended(step: Step, world: World) -> None:
    world.fails[step] = 3
    with pytest.raises(NeedsPersonError) as caught:
        world.run()
    assert "nicpass recover" in caught.value.hint
    assert world.outcome() == Outcome.NEEDS_PERSON
    assert unsettled(read_changes(world.files)) == (), "it keeps nobody from the next change"
    assert world.did[:1] == [BEFORE]
    assert all(done in PLAN.steps for done in world.did), "nothing was undone"
    world.fails[step] = 2
    (settled,) = recover(world.files, world.handlers())
    assert settled.exit_code == ExitCode.NEEDS_PERSON, "it fails still"
    (settled,) = recover(world.files, world.handlers())
    assert settled.exit_code == ExitCode.DONE
    assert world.did == [BEFORE, BACK, AFTER]
    assert world.outcome() == Outcome.DONE
    assert recover(world.files, world.handlers()) == ()


def test_what_was_taken_back_without_a_record_is_done_again(world: World) -> None:
    """The disk was full on the way back: the journal still says that the first step is done."""
    journal = Journal.open(world.files, PLAN)
    for phase in (Phase.DOING, Phase.DONE):
        journal.record(0, phase, BEFORE)
    (settled,) = recover(world.files, world.handlers())
    assert settled.exit_code == ExitCode.DONE
    assert world.did == [BEFORE, BACK, AFTER]


def test_what_fails_before_is_taken_back(world: World) -> None:
    world.fails[BEFORE] = 1
    with pytest.raises(StepError):
        world.run()
    assert BACK not in world.did
    assert world.outcome() == Outcome.TAKEN_BACK


def test_a_nic_that_is_somebodys_again_is_not_brought_back(world: World) -> None:
    world.fails[BACK] = 2
    with pytest.raises(NeedsPersonError):
        world.run()
    later = Plan(summary="", request=DetachRequest(vm="web", nic=NIC), steps=(AFTER,))
    run_plan(later, world.handlers(), world.files)
    assert owed(read_changes(world.files)) == ()
    assert recover(world.files, world.handlers()) == ()
