# SPDX-License-Identifier: Apache-2.0
"""Carries out a plan: each step is recorded, done and verified, or all are undone in reverse."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from nicpass.engine.journal import JOURNALS, Journal
from nicpass.model.change import Phase
from nicpass.model.errors import ExitCode, ImpossibleError, NeedsPersonError, NicpassError, NoAnswerError, StepError
from nicpass.model.language import _
from nicpass.model.plan import (
    GiveBackNic,
    NicStep,
    RemoveGuard,
    SetNumvfs,
    StartDomain,
    Step,
    StopDomain,
    UndefineDevice,
    UnplugDevice,
)

if TYPE_CHECKING:
    from nicpass.engine.handler import Handlers
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.change import Actor
    from nicpass.model.plan import Plan

Watch: TypeAlias = Callable[[int, Phase, Step], None]
"""A function that is told of every phase of every step, for the user's eyes."""

Numbered: TypeAlias = tuple[int, Step]
"""A step with its number in the plan."""


def watch_nothing(_number: int, _phase: Phase, _step: Step) -> None:
    """A Watch that shows nothing."""


def run_plan(
    plan: Plan,
    handlers: Handlers,
    files: Files,
    watch: Watch = watch_nothing,
    actor: Actor | None = None,
    further: Iterator[Plan] = iter(()),  # noqa: B008 - one that is empty stays so
) -> str | None:
    """Do all steps of `plan`, each seen to be done; the change's identity, None where there was nothing to do.

    `further` makes the plans that go on with it: each is asked for when the steps before it are done, and belongs to
    the same change. What it raises ends the change as a step that fails.

    Raises:
        StepError: a step failed, and the host is as it was.
        NeedsPersonError: a step failed, and the host is neither as it was nor as it was meant to be.
    """
    if not plan.steps:
        return None
    try:
        journal = Journal.open(files, plan, actor)
    except OSError as error:
        raise StepError(
            _("The journal cannot be written: {reason}: {filename}. Nothing was done.").format(
                reason=error.strerror, filename=error.filename or JOURNALS
            )
        ) from error
    Run(journal, handlers, watch).do_all(enumerate(plan.steps), further=further)
    return journal.identity


class Run:
    """One change on its way, with the journal that knows how far it is."""

    def __init__(self, journal: Journal, handlers: Handlers, watch: Watch) -> None:
        self.journal = journal
        self.handlers = handlers
        self.watch = watch
        self.unanswered = False
        """Something could not be taken back because the hypervisor did not answer; later it may."""
        self.unstopped = False
        """The hypervisor did not answer when a VM was to be stopped: for it, that VM may have the NIC still."""
        self.defined: Address | None = None
        """A NIC of which a VM could not be rid: it has it still, or may be started with it."""
        self.unplanned: NicpassError | None = None
        """Why the rest of the change could not be planned, or not be put down."""
        self.gives_back = False
        """Whether a NIC is on its way back to the host, or is there."""

    def do_all(
        self,
        steps: Iterable[Numbered],
        begun: Iterable[Numbered] = (),
        further: Iterator[Plan] = iter(()),  # noqa: B008 - as in `run_plan`
    ) -> None:
        """Do these steps and close the journal; when one fails, take it back with those that had `begun` before.

        `further` as in `run_plan`.

        Once a NIC is on its way back there is no taking back: it would leave with less than it had. Then what is left
        is tried once more, and after that `nicpass recover` may try again.

        Raises:
            StepError, NeedsPersonError: as `run_plan` says.
        """
        left, begun = list(steps), list(begun)
        self.gives_back = any(isinstance(step, GiveBackNic) for _, step in begun)
        try:
            while left or self._extend(left, begun, further):
                number, step = left[0]
                self._enter(number, Phase.DOING, step)
                begun.append(left[0])  # a step that could not be recorded has not acted
                self._act(step)
                self._enter(number, Phase.DONE, step)
                del left[0]
            # A journal that cannot be closed looks cut off to whoever reads it later: so this belongs to the change.
            self.journal.close(ExitCode.DONE)
        except (Exception, KeyboardInterrupt) as error:  # also a bug of ours must not leave a host half changed
            if self.gives_back:
                self._go_on(left, describe_error(error))
            else:
                self._turn_back(begun, error)

    def _extend(self, left: list[Numbered], begun: list[Numbered], further: Iterator[Plan]) -> bool:
        """Have the next plan that has steps made and recorded; whether there was one."""
        while True:
            try:
                plan = next(further, None)
                if plan is None:
                    return False
                self.journal.extend(plan)
            except (Exception, KeyboardInterrupt) as error:
                self.unplanned = describe_error(error)
                raise
            left += enumerate(plan.steps, len(begun))
            if left:
                return True

    def _go_on(self, left: list[Numbered], first: NicpassError) -> None:
        """Do the steps that are left, the first perhaps done in part; raises NeedsPersonError when that fails too.

        A NIC that does not come back as it was keeps no other from coming back; but the guard stays for its sake.
        """
        failures: list[NicpassError] = [self.unplanned] if self.unplanned is not None else []
        for number, step in left:
            if failures and not isinstance(step, GiveBackNic):
                continue
            try:
                self._try_record(number, Phase.DOING, step)
                self._act(step)
                self._try_record(number, Phase.DONE, step)
            except (Exception, KeyboardInterrupt) as error:  # the impatient must not leave the rest with nobody
                failures.append(describe_error(error))
                if not isinstance(step, GiveBackNic):
                    break
        try:
            if not failures:
                self.journal.close(ExitCode.DONE)
        except (Exception, KeyboardInterrupt) as error:
            failures.append(describe_error(error))
        if failures:
            self._end_for_a_person(failures, first)

    def _end_for_a_person(self, failures: list[NicpassError], first: NicpassError) -> NoReturn:
        sentence = " ".join(dict.fromkeys(failure.sentence for failure in failures))
        hint = _("{hint} Mend it, then: nicpass recover. The record of every step: {journal}").format(
            hint=next((failure.hint for failure in failures if failure.hint), first.hint), journal=self.journal.path
        )
        findings = tuple(finding for failure in failures for finding in failure.findings)
        with contextlib.suppress(OSError):
            self.journal.close(ExitCode.NEEDS_PERSON, sentence)
        raise NeedsPersonError(sentence, hint.strip(), findings=findings) from failures[0]

    def _turn_back(self, begun: list[Numbered], error: BaseException) -> NoReturn:
        """Undo the steps that were begun; raises the error to end with."""
        if isinstance(error, NeedsPersonError):
            # What was promised is done as far as it can be; taking it back would only move further from it.
            with contextlib.suppress(OSError):
                self.journal.close(ExitCode.NEEDS_PERSON, error.sentence)
            raise error
        failures = self.undo_all(begun)
        conclusion = _conclude(describe_error(error), failures, self.journal.path)
        with contextlib.suppress(OSError):
            self.journal.close(conclusion.exit_code, conclusion.sentence)
        raise conclusion from error

    def undo_all(self, begun: Iterable[Numbered], invert: Callable[[Step], Step | None] | None = None) -> list[str]:
        """Undo steps in reverse, also those that acted in part or failed; the sentences of those not to be undone.

        `invert` gives the step that takes one back, or None where nothing is left of it to take back.
        """
        from nicpass.model.inverse import invert_step  # late: most changes are not undone

        invert = invert or invert_step
        failures: list[str] = []
        held: set[Address] = set()  # by running VMs, out of whose hands nothing is taken: not from the record either
        unmade = False  # VFs that are still to be made anew: a VM that had one by then would keep the kernel waiting
        for number, step in reversed(list(begun)):
            phase, reason, inverse = Phase.UNDONE, "", None
            if (isinstance(step, NicStep) and step.address in held) or (unmade and isinstance(step, UnplugDevice)):
                self._try_record(number, Phase.UNDO_FAILED, step)
                continue
            self._try_record(number, Phase.UNDOING, step)
            try:
                inverse = invert(step)
                # A VM that was to be stopped and runs still is not started by somebody else.
                if inverse is not None and not (isinstance(inverse, StartDomain) and self.holds(inverse)):
                    self._refuse_too_early(inverse)
                    self._act(inverse)
                    self._expect_to_last(inverse)
            except (Exception, KeyboardInterrupt) as error:  # the impatient must not leave the rest undone
                phase, reason = Phase.UNDO_FAILED, describe_error(error).sentence
                silent = isinstance(error, NoAnswerError | ImpossibleError)
                self.unanswered = self.unanswered or silent
                self.unstopped = self.unstopped or (silent and isinstance(inverse, StopDomain))
                unmade = unmade or isinstance(inverse, SetNumvfs)
                if isinstance(inverse, UnplugDevice):
                    held.add(inverse.address)
                if isinstance(inverse, UndefineDevice | UnplugDevice):
                    self.defined = inverse.address
                failures.append(reason)
            self._try_record(number, phase, step, reason)
        return failures

    def _refuse_too_early(self, step: Step) -> None:
        """Raise StepError for a guard that is to go while a start of the VM would take the NIC."""
        if self.defined is not None and isinstance(step, RemoveGuard):
            raise StepError(
                _("The guard stays as long as a VM has {address} in its definition.").format(address=self.defined)
            )

    def _expect_to_last(self, step: Step) -> None:
        """Raise NoAnswerError for a NIC that is back, if a hypervisor that goes on later may take it once more.

        It gives back what its VM had when it sees that this has ended, and takes it from the driver for that: then all
        that was on its interface is lost. So the step counts as undone only when the hypervisor has answered.
        """
        if self.unstopped and isinstance(step, GiveBackNic) and not (step.after_boot or step.gone):
            raise NoAnswerError(
                _(
                    "{address} is the host's again; but what manages its VM did not answer, and may give it back once"
                    " more, without addresses, when it goes on."
                ).format(address=step.address)
            )

    def holds(self, step: Step) -> bool:
        """Whether what the step promises is there already, by reading the host; what cannot be read is not."""
        try:
            self.handlers[type(step)].verify(step)
        except (NicpassError, OSError):
            return False
        return True

    def _act(self, step: Step) -> None:
        self.gives_back = self.gives_back or isinstance(step, GiveBackNic)
        handler = self.handlers[type(step)]
        handler.apply(step)
        handler.verify(step)

    def _enter(self, number: int, phase: Phase, step: Step) -> None:
        self.journal.record(number, phase, step)
        self._tell(number, phase, step)

    def _try_record(self, number: int, phase: Phase, step: Step, error: str = "") -> None:
        """Record a phase if that is possible: on the way back a full disk must not keep us from restoring the host."""
        with contextlib.suppress(OSError, KeyboardInterrupt):
            self.journal.record(number, phase, step, error)
        with contextlib.suppress(KeyboardInterrupt):  # on the way back the impatient do not stop us by it
            self._tell(number, phase, step)

    def _tell(self, number: int, phase: Phase, step: Step) -> None:
        """Tell the watch of a phase; whatever fails in telling it is no reason to stop, or to take anything back."""
        with contextlib.suppress(Exception):
            self.watch(number, phase, step)


def _conclude(first: NicpassError, failures: list[str], journal: str) -> NicpassError:
    """The error that a failed change ends with: the first error, and next to it the steps that could not be undone."""
    if not failures:
        return StepError(
            _("{sentence} All was taken back.").format(sentence=first.sentence), first.hint, findings=first.findings
        )
    return NeedsPersonError(
        _("{sentence} Taking it back failed too: {failures}").format(
            sentence=first.sentence, failures=" ".join(failures)
        ),
        _("{hint} Mend it, then: nicpass recover. The record of every step: {journal}")
        .format(hint=first.hint, journal=journal)
        .strip(),
        findings=first.findings,
    )


def describe_error(error: BaseException) -> NicpassError:
    """Any exception as a NicpassError, which has a sentence."""
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
