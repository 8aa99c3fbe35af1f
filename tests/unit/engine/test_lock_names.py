# SPDX-License-Identifier: Apache-2.0
"""Whoever is kept out is told by whom; what a lock says of its holder is text that anything may have cut off."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from nicpass.engine import admission, lock, old_lock
from nicpass.engine.admission import admit, announce, forget_nic_of_start, note_start, read_start
from nicpass.engine.lock import PATH, RUNS, hold_lock, let_hooks_through, read_holder, who_is_at_work
from nicpass.engine.old_lock import OLD_PATH, holders_of, is_held_by_root
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Actor
from nicpass.model.errors import BusyError
from tests.support.guarded import at_work

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UUID = "11111111-2222-3333-4444-555555555555"
LONG = 60.0


def me() -> Actor:
    """Asked for each time: who counts what tests notice runs them in forks of the process that has loaded them."""
    return Actor(user="root", process=os.getpid(), command=("recover",))


def own_name() -> bytes:
    return f"process {os.getpid()}, nicpass undo\n".encode()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(str(tmp_path))


class Waits:
    """Stands in for waiting: between the first look and the next something happens, where anybody waits at all."""

    def __init__(self, happens: Callable[[], object] = lambda: None) -> None:
        self.happens = happens
        self.patience: list[float] = []

    def __call__(self, is_true: Callable[[], bool], timeout: float, interval: float = 1.0) -> bool:
        self.patience.append(timeout)
        assert 0 < interval <= 0.05, "somebody stands before the terminal"
        if is_true():
            return True
        if timeout <= 0:
            return False
        self.happens()
        return is_true()


def test_a_start_shows_in_its_name(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"process {os.getpid()}, nicpass recover, by root\n"
    with hold_lock(files, me()):
        for path in (RUNS, PATH):
            told, started = (tmp_path / path[1:]).read_text().splitlines(keepends=True)
            assert told == name
            assert started.startswith("started ")
    monkeypatch.setattr(lock, "start_of", lambda _: None)
    with hold_lock(files, me()):
        assert (tmp_path / RUNS[1:]).read_text() == name
    assert [(tmp_path / path[1:]).read_bytes() for path in (RUNS, PATH)] == [b"", b""]


def test_what_a_killed_run_had_written_is_no_part_of_ours(files: Files, tmp_path: Path) -> None:
    for path in (RUNS, PATH):
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (tmp_path / path[1:]).write_text("process 1, nicpass " + "attach web eth1 " * 20)
        (tmp_path / path[1:]).chmod(0o600)
    with hold_lock(files, me()):
        assert all((tmp_path / path[1:]).read_text().count("\n") == 2 for path in (RUNS, PATH))
        assert "attach" not in (tmp_path / RUNS[1:]).read_text() + (tmp_path / PATH[1:]).read_text()


def test_a_user_whose_name_is_no_text_is_no_hindrance(files: Files) -> None:
    with (
        hold_lock(files, Actor(user="\udcff", process=os.getpid(), command=("undo",))),
        pytest.raises(BusyError, match=r"nicpass undo, by \?"),
        hold_lock(files, me()),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"process OURS, nicpass attach web eth1\n", "process OURS, nicpass attach web eth1"),
        (b"process OURS, nicpass \xff\n", "process OURS, nicpass \N{REPLACEMENT CHARACTER}"),
        (b"", ""),
        (b"process 1, nicpass attach web", ""),
        (b"process one, nicpass attach\n", ""),
        ("process \N{ARABIC-INDIC DIGIT ONE}, nicpass attach\n".encode(), ""),
        (b"process 4194305, nicpass attach\n", ""),
        (b"process 99999999999999999999999, nicpass attach\n", ""),
    ],
    ids=["named", "not text", "not yet", "cut off", "no number", "a digit of others", "gone", "too big"],
)
def test_who_it_is(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(content.replace(b"OURS", b"%d" % os.getpid()))
    with (tmp_path / "lock").open() as stream:
        assert read_holder(stream.fileno()) == told.replace("OURS", str(os.getpid()))


def test_one_that_may_not_be_asked_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError

    (tmp_path / "lock").write_text("process 1, nicpass attach\n")
    monkeypatch.setattr(os, "kill", refuse)
    with (tmp_path / "lock").open() as stream:
        assert read_holder(stream.fileno()) == "process 1, nicpass attach"


class TestWhoIsAtWork:
    """For whoever only looks."""

    def test_nobody(self, files: Files) -> None:
        assert who_is_at_work(files) is None
        with hold_lock(files, me()):
            pass
        assert who_is_at_work(files) is None

    def test_a_run(self, files: Files) -> None:
        with hold_lock(files, me()):
            assert who_is_at_work(files) == f"process {os.getpid()}, nicpass recover, by root"

    def test_a_name_alone_is_none(self, files: Files, tmp_path: Path) -> None:
        with hold_lock(files, me()):
            pass
        (tmp_path / RUNS[1:]).write_text(f"process {os.getpid()}, nicpass recover\n")
        assert who_is_at_work(files) is None

    def test_nor_is_a_lock_without_a_name(self, files: Files, tmp_path: Path) -> None:
        with hold_lock(files, me()):
            (tmp_path / RUNS[1:]).write_text("nobody\n")
            assert who_is_at_work(files) is None

    def test_what_is_no_file_of_ours_tells_nothing(self, files: Files, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("process 1, nicpass attach\n")
        (tmp_path / RUNS[1:]).parent.mkdir(parents=True)
        (tmp_path / RUNS[1:]).symlink_to(tmp_path / "elsewhere")
        assert who_is_at_work(files) is None


class TestNaming:
    """Between taking a lock and saying who has it lies a moment, and another one before it is let go."""

    def test_a_name_that_comes_late_is_told(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        with files.open_for_lock(RUNS) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            waits = Waits(lambda: os.pwrite(other, own_name(), 0))
            monkeypatch.setattr(lock, "wait_until", waits)
            with pytest.raises(BusyError, match="nicpass undo"), hold_lock(files, me()):
                pass

    def test_who_has_let_go_meanwhile_keeps_nobody_out(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        with files.open_for_lock(RUNS) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            monkeypatch.setattr(lock, "wait_until", Waits(lambda: fcntl.flock(other, fcntl.LOCK_UN)))
            with hold_lock(files, me()), pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_who_never_says_it_is_unknown(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lock, "wait_until", Waits())
        with files.open_for_lock(RUNS) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(BusyError, match="at work: unknown"), hold_lock(files, me()):
                pass

    @pytest.mark.parametrize("started", ["", "started soon\n", "started \N{ARABIC-INDIC DIGIT ONE}\n"])
    def test_who_does_not_say_since_when_is_not_ended(self, started: str, files: Files) -> None:
        """The number may be another process's by now."""
        with files.open_for_lock(RUNS) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            os.pwrite(other, own_name() + started.encode(), 0)
            with (
                pytest.raises(BusyError, match="nicpass undo"),
                hold_lock(files, me(), end_holder=lambda _: pytest.fail("whom?")),
            ):
                pass

    def test_nobody_is_ended_who_may_not_be(self, files: Files) -> None:
        with (
            hold_lock(files, me()),
            pytest.raises(BusyError),
            hold_lock(Files(files.root), me(), end_holder=lambda _: False),
        ):
            pass

    def test_one_that_is_said_to_have_ended_and_has_not_is_heeded(self, files: Files) -> None:
        with files.open_for_lock(RUNS) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            os.pwrite(other, own_name() + b"started 5\n", 0)
            with pytest.raises(BusyError), hold_lock(files, me(), end_holder=lambda _: True):
                pass

    def test_a_name_that_is_there_is_not_waited_for(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lock, "wait_until", Waits(lambda: pytest.fail("it waits")))
        with files.open_for_lock(RUNS) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            os.pwrite(other, own_name(), 0)
            with pytest.raises(BusyError), hold_lock(files, me()):
                pass


class TestHooksBetween:
    """While a run makes an initramfs."""

    def test_it_is_named_only_while_it_keeps_hooks_out(
        self, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nics = tmp_path / PATH[1:]
        waits = Waits()
        with hold_lock(files, me()):
            name = nics.read_text()
            with let_hooks_through():
                assert nics.read_text() == ""
                nics.write_text("process 1, libvirt's hook for " + "x" * 400)
                monkeypatch.setattr(lock, "wait_until", waits)
            assert nics.read_text() == name
        assert 120 <= waits.patience[0] <= 600, "a hook has two minutes"


class TestAnnouncement:
    """A run that starts or stops a VM says so, for that is what the hook asks."""

    def test_a_hook_that_just_looks_is_waited_for(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        with files.open_for_lock(f"/run/nicpass/announced/{UUID}") as hook:
            fcntl.flock(hook, fcntl.LOCK_SH)
            waits = Waits(lambda: fcntl.flock(hook, fcntl.LOCK_UN))
            monkeypatch.setattr(admission, "wait_until", waits)
            with announce(files, UUID):
                assert len(waits.patience) == 1

    def test_another_run_that_announces_it_is_not(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "wait_until", Waits())
        with announce(files, UUID), pytest.raises(BusyError, match=UUID), announce(files, UUID):
            pass

    def test_what_cannot_be_taken_away_hides_nothing(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> NoReturn:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(Files, "remove", refuse)
        with announce(files, UUID):
            pass

    def test_its_holders_are_root_if_one_is(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who looks at it may have it too, and need not be."""
        monkeypatch.setattr(old_lock, "holders_of", lambda _: ["17", str(os.getpid())])
        monkeypatch.setattr(old_lock, "_is_root", lambda process: process != "17")
        assert is_held_by_root(0)


class TestAdmission:
    """A hook that is let in, or kept out."""

    def test_it_says_for_which_vm_it_is(self, files: Files, tmp_path: Path) -> None:
        (tmp_path / "run/nicpass/locks").mkdir(parents=True, mode=0o700)
        (tmp_path / PATH[1:]).write_text("process 1, nicpass " + "attach web eth1 " * 20)
        (tmp_path / PATH[1:]).chmod(0o600)
        with admit(files, UUID, "we\nb"):
            assert (tmp_path / PATH[1:]).read_text() == f"process {os.getpid()}, libvirt's hook for we\\nb\n"

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (b"process 1, nicpass attach web eth1\nstarted 5\n", "process 1, nicpass attach web eth1."),
            (b"process 1, nicpass \xff\x1b\n", "process 1, nicpass \N{REPLACEMENT CHARACTER}\\x1b."),
            (b"", "unknown."),
        ],
    )
    def test_it_says_who_keeps_it_out(self, words: bytes, told: str, files: Files) -> None:
        with at_work(files, "") as _other, files.open_for_lock(PATH) as written:
            os.pwrite(written, words, 0)
            with pytest.raises(BusyError) as busy, admit(files, UUID, "web"):
                pass
        assert busy.value.sentence == f"Another run of nicpass is at work: {told}"

    def test_a_hook_that_just_looks_announces_nothing(self, files: Files) -> None:
        with at_work(files), files.open_for_lock(f"/run/nicpass/announced/{UUID}") as other:
            fcntl.flock(other, fcntl.LOCK_SH)
            with pytest.raises(BusyError), admit(files, UUID, "web"):
                pass

    @pytest.mark.parametrize(("patience", "least", "most"), [(0, 0, 0), (LONG, LONG / 2, LONG)])
    def test_an_older_run_has_what_is_left_of_its_patience(
        self,
        patience: float,
        least: float,
        most: float,
        files: Files,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        waits = Waits()
        monkeypatch.setattr(old_lock, "wait_until", waits)
        (tmp_path / OLD_PATH[1:]).parent.mkdir(parents=True)
        (tmp_path / OLD_PATH[1:]).touch(0o644)
        with admit(files, UUID, "web", patience=patience):
            assert least <= waits.patience[0] <= most


class TestStart:
    """What a start takes with it."""

    FIRST, SECOND = Address("0000:01:00.0"), Address("0000:02:00.0")

    def test_each_that_comes_back_leaves_the_others(self, files: Files, tmp_path: Path) -> None:
        note_start(files, UUID, (self.FIRST, self.SECOND))
        forget_nic_of_start(files, UUID, Address("0000:03:00.0"))
        assert read_start(files, UUID) == (self.FIRST, self.SECOND)
        forget_nic_of_start(files, UUID, self.FIRST)
        assert read_start(files, UUID) == (self.SECOND,)
        forget_nic_of_start(files, UUID, self.SECOND)
        assert not (tmp_path / f"run/nicpass/started/{UUID}").exists()

    def test_its_first_line_is_the_time(self, files: Files, tmp_path: Path) -> None:
        note_start(files, UUID, (self.FIRST,))
        first, second = (tmp_path / f"run/nicpass/started/{UUID}").read_text().splitlines()
        assert float(first) > 1.7e9
        assert second == self.FIRST


class TestKernelsList:
    """proc_locks(5)."""

    def test_who_has_a_file_and_who_only_waits_for_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lines, held = tmp_path / "locks", tmp_path / "held"
        held.touch()
        inode = held.stat().st_ino
        lines.write_text(
            f"1: FLOCK  ADVISORY  WRITE 17 00:1a:{inode} 0 EOF\n"
            f"1: -> FLOCK  ADVISORY  WRITE 18 00:1a:{inode} 0 EOF\n"
            f"2: POSIX  ADVISORY  WRITE 19 00:1a:{inode} 0 EOF\n"
            f"3: FLOCK  ADVISORY  WRITE 20 00:1a:{inode}9 0 EOF\n"
            f"4: FLOCK  ADVISORY  READ 21 00:1a:{inode}\n"
            f"5: FLOCK  ADVISORY  WRITE 22\n"
        )
        monkeypatch.setattr(old_lock, "_LOCKS", str(lines))
        with held.open() as stream:
            assert holders_of(stream.fileno()) == {"17", "21"}
            lines.unlink()
            assert holders_of(stream.fileno()) == set()
