# SPDX-License-Identifier: Apache-2.0
"""Says how far a change is: on a terminal each step when it begins and how it ended, elsewhere a line when it ended."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from nicpass.cli.render.output import say, say_wrapped
from nicpass.cli.render.plan_text import describe_step
from nicpass.engine.transaction import watch_nothing
from nicpass.model.change import Phase
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.cli.render.spinner import Spinner
    from nicpass.engine.transaction import Watch
    from nicpass.model.plan import Step

_INDENT = "     "
_WITHOUT_CURSOR = ("", "dumb", "unknown")
"""Values of TERM: what is printed there stays where it is."""


@contextlib.contextmanager
def watched(*, as_json: bool) -> Iterator[Watch]:
    """A watch for as long as the block lasts, fit for where standard output goes."""
    if as_json:
        yield watch_nothing
        return
    if not sys.stdout.isatty():
        yield say_phase
        return
    steps = _Steps(_make_spinner())
    try:
        yield steps.tell
    finally:
        steps.leave()


def mark_of(phase: Phase) -> str | None:
    """The word for a phase in which a step has ended; None for the phases on the way."""
    marks = {Phase.DONE: _("done"), Phase.UNDONE: _("taken back"), Phase.UNDO_FAILED: _("NOT taken back")}
    return marks.get(phase)


def say_phase(number: int, phase: Phase, step: Step) -> None:
    """Print that a step has ended, while the plan is carried out."""
    if (mark := mark_of(phase)) is not None:
        say_wrapped(f"{mark}: {describe_step(step)}", indent=_INDENT, first=f"  {number + 1}. ")


def _make_spinner() -> Spinner | None:
    """None where it could not be drawn, and a line for the beginning and one for the end are all there is."""
    if os.environ.get("TERM", "") in _WITHOUT_CURSOR:
        return None
    from nicpass.cli.render.spinner import Spinner  # late: only a terminal has need of its threads

    return Spinner(sys.stdout.fileno(), sys.stdout.encoding)


class _Steps:
    """The steps of a change on a terminal, one after the other."""

    def __init__(self, spinner: Spinner | None) -> None:
        self._spinner = spinner
        self._began: float | None = None

    def tell(self, number: int, phase: Phase, step: Step) -> None:
        """A watch, as `run_plan` wants one."""
        if (mark := mark_of(phase)) is None:
            self._begin(number, phase, step)
        elif self._began is None:
            say_phase(number, phase, step)
        else:
            self._end(mark)

    def leave(self) -> None:
        """Nothing more comes: a step that has no end by now has failed."""
        if self._began is not None:
            self._end(_("not done"))

    def _begin(self, number: int, phase: Phase, step: Step) -> None:
        self.leave()
        text = describe_step(step)
        if phase.is_backwards:
            text = _("take back: {step}").format(step=text)
        say_wrapped(text, indent=_INDENT, first=f"  {number + 1}. ")
        self._began = time.monotonic()
        if self._spinner is not None:
            self._spinner.begin()

    def _end(self, mark: str) -> None:
        seconds, self._began = int(time.monotonic() - (self._began or 0)), None
        if self._spinner is not None:
            self._spinner.end()
        text = _("{mark} ({seconds} s)").format(mark=mark, seconds=seconds) if seconds else mark
        say(f"{_INDENT}{text}")
