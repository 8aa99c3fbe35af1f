# SPDX-License-Identifier: Apache-2.0
"""The dead man's hand: a timer of systemd that takes an unconfirmed change back.

The timer is a unit of systemd's own, so it outlives the session and the program that set it; a boot ends it, and then
`nicpass recover` at the boot does its work. At most one change awaits confirmation, and it has two of them: one from
its beginning to its end, for a change that hangs; and one that counts the time to confirm, from its end. The second is
set before the first is taken away, so at no moment is there none.
Source: systemd-run(1), systemd.timer(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.engine.handler import Handler, Handlers
from nicpass.engine.installation import PYTHON
from nicpass.model.errors import ExitCode, StepError
from nicpass.model.language import _
from nicpass.model.plan import ArmTimer, DisarmTimer, StartWindow

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes

UNIT = "nicpass-confirm"
"""For the time to confirm."""
GUARD_UNIT = "nicpass-confirm-guard"
"""For the time in which the change is made."""
_SECONDS = 20.0
"""How long systemd has for an answer."""


def deadman_handlers(files: Files, processes: Processes) -> Handlers:
    """The handlers of this file's steps."""
    steps = DeadmanSteps(files, processes)
    return {
        ArmTimer: Handler(steps.apply_arm, steps.verify_arm),
        StartWindow: Handler(steps.apply_window, steps.verify_window),
        DisarmTimer: Handler(steps.apply_disarm, steps.verify_disarm),
    }


class DeadmanSteps:
    """The apply and verify of the timer's steps, with their doors to files and processes."""

    def __init__(self, files: Files, processes: Processes) -> None:
        self.files = files
        self.processes = processes

    def apply_arm(self, step: ArmTimer) -> None:
        if not self.files.exists("/run/systemd/system"):  # sd_booted(3)
            raise StepError(
                _("A change that is taken back by itself needs systemd, and this host does not run it."),
                _("--confirm-within 0 does without."),
            )
        if step.allowance:
            self._arm(GUARD_UNIT, step.seconds + step.allowance)
            self._stop(UNIT)
        else:
            self._arm(UNIT, step.seconds)

    def verify_arm(self, step: ArmTimer) -> None:
        # A change that is made has the other one.
        if not self._is_armed(GUARD_UNIT) and not self._is_armed(UNIT):
            raise StepError(_("The timer of {seconds} s does not run.").format(seconds=step.seconds))

    def apply_window(self, step: StartWindow) -> None:
        self._arm(UNIT, step.seconds)
        self._stop(GUARD_UNIT)

    def verify_window(self, step: StartWindow) -> None:
        if not self._is_armed(UNIT):
            raise StepError(_("The timer of {seconds} s does not run.").format(seconds=step.seconds))
        if self._is_armed(GUARD_UNIT):
            raise StepError(_("The timer {unit} still runs.").format(unit=f"{GUARD_UNIT}.timer"))

    def apply_disarm(self, _step: DisarmTimer) -> None:
        self._stop(UNIT)
        self._stop(GUARD_UNIT)

    def verify_disarm(self, _step: DisarmTimer) -> None:
        for unit in (UNIT, GUARD_UNIT):
            if self._is_armed(unit):
                raise StepError(_("The timer {unit} still runs.").format(unit=f"{unit}.timer"))

    def _arm(self, unit: str, seconds: int) -> None:
        if self._is_armed(unit):
            return
        # The lowest accuracy that systemd knows is a minute: without this the timer may come a minute late.
        argv = ["systemd-run", f"--unit={unit}", f"--on-active={seconds}s", "--timer-property=AccuracySec=1s"]
        # Nobody may be able to come in and try again: the unit does so by itself, but not where only a person can help.
        argv += ["--property=Restart=on-failure", "--property=RestartSec=20"]
        argv += [f"--property=RestartPreventExitStatus={ExitCode.NEEDS_PERSON:d}"]
        argv += ["--collect", "--quiet", "--", *recover_command(), "--unconfirmed"]
        done = self.processes.run(argv, timeout=_SECONDS)
        if done.exit_code != 0:
            raise StepError(_("systemd did not set the timer: {error}.").format(error=done.error or done.output))

    def _stop(self, unit: str) -> None:
        if self._is_armed(unit):
            self.processes.run(["systemctl", "stop", f"{unit}.timer"], timeout=_SECONDS)

    def _is_armed(self, unit: str) -> bool:
        done = self.processes.run(["systemctl", "is-active", f"{unit}.timer"], timeout=_SECONDS)
        return done.output.strip() == "active"


def recover_command() -> tuple[str, ...]:
    """The command line of `nicpass recover` for whoever has neither our PATH nor our environment."""
    return (PYTHON, "-I", "-m", "nicpass", "recover")
