# SPDX-License-Identifier: Apache-2.0
"""A change that was cut off, at each place and in each way: what is done to the host, what stands in its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nicpass.engine.handler import Handler
from nicpass.engine.journal import JOURNALS, Journal, read_change, read_changes
from nicpass.engine.recovery import Settled, abandon, recover, take_back_as_recorded
from nicpass.engine.transaction import describe_error, run_plan
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Actor, Outcome, Phase
from nicpass.model.errors import ExitCode, NeedsPersonError, NoAnswerError, StepError
from nicpass.model.fact import Unknown
from nicpass.model.plan import (
    ArmTimer,
    DisarmTimer,
    GiveBackNic,
    NicState,
    Plan,
    SetNumvfs,
    StartDomain,
    StartWindow,
    StopDomain,
    TakeNic,
)
from nicpass.model.request import DetachRequest
from nicpass.planner.recovery import Direction

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.engine.handler import Handlers
    from nicpass.model.plan import Step

NIC = Address("0000:01:00.0")
STATE = NicState(address=NIC, driver="igb")
TAKE, BACK = TakeNic(address=NIC, state=STATE), GiveBackNic(address=NIC, state=STATE)
VFS = SetNumvfs(address=NIC, before=0, after=2)
NO_VFS = SetNumvfs(address=NIC, before=2, after=0)
START = StartDomain(address=NIC, domain="web", uuid="1")
STOP = StopDomain(address=NIC, domain="web", uuid="1")
ARM = ArmTimer(address=NIC, seconds=60, allowance=90)
DISARM = DisarmTimer(address=NIC, seconds=60, allowance=90)
WINDOW = StartWindow(address=NIC, seconds=60, allowance=90)
KINDS = (TakeNic, GiveBackNic, SetNumvfs, StartDomain, StopDomain, ArmTimer, DisarmTimer, StartWindow)
BOOT = "proc/sys/kernel/random/boot_id"
ROOT = Actor(user="root", process=9)


class World:
    """What was done, what holds by reading, and what fails."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = Files(str(root))
        self.boot("first")
        self.did: list[Step] = []
        self.holds: set[Step] = set()
        self.fails: dict[type[Step], Exception] = {}

    def boot(self, name: str) -> None:
        (self.root / BOOT).parent.mkdir(parents=True, exist_ok=True)
        (self.root / BOOT).write_text(f"{name}\n")

    def handlers(self) -> Handlers:
        return dict.fromkeys(KINDS, Handler(self._apply, self._verify))

    def _apply(self, step: Step) -> None:
        if type(step) in self.fails:
            raise self.fails[type(step)]
        self.did.append(step)
        self.holds.add(step)

    def _verify(self, step: Step) -> None:
        if step not in self.holds:
            raise StepError("Not there.")

    def cut_off(self, *steps: Step, phases: dict[int, Phase] | None = None) -> Journal:
        """A change whose steps came to these phases, and of which nothing holds yet."""
        plan = Plan(summary="A change", request=DetachRequest(vm="web", nic=NIC), steps=steps)
        journal = Journal.open(self.files, plan)
        for number, phase in (phases or {}).items():
            journal.record(number, Phase.DOING, steps[number])
            if phase != Phase.DOING:
                journal.record(number, phase, steps[number])
        return journal

    def recover(self, **more: Any) -> Settled:
        (settled,) = recover(self.files, self.handlers(), **more)
        return settled

    def outcome(self) -> Outcome:
        return read_changes(self.files)[-1].outcome

    def phases(self) -> dict[int, Phase]:
        return read_changes(self.files)[-1].phases


@pytest.fixture
def world(quick_path: Path) -> World:
    return World(quick_path)


DONE, DOING = Phase.DONE, Phase.DOING


class TestClosing:
    """Nothing was begun."""

    def test_before_its_first_step(self, world: World) -> None:
        world.cut_off(TAKE, VFS)
        settled = world.recover()
        assert (settled.direction, settled.exit_code) == (Direction.CLOSE, ExitCode.DONE)
        assert settled.summary == "A change"
        assert settled.sentence == "It was cut off before its first step."
        assert (world.did, world.outcome()) == ([], Outcome.TAKEN_BACK)

    def test_even_where_all_of_it_holds_already(self, world: World) -> None:
        world.cut_off(VFS)
        world.holds.add(VFS)
        assert world.recover().direction == Direction.CLOSE

    def test_a_journal_without_a_whole_line_is_removed(self, world: World, quick_path: Path) -> None:
        world.files.append_line(f"{JOURNALS}/20260101T000000-0000007.jsonl", b"x")
        path = quick_path / f"{JOURNALS[1:]}/20260101T000000-0000007.jsonl"
        path.write_bytes(b'{"type":"op')
        settled = world.recover()
        assert (settled.direction, settled.exit_code) == (Direction.CLOSE, ExitCode.DONE)
        assert settled.change == "20260101T000000-0000007"
        assert not path.exists()

    def test_a_damaged_one_is_for_a_person(self, world: World, quick_path: Path) -> None:
        journal = world.cut_off(VFS, phases={0: DOING})
        path = quick_path / journal.path[1:]
        path.write_bytes(b"x" + path.read_bytes())
        settled = world.recover()
        assert (settled.direction, settled.exit_code) == (Direction.CLOSE, ExitCode.NEEDS_PERSON)
        assert "line 1" in settled.sentence
        assert f"nicpass recover --abandon {journal.identity}" in settled.sentence
        assert path.exists()

    def test_one_that_is_abandoned(self, world: World) -> None:
        journal = world.cut_off(VFS, phases={0: DOING})
        abandon(world.files, read_change(world.files, journal.identity))
        assert (world.outcome(), world.did) == (Outcome.ABANDONED, [])
        change = read_changes(world.files)[-1]
        assert change.closed is not None
        assert change.closed.exit_code == ExitCode.NEEDS_PERSON
        assert recover(world.files, {}) == ()


class TestTakingBack:
    """What gives no NIC back."""

    def test_what_was_begun_in_reverse(self, world: World) -> None:
        world.cut_off(TAKE, VFS, START, phases={0: DONE, 1: DOING})
        settled = world.recover(actor=ROOT)
        assert (settled.direction, settled.exit_code) == (Direction.TAKE_BACK, ExitCode.DONE)
        assert settled.sentence == "It was taken back."
        assert world.did == [NO_VFS, BACK]
        assert world.phases() == {0: Phase.UNDONE, 1: Phase.UNDONE}
        assert world.outcome() == Outcome.TAKEN_BACK
        (resumed,) = read_changes(world.files)[-1].resumed
        assert (resumed.actor, resumed.finishing, resumed.boot_id) == (ROOT, False, "first")

    def test_after_another_boot_only_what_outlives_it(self, world: World) -> None:
        world.cut_off(TAKE, VFS, phases={0: DONE, 1: DONE})
        world.boot("second")
        settled = world.recover()
        assert settled.sentence.startswith("It was taken back; what was running ended with the boot")
        (back,) = world.did
        assert isinstance(back, GiveBackNic)
        assert back.after_boot

    def test_boots_that_cannot_be_told_apart_are_one(self, world: World, quick_path: Path) -> None:
        world.cut_off(VFS, phases={0: DONE})
        (quick_path / BOOT).unlink()
        assert world.recover().sentence == "It was taken back."
        assert world.did == [NO_VFS]

    def test_what_cannot_be_taken_back_is_told_and_tried_again(self, world: World) -> None:
        world.cut_off(TAKE, VFS, phases={0: DONE, 1: DONE})
        world.fails[SetNumvfs] = StepError("In use.")
        settled = world.recover()
        assert settled.exit_code == ExitCode.NEEDS_PERSON
        assert settled.sentence == "It could not be taken back: In use."
        assert world.did == [BACK], "the others are taken back all the same"
        assert (world.phases()[1], world.outcome()) == (Phase.UNDO_FAILED, Outcome.UNFINISHED)
        del world.fails[SetNumvfs]
        assert world.recover().exit_code == ExitCode.DONE
        assert world.did == [BACK, NO_VFS]

    @pytest.mark.parametrize("running", [False, True])
    def test_a_vm_that_runs_still_is_not_started_by_somebody_else(self, running: bool, world: World) -> None:
        world.cut_off(STOP, VFS, phases={0: DOING, 1: DOING})
        if running:
            world.holds.add(START)
        world.recover()
        assert world.did == ([NO_VFS] if running else [NO_VFS, START])

    def test_what_was_being_taken_back_goes_on_so(self, world: World) -> None:
        world.cut_off(STOP, BACK, phases={0: DONE, 1: Phase.UNDOING})
        assert world.recover().direction == Direction.TAKE_BACK

    def test_a_disk_that_is_full(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.cut_off(VFS, phases={0: DONE})

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(world.files, "append_line", fail)
        settled = world.recover()
        assert settled.exit_code == ExitCode.NEEDS_PERSON
        assert "The journal cannot be written: [Errno 28]" in settled.sentence
        assert world.did == []


class TestFinishing:
    """What gives a NIC back."""

    def test_what_is_left_is_done(self, world: World) -> None:
        world.cut_off(STOP, VFS, BACK, phases={0: DONE, 1: DONE, 2: DOING})
        world.holds |= {STOP, VFS}
        settled = world.recover()
        assert (settled.direction, settled.exit_code) == (Direction.FINISH, ExitCode.DONE)
        assert settled.sentence == "It was finished."
        assert (world.did, world.outcome()) == ([BACK], Outcome.DONE)
        (resumed,) = read_changes(world.files)[-1].resumed
        assert resumed.finishing

    def test_what_does_not_hold_any_more_is_done_again_but_no_stop(self, world: World) -> None:
        world.cut_off(STOP, VFS, BACK, phases={0: DONE, 1: DONE, 2: DOING})
        world.recover()
        assert world.did == [VFS, BACK]

    def test_a_nic_that_goes_on_to_another_vm_is_not_brought_back_from_there(self, world: World) -> None:
        """`apply --prune` takes it from one VM and gives it to another: brought back again it would lose its record."""
        world.cut_off(BACK, TAKE, VFS, phases={0: DONE, 1: DONE, 2: DOING})
        world.holds.add(TAKE)
        assert world.recover().exit_code == ExitCode.DONE
        assert world.did == [VFS]

    def test_one_that_was_given_before_it_came_back_is(self, world: World) -> None:
        world.cut_off(TAKE, BACK, VFS, phases={0: DONE, 1: DONE, 2: DOING})
        world.holds.add(TAKE)
        world.recover()
        assert world.did == [BACK, VFS]

    def test_what_fails_before_the_nic_is_on_its_way_is_taken_back(self, world: World) -> None:
        world.cut_off(STOP, VFS, BACK, phases={0: DONE, 1: DOING})
        world.holds.add(STOP)
        world.fails[SetNumvfs] = StepError("No.")
        settled = world.recover()
        assert settled.exit_code == ExitCode.NEEDS_PERSON
        assert START in world.did, "what was done before it was cut off is taken back too"

    def test_all_of_it_is_there_already(self, world: World) -> None:
        world.cut_off(TAKE, VFS, phases={0: DONE, 1: DOING})
        world.holds |= {TAKE, VFS}
        settled = world.recover()
        assert (settled.direction, settled.exit_code) == (Direction.FINISH, ExitCode.DONE)
        assert settled.sentence == "All of it was done already."
        assert (world.did, world.outcome()) == ([], Outcome.DONE)
        change = read_changes(world.files)[-1]
        records = [(record.number, record.phase) for record in change.steps]
        assert records == [(0, DOING), (0, DONE), (1, DOING), (1, DONE)], "each end is recorded once"

    def test_then_the_time_to_confirm_it_begins(self, world: World) -> None:
        world.cut_off(ARM, VFS, WINDOW, phases={0: DONE, 1: DOING})
        world.holds |= {ARM, VFS}
        assert world.recover().exit_code == ExitCode.DONE
        assert world.did == [WINDOW]
        assert world.outcome() == Outcome.UNCONFIRMED

    def test_unless_it_has_begun(self, world: World) -> None:
        world.cut_off(ARM, VFS, WINDOW, phases={0: DONE, 1: DONE, 2: DOING})
        world.holds |= {ARM, VFS, WINDOW}
        world.recover()
        assert world.did == []

    def test_a_timer_that_cannot_be_set_is_told(self, world: World) -> None:
        world.cut_off(ARM, VFS, WINDOW, phases={0: DONE, 1: DOING})
        world.holds |= {ARM, VFS}
        world.fails[StartWindow] = StepError("No systemd.")
        settled = world.recover()
        assert (settled.exit_code, settled.sentence) == (StepError("").exit_code, "No systemd.")


class TestUnattended:
    """The dead man's hand stops the VM, and comes again where nobody answered."""

    def test_it_stops_the_vm_for_all(self, world: World) -> None:
        world.cut_off(ARM, TAKE, START, phases={0: DONE, 1: DONE, 2: DONE})
        world.recover(unattended=True)
        stop = world.did[0]
        assert isinstance(stop, StopDomain)
        assert stop.unattended
        assert world.did[1:] == [BACK, DISARM]

    def test_but_only_what_is_to_be_confirmed(self, world: World) -> None:
        world.cut_off(TAKE, START, phases={0: DONE, 1: DONE})
        world.recover(unattended=True)
        assert world.did == [StopDomain(address=NIC, domain="web", uuid="1"), BACK]

    @pytest.mark.parametrize(
        ("error", "unattended", "exit_code"),
        [
            (NoAnswerError("libvirt does not answer."), True, ExitCode.BUSY),
            (NoAnswerError("libvirt does not answer."), False, ExitCode.NEEDS_PERSON),
            (StepError("No."), True, ExitCode.NEEDS_PERSON),
        ],
    )
    def test_it_comes_again_where_nobody_answered(
        self, error: Exception, unattended: bool, exit_code: ExitCode, world: World
    ) -> None:
        world.cut_off(ARM, START, phases={0: DONE, 1: DONE})
        world.fails[StopDomain] = error
        assert world.recover(unattended=unattended).exit_code == exit_code
        assert DISARM in world.did

    def take_back(self, world: World) -> Settled:
        change = read_changes(world.files)[-1]
        return take_back_as_recorded(change, world.files, world.handlers(), ROOT, lambda *_: None)

    def test_by_the_record_alone(self, world: World) -> None:
        world.cut_off(ARM, TAKE, START, phases={0: DONE, 1: DONE, 2: DONE}).close(ExitCode.DONE)
        assert world.outcome() == Outcome.UNCONFIRMED
        settled = self.take_back(world)
        assert (settled.exit_code, settled.direction) == (ExitCode.DONE, Direction.TAKE_BACK)
        assert (settled.summary, settled.sentence) == ("A change", "It was taken back.")
        assert [type(step) for step in world.did] == [StopDomain, GiveBackNic, DisarmTimer]
        assert world.outcome() == Outcome.TAKEN_BACK
        (resumed,) = read_changes(world.files)[-1].resumed
        assert (resumed.actor, resumed.finishing) == (ROOT, False)

    def test_by_the_record_alone_on_a_full_disk(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.cut_off(ARM, START, phases={0: DONE, 1: DONE}).close(ExitCode.DONE)

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(world.files, "append_line", fail)
        settled = self.take_back(world)
        assert settled.exit_code == ExitCode.NEEDS_PERSON
        assert "The journal cannot be written" in settled.sentence


def test_the_newest_is_settled_first_whatever_becomes_of_it(world: World) -> None:
    first = world.cut_off(TAKE, phases={0: DONE})
    second = world.cut_off(VFS, phases={0: DONE})
    world.fails[SetNumvfs] = StepError("In use.")
    found = recover(world.files, world.handlers())
    assert [(settled.change, settled.exit_code) for settled in found] == [
        (second.identity, ExitCode.NEEDS_PERSON),
        (first.identity, ExitCode.DONE),
    ]


def test_everything_is_told_to_who_watches(world: World) -> None:
    world.cut_off(TAKE, VFS, phases={0: DONE, 1: DONE})
    told: list[tuple[int, Phase, Step]] = []
    world.recover(watch=lambda *words: told.append(words))
    assert told == [(1, Phase.UNDOING, VFS), (1, Phase.UNDONE, VFS), (0, Phase.UNDOING, TAKE), (0, Phase.UNDONE, TAKE)]


class TestGoingOn:
    """A NIC on its way back: every step is told and recorded, and the last hint wins."""

    def run(self, world: World, **more: Any) -> None:
        plan = Plan(summary="", request=DetachRequest(vm="web", nic=NIC), steps=(BACK, VFS))
        run_plan(plan, world.handlers(), world.files, **more)

    def test_each_end_is_recorded(self, world: World) -> None:
        once = [StepError("Not yet.")]
        apply = world._apply

        def fail_once(step: Step) -> None:
            if step == BACK and once:
                raise once.pop()
            apply(step)

        world._apply = fail_once  # type: ignore[method-assign]
        told: list[tuple[int, Phase]] = []
        self.run(world, watch=lambda number, phase, _step: told.append((number, phase)))
        assert told == [(0, DOING), (0, DOING), (0, DONE), (1, DOING), (1, DONE)]
        assert (world.phases(), world.outcome()) == ({0: DONE, 1: DONE}, Outcome.DONE)

    @pytest.mark.parametrize(
        ("first", "second", "hint"), [("one", "two", "two"), ("one", "", "one"), ("", "two", "two")]
    )
    def test_the_hint_of_the_second_failure_goes_before_that_of_the_first(
        self, first: str, second: str, hint: str, world: World
    ) -> None:
        errors = [StepError("First.", first), StepError("Second.", second)]

        def fail(_: Step) -> None:
            raise errors.pop(0)

        world._apply = fail  # type: ignore[assignment, method-assign]
        with pytest.raises(NeedsPersonError, match=r"Second\.") as caught:
            self.run(world)
        assert caught.value.hint.startswith(f"{hint} Mend it, then: nicpass recover.")
        (change,) = read_changes(world.files)
        assert change.closed is not None
        assert (change.closed.exit_code, change.closed.sentence) == (ExitCode.NEEDS_PERSON, "Second.")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (StepError("As it is."), "As it is."),
        (OSError(16, "Device or resource busy", "/sys/x"), "The kernel refused: Device or resource busy: /sys/x."),
        (OSError(16, "Device or resource busy"), "The kernel refused: Device or resource busy."),
        (OSError("odd"), "The kernel refused: odd."),
        (KeyboardInterrupt(), "Interrupted."),
        (ValueError("x"), "A mistake of nicpass itself: ValueError: x."),
    ],
)
def test_any_error_has_a_sentence(error: BaseException, sentence: str) -> None:
    assert describe_error(error).sentence == sentence


def test_an_unknown_boot_is_written_as_such(world: World, quick_path: Path) -> None:
    (quick_path / BOOT).unlink()
    (quick_path / BOOT).mkdir()
    world.cut_off(VFS)
    (change,) = read_changes(world.files)
    assert change.opened is not None
    assert isinstance(change.opened.boot_id, Unknown)
