# SPDX-License-Identifier: Apache-2.0
"""`nicpass recover` and `nicpass confirm`: settle changes that were cut off, keep a change that awaits confirmation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from nicpass.cli.carry_out import carry_out, handlers_of, outlive_session
from nicpass.cli.journal.guard_mend import mend_guard
from nicpass.cli.journal.orphans import abandon_nic, settle_orphans
from nicpass.cli.journal.unsettled import owed_nics, pending, summary_of
from nicpass.cli.parts import read_and_plan_all
from nicpass.cli.render.aftermath import way_back
from nicpass.cli.render.documents import ErrorView, OutcomeDocument, without_sysctls
from nicpass.cli.render.output import say, say_json, say_wrapped
from nicpass.cli.render.progress import watched
from nicpass.cli.render.report import say_aftermath
from nicpass.cli.render.system_log import log_settled
from nicpass.cli.render.telling import Teller
from nicpass.cli.source import require_live_root
from nicpass.engine.journal import Journal, read_boot_id, read_change, read_changes, select_change, unsettled
from nicpass.engine.lock import hold_lock
from nicpass.engine.nic.owed import Restored
from nicpass.engine.overdue import OverdueRun
from nicpass.engine.recovery import Settled, abandon, recover, take_back_as_recorded
from nicpass.host.doors.files import Files
from nicpass.host.system.actor import read_actor
from nicpass.hypervisor.libvirt.domains import read_domains
from nicpass.model.address import parse_address
from nicpass.model.declared_vfs import FOLDER as DECLARED_VFS
from nicpass.model.errors import BadInputError, ExitCode, NicpassError, RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.language import _
from nicpass.model.plan import ArmTimer, DisarmTimer
from nicpass.model.request import UndoRequest
from nicpass.model.text import quote
from nicpass.planner.recovery import Direction

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from nicpass.model.change import Actor, Change

_PATIENCE = 600.0
"""Seconds that the boot and the timer wait for a run that holds the lock; nobody is there to try again."""


class RecoverDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass recover` prints with --json, and `nicpass prepare --finish`."""

    schema: str = "nicpass.recover/1"
    settled: tuple[Settled, ...] = ()
    """Changes that were cut off."""
    restored: tuple[Restored, ...] = ()
    """NICs that had come back from a VM and were not what they were."""
    carried: tuple[OutcomeDocument, ...] = ()
    """What else was done: changes that nobody confirmed, taken back; records that were let go."""
    told: tuple[str, ...] = ()
    errors: tuple[ErrorView, ...] = ()
    """What could not be done; the exit code is that of the gravest."""


class ConfirmedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that stays."""

    change: str
    summary: str
    way_back: str | None


class ConfirmDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass confirm` prints with --json."""

    schema: str = "nicpass.confirm/1"
    confirmed: tuple[ConfirmedChange, ...]


def recover_command(arguments: argparse.Namespace) -> int:
    """Settle changes that were cut off; take back unconfirmed ones whose time another boot or the timer has ended."""
    require_live_root(arguments)
    outlive_session()
    files, actor = Files(), read_actor(Files(), sys.argv[1:])
    alone = arguments.boot or arguments.unconfirmed
    ender = OverdueRun(files).end if arguments.unconfirmed else None
    teller = Teller(as_json=arguments.json)
    with hold_lock(files, actor, patience=_PATIENCE if alone else 0, end_holder=ender):
        return tell_all(teller, lambda: _recover(files, arguments, actor, teller))


def tell_all(teller: Teller, work: Callable[[], int]) -> int:
    """Do it, and print for a program what was done, also of what an error has ended: the exit code."""
    if not teller.as_json:
        return work()
    try:
        worst = work()
    except NicpassError as error:
        teller.tell_error(error)
        worst = error.exit_code
    document = RecoverDocument(
        settled=tuple(teller.settled),
        restored=tuple(teller.restored),
        carried=tuple(teller.carried),
        told=tuple(teller.told),
        errors=tuple(teller.errors),
    )
    say_json(without_sysctls(document))
    return worst


def _recover(files: Files, arguments: argparse.Namespace, actor: Actor, teller: Teller) -> int:
    if arguments.abandon is not None:
        return _abandon(files, arguments, actor, teller)
    settled, worst = settle(files, arguments, actor, teller, unconfirmed=arguments.unconfirmed)
    if not arguments.unconfirmed:
        settled |= settle_orphans(files, actor, teller, boot=arguments.boot) > 0
        mended, code = mend_guard(files, teller, boot=arguments.boot)
        settled, worst = settled or mended, max(worst, code)
    if settled and files.exists(DECLARED_VFS):
        from nicpass.cli.vf.restoring import make_missing  # late: few hosts have VFs that last

        # While a change of them was open, nobody has made them.
        worst = max(worst, *(one.exit_code for one in make_missing(files, actor)), 0)
    if not settled and not arguments.boot and not arguments.unconfirmed and not teller.as_json:
        say(_("Nothing was cut off."))
    return worst


def settle(
    files: Files, arguments: argparse.Namespace, actor: Actor, teller: Teller, *, unconfirmed: bool
) -> tuple[bool, int]:
    """Settle changes under the lock that the caller holds: (whether there were any, their worst exit code)."""
    with watched(as_json=teller.as_json) as watch:
        begin = None if teller.as_json else _say_begin
        settled = recover(files, handlers_of(files), actor, watch, begin, unattended=unconfirmed)
    restored = _restore_owed(files, arguments)
    codes = [*(change.exit_code for change in settled), *(nic.exit_code for nic in restored)]
    worst: int = max(codes, default=ExitCode.DONE)
    _tell_settled(settled, restored, files, actor, teller)
    changes = read_changes(files)
    ended = [c for c in pending(changes) if unconfirmed or _is_of_another_boot(c, files)]
    for change in ended:
        worst = max(worst, _take_back(change, arguments, actor, teller))
    return bool(settled or restored or ended), worst


def _say_begin(change: Change) -> None:
    say_wrapped(_("Settle {change} ({summary}):").format(change=change.identity, summary=summary_of(change)))


def _restore_owed(files: Files, arguments: argparse.Namespace) -> tuple[Restored, ...]:
    """What a stop of a VM did not come to; after the changes, which may have taken such a NIC back already."""
    owed = owed_nics(arguments)
    if not owed:
        return ()
    from nicpass.engine.host_steps import HostSteps, read_state  # late: hardly a run needs them
    from nicpass.engine.nic.owed import settle_owed
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
        confirmed = tuple(_confirm(change, files, actor) for change in waiting)
    if arguments.json:
        say_json(ConfirmDocument(confirmed=confirmed))
        return ExitCode.DONE
    for one in confirmed:
        say_wrapped(_("Confirmed: {change} ({summary}).").format(change=one.change, summary=one.summary))
        if one.way_back is not None:
            say(_("To take it back all the same: {command}").format(command=one.way_back))
    return ExitCode.DONE


def _confirm(change: Change, files: Files, actor: Actor) -> ConfirmedChange:
    # The confirmation is recorded first: a timer that goes off in between finds the change confirmed.
    Journal(files, change.identity).confirm(actor)
    _disarm(change, files)
    summary = summary_of(change)
    log_settled(actor, _("Confirmed: {change} ({summary}).").format(change=change.identity, summary=summary))
    back = way_back(change.opened.plan, change.identity) if change.opened is not None else None
    return ConfirmedChange(change=change.identity, summary=summary, way_back=back)


def _disarm(change: Change, files: Files) -> None:
    steps = change.opened.plan.steps if change.opened is not None else ()
    for step in steps:
        if isinstance(step, ArmTimer):
            disarm = DisarmTimer(address=step.address, seconds=step.seconds)
            handler = handlers_of(files)[DisarmTimer]
            handler.apply(disarm)
            handler.verify(disarm)


def _take_back(change: Change, arguments: argparse.Namespace, actor: Actor, teller: Teller) -> int:
    """Undo a change that nobody has confirmed: the exit code. An error is printed and does not stop other changes."""
    text = _("Nobody confirmed {change} ({summary}):").format(change=change.identity, summary=summary_of(change))
    if not teller.as_json:
        say(text)
    request = UndoRequest(change=change.identity, stop=True, unconfirmed=True)
    try:
        source, plans = read_and_plan_all(request, arguments)
        done = carry_out(plans.first, source, actor, as_json=teller.as_json, further=plans.further)
        teller.tell_outcome(done)
    except NicpassError as error:
        teller.tell_error(error)
        # Nobody is there who could mend libvirt; what needs no answer of it is taken back all the same.
        if arguments.unconfirmed and isinstance(read_domains(Files()), Unknown):
            with watched(as_json=teller.as_json) as watch:
                settled = take_back_as_recorded(change, Files(), handlers_of(Files()), actor, watch)
            _tell_settled((settled,), (), Files(), actor, teller)
            return settled.exit_code
        return error.exit_code
    return ExitCode.DONE


def _is_of_another_boot(change: Change, files: Files) -> bool:
    """Whether a change is of another boot: then its timer is gone, and nobody can have confirmed it in time."""
    return change.opened is not None and change.opened.boot_id != read_boot_id(files)


def _abandon(files: Files, arguments: argparse.Namespace, actor: Actor, teller: Teller) -> int:
    identity = arguments.abandon
    if (address := parse_address(identity)) is not None:
        abandon_nic(files, address, actor, teller)
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
    teller.tell(text)
    log_settled(actor, text)
    return ExitCode.DONE


def _tell_settled(
    settled: tuple[Settled, ...], restored: tuple[Restored, ...], files: Files, actor: Actor, teller: Teller
) -> None:
    teller.settled += settled
    teller.restored += restored
    for one in settled:
        name = f"{one.change} ({one.summary})" if one.summary else one.change
        _tell_line(f"{name}: {one.sentence}", actor, teller)
        if one.direction == Direction.FINISH and one.exit_code == ExitCode.DONE and not teller.as_json:
            finished = read_change(files, one.change)
            if finished.opened is not None:
                say_aftermath(finished.opened.plan, one.change)
    for nic in restored:
        told = _("{address}, back from {domain}: {sentence}")
        _tell_line(told.format_map(msgspec.structs.asdict(nic)), actor, teller)


def _tell_line(line: str, actor: Actor, teller: Teller) -> None:
    log_settled(actor, line)
    if not teller.as_json:
        say(line)
