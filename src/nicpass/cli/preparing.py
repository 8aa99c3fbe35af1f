# SPDX-License-Identifier: Apache-2.0
"""`nicpass prepare`: what the next boots go by is written, looked at after the reboot, and taken out again."""

from __future__ import annotations

import grp
import shlex
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.changing import carry_out, outlive_session, refuse_unless_settled, show_plan, words_of
from nicpass.cli.output import say
from nicpass.cli.settling import settle
from nicpass.cli.source import read_source, require_live_root
from nicpass.engine.journal import read_boot_id, read_changes_unless_settled
from nicpass.engine.lock import hold_lock
from nicpass.engine.prepared import complete_plan, read_prepared
from nicpass.host.boot.places import read_places
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.host.network.link_settings import add_settings
from nicpass.host.system.actor import read_actor
from nicpass.model.change import Outcome
from nicpass.model.errors import BadInputError, ExitCode, RebootNeededError, StepError
from nicpass.model.language import _
from nicpass.model.plan import ArmTimer, DisarmTimer, PrepareRequest
from nicpass.model.prepared import Stage
from nicpass.planner.prepare import is_reboot_due, plan_finish, plan_prepare, plan_removal_of, select_unprepared
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    import argparse

    from nicpass.cli.source import Source
    from nicpass.model.change import Actor, Change
    from nicpass.model.host import Host
    from nicpass.model.plan import Plan, UndoRequest
    from nicpass.model.prepared import Prepared

_PATIENCE = 600.0
"""Seconds that the boot waits for a run that holds the lock."""
_REBOOT = ["systemctl", "reboot"]


class Work(NamedTuple):
    """A plan for the host as it was just read, and whether a reboot is to come once it is done."""

    source: Source
    plan: Plan
    is_reboot_due: bool


def prepare_command(arguments: argparse.Namespace) -> int:
    """Prepare, finish or take out; exit code 5 where a reboot is to come.

    Raises:
        NicpassError: as the plans and the steps do.
    """
    request = _request_of(arguments)
    if arguments.dry_run is not None:
        return show_plan(plan_work(request, arguments).plan, arguments)
    require_live_root(arguments)
    outlive_session()
    files = Files()
    actor = read_actor(files, words_of(request))
    with hold_lock(files, actor, patience=_PATIENCE if request.finish else 0):
        if request.finish:
            settle(files, arguments, actor, unconfirmed=False)
        if not _is_finished(files):
            _finish(arguments, actor)
        if request.finish:
            return ExitCode.DONE
        refuse_unless_settled(read_changes_unless_settled(files), request)
        work = plan_work(request, arguments)
        due = work.is_reboot_due
        carry_out(work.plan, work.source, actor, as_json=arguments.json, reboot_needed=due)
    return _reboot(arguments) if due else ExitCode.DONE


def plan_work(request: PrepareRequest, arguments: argparse.Namespace) -> Work:
    """The host as it is now, and the plan for it, with the record of what it was prepared for."""
    source = read_source(arguments, with_boot=True)
    if source.is_live and request.group is not None:
        _refuse_unknown_group(request.group)
    before = read_prepared(source.files) if source.is_live else None
    places = read_places(source.files) if source.is_live else {}
    if request.remove:
        if before is None:
            raise BadInputError(_("This host was not prepared."), _("nicpass prepare does it."))
        preparation = plan_removal_of(source.host, request, before, places)
    elif request.finish and before is not None:
        preparation = plan_finish(source.host, before)
    else:
        preparation = plan_prepare(_look_closer(source, request, before), request, before, places)
    plan = complete_plan(preparation.plan, preparation.record, before, source.files)
    removed = request.remove and _has_arguments(source, before)
    return Work(source, plan, is_reboot_due=removed or is_reboot_due(source.host, preparation.record))


def _look_closer(source: Source, request: PrepareRequest, before: Prepared | None) -> Host:
    """With what is asked of one NIC alone, for what it was is kept; of a snapshot nothing more can be asked."""
    host, index = source.host, HostIndex(source.host)
    for function in select_unprepared(request.nics, before, index) if source.is_live else ():
        host = add_settings(host, source.files, function)
    return host


def _has_arguments(source: Source, before: Prepared | None) -> bool:
    """Whether this kernel was started with what is taken out."""
    cmdline = source.host.platform.cmdline
    given = cmdline.split() if isinstance(cmdline, str) else []
    return before is not None and any(argument in given for argument in before.arguments)


def _refuse_unknown_group(group: str) -> None:
    """udev passes over a group that it does not know, and says so in the log alone (udev(7), GROUP).

    Raises:
        BadInputError: this host has no such group.
    """
    try:
        grp.getgrnam(group)
    except (KeyError, ValueError):
        raise BadInputError(
            _("There is no group {group} on this host.").format(group=group), f"groupadd --system {shlex.quote(group)}"
        ) from None


def _is_finished(files: Files) -> bool:
    """Whether no boot has come since it was prepared, or that was looked at already."""
    prepared = read_prepared(files)
    return prepared is None or prepared.stage != Stage.WAITING or prepared.boot_id == read_boot_id(files)


def _finish(arguments: argparse.Namespace, actor: Actor) -> None:
    """Say what the boot has shown, and act on it.

    Raises:
        StepError: it did not bring what was prepared.
    """
    work = plan_work(PrepareRequest(finish=True), arguments)
    carry_out(work.plan, work.source, actor, as_json=arguments.json)
    prepared = read_prepared(work.source.files)
    if prepared is not None and prepared.stage == Stage.FAILED:
        raise StepError(
            _("The reboot did not bring what was prepared: {saw}").format(saw=prepared.saw),
            _("nicpass prepare --remove takes out what is left of it."),
        )


def _request_of(arguments: argparse.Namespace) -> PrepareRequest:
    return PrepareRequest(
        nics=tuple(arguments.nic),
        remove=arguments.remove,
        finish=arguments.finish,
        iommu_pt=arguments.iommu_pt,
        group=arguments.group,
        allow=frozenset(arguments.allow),
        confirm_within=arguments.confirm_within,
    )


def _reboot(arguments: argparse.Namespace) -> int:
    """Begin it if that was asked for, or say that it is to come.

    Raises:
        RebootNeededError: systemd does not begin it.
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


def plan_undo_of_prepare(change: Change, request: UndoRequest, source: Source) -> Plan:
    """The steps that take out what a preparation, or the look after its reboot, has brought.

    Raises:
        BadInputError: nothing of it is there any more.
    """
    before = read_prepared(source.files)
    opened = change.opened
    if before is None or opened is None or not isinstance(opened.plan.request, PrepareRequest):
        raise BadInputError(_("This host is not prepared any more."), "nicpass history")
    was = opened.plan.request
    prepared = {nic.binding.address for nic in before.nics}
    named = tuple(address for address in _addresses(was, source) if address in prepared)
    # What a boot has shown to work is kept but for the NICs, which is what somebody may miss.
    everything = not was.finish and set(named) == prepared
    removal = PrepareRequest(nics=() if everything else named, remove=True)
    if not everything and not named:
        raise BadInputError(_("This change has nothing that could be undone."))
    preparation = plan_removal_of(source.host, removal, before, read_places(source.files))
    plan = complete_plan(preparation.plan, preparation.record, before, source.files)
    armed = [step for step in opened.plan.steps if isinstance(step, ArmTimer)]
    disarm = [DisarmTimer(address=step.address, seconds=step.seconds) for step in armed]
    waiting = change.outcome == Outcome.UNCONFIRMED
    return msgspec.structs.replace(plan, request=request, steps=(*plan.steps, *(disarm if waiting else ())))


def _addresses(request: PrepareRequest, source: Source) -> tuple[str, ...]:
    index = HostIndex(source.host)
    return tuple(name if name in index.functions else select_nic(index, name).address for name in request.nics)
