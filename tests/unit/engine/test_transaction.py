# SPDX-License-Identifier: Apache-2.0
"""Record, act, verify, or undo all in reverse: whatever fails, the world ends in `before` or in `after`."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import resource
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nicpass.engine import lock
from nicpass.engine.handler import Handler, Handlers, wait_until
from nicpass.engine.journal import Journal
from nicpass.engine.lock import hold_lock
from nicpass.engine.nic.store import forget_nic_state, keep_nic_state, read_nic_state
from nicpass.engine.transaction import run_plan
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Actor, Closed, Opened, Phase, Record, StepRecord
from nicpass.model.errors import BusyError, ExitCode, NeedsPersonError, NicpassError, StepError
from nicpass.model.fact import Unknown
from nicpass.model.plan import GiveBackNic, NicState, Plan, RemoveGuard, SetNumvfs, Step
from nicpass.model.request import VfRequest

NIC = Address("0000:01:00.0")
REQUEST = VfRequest(pf=NIC, count=4)


DECODER: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def step(number: int) -> SetNumvfs:
    return SetNumvfs(address=Address(f"0000:01:00.{number}"), before=0, after=number + 1)


def plan_of(count: int) -> Plan:
    return Plan(summary="", request=REQUEST, steps=tuple(step(number) for number in range(count)))


def records_in(root: Path) -> list[Record]:
    (journal,) = (root / "var/lib/nicpass/journal").iterdir()
    return [DECODER.decode(line) for line in journal.read_bytes().splitlines()]


@dataclasses.dataclass
class World:
    """PFs and their VFs, and what goes wrong: (address, count, `apply` or `verify`) to an error."""

    root: Path
    numvfs: dict[str, int] = dataclasses.field(default_factory=dict)
    faults: dict[tuple[str, int, str], BaseException] = dataclasses.field(default_factory=dict)
    half: bool = False
    """A step that fails in `apply` has acted all the same."""
    acts: list[tuple[str, int]] = dataclasses.field(default_factory=list)

    def handlers(self) -> Handlers:
        return {SetNumvfs: Handler(self._apply, self._verify)}

    def run(self, plan: Plan, files: Files | None = None) -> None:
        run_plan(plan, self.handlers(), files or Files(str(self.root)))

    def _apply(self, step: SetNumvfs) -> None:
        """Also checks that the record of what is about to be done is on disk already."""
        self.acts.append((step.address, step.after))
        fault = self.faults.get((step.address, step.after, "apply"))
        if fault is None or self.half:
            self.numvfs[step.address] = step.after
        if fault is not None:
            raise fault

    def _verify(self, step: SetNumvfs) -> None:
        if (fault := self.faults.get((step.address, step.after, "verify"))) is not None:
            raise fault
        if self.numvfs.get(step.address, 0) != step.after:
            raise StepError(f"{step.address} has {self.numvfs.get(step.address, 0)} VFs.")

    def state(self) -> dict[str, int]:
        return {address: count for address, count in self.numvfs.items() if count}


AFTER = {step(number).address: number + 1 for number in range(3)}


def test_all_steps_are_done_and_recorded(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(plan_of(3))
    assert world.state() == AFTER
    opened, *steps, closed = records_in(tmp_path)
    assert isinstance(opened, Opened)
    assert opened.plan == plan_of(3)
    assert [(r.number, r.phase) for r in steps if isinstance(r, StepRecord)] == [
        (number, phase) for number in range(3) for phase in (Phase.DOING, Phase.DONE)
    ]
    assert isinstance(closed, Closed)
    assert closed.exit_code == ExitCode.DONE


@pytest.mark.parametrize(
    "failure",
    [BrokenPipeError(), OSError(errno.ENOSPC, "full"), UnicodeEncodeError("ascii", "\xe9", 0, 1, ""), ValueError()],
)
def test_a_change_that_cannot_be_told_is_done_all_the_same(failure: Exception, tmp_path: Path) -> None:
    def watch(*_: object) -> None:
        raise failure

    world = World(tmp_path)
    run_plan(plan_of(3), world.handlers(), Files(str(tmp_path)), watch)
    assert world.state() == AFTER
    assert records_in(tmp_path)[-1].exit_code == ExitCode.DONE  # type: ignore[union-attr]


def test_a_plan_without_steps_leaves_no_trace(tmp_path: Path) -> None:
    World(tmp_path).run(plan_of(0))
    assert list(tmp_path.iterdir()) == []


FAULTS: list[Callable[[], BaseException]] = [
    lambda: StepError("The NIC did not."),
    lambda: OSError(errno.EBUSY, "Device or resource busy", "/sys/x"),
    KeyboardInterrupt,
    lambda: ValueError("a mistake"),
]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("where", ["apply", "verify"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("fault", FAULTS, ids=["step", "os", "interrupt", "mistake"])
def test_a_failing_step_takes_all_back_in_reverse(
    fault: Callable[[], BaseException], number: int, where: str, half: bool, tmp_path: Path
) -> None:
    world = World(tmp_path, faults={(step(number).address, number + 1, where): fault()}, half=half)
    with pytest.raises(StepError) as caught:
        world.run(plan_of(3))
    assert world.state() == {}
    assert caught.value.exit_code == ExitCode.ROLLED_BACK
    assert caught.value.sentence.endswith("All was taken back.")
    forward = [(step(n).address, n + 1) for n in range(number + 1)]
    assert world.acts == forward + [(address, 0) for address, _ in reversed(forward)]
    closed = records_in(tmp_path)[-1]
    assert isinstance(closed, Closed)
    assert closed.exit_code == ExitCode.ROLLED_BACK


@pytest.mark.parametrize("where", ["apply", "verify"])
@pytest.mark.parametrize("fault", FAULTS, ids=["step", "os", "interrupt", "mistake"])
def test_a_failing_undo_keeps_the_first_error_and_goes_on(
    fault: Callable[[], BaseException], where: str, tmp_path: Path
) -> None:
    faults: dict[tuple[str, int, str], BaseException] = {
        (step(2).address, 3, "apply"): StepError("The first error.", "The first hint."),
        (step(1).address, 0, where): fault(),
    }
    world = World(tmp_path, faults=faults)
    with pytest.raises(NeedsPersonError) as caught:
        world.run(plan_of(3))
    assert caught.value.exit_code == ExitCode.NEEDS_PERSON
    assert caught.value.sentence.startswith("The first error. Taking it back failed too: ")
    assert "The first hint." in caught.value.hint
    assert "journal" in caught.value.hint
    assert (step(0).address, 0) in world.acts, "the others are undone all the same"
    phases = {(r.number, r.phase) for r in records_in(tmp_path) if isinstance(r, StepRecord)}
    assert (1, Phase.UNDO_FAILED) in phases
    assert (0, Phase.UNDONE) in phases
    closed = records_in(tmp_path)[-1]
    assert isinstance(closed, Closed)
    assert closed.exit_code == ExitCode.NEEDS_PERSON


def test_what_needs_a_person_is_not_taken_back(tmp_path: Path) -> None:
    """A NIC that came back changed: giving it away again would only move further from what was promised."""
    world = World(tmp_path, faults={(step(1).address, 2, "apply"): NeedsPersonError("Not what it was.")})
    with pytest.raises(NeedsPersonError, match="Not what it was"):
        world.run(plan_of(3))
    assert world.acts == [(step(0).address, 1), (step(1).address, 2)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    targets=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6),
    failing=st.integers(0, 6),
    where=st.sampled_from(["apply", "verify"]),
    half=st.booleans(),
)
def test_any_plan_ends_before_or_after(
    targets: list[tuple[int, int]], failing: int, where: str, half: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(tmp_path_factory.mktemp("world"), half=half)
    counts: dict[str, int] = {}
    steps: list[Step] = []
    for pf, count in targets:
        address = Address(f"0000:01:00.{pf}")
        if counts.get(address, 0) != count:
            steps.append(SetNumvfs(address=address, before=counts.get(address, 0), after=count))
            counts[address] = count
    if failing < len(steps):
        last = steps[failing]
        assert isinstance(last, SetNumvfs)
        count = 9  # a count that no undo passes through
        steps[failing] = SetNumvfs(address=last.address, before=last.before, after=count)
        del steps[failing + 1 :]
        world.faults[last.address, count, where] = StepError("No.")
    after = {address: count for address, count in counts.items() if count}
    try:
        world.run(Plan(summary="", request=REQUEST, steps=tuple(steps)))
    except NicpassError:
        assert world.state() == {}
    else:
        assert world.state() == after


class TestJournal:
    """The record is on disk before the step acts; a full disk never leaves the host half changed."""

    def test_the_step_is_recorded_before_it_acts(self, tmp_path: Path) -> None:
        seen: list[Record] = []

        def apply(_: SetNumvfs) -> None:
            seen.append(records_in(tmp_path)[-1])

        handlers: Handlers = {SetNumvfs: Handler(apply, lambda _: None)}
        run_plan(plan_of(2), handlers, Files(str(tmp_path)))
        records = [record for record in seen if isinstance(record, StepRecord)]
        assert [(r.number, r.phase, r.step) for r in records] == [(n, Phase.DOING, step(n)) for n in range(2)]

    def test_the_plan_with_what_was_before_is_recorded_with_the_boot(self, tmp_path: Path) -> None:
        (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
        (tmp_path / "proc/sys/kernel/random/boot_id").write_text("abc\n")
        Journal.open(Files(str(tmp_path)), plan_of(1))
        (opened,) = records_in(tmp_path)
        assert isinstance(opened, Opened)
        assert opened.boot_id == "abc"

    @pytest.mark.parametrize("failing", range(8))
    @pytest.mark.parametrize("lasting", [False, True])
    def test_a_full_disk_at_any_record(self, failing: int, lasting: bool, tmp_path: Path) -> None:
        """Records: opened, three times doing and done, closed. Before or after, and never a raw OSError."""
        world = World(tmp_path)
        with pytest.raises(StepError) as caught:
            world.run(plan_of(3), FullDisk(tmp_path, failing, lasting=lasting))
        assert world.state() == {}
        assert "No space left" in caught.value.sentence
        assert caught.value.exit_code == ExitCode.ROLLED_BACK

    @pytest.mark.parametrize("failing", range(3, 6))
    def test_a_full_disk_never_hides_that_a_person_is_needed(self, failing: int, tmp_path: Path) -> None:
        world = World(tmp_path, faults={(step(1).address, 2, "apply"): NeedsPersonError("Not what it was.")})
        with pytest.raises(NicpassError) as caught:
            world.run(plan_of(3), FullDisk(tmp_path, failing, lasting=True))
        expected = ExitCode.ROLLED_BACK if failing == 3 else ExitCode.NEEDS_PERSON
        assert caught.value.exit_code == expected

    def test_a_record_cut_off_by_a_full_disk_does_not_spoil_the_next(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        files.append_line("/j", b"first")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            with pytest.raises(OSError, match="too large"):
                files.append_line("/j", b"second, which is too long")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        files.append_line("/j", b"third")
        assert (tmp_path / "j").read_bytes() == b"first\nthird\n"

    def test_a_file_that_could_not_get_its_first_line_is_not_there(self, tmp_path: Path) -> None:
        """An empty journal would be a change that was cut off, and stop all others."""
        files = Files(str(tmp_path))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(StepError, match=r"cannot be written: .*: /var/lib/nicpass/journal\. Nothing was done"):
                run_plan(plan_of(1), {}, files)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert files.list_directory("/var/lib/nicpass/journal") == ()

    def test_a_terminal_that_is_gone_stops_nothing(self, tmp_path: Path) -> None:
        def watch(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        world = World(tmp_path)
        run_plan(plan_of(3), world.handlers(), Files(str(tmp_path)), watch)
        assert world.state() == AFTER


class FullDisk(Files):
    """The disk is full at the n-th record; lasting, or only this once."""

    def __init__(self, root: Path, failing: int, *, lasting: bool) -> None:
        super().__init__(str(root))
        self.countdown, self.lasting = failing, lasting

    def append_line(self, path: str, line: bytes) -> None:
        self.countdown -= 1
        if self.countdown == -1 or (self.lasting and self.countdown < 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        super().append_line(path, line)


class TestKept:
    """What a NIC was, on disk."""

    STATE = NicState(address=NIC, driver="ixgbe")

    def test_it_is_kept_and_forgotten(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        assert read_nic_state(files, NIC) is None
        keep_nic_state(files, self.STATE)
        assert read_nic_state(files, NIC) == self.STATE
        forget_nic_state(files, NIC)
        forget_nic_state(files, NIC)
        assert read_nic_state(files, NIC) is None

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"address": "0000:01:00.0"}', b"\xff"])
    def test_a_damaged_record_is_not_an_absent_one(self, content: bytes, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        files.write_atomic(f"/var/lib/nicpass/nics/{NIC}.json", content)
        with pytest.raises(StepError, match="damaged") as caught:
            read_nic_state(files, NIC)
        assert str(NIC) in caught.value.hint

    def test_an_unreadable_record_is_not_an_absent_one(self, tmp_path: Path) -> None:
        (tmp_path / f"var/lib/nicpass/nics/{NIC}.json").mkdir(parents=True)
        with pytest.raises(StepError, match="is a directory"):
            read_nic_state(Files(str(tmp_path)), NIC)

    def test_a_failed_write_leaves_the_old_record(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = Files(str(tmp_path))
        keep_nic_state(files, self.STATE)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                keep_nic_state(files, NicState(address=NIC, driver=None))
        assert read_nic_state(files, NIC) == self.STATE
        assert files.list_directory("/var/lib/nicpass/nics") == (f"{NIC}.json",)


WEB = Actor(user="alice", process=os.getpid(), command=("attach", "web", "eth1"))
DB = Actor(user="bob", process=18, command=("undo",))


class TestLock:
    """One change at a time."""

    def test_the_second_is_told_who_the_first_is(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        with (
            hold_lock(files, WEB),
            pytest.raises(BusyError) as caught,
            hold_lock(files, DB),
        ):
            pass
        assert f"process {os.getpid()}, nicpass attach web eth1, by alice" in caught.value.sentence
        assert caught.value.exit_code == ExitCode.BUSY

    def test_it_is_free_again_after_success_and_failure(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        with pytest.raises(StepError), hold_lock(files, WEB):
            raise StepError("No.")
        with hold_lock(files, DB):
            text = (tmp_path / lock.RUNS[1:]).read_text()
        assert text == "process 18, nicpass undo, by bob\n"

    @pytest.mark.parametrize("left", ["", "process 4194305, nicpass undo, by bob\n", "process 1, nicp", "damaged\n"])
    def test_the_holder_has_a_moment_to_say_who_it_is(
        self, left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who was killed may stand there still (no process has so high a number: PID_MAX_LIMIT), or half a name."""
        path = tmp_path / lock.RUNS[1:]
        path.parent.mkdir(parents=True, mode=0o700)
        path.touch(0o600)
        path.write_text(left)
        name = f"process {os.getpid()}, nicpass attach web eth1, by alice"

        def wait(is_true: Callable[[], bool], timeout: float, interval: float) -> bool:
            if timeout:  # not for the lock, but for the name
                path.write_text(f"{name}\n")
            return wait_until(is_true, timeout, interval)

        monkeypatch.setattr(lock, "wait_until", wait)
        with path.open() as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            with pytest.raises(BusyError) as caught, hold_lock(Files(str(tmp_path)), DB):
                pass
        assert caught.value.sentence == f"Another run is at work: {name}."

    def test_a_lock_that_was_let_go_names_nobody(self, tmp_path: Path) -> None:
        with hold_lock(Files(str(tmp_path)), WEB):
            pass
        assert (tmp_path / lock.RUNS[1:]).read_text() == (tmp_path / lock.PATH[1:]).read_text() == ""


def test_waiting_asks_once_more_at_the_end() -> None:
    answers = iter([False, True])
    assert wait_until(lambda: next(answers), timeout=1, interval=0)
    assert not wait_until(lambda: False, timeout=0)
    assert wait_until(lambda: True, timeout=0)


def test_a_boot_id_that_cannot_be_read_is_unknown_in_the_journal(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/kernel/random/boot_id").mkdir(parents=True)
    Journal.open(Files(str(tmp_path)), plan_of(1))
    (opened,) = records_in(tmp_path)
    assert isinstance(opened, Opened)
    assert isinstance(opened.boot_id, Unknown)


class TestSeveralComeBack:
    """One NIC that does not come back as it was keeps no other from it; and the guard stays for it."""

    LEFT = tuple(
        GiveBackNic(address=step(n).address, state=NicState(address=step(n).address, driver=None)) for n in (1, 0)
    )
    PLAN = Plan(summary="", request=REQUEST, steps=(*LEFT, RemoveGuard(address=NIC, files=())))

    def run(self, root: Path, *broken: Address) -> list[str]:
        acts: list[str] = []

        def give_back(step: GiveBackNic) -> None:
            acts.append(step.address)
            if step.address in broken:
                raise NeedsPersonError(f"{step.address} is not what it was.", "dmesg")

        def pass_by(_step: Step) -> None:
            pass

        def remove(_step: RemoveGuard) -> None:
            acts.append("guard")

        handlers: Handlers = {GiveBackNic: Handler(give_back, pass_by), RemoveGuard: Handler(remove, pass_by)}
        if not broken:
            run_plan(self.PLAN, handlers, Files(str(root)))
            return acts
        with pytest.raises(NeedsPersonError) as caught:
            run_plan(self.PLAN, handlers, Files(str(root)))
        assert all(f"{address} is not what it was." in caught.value.sentence for address in broken)
        assert "dmesg" in caught.value.hint
        closed = records_in(root)[-1]
        assert isinstance(closed, Closed)
        assert closed.exit_code == ExitCode.NEEDS_PERSON
        return acts

    def test_all(self, tmp_path: Path) -> None:
        one, two = (give.address for give in self.LEFT)
        assert self.run(tmp_path / "a") == [one, two, "guard"]
        assert self.run(tmp_path / "b", one) == [one, one, two], "it is tried once more, and the other is not forgotten"
        assert self.run(tmp_path / "c", two) == [one, two, two]
        assert self.run(tmp_path / "d", one, two) == [one, one, two]
