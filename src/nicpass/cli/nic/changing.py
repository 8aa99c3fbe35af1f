# SPDX-License-Identifier: Apache-2.0
"""`nicpass attach`, `detach`, `vf` and `undo`: plan, then show or carry out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.cli.arguments.requests import request_of, words_of
from nicpass.cli.carry_out import carry_out, outlive_session
from nicpass.cli.journal.unsettled import refuse_unless_settled
from nicpass.cli.parts import read_and_plan_all
from nicpass.cli.render.report import show_plan
from nicpass.cli.source import require_live_root
from nicpass.engine.journal import read_changes_unless_settled
from nicpass.engine.lock import hold_lock
from nicpass.host.doors.files import Files
from nicpass.host.system.actor import read_actor
from nicpass.model.errors import ExitCode

if TYPE_CHECKING:
    import argparse


def change_command(arguments: argparse.Namespace) -> int:
    """`nicpass attach`, `detach`, `vf` and `undo`."""
    request = request_of(arguments)
    if arguments.dry_run is not None:
        _, plans = read_and_plan_all(request, arguments)
        return show_plan(plans.first, arguments)
    require_live_root(arguments)
    outlive_session()
    actor = read_actor(Files(), words_of(request))
    # Read under the lock: a plan made before another run's change is one for a host that is gone.
    with hold_lock(Files(), actor):
        refuse_unless_settled(read_changes_unless_settled(Files()), request)
        source, plans = read_and_plan_all(request, arguments)
        document = carry_out(plans.first, source, actor, as_json=arguments.json, further=plans.further)
    if document is not None:
        from nicpass.cli.render.documents import say_document  # late: most runs are for people

        say_document(document, arguments)
    return ExitCode.DONE
