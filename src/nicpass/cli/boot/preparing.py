# SPDX-License-Identifier: Apache-2.0
"""`nicpass prepare`: writes what the next boots go by, looks at it after the reboot, and takes it out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.cli.arguments.requests import prepare_request_of, words_of
from nicpass.cli.boot.planning import plan_work
from nicpass.cli.carry_out import carry_out, outlive_session
from nicpass.cli.journal.settling import settle, tell_all
from nicpass.cli.journal.unsettled import refuse_unless_settled
from nicpass.cli.render.documents import view_error, without_sysctls
from nicpass.cli.render.output import say, say_json
from nicpass.cli.render.report import show_plan
from nicpass.cli.render.telling import Teller
from nicpass.cli.source import require_live_root
from nicpass.engine.boot.prepared import read_prepared
from nicpass.engine.journal import read_boot_id, read_changes_unless_settled
from nicpass.engine.lock import hold_lock
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.host.system.actor import read_actor
from nicpass.model.errors import ExitCode, RebootNeededError, StepError
from nicpass.model.language import _
from nicpass.model.prepared import Stage
from nicpass.model.request import PrepareRequest

if TYPE_CHECKING:
    import argparse

    from nicpass.cli.boot.planning import Work
    from nicpass.cli.render.documents import OutcomeDocument
    from nicpass.model.change import Actor

_PATIENCE = 600.0
"""Seconds that the boot waits for a run that holds the lock."""
_REBOOT = ["systemctl", "reboot"]


def prepare_command(arguments: argparse.Namespace) -> int:
    """Prepare the host, finish a preparation, or take it out; exit code 5 where a reboot is to come.

    Raises:
        NicpassError: as the plans and the steps do.
    """
    request = prepare_request_of(arguments)
    if arguments.dry_run is not None:
        return _show(plan_work(request, arguments), arguments)
    require_live_root(arguments)
    outlive_session()
    files = Files()
    actor = read_actor(files, [*words_of(request), *(["--reboot"] if arguments.reboot else [])])
    with hold_lock(files, actor, patience=_PATIENCE if request.finish else 0):
        if request.finish:
            teller = Teller(as_json=arguments.json)
            return tell_all(teller, lambda: _settle_and_finish(files, arguments, actor, teller))
        finished = None if _is_finished(files) else _finish(arguments, actor)
        refuse_unless_settled(read_changes_unless_settled(files), request)
        work = plan_work(request, arguments)
        due = work.is_reboot_due
        document = carry_out(work.plan, work.source, actor, as_json=arguments.json)
    if document is None:
        return _reboot(arguments) if due else ExitCode.DONE
    document = msgspec.structs.replace(document, reboot_needed=due, finished=finished)
    exit_code: int = ExitCode.DONE
    try:
        exit_code = _reboot(arguments) if due else ExitCode.DONE
    except RebootNeededError as error:
        exit_code, document = error.exit_code, msgspec.structs.replace(document, error=view_error(error))
    say_json(without_sysctls(document))
    return exit_code


def _settle_and_finish(files: Files, arguments: argparse.Namespace, actor: Actor, teller: Teller) -> int:
    settle(files, arguments, actor, teller, unconfirmed=False)
    if not _is_finished(files):
        teller.tell_outcome(_finish(arguments, actor))
    return ExitCode.DONE


def _show(work: Work, arguments: argparse.Namespace) -> int:
    """Print what would be done; exit code 5 where that is nothing but a reboot."""
    code = show_plan(work.plan, arguments)
    return ExitCode.REBOOT_NEEDED if work.is_reboot_due and not work.plan.steps else code


def _is_finished(files: Files) -> bool:
    """Whether no boot has come since the host was prepared, or that boot was looked at already."""
    prepared = read_prepared(files)
    return prepared is None or prepared.stage != Stage.WAITING or prepared.boot_id == read_boot_id(files)


def _finish(arguments: argparse.Namespace, actor: Actor) -> OutcomeDocument | None:
    """Say what the boot has shown, and act on it.

    Raises:
        StepError: the boot did not bring what was prepared.
    """
    work = plan_work(PrepareRequest(finish=True), arguments)
    document = carry_out(work.plan, work.source, actor, as_json=arguments.json)
    prepared = read_prepared(work.source.files)
    if prepared is not None and prepared.stage == Stage.FAILED:
        raise StepError(
            _("The reboot did not bring what was prepared: {saw}").format(saw=prepared.saw),
            _("nicpass prepare --remove takes out what is left of it."),
        )
    return document


def _reboot(arguments: argparse.Namespace) -> int:
    """Begin the reboot if that was asked for, or say that it is to come.

    Raises:
        RebootNeededError: systemd does not begin the reboot.
    """
    if not arguments.reboot:
        if not arguments.json:
            say(_("A reboot is needed: systemctl reboot. What it has brought is then told by: nicpass prepare"))
        return ExitCode.REBOOT_NEEDED
    if not arguments.json:
        say(_("The host reboots now."))
    done = Processes().run(_REBOOT, timeout=60.0)
    if done.exit_code != 0:
        raise RebootNeededError(_("The host does not reboot: {error}.").format(error=done.error), " ".join(_REBOOT))
    return ExitCode.DONE
