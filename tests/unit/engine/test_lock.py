# SPDX-License-Identifier: Apache-2.0
"""Nobody but root can hold us up (law 11): other users' processes hold what they can open, and all goes through."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from nicpass.engine import lock
from nicpass.engine.admission import admit, announce
from nicpass.engine.handler import wait_until
from nicpass.engine.lock import FOLDER, PATH, RUNS, hold_lock, let_hooks_through
from nicpass.engine.old_lock import OLD_PATH
from nicpass.host.doors.files import Files
from nicpass.host.doors.running import Running, start_of
from nicpass.model.change import Actor
from nicpass.model.errors import BusyError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.spawns

NOBODY = 65534
UUID = "11111111-2222-3333-4444-555555555555"
ME = Actor(user="root", process=os.getpid(), command=("recover",))
_HOLD = """
import fcntl, os, sys
user, path, effective = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if user:
    os.setresgid(user, effective, effective), os.setresuid(user, effective, effective)
held = os.open(path, os.O_RDONLY)
fcntl.flock(held, fcntl.LOCK_EX)
print("has it", os.getpid(), flush=True)
sys.stdin.read()
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@contextlib.contextmanager
def held_by(path: Path, user: int = NOBODY, effective: int | None = None) -> Iterator[int]:
    """A process of its own has the file's flock by a descriptor for reading."""
    argv = [sys.executable, "-c", _HOLD, str(user), str(path), str(user if effective is None else effective)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline().split()
        assert told[:2] == ["has", "it"]
        try:
            yield int(told[2])
        finally:
            process.kill()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree that every user may walk through, with a folder as it was made by an older version."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    (tmp_path / "run/nicpass/announced").mkdir(parents=True, mode=0o755)
    return tmp_path


def place(root: Path, path: str, content: str = "", mode: int = 0o644) -> Path:
    found = root / path[1:]
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_text(content)
    found.chmod(mode)
    return found


def goes_through(root: Path) -> None:
    """A change or a recovery, and a guarded start."""
    files = Files(str(root))
    with hold_lock(files, ME):
        pass
    with admit(files, UUID, "web"):
        pass


class TestOtherUsers:
    """What r05 did, and its kin."""

    @as_root
    def test_the_old_lock_held_by_another_user_stops_nobody(self, root: Path) -> None:
        old = place(root, OLD_PATH)
        with held_by(old) as holder:
            goes_through(root)
            old.write_text(f"process {holder}, nicpass attach web eth1, by root\n")
            goes_through(root)
            old.write_text("process 1, nicpass attach web eth1, by root\n")
            goes_through(root)
        assert stat.S_IMODE(old.stat().st_mode) == 0o600

    @as_root
    def test_a_program_with_the_set_user_id_bit_is_not_roots(self, root: Path) -> None:
        """Whoever may start one may have it hold what it opens."""
        old = place(root, OLD_PATH)
        with held_by(old, effective=0) as holder:
            old.write_text(f"process {holder}, nicpass attach web eth1, by root\n")
            goes_through(root)

    @as_root
    def test_nor_does_one_that_is_held_where_we_have_ours(self, root: Path) -> None:
        """As if it had been there for all to open, with the folder; who has it open keeps only what is gone."""
        places = [place(root, path) for path in (RUNS, PATH, f"/run/nicpass/announced/{UUID}")]
        (root / FOLDER[1:]).chmod(0o755)
        with held_by(places[0]), held_by(places[1]), held_by(places[2]):
            goes_through(root)
            files = Files(str(root))
            with hold_lock(files, ME), pytest.raises(BusyError), admit(files, UUID, "web"):
                pass
            with hold_lock(files, ME), announce(files, UUID), admit(files, UUID, "web"):
                pass

    @as_root
    def test_nobody_else_can_open_any_of_ours(self, root: Path) -> None:
        files = Files(str(root))
        with hold_lock(files, ME), announce(files, UUID):
            for path in (RUNS, PATH, f"/run/nicpass/announced/{UUID}"):
                held = subprocess.run(
                    [sys.executable, "-c", _HOLD, str(NOBODY), str(root / path[1:]), str(NOBODY)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert "PermissionError" in held.stderr

    @pytest.mark.parametrize("mask", [0, 0o022, 0o077])
    def test_the_umask_makes_no_difference(self, mask: int, tmp_path: Path) -> None:
        before = os.umask(mask)
        try:
            goes_through(tmp_path)
        finally:
            os.umask(before)
        modes = {path: stat.S_IMODE((tmp_path / path[1:]).stat().st_mode) for path in (FOLDER, RUNS, PATH)}
        assert modes == {FOLDER: 0o700, RUNS: 0o600, PATH: 0o600}
        assert not stat.S_IMODE((tmp_path / "run/nicpass").stat().st_mode) & 0o022


class TestTrust:
    """What stands at the place of a lock and is none."""

    @pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "hard link", "socket"])
    def test_what_is_no_file_of_ours_is_replaced(self, kind: str, tmp_path: Path) -> None:
        elsewhere = place(tmp_path, "/etc/elsewhere", "mine", 0o600)
        at = tmp_path / RUNS[1:]
        at.parent.mkdir(parents=True, mode=0o700)
        match kind:
            case "link":
                at.symlink_to(elsewhere)
            case "dangling link":
                at.symlink_to("nowhere")
            case "fifo":
                os.mkfifo(at, 0o600)
            case "hard link":
                at.hardlink_to(elsewhere)
            case _:
                os.mknod(at, stat.S_IFSOCK | 0o600)
        goes_through(tmp_path)
        assert elsewhere.read_text() == "mine"
        assert stat.S_ISREG(at.lstat().st_mode)
        assert not (at.parent / "nowhere").exists()

    @pytest.mark.parametrize("path", ["/run/nicpass", FOLDER])
    def test_a_folder_that_is_a_link_is_refused(self, path: str, tmp_path: Path) -> None:
        at = tmp_path / path[1:]
        at.parent.mkdir(parents=True)
        (tmp_path / "elsewhere").mkdir()
        at.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(RefusedError, match=path):
            goes_through(tmp_path)
        assert list((tmp_path / "elsewhere").iterdir()) == []

    @as_root
    @pytest.mark.parametrize("path", ["/run/nicpass", FOLDER])
    def test_a_folder_of_another_user_is_refused(self, path: str, tmp_path: Path) -> None:
        (tmp_path / path[1:]).mkdir(parents=True)
        os.chown(tmp_path / path[1:], NOBODY, NOBODY)
        with pytest.raises(RefusedError, match=f"user {NOBODY}"):
            goes_through(tmp_path)

    def test_a_temporary_file_that_somebody_has_put_there_is_not_followed(self, tmp_path: Path) -> None:
        elsewhere = place(tmp_path, "/etc/elsewhere", "mine")
        (tmp_path / "etc/.default.new").symlink_to(elsewhere)
        Files(str(tmp_path)).write_atomic("/etc/default", b"new")
        assert ((tmp_path / "etc/default").read_text(), elsewhere.read_text()) == ("new", "mine")

    def test_a_journal_is_not_written_through_a_link(self, tmp_path: Path) -> None:
        elsewhere = place(tmp_path, "/etc/elsewhere", "mine")
        (tmp_path / "etc/journal").symlink_to(elsewhere)
        with pytest.raises(OSError, match="symbolic"):
            Files(str(tmp_path)).append_line("/etc/journal", b"line")
        assert elsewhere.read_text() == "mine"


class TestOlderVersion:
    """A run of the version before may be at work while this one is installed."""

    def test_its_run_is_heeded(self, root: Path) -> None:
        old = place(root, OLD_PATH)
        with held_by(old, 0) as holder:
            old.write_text(f"process {holder}, nicpass attach web eth1, by alice\n")
            files = Files(str(root))
            with pytest.raises(BusyError, match="attach web eth1, by alice"), hold_lock(files, ME):
                pass
            with pytest.raises(BusyError, match="attach web eth1, by alice"), admit(files, UUID, "web"):
                pass
            announced = place(root, f"/run/nicpass/announced/{UUID}")
            with held_by(announced, 0), admit(files, UUID, "web"):
                pass
        goes_through(root)

    @as_root
    def test_another_user_announces_nothing(self, root: Path) -> None:
        old, announced = place(root, OLD_PATH), place(root, f"/run/nicpass/announced/{UUID}")
        with held_by(old, 0) as holder, held_by(announced):
            old.write_text(f"process {holder}, nicpass attach web eth1, by alice\n")
            with pytest.raises(BusyError), admit(Files(str(root)), UUID, "web"):
                pass

    def test_it_finds_ours_taken(self, root: Path) -> None:
        old = place(root, OLD_PATH)
        with hold_lock(Files(str(root)), ME), old.open() as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)

    @pytest.mark.parametrize("kind", ["link", "fifo"])
    def test_what_is_none_of_its_locks_is_passed_over(self, kind: str, root: Path) -> None:
        elsewhere = place(root, "/etc/elsewhere", "mine")
        if kind == "link":
            (root / OLD_PATH[1:]).symlink_to(elsewhere)
        else:
            os.mkfifo(root / OLD_PATH[1:])
        goes_through(root)
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644

    def test_what_a_killed_one_has_left_keeps_nobody_out(self, root: Path) -> None:
        """Its number may even be ours by now."""
        place(root, OLD_PATH, f"process {os.getpid()}, nicpass attach web eth1, by alice\n")
        goes_through(root)

    def test_a_name_that_is_no_text_is_told_as_far_as_it_is(self, root: Path) -> None:
        old = place(root, OLD_PATH)
        with held_by(old, 0) as holder:
            old.write_bytes(f"process {holder}, nicpass attach ".encode() + b"\xff, by alice\n")
            with pytest.raises(BusyError, match=r"attach ., by alice"), hold_lock(Files(str(root)), ME):
                pass

    def test_a_lock_whose_rights_cannot_be_narrowed_is_heeded_all_the_same(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> NoReturn:
            raise OSError(30, "Read-only file system")

        old = place(root, OLD_PATH)
        monkeypatch.setattr("nicpass.engine.old_lock.os.fchmod", refuse)
        goes_through(root)
        with held_by(old, 0) as holder:
            old.write_text(f"process {holder}, nicpass attach web eth1, by alice\n")
            with pytest.raises(BusyError), hold_lock(Files(str(root)), ME):
                pass

    def test_none_is_made_where_there_is_none(self, root: Path) -> None:
        goes_through(root)
        assert not (root / OLD_PATH[1:]).exists()


class TestBootWork:
    """An initramfs takes minutes, and no NIC is touched."""

    def test_hooks_come_through_and_other_runs_do_not(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        other = Actor(user="bob", process=os.getpid(), command=("undo",))
        with hold_lock(files, ME):
            with let_hooks_through():
                with admit(files, UUID, "web"):
                    pass
                with pytest.raises(BusyError, match="nicpass recover, by root"), hold_lock(files, other):
                    pass
            with pytest.raises(BusyError, match="nicpass recover, by root"), admit(files, UUID, "web"):
                pass
        goes_through(tmp_path)

    def test_before_it_goes_on_it_waits_for_who_is_at_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files, waited = Files(str(tmp_path)), []
        with hold_lock(files, ME), contextlib.ExitStack() as hook:

            def wait(is_true: Callable[[], bool], timeout: float, interval: float) -> bool:
                waited.append(is_true())
                hook.close()
                return wait_until(is_true, timeout, interval)

            with let_hooks_through():
                hook.enter_context(held_by(tmp_path / PATH[1:], 0))
                monkeypatch.setattr(lock, "wait_until", wait)
            assert waited == [False]
            monkeypatch.undo()
            with pytest.raises(BusyError), admit(files, UUID, "web"):
                pass

    def test_killed_meanwhile_it_leaves_nothing(self, tmp_path: Path) -> None:
        work = "with hold_lock(Files(sys.argv[1]), Actor(process=os.getpid())), let_hooks_through():"
        with run_that(tmp_path, work) as process:
            process.kill()
            process.wait(10)
            goes_through(tmp_path)

    def test_a_run_without_the_lock_keeps_nobody_out(self) -> None:
        with let_hooks_through():
            pass


_RUN = """
import os, sys
from nicpass.engine.lock import hold_lock, let_hooks_through
from nicpass.host.doors.files import Files
from nicpass.model.change import Actor
{work}
    print("has it", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def run_that(root: Path, work: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock, until it is ended."""
    argv = [sys.executable, "-c", _RUN.format(work=work), str(root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        try:
            yield process
        finally:
            process.kill()


class TestEndingTheHolder:
    """Who waits for a run may end it, if it is the one."""

    WORK = "with hold_lock(Files(sys.argv[1]), Actor(process=os.getpid())):"

    def test_the_one_that_waits_is_told_who_has_it(self, tmp_path: Path) -> None:
        met: list[Running] = []
        with run_that(tmp_path, self.WORK) as process:

            def end(holder: Running) -> bool:
                met.append(holder)
                process.kill()
                process.wait(10)
                return True

            with hold_lock(Files(str(tmp_path)), ME, patience=30, end_holder=end):
                pass
            assert [holder.process for holder in met] == [process.pid]

    def test_a_name_that_says_no_start_names_nobody_to_end(self, tmp_path: Path) -> None:
        with run_that(tmp_path, self.WORK.replace("os.getpid()", "1")):
            began = time.monotonic()
            with (
                pytest.raises(BusyError),
                hold_lock(Files(str(tmp_path)), ME, end_holder=lambda _: pytest.fail("whom?")),
            ):
                pass
            assert time.monotonic() - began < 20

    def test_the_own_start_is_what_the_kernel_says(self) -> None:
        assert start_of(os.getpid()) is not None
        assert start_of(2**22 + 1) is None
