# SPDX-License-Identifier: Apache-2.0
"""What the journal says is read back whole, also when the power cut a line off; old ones go, unsettled ones stay."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.cli.main import main
from nicpass.engine import journal as journal_module
from nicpass.engine.journal import (
    Journal,
    find_unsettled,
    last_to_undo,
    list_changes,
    parse_change,
    read_change,
    read_changes,
    read_changes_unless_settled,
    select_change,
    undone_by,
    unsettled,
)
from nicpass.host.doors.files import Files
from nicpass.host.system.actor import read_actor
from nicpass.model.address import Address
from nicpass.model.change import Actor, Change, Outcome, Phase
from nicpass.model.errors import BadInputError, ExitCode, NotPermittedError
from nicpass.model.plan import ArmTimer, Plan, SetNumvfs
from nicpass.model.request import UndoRequest, VfRequest

NIC = Address("0000:01:00.0")
STEP = SetNumvfs(address=NIC, before=0, after=4)
TIMER = ArmTimer(address=NIC, seconds=60)
PLAN = Plan(summary="Make 4 VFs of eth1", request=VfRequest(pf=NIC, count=4), steps=(STEP,))
ALICE = Actor(user="alice", process=17, command=("vf", "create", "eth1", "--count", "4"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("boot-1\n")
    return Files(str(tmp_path))


def write_change(files: Files, *phases: Phase, closed: ExitCode | None = None, plan: Plan = PLAN) -> str:
    journal = Journal.open(files, plan, ALICE)
    for phase in phases:
        journal.record(0, phase, STEP)
    if closed is not None:
        journal.close(closed, "A sentence." if closed else "")
    return journal.identity


@pytest.mark.parametrize(
    ("phases", "closed", "outcome"),
    [
        ((), None, Outcome.UNFINISHED),
        ((Phase.DOING,), None, Outcome.UNFINISHED),
        ((Phase.DOING, Phase.DONE), None, Outcome.UNFINISHED),
        ((Phase.DOING, Phase.DONE), ExitCode.DONE, Outcome.DONE),
        ((Phase.DOING, Phase.UNDOING), None, Outcome.UNFINISHED),
        ((Phase.DOING, Phase.UNDOING, Phase.UNDONE), ExitCode.ROLLED_BACK, Outcome.TAKEN_BACK),
        ((Phase.DOING, Phase.UNDOING, Phase.UNDO_FAILED), ExitCode.NEEDS_PERSON, Outcome.UNFINISHED),
        ((Phase.DOING,), ExitCode.NEEDS_PERSON, Outcome.NEEDS_PERSON),
    ],
)
def test_the_outcome_follows_from_the_records(
    phases: tuple[Phase, ...], closed: ExitCode | None, outcome: Outcome, files: Files
) -> None:
    change = read_change(files, write_change(files, *phases, closed=closed))
    assert change.outcome == outcome
    assert change.damage == ""
    assert change.opened is not None
    assert change.opened.plan == PLAN
    assert change.opened.actor == ALICE
    assert change.opened.boot_id == "boot-1"
    assert (change in unsettled(read_changes(files))) == (outcome == Outcome.UNFINISHED)
    assert find_unsettled(files) == unsettled(read_changes(files))


def test_a_change_with_a_timer_awaits_confirmation_until_it_has_it(files: Files) -> None:
    plan = msgspec.structs.replace(PLAN, steps=(TIMER, STEP))
    identity = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE, plan=plan)
    assert read_change(files, identity).outcome == Outcome.UNCONFIRMED
    Journal(files, identity).confirm(ALICE)
    change = read_change(files, identity)
    assert change.outcome == Outcome.DONE
    assert change.confirmed is not None
    assert change.confirmed.actor.user == "alice"


RECORDS = st.lists(
    st.sampled_from(["doing", "done", "undo_failed", "closed", "closed in error", "confirmed", "resumed", "cut off"]),
    max_size=6,
)


@given(changes=st.lists(st.tuples(st.booleans(), RECORDS), max_size=3))
def test_what_is_plainly_settled_is_settled(
    changes: list[tuple[bool, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is in a journal: where none is parsed, none is unsettled and none awaits confirmation."""
    root = tmp_path_factory.mktemp("host")
    files = Files(str(root))
    for has_timer, words in changes:
        journal = Journal.open(files, msgspec.structs.replace(PLAN, steps=(TIMER, STEP)) if has_timer else PLAN, ALICE)
        for word in words:
            match word:
                case "closed":
                    journal.close(ExitCode.DONE)
                case "closed in error":
                    journal.close(ExitCode.NEEDS_PERSON, "A sentence.")
                case "confirmed":
                    journal.confirm(ALICE)
                case "resumed":
                    journal.resume(ALICE, finishing=True)
                case "cut off":
                    with (root / journal.path[1:]).open("ab") as stream:
                        stream.write(b'{"type":"closed"')
                case _:
                    journal.record(0, Phase(word), STEP)
    found = read_changes_unless_settled(files)
    every = read_changes(files)
    assert found in ((), every)
    if found == ():
        open_ones = (Outcome.UNFINISHED, Outcome.DAMAGED, Outcome.UNCONFIRMED)
        assert [change for change in every if change.outcome in open_ones] == []


def test_most_hosts_have_only_settled_changes_and_none_is_parsed(files: Files) -> None:
    plan = msgspec.structs.replace(PLAN, steps=(TIMER, STEP))
    write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE)
    confirmed = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE, plan=plan)
    assert len(read_changes_unless_settled(files)) == 2
    Journal(files, confirmed).confirm(ALICE)
    assert read_changes_unless_settled(files) == ()


def test_an_abandoned_change_is_settled(files: Files) -> None:
    identity = write_change(files, Phase.DOING)
    Journal(files, identity).close(ExitCode.NEEDS_PERSON, abandoned=True)
    assert read_change(files, identity).outcome == Outcome.ABANDONED
    assert unsettled(read_changes(files)) == ()


def test_a_journal_cut_off_at_any_byte_tells_no_more_than_was_written(files: Files, tmp_path: Path) -> None:
    """Each prefix: whole lines count, and the next record can be added behind them."""
    identity = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE)
    path = tmp_path / f"var/lib/nicpass/journal/{identity}.jsonl"
    content = path.read_bytes()
    lines = content.count(b"\n")
    for length in range(len(content)):
        cut = parse_change(identity, content[:length])
        assert cut.damage == ""
        whole = (
            content[: length + 1].count(b"\n")
            if content[length : length + 1] == b"\n"
            else content[:length].count(b"\n")
        )
        assert (cut.opened is not None) == (whole >= 1)
        assert len(cut.steps) == min(max(whole - 1, 0), lines - 2)
    path.write_bytes(content[: content.rfind(b"\n", 0, -1) + 10])
    Journal(files, identity).record(0, Phase.UNDOING, STEP)
    mended = read_change(files, identity)
    assert mended.damage == ""
    assert [record.phase for record in mended.steps] == [Phase.DOING, Phase.DONE, Phase.UNDOING]


@given(st.binary(max_size=300))
def test_no_bytes_crash_it(content: bytes) -> None:
    change = parse_change("x", content)
    assert change.outcome == Outcome.DAMAGED
    assert bool(change.damage) == (b"\n" in content)


def test_a_broken_line_in_the_middle_is_told(files: Files, tmp_path: Path) -> None:
    identity = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE)
    path = tmp_path / f"var/lib/nicpass/journal/{identity}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\xff\x00\n", *lines[2:]]))
    change = read_change(files, identity)
    assert change.damage.startswith("line 2: ")
    assert change.outcome == Outcome.DONE


def test_only_the_newest_closed_journals_stay(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_KEPT", 3)
    unfinished = write_change(files, Phase.DOING)
    kept = [write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE) for _ in range(6)]
    assert list_changes(files) == (unfinished, *kept[-3:])


def test_a_journal_that_may_not_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "var/lib/nicpass").mkdir(parents=True)
    (tmp_path / "var/lib/nicpass/journal").symlink_to("journal")
    with pytest.raises(NotPermittedError, match="symbolic links"):
        list_changes(Files(str(tmp_path)))
    assert list_changes(Files(str(tmp_path / "none"))) == ()


class TestSelect:
    """A change is named by as much of its identity as tells it from the others."""

    CHANGES = tuple(Change(identity=name) for name in ("20260101T000000-1", "20260101T000000-11", "20260202T000000-2"))

    @pytest.mark.parametrize(("name", "found"), [("20260101T000000-1", 0), ("20260101T000000-11", 1), ("202602", 2)])
    def test_by_its_beginning(self, name: str, found: int) -> None:
        assert select_change(self.CHANGES, name) == self.CHANGES[found]

    @pytest.mark.parametrize(("name", "sentence"), [("1999", "no change '1999'"), ("2026", "begins 3 changes")])
    def test_none_or_several(self, name: str, sentence: str) -> None:
        with pytest.raises(BadInputError, match=sentence):
            select_change(self.CHANGES, name)


class TestActor:
    """The one who logged in, whom sudo does not hide."""

    @pytest.mark.parametrize(("loginuid", "user"), [("0", "root"), ("4294967295", "root"), ("987654", "987654")])
    def test_by_the_login(self, loginuid: str, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.getuid", lambda: 0)
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/loginuid").write_text(loginuid)
        actor = read_actor(Files(str(tmp_path)), ["undo"])
        assert actor.user == user
        assert actor.command == ("undo",)
        assert actor.process > 0


class TestCommands:
    """`nicpass history` and `show`, on a tree."""

    @pytest.fixture(autouse=True)
    def _wide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("COLUMNS", raising=False)  # pytest's own runners set it

    def test_nothing_yet(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["history", "--root", str(tmp_path)]) == 0
        assert "changed nothing" in capsys.readouterr().out
        assert main(["show", "--root", str(tmp_path)]) == ExitCode.BAD_INPUT

    def test_what_was_done(self, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        done = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE)
        cut_off = write_change(files, Phase.DOING)
        assert main(["history", "--root", str(tmp_path)]) == 0
        said = capsys.readouterr().out
        assert [line.split()[0] for line in said.splitlines()] == ["CHANGE", done, cut_off]
        assert "Make 4 VFs of eth1" in said
        assert "cut off: nicpass recover" in said
        assert main(["history", "--json", "--last", "1", "--root", str(tmp_path)]) == 0
        (view,) = json.loads(capsys.readouterr().out)["changes"]
        assert (view["id"], view["outcome"], view["actor"]["user"]) == (cut_off, "unfinished", "alice")
        assert main(["show", done, "--root", str(tmp_path)]) == 0
        said = capsys.readouterr().out
        assert "nicpass vf create eth1 --count 4" in said
        assert "set the number of VFs of 0000:01:00.0 from 0 to 4" in said
        assert main(["show", done, "--json", "--root", str(tmp_path)]) == 0
        assert msgspec.json.decode(capsys.readouterr().out, type=Change) == read_change(files, done)

    @pytest.mark.parametrize("count", ["0", "-1", "x"])
    def test_a_number_that_cannot_be(self, count: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["history", "--last", count]) == ExitCode.BAD_INPUT
        assert "Traceback" not in capsys.readouterr().err


class TestOrder:
    """By a number that each change gets, not by a clock that somebody may set."""

    OLD = ("20260901T120000-000007", "20261201T000000-999999")
    """As nicpass 0.1 called them."""

    @pytest.fixture
    def backwards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clock that is a day earlier whenever a change is begun."""
        days = iter(range(400))
        monkeypatch.setattr("nicpass.engine.journal.time.time", lambda: 1_790_000_000.0 - 86_400 * next(days))

    @pytest.mark.usefixtures("backwards")
    def test_a_clock_that_is_set_back_makes_no_change_older(self, files: Files) -> None:
        made = [write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE) for _ in range(12)]
        assert list_changes(files) == tuple(made)
        assert sorted(made) != made, "their times go backwards"
        assert last_to_undo(read_changes(files)).identity == made[-1]

    @pytest.mark.usefixtures("backwards")
    def test_the_newest_cut_off_is_settled_first(self, files: Files) -> None:
        made = [write_change(files, Phase.DOING) for _ in range(3)]
        assert [change.identity for change in find_unsettled(files)] == made[::-1]
        assert [change.identity for change in unsettled(read_changes(files))] == made[::-1]

    @pytest.mark.usefixtures("backwards")
    def test_the_oldest_go_first(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_module, "_KEPT", 3)
        made = [write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE) for _ in range(7)]
        assert list_changes(files) == tuple(made[-3:])

    @pytest.mark.usefixtures("backwards")
    def test_those_of_an_older_nicpass_come_before(self, files: Files) -> None:
        for identity in self.OLD:
            Journal(files, identity).close(ExitCode.DONE)
        made = [write_change(files) for _ in range(2)]
        assert list_changes(files) == (*self.OLD, *made)
        assert [identity.rsplit("-")[-1] for identity in made] == ["0000001", "0000002"]

    def test_more_than_have_room_in_seven_digits(self, files: Files) -> None:
        Journal(files, "20260101T000000-9999999").close(ExitCode.DONE)
        newest = write_change(files)
        assert list_changes(files)[-1] == newest


class TestLettingGo:
    """What is settled goes, whatever it ended as; what is not stays, and stops nothing."""

    @pytest.mark.parametrize("closed", [ExitCode.ROLLED_BACK, ExitCode.NEEDS_PERSON])
    def test_what_ended_otherwise_than_asked(
        self, closed: ExitCode, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_module, "_KEPT", 1)
        write_change(files, Phase.DOING, closed=closed)
        newest = write_change(files)
        assert list_changes(files) == (newest,)

    def test_what_was_closed_and_resumed_after_all(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not plain to see from its last line, and settled all the same."""
        monkeypatch.setattr(journal_module, "_KEPT", 1)
        identity = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE)
        Journal(files, identity).resume(ALICE, finishing=True)
        newest = write_change(files)
        assert list_changes(files) == (newest,)

    def test_what_awaits_confirmation_stays(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_module, "_KEPT", 1)
        plan = msgspec.structs.replace(PLAN, steps=(TIMER, STEP))
        waiting = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE, plan=plan)
        newest = write_change(files)
        assert list_changes(files) == (waiting, newest)

    def test_one_that_cannot_be_removed_stops_no_change(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_module, "_KEPT", 1)
        old = write_change(files, Phase.DOING, closed=ExitCode.ROLLED_BACK)

        def fail(_: object) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(files, "remove", fail)
        newest = write_change(files)
        assert list_changes(files) == (old, newest)


class TestUndone:
    """Who has taken a change back, and which is the last to take back."""

    def undo_of(self, files: Files, change: str, closed: ExitCode | None) -> str:
        plan = msgspec.structs.replace(PLAN, request=UndoRequest(change=change))
        return write_change(files, Phase.DOING, Phase.DONE, closed=closed, plan=plan)

    @pytest.mark.parametrize(
        ("closed", "undone"),
        [(ExitCode.DONE, True), (ExitCode.NEEDS_PERSON, True), (ExitCode.ROLLED_BACK, False), (None, False)],
    )
    def test_only_by_one_that_came_to_its_end(self, closed: ExitCode | None, undone: bool, files: Files) -> None:
        identity = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE)
        undoing = self.undo_of(files, identity, closed)
        changes = read_changes(files)
        assert undone_by(changes[0], changes) == (undoing if undone else None)
        assert undone_by(changes[1], changes) is None

    def test_one_that_is_not_confirmed_yet_is_the_last(self, files: Files) -> None:
        write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE)
        plan = msgspec.structs.replace(PLAN, steps=(TIMER, STEP))
        waiting = write_change(files, Phase.DOING, Phase.DONE, closed=ExitCode.DONE, plan=plan)
        assert last_to_undo(read_changes(files)).identity == waiting

    @pytest.mark.parametrize("closed", [ExitCode.ROLLED_BACK, ExitCode.NEEDS_PERSON, None])
    def test_one_that_was_not_done_is_none(self, closed: ExitCode | None, files: Files) -> None:
        write_change(files, Phase.DOING, closed=closed)
        with pytest.raises(BadInputError, match="There is no change to undo"):
            last_to_undo(read_changes(files))


class TestUnreadable:
    """A journal that is gone or cannot be read is damaged, and no change is begun in the wrong order."""

    def test_one_that_is_gone(self, files: Files) -> None:
        change = read_change(files, "20260101T000000-0000001")
        assert (change.identity, change.damage) == ("20260101T000000-0000001", "gone")
        assert change.outcome == Outcome.DAMAGED

    def test_one_that_cannot_be_read(self, files: Files, tmp_path: Path) -> None:
        identity = write_change(files)
        path = tmp_path / f"var/lib/nicpass/journal/{identity}.jsonl"
        path.unlink()
        path.mkdir()
        assert "directory" in read_change(files, identity).damage

    def test_where_the_next_number_is_not_known_nothing_is_begun(self, tmp_path: Path) -> None:
        (tmp_path / "var/lib/nicpass").mkdir(parents=True)
        (tmp_path / "var/lib/nicpass/journal").symlink_to("journal")
        with pytest.raises(OSError, match="cannot be read") as caught:
            Journal.open(Files(str(tmp_path)), PLAN)
        assert caught.value.errno == 13
