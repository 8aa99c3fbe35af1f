# SPDX-License-Identifier: Apache-2.0
"""`nicpass recover` and `nicpass confirm`: settle changes that were cut off, keep a change that awaits confirmation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.vfs.declaration import FOLDER as DECLARED_VFS
from nicpass.cli.carry_out import carry_out, handlers_of, outlive_session
from nicpass.cli.guard_mend import mend_guard
from nicpass.cli.orphans import abandon_nic, settle_orphans
from nicpass.cli.output import say, say_error, say_json
from nicpass.cli.planning import read_and_plan
from nicpass.cli.report import say_phase
from nicpass.cli.source import require_live_root
from nicpass.cli.system_log import log_settled
from nicpass.cli.unsettled import owed_nics, pending, summary_of
from nicpass.engine.journal import Journal, read_boot_id, read_changes, select_change, unsettled
from nicpass.engine.lock import hold_lock
from nicpass.engine.overdue import OverdueRun
from nicpass.engine.recovery import abandon, recover, take_back_as_recorded
from nicpass.engine.transaction import watch_nothing
from nicpass.host.doors.files import Files
from nicpass.host.system.actor import read_actor
from nicpass.hypervisor.libvirt.domains import read_domains
from nicpass.model.address import parse_address
from nicpass.model.errors import BadInputError, ExitCode, NicpassError, RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.language import _
from nicpass.model.plan import ArmTimer, DisarmTimer, UndoRequest
from nicpass.model.text import quote

if TYPE_CHECKING:
    import argparse

    from nicpass.engine.owed import Restored
    from nicpass.engine.recovery import Settled
    from nicpass.model.change import Actor, Change

_PATIENCE = 600.0
"""Seconds that the boot and the timer wait for a run that holds the lock; nobody is there to try again."""


def recover_command(arguments: argparse.Namespace) -> int:
    """Settle changes that were cut off; take back unconfirmed ones whose time another boot or the timer has ended."""
    require_live_root(arguments)
    outlive_session()
    files, actor = Files(), read_actor(Files(), sys.argv[1:])
    alone = arguments.boot or arguments.unconfirmed
    ender = OverdueRun(files).end if arguments.unconfirmed else None
    with hold_lock(files, actor, patience=_PATIENCE if alone else 0, end_holder=ender):
        if arguments.abandon is not None:
            return _abandon(files, arguments, actor)
        settled, worst = settle(files, arguments, actor, unconfirmed=arguments.unconfirmed)
        if not arguments.unconfirmed:
            settled |= settle_orphans(files, actor, boot=arguments.boot, as_json=arguments.json) > 0
            mended, code = mend_guard(files, boot=arguments.boot, as_json=arguments.json)
            settled, worst = settled or mended, max(worst, code)
        if settled and files.exists(DECLARED_VFS):
            from nicpass.cli.vf_restoring import make_missing  # late: few hosts have VFs that last

            # While a change of them was open, nobody has made them.
            worst = max(worst, *(one.exit_code for one in make_missing(files, actor)), 0)
        if not settled and not alone and not arguments.json:
            say(_("Nothing was cut off."))
    return worst


def settle(files: Files, arguments: argparse.Namespace, actor: Actor, *, unconfirmed: bool) -> tuple[bool, int]:
    """Settle changes under the lock that the caller holds: (whether there were any, their worst exit code)."""
    watch = watch_nothing if arguments.json else say_phase
    settled = recover(files, handlers_of(files), actor, watch, unattended=unconfirmed)
    restored = _restore_owed(files, arguments)
    codes = [*(change.exit_code for change in settled), *(nic.exit_code for nic in restored)]
    worst: int = max(codes, default=ExitCode.DONE)
    _say_settled(settled, restored, actor, as_json=arguments.json)
    changes = read_changes(files)
    ended = [c for c in pending(changes) if unconfirmed or _is_of_another_boot(c, files)]
    for change in ended:
        worst = max(worst, _take_back(change, arguments, actor))
    return bool(settled or restored or ended), worst


def _restore_owed(files: Files, arguments: argparse.Namespace) -> tuple[Restored, ...]:
    """What a stop of a VM did not come to; after the changes, which may have taken such a NIC back already."""
    owed = owed_nics(arguments)
    if not owed:
        return ()
    from nicpass.engine.host_steps import HostSteps, read_state  # late: hardly a run needs them
    from nicpass.engine.owed import settle_owed
    from nicpass.host.doors.processes import Processes

    return settle_owed(files, owed, HostSteps(files, Processes()).restore, lambda nic: read_state(files, nic))


def confirm_command(arguments: argparse.Namespace) -> int:
    """Keep the change that awaits confirmation, and take its timer away.

    Raises:
        BadInputError: no change awaits confirmation.
        BusyError: the change is being taken back at this moment.
    """
    require_live_root(arguments)
    files, actor = Files(), read_actor(Files(), sys.argv[1:])
    with hold_lock(files, actor):
        changes = read_changes(files)
        waiting = pending(changes)
        if arguments.change:
            chosen = select_change(changes, arguments.change)
            waiting = tuple(change for change in waiting if change == chosen)
        if not waiting:
            raise BadInputError(_("No change awaits confirmation."), "nicpass history")
        for change in waiting:
            # The confirmation is recorded first: a timer that goes off in between finds the change confirmed.
            Journal(files, change.identity).confirm(actor)
            _disarm(change, files)
            text = _("Confirmed: {change} ({summary}).").format(change=change.identity, summary=summary_of(change))
            say(text)
            log_settled(actor, text)
    return ExitCode.DONE


def _disarm(change: Change, files: Files) -> None:
    steps = change.opened.plan.steps if change.opened is not None else ()
    for step in steps:
        if isinstance(step, ArmTimer):
            disarm = DisarmTimer(address=step.address, seconds=step.seconds)
            handler = handlers_of(files)[DisarmTimer]
            handler.apply(disarm)
            handler.verify(disarm)


def _take_back(change: Change, arguments: argparse.Namespace, actor: Actor) -> int:
    """Undo a change that nobody has confirmed: the exit code. An error is printed and does not stop other changes."""
    say(_("Nobody confirmed {change} ({summary}):").format(change=change.identity, summary=summary_of(change)))
    request = UndoRequest(change=change.identity, stop=True, unconfirmed=True)
    try:
        source, plan = read_and_plan(request, arguments)
        carry_out(plan, source, actor, as_json=arguments.json)
    except NicpassError as error:
        say_error(error, as_json=arguments.json)
        # Nobody is there who could mend libvirt; what needs no answer of it is taken back all the same.
        if arguments.unconfirmed and isinstance(read_domains(Files()), Unknown):
            watch = watch_nothing if arguments.json else say_phase
            settled = take_back_as_recorded(change, Files(), handlers_of(Files()), actor, watch)
            _say_settled((settled,), (), actor, as_json=arguments.json)
            return settled.exit_code
        return error.exit_code
    return ExitCode.DONE


def _is_of_another_boot(change: Change, files: Files) -> bool:
    """Whether a change is of another boot: then its timer is gone, and nobody can have confirmed it in time."""
    return change.opened is not None and change.opened.boot_id != read_boot_id(files)


def _abandon(files: Files, arguments: argparse.Namespace, actor: Actor) -> int:
    identity = arguments.abandon
    if (address := parse_address(identity)) is not None:
        abandon_nic(files, address, actor, as_json=arguments.json)
        return ExitCode.DONE
    changes = read_changes(files)
    change = select_change(changes, identity)
    if change not in unsettled(changes):
        raise RefusedError(
            _("{change} was not cut off: {outcome}.").format(change=change.identity, outcome=change.outcome),
            f"nicpass show {quote(change.identity)}",
        )
    abandon(files, change)
    text = _("Abandoned: {change}. The host stays as it is.").format(change=change.identity)
    say(text)
    log_settled(actor, text)
    return ExitCode.DONE


def _say_settled(settled: tuple[Settled, ...], restored: tuple[Restored, ...], actor: Actor, *, as_json: bool) -> None:
    lines = [
        f"{one.change} ({one.summary}): {one.sentence}" if one.summary else f"{one.change}: {one.sentence}"
        for one in settled
    ]
    told = _("{address}, back from {domain}: {sentence}")
    lines += [told.format_map(msgspec.structs.asdict(nic)) for nic in restored]
    for line in lines:
        log_settled(actor, line)
    if as_json:
        say_json({"settled": settled, "restored": restored})
        return
    for line in lines:
        say(line)
