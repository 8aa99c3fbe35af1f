# SPDX-License-Identifier: Apache-2.0
"""Settles what a crash, a kill or a power cut has left: each unfinished change is finished or taken back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.journal import JOURNALS, Journal, owed, read_boot_id, read_changes, unsettled
from nicpass.engine.transaction import Run, watch_nothing
from nicpass.model.change import Actor, Change, Phase
from nicpass.model.errors import ExitCode, NicpassError, StepError
from nicpass.model.fact import known
from nicpass.model.inverse import invert_step
from nicpass.model.language import _
from nicpass.model.plan import ChangeBoot, GiveBackNic, SetNumvfs, SetPool, StartWindow, StopDomain, TakeNic
from nicpass.model.text import quote
from nicpass.planner.recovery import (
    Direction,
    choose_direction,
    invert_after_boot,
    invert_unattended,
    steps_begun,
    steps_to_finish,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.engine.handler import Handlers
    from nicpass.engine.transaction import Watch
    from nicpass.host.doors.files import Files
    from nicpass.model.plan import Plan, Step


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one change that was cut off."""

    change: str
    summary: str
    direction: Direction
    exit_code: int
    sentence: str


def recover(
    files: Files,
    handlers: Handlers,
    actor: Actor | None = None,
    watch: Watch = watch_nothing,
    begin: Callable[[Change], object] | None = None,
    *,
    unattended: bool = False,
) -> tuple[Settled, ...]:
    """Settle every unfinished change, the newest first; the caller holds the lock. Nothing is raised for a change.

    `begin` is told of each before it is settled.
    `unattended`: the dead man's hand asks, so a VM that a change has started is stopped, by force where it must be.
    A change that brought a NIC back with a difference is tried again too: what was in its way may have been mended.

    Raises:
        StepError: the folder of the journals cannot be read.
    """
    changes = read_changes(files)
    waiting = (*unsettled(changes), *owed(changes))
    settled = []
    for change in waiting:
        if begin is not None:
            begin(change)
        settled.append(_settle(change, files, handlers, actor or Actor(), watch, unattended=unattended))
    return tuple(settled)


def take_back_as_recorded(change: Change, files: Files, handlers: Handlers, actor: Actor, watch: Watch) -> Settled:
    """Undo an unconfirmed change step by step, by its own record: for a new plan libvirt would have to answer.

    What cannot be undone without libvirt leaves the change cut off, for the next `recover` to go on.
    """
    run = Run(Journal(files, change.identity), handlers, watch)
    try:
        run.journal.resume(actor, finishing=False)
        exit_code, sentence = _go(Direction.TAKE_BACK, change, run, same_boot=True, unattended=True)
    except OSError as error:
        exit_code, sentence = ExitCode.NEEDS_PERSON, _("The journal cannot be written: {error}.").format(error=error)
    summary = change.opened.plan.summary if change.opened is not None else ""
    return Settled(
        change=change.identity,
        summary=summary,
        direction=Direction.TAKE_BACK,
        exit_code=exit_code,
        sentence=sentence,
    )


def abandon(files: Files, change: Change) -> None:
    """Close an unfinished change and leave the host as it is. Raises OSError."""
    Journal(files, change.identity).close(
        ExitCode.NEEDS_PERSON, _("Abandoned: the host was left as it was."), abandoned=True
    )


def _settle(
    change: Change, files: Files, handlers: Handlers, actor: Actor, watch: Watch, *, unattended: bool
) -> Settled:
    journal = Journal(files, change.identity)
    if change.opened is None:
        return _settle_damaged(change, journal)
    here = read_boot_id(files)
    # Two boots whose ids cannot be read cannot be told apart: then the host is looked at in any case.
    same_boot = not known(here) or not known(change.opened.boot_id) or here == change.opened.boot_id
    run = Run(journal, handlers, watch)
    direction = choose_direction(change)
    # The change was cut off behind its last act, or its VM was started after all: then what was asked for is there.
    holds = (
        direction != Direction.CLOSE
        and not change.opened.plan.more
        and all(
            isinstance(step, StartWindow) or (_is_seen_done(number, change) and run.holds(step))
            for number, step in enumerate(change.opened.plan.steps)
        )
    )
    if holds:
        direction = Direction.FINISH
    try:
        journal.resume(actor, finishing=direction == Direction.FINISH)
        exit_code, sentence = (
            _close_as_done(change, run)
            if holds
            else _go(
                direction, change, run, same_boot=same_boot, unattended=unattended and change.confirm_within is not None
            )
        )
    except NicpassError as error:
        exit_code, sentence = error.exit_code, error.sentence
    except OSError as error:
        exit_code, sentence = ExitCode.NEEDS_PERSON, _("The journal cannot be written: {error}.").format(error=error)
    return Settled(
        change=change.identity,
        summary=change.opened.plan.summary,
        direction=direction,
        exit_code=exit_code,
        sentence=sentence,
    )


def _is_seen_done(number: int, change: Change) -> bool:
    """Whether a step's end is recorded, if it runs programs: their files cannot be told from those of before."""
    step = change.opened.plan.steps[number] if change.opened is not None else None
    runs = isinstance(step, ChangeBoot) and bool(step.change.generators)
    return not runs or change.phases.get(number) == Phase.DONE


def _close_as_done(change: Change, run: Run) -> tuple[ExitCode, str]:
    """Say of every step that it is done; it was seen to be. The time to confirm it begins now, if it has not yet."""
    for number, step in enumerate(change.opened.plan.steps if change.opened is not None else ()):
        if isinstance(step, StartWindow) and not run.holds(step):
            run.handlers[StartWindow].apply(step)
            run.handlers[StartWindow].verify(step)
        if change.phases.get(number) != Phase.DONE:
            run.journal.record(number, Phase.DONE, step)
    run.journal.close(ExitCode.DONE)
    return ExitCode.DONE, _("All of it was done already.")


def _go(direction: Direction, change: Change, run: Run, *, same_boot: bool, unattended: bool) -> tuple[ExitCode, str]:
    if direction == Direction.CLOSE:
        sentence = _("It was cut off before its first step.")
        run.journal.close(ExitCode.ROLLED_BACK, sentence)
        return ExitCode.DONE, sentence
    if direction == Direction.FINISH:
        done = [numbered for numbered in steps_begun(change) if change.phases[numbered[0]] == Phase.DONE]
        lost = [n for n, step in done if not _is_past(n, step, change) and not run.holds(step)]
        left = steps_to_finish(change, same_boot=same_boot, lost=frozenset(lost))
        run.do_all(left, begun=[numbered for numbered in done if numbered[0] not in lost], further=_rest_of(change))
        return ExitCode.DONE, _("It was finished.")
    invert = invert_unattended if unattended else invert_step
    failures = run.undo_all(steps_begun(change), invert if same_boot else invert_after_boot)
    if failures:
        sentence = _("It could not be taken back: {failures}").format(failures=" ".join(failures))
        with contextlib.suppress(OSError):
            run.journal.close(ExitCode.NEEDS_PERSON, sentence)
        # systemd lets the dead man's hand try again, but not where only a person can help.
        return ExitCode.BUSY if unattended and run.unanswered else ExitCode.NEEDS_PERSON, sentence
    sentence = _("It was taken back.") if same_boot else _("It was taken back; what was running ended with the boot.")
    run.journal.close(ExitCode.ROLLED_BACK, sentence)
    return ExitCode.DONE, sentence


def _is_past(number: int, step: Step, change: Change) -> bool:
    """Whether nobody is to see any more that the step was done.

    A VM may have been started since it was stopped, and is not stopped again. A VF that came back is gone, or partly,
    from when its PF began to be made to have others. A NIC that came back, and that the same change gives to another
    VM, is not brought back from there: with it its record would go. A pool is changed in several steps, of which the
    last counts.
    """
    if isinstance(step, StopDomain):
        return True
    begun = steps_begun(change)
    later = [other for at, other in begun if at > number]
    if isinstance(step, SetPool):
        return any(isinstance(other, SetPool) and other.name == step.name for other in later)
    pfs = {other.address for _, other in begun if isinstance(other, SetNumvfs)}
    again = {other.address for other in later if isinstance(other, TakeNic)}
    return isinstance(step, GiveBackNic) and (step.state.pf in pfs or step.address in again)


def _rest_of(change: Change) -> Iterator[Plan]:
    """The plans that the change would have gone on with: they were to be made for a host that nobody asks for now."""
    if change.opened is not None and change.opened.plan.more:
        raise StepError(
            _("It was cut off before the rest of it was planned; what was planned is done."),
            _("Ask for it again: nicpass history says what it was."),
        )
    yield from ()


def _settle_damaged(change: Change, journal: Journal) -> Settled:
    """Settle a journal without its first record: without any whole line nothing was done; any other is for a person."""
    if change.damage:
        exit_code = ExitCode.NEEDS_PERSON
        sentence = _(
            "Its journal is damaged: {damage}. Look at {path}, then: nicpass recover --abandon {change}"
        ).format(damage=change.damage, path=journal.path, change=quote(change.identity))
    else:
        exit_code, sentence = ExitCode.DONE, _("It was cut off before its first step.")
        with contextlib.suppress(OSError):
            journal.files.remove(f"{JOURNALS}/{change.identity}.jsonl")
    return Settled(
        change=change.identity, summary="", direction=Direction.CLOSE, exit_code=exit_code, sentence=sentence
    )
