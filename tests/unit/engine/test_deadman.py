# SPDX-License-Identifier: Apache-2.0
"""The dead man's hand, against a systemd that remembers its timers: at no moment of a change is there none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.engine.deadman import GUARD_UNIT, UNIT, deadman_handlers, recover_command
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.model.address import Address
from nicpass.model.errors import StepError
from nicpass.model.plan import ArmTimer, DisarmTimer, StartWindow

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.plan import Step

NIC = Address("0000:01:00.0")
ARM = ArmTimer(address=NIC, seconds=60)
GUARDED = ArmTimer(address=NIC, seconds=60, allowance=90)
WINDOW = StartWindow(address=NIC, seconds=60, allowance=90)
DISARM = DisarmTimer(address=NIC, seconds=60)


class Systemd(Processes):
    """Its timers, with the command line that set each, and after each call which of them there are."""

    def __init__(self) -> None:
        self.timers: dict[str, list[str]] = {}
        self.history: list[set[str]] = []
        self.refusal = Completed(0, "", "")

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        assert 0 < timeout < 60
        assert not stdin
        if argv[0] == "systemd-run":
            if self.refusal.exit_code == 0:
                self.timers[argv[1].removeprefix("--unit=")] = argv
            return self._noted(self.refusal)
        name = argv[2].removesuffix(".timer")
        assert (argv[0], argv[2]) == ("systemctl", f"{name}.timer")
        if argv[1] == "stop":
            del self.timers[name]
            return self._noted(Completed(0, "", ""))
        assert argv[1] == "is-active"
        is_there = name in self.timers
        return Completed(0 if is_there else 3, "active\n" if is_there else "inactive\n", "")

    def _noted(self, answer: Completed) -> Completed:
        self.history.append(set(self.timers))
        return answer

    def after(self, unit: str) -> str:
        return next(word for word in self.timers[unit] if word.startswith("--on-active"))


class Host:
    def __init__(self, root: Path) -> None:
        (root / "run/systemd/system").mkdir(parents=True)
        self.systemd = Systemd()
        self.handlers = deadman_handlers(Files(str(root)), self.systemd)

    def do(self, *steps: Step) -> None:
        for step in steps:
            self.handlers[type(step)].apply(step)
            self.verify(step)

    def verify(self, step: Step) -> None:
        self.handlers[type(step)].verify(step)


@pytest.fixture
def host(quick_path: Path) -> Host:
    return Host(quick_path)


def test_what_is_set_tries_again_until_only_a_person_can_help(host: Host) -> None:
    host.do(ARM)
    assert host.systemd.timers == {
        UNIT: [
            "systemd-run",
            f"--unit={UNIT}",
            "--on-active=60s",
            "--timer-property=AccuracySec=1s",
            "--property=Restart=on-failure",
            "--property=RestartSec=20",
            "--property=RestartPreventExitStatus=6",
            "--collect",
            "--quiet",
            "--",
            *recover_command(),
            "--unconfirmed",
        ]
    }


def test_who_recovers_needs_neither_path_nor_environment() -> None:
    python, *rest = recover_command()
    assert python.startswith("/")
    assert rest == ["-I", "-m", "nicpass", "recover"]


def test_a_change_that_may_hang_has_its_own_and_then_the_other(host: Host) -> None:
    host.do(GUARDED)
    assert host.systemd.after(GUARD_UNIT) == "--on-active=150s"
    host.do(WINDOW)
    assert set(host.systemd.timers) == {UNIT}
    assert host.systemd.after(UNIT) == "--on-active=60s"
    host.verify(GUARDED)
    assert all(host.systemd.history), "there was a moment without any"


def test_on_the_way_back_the_change_has_its_own_again(host: Host) -> None:
    host.do(GUARDED, WINDOW, GUARDED)
    assert set(host.systemd.timers) == {GUARD_UNIT}
    assert all(host.systemd.history)


@pytest.mark.parametrize("steps", [(ARM,), (GUARDED,), (GUARDED, WINDOW), ()])
def test_it_is_taken_away(steps: tuple[Step, ...], host: Host) -> None:
    host.do(*steps, DISARM, DISARM)
    assert host.systemd.timers == {}


@pytest.mark.parametrize("step", [ARM, GUARDED])
def test_setting_it_again_does_not_prolong_it(step: ArmTimer, host: Host) -> None:
    host.do(step)
    calls = len(host.systemd.history)
    host.do(step)
    assert len(host.systemd.history) == calls


class TestNotSeen:
    """What systemd says is asked for, not believed."""

    @pytest.mark.parametrize("step", [ARM, GUARDED, WINDOW])
    def test_one_that_does_not_run(self, step: Step, host: Host) -> None:
        with pytest.raises(StepError, match="The timer of 60 s does not run"):
            host.verify(step)

    def test_the_other_one_is_none_of_the_window(self, host: Host) -> None:
        host.do(GUARDED)
        with pytest.raises(StepError, match="The timer of 60 s does not run"):
            host.verify(WINDOW)

    def test_one_that_still_runs_behind_the_window(self, host: Host) -> None:
        host.do(GUARDED, WINDOW)
        host.systemd.timers[GUARD_UNIT] = []
        with pytest.raises(StepError, match=r"The timer nicpass-confirm-guard\.timer still runs"):
            host.verify(WINDOW)

    @pytest.mark.parametrize("unit", [UNIT, GUARD_UNIT])
    def test_one_that_was_not_taken_away(self, unit: str, host: Host) -> None:
        host.systemd.timers[unit] = []
        with pytest.raises(StepError, match=rf"The timer {unit}\.timer still runs"):
            host.verify(DISARM)

    @pytest.mark.parametrize("answer", [Completed(1, "", "No space left"), Completed(1, "No space left", "")])
    def test_one_that_systemd_refuses(self, answer: Completed, host: Host) -> None:
        host.systemd.refusal = answer
        with pytest.raises(StepError, match=r"systemd did not set the timer: No space left\."):
            host.do(ARM)


def test_without_systemd_there_is_none(quick_path: Path) -> None:
    handlers = deadman_handlers(Files(str(quick_path)), Systemd())
    with pytest.raises(StepError, match="needs systemd") as caught:
        handlers[ArmTimer].apply(ARM)
    assert "--confirm-within 0" in caught.value.hint
