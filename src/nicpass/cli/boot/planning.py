# SPDX-License-Identifier: Apache-2.0
"""From a request to prepare the host, or to undo that, to the plan for the host as it is now."""

from __future__ import annotations

import grp
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.source import Source, read_source
from nicpass.engine.boot.prepared import complete_plan, read_prepared
from nicpass.host.boot.places import read_places
from nicpass.host.network.link_settings import add_settings
from nicpass.model.change import Outcome
from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.plan import ArmTimer, DisarmTimer, Plan
from nicpass.model.request import PrepareRequest
from nicpass.model.text import quote
from nicpass.planner.boot.prepare import is_reboot_due, plan_finish, plan_prepare, plan_removal_of, select_unprepared
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    import argparse

    from nicpass.model.change import Change
    from nicpass.model.host import Host
    from nicpass.model.prepared import Prepared
    from nicpass.model.request import UndoRequest


class Work(NamedTuple):
    """A plan for the host as it was just read, and whether a reboot is to come once it is done."""

    source: Source
    plan: Plan
    is_reboot_due: bool


def plan_work(request: PrepareRequest, arguments: argparse.Namespace) -> Work:
    """The host as it is now, and the plan for it, with the record of what the host was prepared for."""
    return plan_preparation(request, read_source(arguments, with_boot=True))


def plan_preparation(request: PrepareRequest, source: Source) -> Work:
    """The plan for this host, which was read with its boot configuration."""
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
    due = removed or preparation.awaits_reboot or is_reboot_due(source.host, preparation.record)
    return Work(source, plan, is_reboot_due=due)


def _look_closer(source: Source, request: PrepareRequest, before: Prepared | None) -> Host:
    """The host with the settings of the NICs to prepare, for these are kept; of a snapshot no more can be read."""
    host, index = source.host, HostIndex(source.host)
    for function in select_unprepared(request.nics, before, index) if source.is_live else ():
        host = add_settings(host, source.files, function)
    return host


def _has_arguments(source: Source, before: Prepared | None) -> bool:
    """Whether this kernel was started with one of the arguments that are taken out."""
    cmdline = source.host.platform.cmdline
    given = cmdline.split() if isinstance(cmdline, str) else []
    return before is not None and any(argument in given for argument in before.arguments)


def _refuse_unknown_group(group: str) -> None:
    """Refuse a group that udev does not know: it would pass over that, and say so in the log alone (udev(7), GROUP).

    Raises:
        BadInputError: this host has no such group.
    """
    try:
        grp.getgrnam(group)
    except (KeyError, ValueError):
        raise BadInputError(
            _("There is no group {group} on this host.").format(group=group), f"groupadd --system -- {quote(group)}"
        ) from None


def plan_undo_of_prepare(change: Change, request: UndoRequest, source: Source) -> Plan:
    """The steps that take out what a preparation, or the look after its reboot, has brought.

    Raises:
        BadInputError: nothing of the preparation is there any more.
    """
    opened = change.opened
    if opened is None or not isinstance(opened.plan.request, PrepareRequest):
        raise BadInputError(_("This host is not prepared any more."), "nicpass history")
    plan = plan_taking_out(opened.plan.request, source)
    armed = [step for step in opened.plan.steps if isinstance(step, ArmTimer)]
    disarm = [DisarmTimer(address=step.address, seconds=step.seconds) for step in armed]
    waiting = change.outcome == Outcome.UNCONFIRMED
    return msgspec.structs.replace(plan, request=request, steps=(*plan.steps, *(disarm if waiting else ())))


def plan_taking_out(was: PrepareRequest, source: Source) -> Plan:
    """The steps that take out what such a preparation has brought.

    Raises:
        BadInputError: nothing of it is there any more.
    """
    before = read_prepared(source.files)
    if before is None:
        raise BadInputError(_("This host is not prepared any more."), "nicpass history")
    prepared = {nic.binding.address for nic in before.nics}
    named = tuple(address for address in _addresses(was, source) if address in prepared)
    # A preparation that a boot has shown to work is kept but for its NICs, which somebody may miss.
    everything = not was.finish and set(named) == prepared
    removal = PrepareRequest(nics=() if everything else named, remove=True)
    if not everything and not named:
        raise BadInputError(_("This change has nothing that could be undone."))
    preparation = plan_removal_of(source.host, removal, before, read_places(source.files))
    return complete_plan(preparation.plan, preparation.record, before, source.files)


def _addresses(request: PrepareRequest, source: Source) -> tuple[str, ...]:
    index = HostIndex(source.host)
    return tuple(name if name in index.functions else select_nic(index, name).address for name in request.nics)
