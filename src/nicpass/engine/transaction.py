# SPDX-License-Identifier: Apache-2.0
"""Carries out a plan: each step is recorded, done and verified, or all are undone in reverse."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nicpass.engine.store import Journal, Phase
from nicpass.model.errors import ExitCode, NeedsPersonError, NicpassError, StepError
from nicpass.model.language import _
from nicpass.model.plan import invert_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.engine.handler import Handlers
    from nicpass.host.files import Files
    from nicpass.model.plan import Plan, Step


def run_plan(
    plan: Plan, handlers: Handlers, files: Files, watch: Callable[[int, Phase, Step], None] = lambda *_: None
) -> None:
    """Do all steps of `plan`, each seen to be done; `watch` is told of every phase for the user's eyes.

    Raises:
        StepError: a step failed, and the host is as it was.
        NeedsPersonError: a step failed, and the host is neither as it was nor as it was meant to be.
    """
    if not plan.steps:
        return
    try:
        journal = Journal(files, plan)
    except OSError as error:
        raise StepError(
            _("The journal cannot be written: {reason}: {filename}. Nothing was done.").format(
                reason=error.strerror, filename=error.filename
            )
        ) from error
    run = _Run(journal, handlers, watch)
    begun: list[tuple[int, Step]] = []
    try:
        for number, step in enumerate(plan.steps):
            begun.append((number, step))
            run.do(number, step)
        # A journal that cannot be closed looks cut off to whoever reads it later: so this belongs to the change.
        journal.close(ExitCode.DONE)
    except NeedsPersonError as error:
        # What was promised is done as far as it can be; taking it back would only move further from it.
        with contextlib.suppress(OSError):
            journal.close(ExitCode.NEEDS_PERSON, error.sentence)
        raise
    except (Exception, KeyboardInterrupt) as error:  # also a bug of ours must not leave a host half changed
        raise run.take_back(begun, _describe(error)) from error


class _Run:
    """One plan on its way."""

    def __init__(self, journal: Journal, handlers: Handlers, watch: Callable[[int, Phase, Step], None]) -> None:
        self.journal = journal
        self.handlers = handlers
        self.watch = watch

    def do(self, number: int, step: Step) -> None:
        self._enter(number, Phase.DOING, step)
        self._act(step)
        self._enter(number, Phase.DONE, step)

    def take_back(self, begun: list[tuple[int, Step]], first: NicpassError) -> NicpassError:
        """Undo in reverse, the failed step too, which may have acted in part; the error to raise then."""
        failures: list[str] = []
        for number, step in reversed(begun):
            phase = Phase.UNDONE
            self._try_record(number, Phase.UNDOING, step)
            try:
                self._act(invert_step(step))
            except (Exception, KeyboardInterrupt) as error:  # the impatient must not leave the rest undone
                failures.append(_describe(error).sentence)
                phase = Phase.UNDO_FAILED
            self._try_record(number, phase, step)
        conclusion = _conclude(first, failures, self.journal.path)
        with contextlib.suppress(OSError):
            self.journal.close(conclusion.exit_code, conclusion.sentence)
        return conclusion

    def _act(self, step: Step) -> None:
        handler = self.handlers[type(step)]
        handler.apply(step)
        handler.verify(step)

    def _enter(self, number: int, phase: Phase, step: Step) -> None:
        self.journal.record(number, phase, step)
        self._tell(number, phase, step)

    def _try_record(self, number: int, phase: Phase, step: Step) -> None:
        """On the way back a full disk must not keep us from restoring the host."""
        with contextlib.suppress(OSError, KeyboardInterrupt):
            self.journal.record(number, phase, step)
        self._tell(number, phase, step)

    def _tell(self, number: int, phase: Phase, step: Step) -> None:
        """A terminal that has gone away is no reason to stop."""
        with contextlib.suppress(OSError):
            self.watch(number, phase, step)


def _conclude(first: NicpassError, failures: list[str], journal: str) -> NicpassError:
    """The first error stays the first; what could not be undone stands next to it."""
    if not failures:
        return StepError(
            _("{sentence} All was taken back.").format(sentence=first.sentence), first.hint, findings=first.findings
        )
    return NeedsPersonError(
        _("{sentence} Taking it back failed too: {failures}").format(
            sentence=first.sentence, failures=" ".join(failures)
        ),
        _("{hint} The record of every step: {journal}").format(hint=first.hint, journal=journal).strip(),
        findings=first.findings,
    )


def _describe(error: BaseException) -> NicpassError:
    if isinstance(error, NicpassError):
        return error
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return StepError(_("The kernel refused: {reason}{where}.").format(reason=error.strerror or error, where=where))
    if isinstance(error, KeyboardInterrupt):
        return StepError(_("Interrupted."))
    return StepError(
        _("A mistake of nicpass itself: {kind}: {error}.").format(kind=type(error).__name__, error=error),
        _("Please report it."),
    )
