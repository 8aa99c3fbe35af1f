# SPDX-License-Identifier: Apache-2.0
"""Changes that were cut off or await confirmation: each is settled before the next change is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.engine.journal import undone_by, unsettled
from nicpass.model.change import Outcome
from nicpass.model.errors import RefusedError
from nicpass.model.language import _
from nicpass.model.plan import Request, UndoRequest

if TYPE_CHECKING:
    from nicpass.model.change import Change


def refuse_unless_settled(changes: tuple[Change, ...], request: Request) -> None:
    """Pass if every earlier change is settled: one change is settled before the next is begun.

    Raises:
        RefusedError: an earlier change was cut off, or awaits confirmation; only such a change may be undone.
    """
    for change in unsettled(changes):
        raise RefusedError(
            _("An earlier change was cut off: {change} ({summary}).").format(
                change=change.identity, summary=summary_of(change)
            ),
            "nicpass recover",
        )
    for change in pending(changes):
        if not (isinstance(request, UndoRequest) and request.change == change.identity):
            raise RefusedError(
                _("An earlier change awaits confirmation: {change} ({summary}).").format(
                    change=change.identity, summary=summary_of(change)
                ),
                _("nicpass confirm keeps it, nicpass undo takes it back."),
            )


def pending(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes of `changes` that await confirmation still."""
    waiting = (change for change in changes if change.outcome == Outcome.UNCONFIRMED)
    return tuple(change for change in waiting if undone_by(change, changes) is None)


def summary_of(change: Change) -> str:
    return change.opened.plan.summary if change.opened is not None else _("not readable")
