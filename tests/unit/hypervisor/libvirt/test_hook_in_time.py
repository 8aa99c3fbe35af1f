# SPDX-License-Identifier: Apache-2.0
"""libvirt is let go in time, whatever is at work then, and what was not come to is owed (law 12)."""

from __future__ import annotations

import contextlib
import select
import signal
import time
from typing import TYPE_CHECKING

import pytest

from nicpass.cli import hook as hook_command
from nicpass.engine.attempts import Attempts
from nicpass.engine.handler import wait_until
from nicpass.engine.nic import arrival
from nicpass.engine.nic.owed import find_owed
from nicpass.host.doors.apart import run_apart
from nicpass.host.doors.processes import Completed, Processes
from nicpass.hypervisor.libvirt import hook as hook_module
from nicpass.hypervisor.libvirt.hook import OutOfTimeError
from nicpass.model.errors import ExitCode, StepError
from tests.support.guarded import NIC, SECOND, Host, at_work, host_with
from tests.support.hosts import link, network, nic, ready_host
from tests.support.trees import Vm, domain_xml, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nicpass.model.plan import NicState

LONG = 60.0
"""Seconds that something hangs where no limit ends it: then the test fails, and does not hang."""
SOON = 20.0
BOTH = Vm(name="guest", devices=hostdev_xml(NIC) + hostdev_xml(SECOND))


def hang() -> None:
    """As a wait for an event does, or for a program."""
    select.select([], [], [], LONG)


class Asked(Processes):
    """Remembers what was run."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        self.ran.append(argv)
        return Completed(0, "", "")


class Stopping:
    """A host with two NICs of a VM that stops, within a limit of a moment."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        functions = (nic(NIC, "eth1"), nic(SECOND, "eth2", group=11))
        net = network(link("eth1"), link("eth2"))
        tree = ready_host(*functions, net=net, vms=(BOTH,), links={"/run/systemd/system": "."})
        self.host = Host(root, tree.but(files=host_with().files))
        self.host.give(), self.host.give(SECOND)
        self.host.hook.prepare(domain_xml(BOTH))
        self.asked = Asked()
        self.begun: list[str] = []
        monkeypatch.setattr("nicpass.host.doors.files.Files", lambda *_: self.host.files)
        monkeypatch.setattr(hook_command, "_open_processes", lambda: self.asked)
        monkeypatch.setattr(hook_command, "_LIMITS", {"release": 0.3, "prepare": 0.3})
        monkeypatch.setattr(hook_command, "_AGAIN", 0.2)

    def stop(self, restore: Callable[[], None], call: Callable[[list[str], bytes], int] = hook_command.work) -> int:
        """The exit code; it is there in time."""

        def begin(state: NicState) -> None:
            self.begun.append(state.address)
            restore()

        self.monkeypatch.setattr(hook_command, "_restore", begin)
        began = time.monotonic()
        code = call(["guest", "release", "end", "-"], domain_xml(BOTH).encode())
        assert time.monotonic() - began < SOON
        return code

    @property
    def owed(self) -> list[str]:
        return [kept.state.address for kept in find_owed(self.host.files, lambda: ())]


@pytest.fixture
def stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stopping:
    monkeypatch.setattr(arrival, "BOOT_SECONDS", 0)
    return Stopping(tmp_path, monkeypatch)


def go_on_after_refusals() -> None:
    attempts = Attempts()
    for _setting in range(6):
        with attempts:
            hang()
    attempts.raise_refusals()


def swallow_once() -> None:
    """As a destructor does, a callback of C, or an event loop (asyncio/events.py, `Handle._run`)."""
    with contextlib.suppress(BaseException):
        hang()
    hang()


def suppress_errors() -> None:
    with contextlib.suppress(Exception):
        hang()
    with contextlib.suppress(OSError, StepError):
        hang()


def wait_for_what_never_comes() -> None:
    wait_until(lambda: False, LONG)


@pytest.mark.parametrize(
    "restore", [hang, go_on_after_refusals, swallow_once, suppress_errors, wait_for_what_never_comes]
)
def test_nothing_goes_on_after_the_limit(
    restore: Callable[[], None], stopping: Stopping, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stopping.stop(restore) == ExitCode.NEEDS_PERSON
    assert stopping.begun == [NIC], "there is no time for the next one"
    assert "took too long" in capsys.readouterr().err
    assert stopping.owed == [NIC, SECOND]
    assert [argv[0] for argv in stopping.asked.ran] == ["systemd-run"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_it_also_ends_the_wait_for_another_run(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook_module, "_PATIENCE", LONG)
    with at_work(stopping.host.files):
        assert stopping.stop(hang) == ExitCode.NEEDS_PERSON
    assert "took too long" in capsys.readouterr().err
    assert (stopping.begun, stopping.owed) == ([], [NIC, SECOND])


def test_a_stop_that_does_not_get_the_lock_is_tried_again(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook_module, "_PATIENCE", 0)
    with at_work(stopping.host.files):
        assert stopping.stop(hang) == ExitCode.BUSY
    assert "Another run of nicpass is at work" in capsys.readouterr().err
    assert (len(stopping.asked.ran), stopping.owed) == (1, [NIC, SECOND])


def test_a_stop_that_brings_all_back_is_not(stopping: Stopping) -> None:
    assert stopping.stop(lambda: None) == ExitCode.DONE
    assert (stopping.asked.ran, stopping.owed) == ([], [])


@pytest.mark.parametrize("error", [StepError("No carrier."), OSError(5, "x"), ZeroDivisionError("a mistake")])
def test_one_that_fails_does_not_keep_the_next(error: Exception, stopping: Stopping) -> None:
    def fail() -> None:
        if len(stopping.begun) == 1:
            raise error

    assert stopping.stop(fail) == ExitCode.NEEDS_PERSON
    assert stopping.begun == [NIC, SECOND]
    assert stopping.owed == [NIC]


def test_a_damaged_record_does_not_keep_the_next(stopping: Stopping, capsys: pytest.CaptureFixture[str]) -> None:
    stopping.host.files.write_atomic(f"/var/lib/nicpass/nics/{NIC}.json", b'{"state":')
    assert stopping.stop(lambda: None) == ExitCode.NEEDS_PERSON
    assert stopping.begun == [SECOND]
    assert "damaged" in capsys.readouterr().err
    assert stopping.host.kept(SECOND).away is None


def test_a_mark_that_cannot_be_taken_away_keeps_none(stopping: Stopping, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(hook_module, "forget_start", refuse)
    assert stopping.stop(lambda: None) == ExitCode.NEEDS_PERSON
    assert stopping.begun == [NIC, SECOND]


def test_a_start_that_takes_too_long_is_vetoed(
    stopping: Stopping, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook_module, "read_host", lambda *_, **__: go_on_after_refusals())
    code = hook_command.work(["guest", "prepare", "begin", "-"], domain_xml(BOTH).encode())
    assert code == ExitCode.REFUSED
    assert "guest is not started: It took too long" in capsys.readouterr().err


@pytest.mark.spawns
class TestApart:
    """What hangs in the kernel hears of no signal: then it is abandoned."""

    def test_one_that_is_deaf_is_left_behind(
        self, stopping: Stopping, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def hang_in_the_kernel() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            hang()

        monkeypatch.setattr(hook_command, "_MARGIN", 0.7)
        assert stopping.stop(hang_in_the_kernel, hook_command.main) == ExitCode.NEEDS_PERSON
        assert "abandoned" in capfd.readouterr().err
        assert stopping.owed == [NIC, SECOND]
        assert len(stopping.asked.ran) == 1

    def test_its_answer_and_its_words_come_through(self, stopping: Stopping, capfd: pytest.CaptureFixture[str]) -> None:
        def fail() -> None:
            raise StepError("No carrier.")

        assert stopping.stop(fail, hook_command.main) == ExitCode.NEEDS_PERSON
        assert "No carrier." in capfd.readouterr().err

    @pytest.mark.parametrize("code", [0, 4, 6])
    def test_an_exit_code(self, code: int) -> None:
        assert run_apart(lambda: code, SOON) == code

    def test_a_mistake_is_no_success(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert run_apart(lambda: 1 // 0, SOON) == 1


def test_it_is_no_exception_that_anybody_handles() -> None:
    assert not issubclass(OutOfTimeError, Exception)
