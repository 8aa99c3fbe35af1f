# SPDX-License-Identifier: Apache-2.0
"""`nicpass history` and `nicpass show`: who changed what, when, and what became of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from nicpass.cli.journal.unsettled import at_work, summary_of
from nicpass.cli.render.output import say, say_json, say_table, say_wrapped
from nicpass.cli.render.plan_text import describe_step
from nicpass.cli.render.progress import mark_of
from nicpass.cli.source import open_root
from nicpass.engine.journal import read_changes, select_change, undone_by
from nicpass.host.system.given import read_vetoes
from nicpass.model.change import Actor, Change, Closed, Confirmed, Opened, Outcome, Resumed, StepRecord
from nicpass.model.errors import BadInputError, ExitCode
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    import argparse

    from nicpass.host.doors.files import Files


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One change, as `nicpass history --json` tells it."""

    id: str
    time: float | None
    actor: Actor
    summary: str
    outcome: Outcome
    undone_by: str | None
    exit_code: int | None
    sentence: str
    at_work: str | None = None
    """The run that makes or settles the change at this moment: then it is unfinished, and was not cut off."""


class VetoView(msgspec.Struct, frozen=True, kw_only=True):
    """A start that the guard has vetoed."""

    vm: str
    uuid: str
    time: float
    sentence: str
    hint: str
    codes: tuple[str, ...]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass history --json` prints, the oldest first."""

    schema: str = "nicpass.history/1"
    changes: tuple[ChangeView, ...]
    vetoes: tuple[VetoView, ...] = ()
    """The last starts of VMs that the guard has vetoed, the oldest first."""


class ChangeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass show --json` prints: a change as its journal tells it."""

    schema: str = "nicpass.change/1"
    full: bool = False
    """Whether the interfaces' sysctls, hundreds of lines, stand in it too (--full); else they are null."""
    identity: str
    opened: Opened | None = None
    """Null where the first record is broken."""
    steps: tuple[StepRecord, ...] = ()
    confirmed: Confirmed | None = None
    resumed: tuple[Resumed, ...] = ()
    closed: Closed | None = None
    damage: str = ""
    """The part of the journal that could not be read."""


def history_command(arguments: argparse.Namespace) -> int:
    files = open_root(arguments)
    changes = read_changes(files)
    views = [_view(change, changes, files) for change in changes[-arguments.last :]]
    vetoes = _view_vetoes(files)[-arguments.last :]
    if arguments.json:
        say_json(History(changes=tuple(views), vetoes=vetoes))
    elif views or vetoes:
        # In the order of the changes, which is not always that of the clock; a veto stands before what came after it.
        rows: list[tuple[float | None, tuple[str, ...]]] = [
            (v.time, (v.id, _when(v.time), v.actor.user, v.summary, _tell_outcome(v))) for v in views
        ]
        for veto in vetoes:
            place = next((n for n, (moment, _row) in enumerate(rows) if (moment or 0) > veto.time), len(rows))
            rows.insert(place, (veto.time, _veto_row(veto)))
        columns = (_("CHANGE"), _("WHEN"), _("WHO"), _("WHAT"), _("OUTCOME"))
        words = (_("WHAT"), _("OUTCOME"))
        say_table(columns, [row for _time, row in rows], spare=(_("WHO"),), whole=(_("CHANGE"),), whole_words=words)
    else:
        say(_("nicpass has changed nothing on this host yet."))
    return ExitCode.DONE


def _veto_row(veto: VetoView) -> tuple[str, ...]:
    what = _("start {name}").format(name=veto.vm)
    outcome = _("vetoed: {reason}").format(reason=", ".join(veto.codes) or veto.sentence)
    return ("-", _when(veto.time), "libvirt", what, outcome)


def _view_vetoes(files: Files) -> tuple[VetoView, ...]:
    views = (
        VetoView(vm=vm.vm, uuid=vm.uuid, time=v.time, sentence=v.sentence, hint=v.hint, codes=v.codes)
        for vm in value_or(read_vetoes(files), ())
        for v in vm.vetoes
    )
    return tuple(sorted(views, key=lambda veto: veto.time))


def show_command(arguments: argparse.Namespace) -> int:
    files = open_root(arguments)
    changes = read_changes(files)
    if not changes:
        raise BadInputError(_("nicpass has changed nothing on this host yet."))
    change = select_change(changes, arguments.change) if arguments.change else changes[-1]
    if arguments.json:
        from nicpass.cli.render.documents import say_document  # late: most runs are for people

        say_document(ChangeDocument(**msgspec.structs.asdict(change)), arguments)
        return ExitCode.DONE
    view = _view(change, changes, files)
    rows = [
        (_("change"), view.id),
        (_("what"), view.summary),
        (_("when"), _when(view.time)),
        (_("who"), _("{user}, process {process}").format(user=view.actor.user, process=view.actor.process)),
        (_("command"), " ".join(("nicpass", *map(quote, view.actor.command)))),
        (_("outcome"), _tell_outcome(view)),
    ]
    if change.overrides:
        rows.append((_("overrides"), ", ".join(sorted(change.overrides))))
    if change.damage:
        rows.append((_("damage"), change.damage))
    say_table((), rows)
    if view.sentence:
        say_wrapped(view.sentence)
    _say_steps(change)
    return ExitCode.DONE


def _say_steps(change: Change) -> None:
    """Print every record of a change's steps in the order of time, so also steps that were tried and taken back."""
    if not change.steps:
        return
    say()
    say_table((_("TIME"), _("STEP"), _("PHASE"), _("WHAT")), (_row(record) for record in change.steps))
    for record in change.steps:
        if record.error:
            # Behind the step's number: an error quotes others, whose words are not to stand as a line of nicpass's own.
            say_wrapped(record.error, indent="     ", first=f"  {record.number + 1}. ")


def _row(record: StepRecord) -> tuple[str, ...]:
    stamp = time.strftime("%H:%M:%S", time.localtime(record.time)) + f".{int(record.time % 1 * 1000):03d}"
    phase = mark_of(record.phase) or _("begun")
    return (stamp, str(record.number + 1), phase, describe_step(record.step))


def _view(change: Change, changes: tuple[Change, ...], files: Files) -> ChangeView:
    opened, closed = change.opened, change.closed
    return ChangeView(
        id=change.identity,
        time=opened.time if opened else None,
        actor=opened.actor if opened else Actor(),
        summary=summary_of(change),
        outcome=change.outcome,
        undone_by=undone_by(change, changes),
        exit_code=closed.exit_code if closed else None,
        sentence=closed.sentence if closed else "",
        at_work=at_work(files) if change.outcome == Outcome.UNFINISHED else None,
    )


def _when(moment: float | None) -> str:
    return "?" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _tell_outcome(view: ChangeView) -> str:
    if view.undone_by is not None:
        return _("done, undone by {change}").format(change=view.undone_by)
    if view.at_work is not None:
        return _("at work: {holder}").format(holder=view.at_work)
    words = {
        Outcome.DONE: _("done"),
        Outcome.UNCONFIRMED: _("done, awaits nicpass confirm"),
        Outcome.TAKEN_BACK: _("taken back"),
        Outcome.NEEDS_PERSON: _("needs a person"),
        Outcome.UNFINISHED: _("cut off: nicpass recover"),
        Outcome.ABANDONED: _("abandoned"),
        Outcome.DAMAGED: _("damaged: nicpass recover"),
    }
    return words[view.outcome]
