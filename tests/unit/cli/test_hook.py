# SPDX-License-Identifier: Apache-2.0
"""What libvirt and the system's journal are told by the hook, in which words, and how long libvirt waits for it."""

from __future__ import annotations

import io
import signal
import sys
import syslog
from typing import TYPE_CHECKING, NoReturn

import pytest

from nicpass.cli import hook as hook_command
from nicpass.engine.host_steps import HostSteps
from nicpass.engine.nic import arrival
from nicpass.engine.retry import AFTER_SECONDS
from nicpass.host.doors.processes import Completed, Processes
from nicpass.host.system.given import read_vetoes
from nicpass.hypervisor.libvirt import hook as hook_module
from nicpass.hypervisor.libvirt.hook import OutOfTimeError
from nicpass.model.errors import BusyError, ExitCode, StepError
from nicpass.model.fact import value_or
from nicpass.model.plan import NicState
from tests.support.guarded import BOOT, NIC, VM, Host, host_with
from tests.support.hosts import address, link
from tests.support.trees import domain_xml

if TYPE_CHECKING:
    from pathlib import Path

LEFT = "The NICs of guest are not what they were: nicpass recover"


class Systemd(Processes):
    """Answers every program alike, and remembers how long the hook had left when it was asked."""

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self.answer = Completed(0, "", "")
        self.timers: list[tuple[float, float]] = []

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        self.timers.append(signal.getitimer(signal.ITIMER_REAL))
        if self.failure is not None:
            raise self.failure
        return self.answer


class Called:
    """The hook as libvirt calls it, on a host with a NIC that the VM was given."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = Host(root, host_with(links={"/run/systemd/system": "."}))
        self.host.give()
        self.systemd = Systemd()
        self.logged: list[tuple[int, str]] = []
        self.opened: list[tuple[object, ...]] = []
        monkeypatch.setattr("nicpass.host.doors.files.Files", lambda *_: self.host.files)
        monkeypatch.setattr(hook_command, "_open_processes", lambda: self.systemd)
        monkeypatch.setattr(hook_command, "_restore", self.host._restore)
        monkeypatch.setattr(syslog, "openlog", lambda *words: self.opened.append(words))
        monkeypatch.setattr(syslog, "syslog", lambda *words: self.logged.append(words))

    def work(self, operation: str, name: str = "guest") -> int:
        return hook_command.work([name, operation, "begin", "-"], domain_xml(VM).encode())

    def logged_as(self, priority: int) -> list[str]:
        """What went into the journal; by then it had been opened under our name."""
        assert self.opened
        assert set(self.opened) == {("nicpass", syslog.LOG_PID, syslog.LOG_DAEMON)}
        return [text for given, text in self.logged if given == priority]


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Called:
    monkeypatch.setattr(arrival, "BOOT_SECONDS", 0)
    return Called(tmp_path, monkeypatch)


class TestJournal:
    """Standard error of a stop is nobody's to read: the system's journal has it all."""

    def test_where_all_is_well_it_says_nothing(self, called: Called) -> None:
        assert (called.work("prepare"), called.work("release")) == (ExitCode.DONE, ExitCode.DONE)
        assert (called.logged, called.systemd.timers) == ([], [])

    def test_a_veto_is_there_as_libvirt_has_it(self, called: Called, capsys: pytest.CaptureFixture[str]) -> None:
        called.host.put(link("eth1"), address("eth1", "10.0.0.5/24"))
        assert called.work("prepare") == ExitCode.REFUSED
        (told,) = called.logged_as(syslog.LOG_ERR)
        assert told.startswith("guest is not started: ")
        assert capsys.readouterr().err == f"nicpass: {told}\n"

    def test_a_note_about_a_start_that_goes_on(self, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> NoReturn:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(hook_module, "keep_nic", refuse)
        assert called.work("prepare") == ExitCode.DONE
        (told,) = called.logged_as(syslog.LOG_WARNING)
        assert told.startswith(f"{NIC} leaves, and what it is now cannot be put down (No space left on device)")

    def test_a_stop_that_left_something_and_who_makes_up_for_it(self, called: Called) -> None:
        assert called.work("prepare") == ExitCode.DONE
        called.host.failure = StepError("No carrier.")
        assert called.work("release") == ExitCode.NEEDS_PERSON
        (failure,) = called.logged_as(syslog.LOG_ERR)
        assert "No carrier." in failure
        left, later = called.logged_as(syslog.LOG_WARNING)
        assert left == "guest has stopped; not all of it could be restored."
        assert later.startswith(f"nicpass recover is run in {AFTER_SECONDS} s for the NICs of guest: journalctl -u ")

    def test_a_vms_name_writes_no_line_of_its_own(self, called: Called, capsys: pytest.CaptureFixture[str]) -> None:
        assert called.work("prepare") == ExitCode.DONE
        called.host.failure = StepError("No carrier.")
        assert called.work("release", "guest\nkernel: all is lost\x1b[2J") == ExitCode.NEEDS_PERSON
        told = [text for _priority, text in called.logged]
        assert any("kernel" in text for text in told)
        assert not any("\n" in text or "\x1b" in text for text in told)
        assert "\x1b" not in capsys.readouterr().err

    @pytest.mark.parametrize("operation", ["prepare", "release"])
    def test_one_that_was_abandoned_is_told_by_whoever_is_left(
        self, operation: str, called: Called, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The child that had opened the journal is gone."""
        monkeypatch.setattr("nicpass.host.doors.apart.run_apart", lambda *_: None)
        definition = domain_xml(VM).encode() + b"<!-- no text: \xff -->"
        code = hook_command.main(["guest", operation, "begin", "-"], definition)
        assert code == (ExitCode.REFUSED if operation == "prepare" else ExitCode.NEEDS_PERSON)
        (told,) = called.logged_as(syslog.LOG_ERR)
        assert "It hung in the kernel and was abandoned" in told
        assert ("guest is not started" in told) == (operation == "prepare")
        vetoed = value_or(read_vetoes(called.host.files), ())
        standing = [vm.standing.sentence for vm in vetoed if vm.standing]
        assert standing == ([told] if operation == "prepare" else [])
        later = called.logged_as(syslog.LOG_WARNING)
        assert ["the NICs of guest:" in text for text in later] == ([] if operation == "prepare" else [True])

    def test_a_definition_that_is_no_text_is_read_as_far_as_it_is(self, called: Called) -> None:
        definition = domain_xml(VM).encode() + b"<!-- no text: \xff -->"
        assert hook_command.work(["guest", "prepare", "begin", "-"], definition) == ExitCode.DONE
        assert called.host.kept().away == BOOT

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("I/O on closed file")])
    def test_it_is_there_also_where_standard_error_cannot_be_written(
        self, error: Exception, called: Called, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Full(io.StringIO):
            def write(self, _text: str) -> int:
                raise error

        called.host.put(link("eth1"), address("eth1", "10.0.0.5/24"))
        monkeypatch.setattr(sys, "stderr", Full())
        assert called.work("prepare") == ExitCode.REFUSED
        assert len(called.logged_as(syslog.LOG_ERR)) == 1


class TestNobodyTriesAgain:
    """Where no later try can be had, a person is told what to type."""

    def stop(self, called: Called, capsys: pytest.CaptureFixture[str]) -> list[str]:
        """The lines of a stop that fails."""
        assert called.work("prepare") == ExitCode.DONE
        called.host.failure = StepError("No carrier.")
        assert called.work("release") == ExitCode.NEEDS_PERSON
        assert not any("is run in" in text for _priority, text in called.logged)
        return capsys.readouterr().err.splitlines()

    def test_without_systemd(self, called: Called, capsys: pytest.CaptureFixture[str]) -> None:
        (called.host.root / "run/systemd/system").unlink()
        assert self.stop(called, capsys)[-1] == (f"nicpass: Without systemd nothing tries it again by itself. {LEFT}")

    def test_by_a_systemd_that_will_not(self, called: Called, capsys: pytest.CaptureFixture[str]) -> None:
        called.systemd.answer = Completed(1, "", "Failed to connect to bus")
        assert self.stop(called, capsys)[-1] == (
            f"nicpass: systemd does not try it again by itself: Failed to connect to bus. {LEFT}"
        )

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (OSError(12, "Cannot allocate memory"), "Cannot allocate memory."),
            (OSError("no more of it"), "no more of it."),
        ],
    )
    def test_by_one_that_cannot_be_asked(
        self, error: OSError, words: str, called: Called, capsys: pytest.CaptureFixture[str]
    ) -> None:
        called.systemd.failure = error
        assert self.stop(called, capsys)[-1] == f"nicpass: {words} {LEFT}"


class TestMistakes:
    """What fails outside of any one NIC."""

    @pytest.mark.parametrize("operation", ["prepare", "release"])
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (
                ZeroDivisionError("division"),
                "A mistake of nicpass itself: ZeroDivisionError: division. Please report it.",
            ),
            (OSError(28, "No space left on device"), "No space left on device."),
        ],
    )
    def test_it_is_told_by_what_was_not_done(
        self,
        error: Exception,
        words: str,
        operation: str,
        called: Called,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(*_: object, **__: object) -> NoReturn:
            raise error

        monkeypatch.setattr(hook_module, "parse_domain", fail)
        code = called.work(operation)
        done = {"prepare": "looked at", "release": "restored"}[operation]
        assert capsys.readouterr().err == f"nicpass: The NICs of guest were not {done}. {words}\n"
        assert code == (ExitCode.NEEDS_PERSON if operation == "release" else 1)
        assert len(called.systemd.timers) == (1 if operation == "release" else 0), "a stop is made up for"


class TestTime:
    """libvirt waits, but not for ever, and what is done at the end has limits of its own."""

    def test_a_start_and_a_stop_have_their_time(self, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[float, float]] = []
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        for call in ("prepare", "release"):
            act = getattr(hook_module.Hook, call)

            def look(hook: hook_module.Hook, definition: str, act: object = act) -> object:
                seen.append(signal.getitimer(signal.ITIMER_REAL))
                with pytest.raises(OutOfTimeError):
                    signal.raise_signal(signal.SIGALRM)
                return act(hook, definition)  # type: ignore[operator]

            monkeypatch.setattr(hook_module.Hook, call, look)
        assert (called.work("prepare"), called.work("release")) == (ExitCode.DONE, ExitCode.DONE)
        (start, again), (stop, _again) = seen
        assert 30 < start <= 60, "nobody can do anything with the VM meanwhile"
        assert 90 < stop <= 120, "a network manager that is asked has 60 of these"
        assert 0 < again <= 5, "some code swallows every exception"
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)

    @pytest.mark.parametrize("operation", ["prepare", "release"])
    def test_it_is_abandoned_only_after_it_could_give_up_by_itself(
        self, operation: str, called: Called, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[float] = []

        def run(_work: object, seconds: float) -> int:
            given.append(seconds)
            return ExitCode.BUSY

        monkeypatch.setattr("nicpass.host.doors.apart.run_apart", run)
        argv = ["guest", operation, "begin", "-"]
        assert hook_command.main(argv, domain_xml(VM).encode()) == ExitCode.BUSY
        limit = hook_command._LIMITS[operation]
        assert limit + 5 <= given[0] <= limit + 30

    @pytest.mark.parametrize("error", [StepError("No carrier."), OutOfTimeError()])
    def test_what_asks_for_a_later_try_is_not_cut_off(self, error: BaseException, called: Called) -> None:
        assert called.work("prepare") == ExitCode.DONE
        called.host.failure = error
        assert called.work("release") == ExitCode.NEEDS_PERSON
        assert called.systemd.timers == [(0, 0)]

    @pytest.mark.parametrize("error", [OutOfTimeError(), BusyError("Another run is at work."), ZeroDivisionError("x")])
    def test_nor_where_the_stop_came_to_no_nic(
        self, error: BaseException, called: Called, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> NoReturn:
            raise error

        monkeypatch.setattr(hook_module.Hook, "release", fail)
        called.work("release")
        assert called.systemd.timers == [(0, 0)]


@pytest.mark.spawns
def test_the_answer_of_the_child_is_the_hooks(called: Called, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["guest", "prepare", "begin", "-"]
    assert hook_command.main(argv, domain_xml(VM).encode()) == ExitCode.DONE
    called.host.put(link("eth1"), address("eth1", "10.0.0.5/24"))
    assert hook_command.main(argv, domain_xml(VM).encode()) == ExitCode.REFUSED
    assert capfd.readouterr().err.startswith("nicpass: guest is not started: ")


@pytest.mark.parametrize("argv", [[], ["guest"], ["guest", "started", "begin", "-"]])
def test_what_is_no_affair_of_ours_is_done(argv: list[str]) -> None:
    assert hook_command.main(argv, b"<") == ExitCode.DONE


def test_two_words_are_enough_for_a_test_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert hook_command.main(["-", "self-test"], b"") == ExitCode.DONE
    assert capsys.readouterr().out.startswith("nicpass ")


def test_without_what_a_start_needs_the_test_says_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook_command, "find_spec", lambda _: None)
    assert hook_command.main(["-", "self-test", "-", "-"], b"") == ExitCode.IMPOSSIBLE
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "no module named pyroute2\n")


def test_what_restores_is_what_a_detach_restores_with(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[HostSteps, NicState]] = []
    monkeypatch.setattr(HostSteps, "restore", lambda steps, state: asked.append((steps, state)))
    hook_command._restore(NicState(address=NIC, driver="ixgbe"))
    ((steps, state),) = asked
    assert state.address == NIC
    assert isinstance(steps.processes, Processes)
