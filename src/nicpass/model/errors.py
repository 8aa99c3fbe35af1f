# SPDX-License-Identifier: Apache-2.0
"""Errors are data: one sentence, one hint, the exit code that the documentation promises for them.

They are classed by who must act next. Only the command line prints them, and only it exits.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nicpass.model.finding import Finding


class ExitCode(enum.IntEnum):
    """The exit codes of the process; they are part of the interface."""

    DONE = 0
    ROLLED_BACK = 1
    BAD_INPUT = 2
    IMPOSSIBLE = 3
    REFUSED = 4
    REBOOT_NEEDED = 5
    NEEDS_PERSON = 6
    BUSY = 7
    DIFFERENT = 10
    """No failure: `nicpass plan` has found that the host is not as the file says."""


class NicpassError(Exception):
    """Base of all errors: `sentence` says what happened to what, `hint` what to do about it."""

    exit_code = ExitCode.ROLLED_BACK
    code = "FAILED"

    def __init__(self, sentence: str, hint: str = "", *, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.findings = findings


class BadInputError(NicpassError):
    """The command names something that is not there or is ambiguous, or a file that cannot be read."""

    exit_code = ExitCode.BAD_INPUT
    code = "BAD_INPUT"


class NotPermittedError(NicpassError):
    """The command needs more rights than it was started with."""

    exit_code = ExitCode.BAD_INPUT
    code = "NOT_PERMITTED"


class ImpossibleError(NicpassError):
    """This host cannot do what was asked for, as it is; the findings say why."""

    exit_code = ExitCode.IMPOSSIBLE
    code = "IMPOSSIBLE"


class RefusedError(NicpassError):
    """The change could be made, and would take something from the host that the host uses."""

    exit_code = ExitCode.REFUSED
    code = "REFUSED"


class RebootNeededError(NicpassError):
    """The change is possible after a reboot, once the findings are mended."""

    exit_code = ExitCode.REBOOT_NEEDED
    code = "REBOOT_NEEDED"


class StepError(NicpassError):
    """A step did not do what it promised."""

    code = "STEP_FAILED"


class NoAnswerError(StepError):
    """What was asked did not answer in time, and was left behind; what it was to do may still come."""

    code = "NO_ANSWER"


class NotSupportedError(StepError):
    """The kernel answered EOPNOTSUPP: this driver, or this mode of it, cannot do it."""

    def __init__(self, sentence: str, hint: str = "", *, settings: tuple[str, ...] = ()) -> None:
        super().__init__(sentence, hint)
        self.settings = settings
        """Which settings of a VF it was asked for, by their fields in VfSettings."""


class NeedsPersonError(NicpassError):
    """The host is neither as it was nor as it was meant to be."""

    exit_code = ExitCode.NEEDS_PERSON
    code = "NEEDS_PERSON"


class BusyError(NicpassError):
    """Another run holds the lock."""

    exit_code = ExitCode.BUSY
    code = "BUSY"
