# SPDX-License-Identifier: Apache-2.0
"""From a request to the plans of its change, of which there are several where a part can be planned only later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.cli.planning import Plans, change_to_undo, plan_request, read_and_plan
from nicpass.model.request import ApplyRequest, UndoRequest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from nicpass.cli.source import Source
    from nicpass.model.request import Request


def read_and_plan_all(request: Request, arguments: argparse.Namespace) -> tuple[Source, Plans]:
    """The host as it is now, and the plans for it."""
    if not isinstance(request, UndoRequest):
        source, plan = read_and_plan(request, arguments)
        return source, Plans(plan)
    from nicpass.cli.planning import read_for

    source = read_for(request, arguments)
    return source, plan_all(request, source, lambda: read_for(request, arguments))


def plan_all(request: Request, source: Source, read: Callable[[], Source]) -> Plans:
    """The plans for this host; `read` reads it anew."""
    if isinstance(request, UndoRequest):
        change = change_to_undo(request, source)
        if change.opened is not None and isinstance(change.opened.plan.request, ApplyRequest):
            from nicpass.cli.state.undoing import plan_undo_of_apply  # late: few changes are of a file

            return plan_undo_of_apply(change, request, source, read)
    return Plans(plan_request(request, source))
