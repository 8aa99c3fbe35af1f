# SPDX-License-Identifier: Apache-2.0
"""From a change that a file has made to the plans that take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.planning import Plans, kept_of, look_closer, plan_guard
from nicpass.cli.state.booting import undo_boot
from nicpass.cli.vf.planning import with_undone_declaration
from nicpass.hypervisor.libvirt.guard import plan_guard_removal
from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.planner.nic.detach import OnRecord
from nicpass.planner.state.undo import (
    gives_again,
    interfaces_joined,
    must_wait,
    nics_given,
    nics_taken,
    plan_gifts_back,
    plan_restoring,
    restores,
)
from nicpass.planner.undo import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.cli.source import Source
    from nicpass.model.address import Address
    from nicpass.model.change import Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.plan import Plan
    from nicpass.model.request import UndoRequest


def plan_undo_of_apply(change: Change, request: UndoRequest, source: Source, read: Callable[[], Source]) -> Plans:
    """The plans that take it all back; `read` reads the host anew, for what can be planned only when the rest is done.

    Raises:
        NicpassError: what the planning of one of its parts raises.
    """
    given = nics_given(change)
    records = tuple(OnRecord(address, *kept_of(address, source)) for address in given)
    removal: tuple[FileChange, ...] = ()
    if source.is_live and not gives_again(change) and (given or interfaces_joined(change)):
        removal = plan_guard_removal(source.files, *given, interfaces=interfaces_joined(change))
    undoing = plan_gifts_back(_closer(source, given), change, request, Kept(records, removal))
    first = with_undone_declaration(undoing.plan, change, source)
    first = msgspec.structs.replace(first, steps=(*first.steps, *undo_boot(change, source)))
    if not restores(change):
        if not first.steps:
            raise BadInputError(_("This change has nothing that could be undone."))
        return Plans(first)
    if not must_wait(change):
        return Plans(_joined(first, _restore(undoing.host, change, request, source)))

    def go_on() -> Iterator[Plan]:
        later = read()
        yield _restore(later.host, change, request, later)

    note = _("What VMs and pools had before comes again once this is done: it is looked at and planned then.")
    return Plans(msgspec.structs.replace(first, more=True, notes=(*first.notes, note)), go_on())


def _restore(host: Host, change: Change, request: UndoRequest, source: Source) -> Plan:
    """The plan by which comes again what the change has taken."""
    closer = _closer(msgspec.structs.replace(source, host=host), nics_taken(change))
    return plan_restoring(closer, change, request, plan_guard(source.files) if source.is_live else ())


def _closer(source: Source, nics: tuple[Address, ...]) -> Host:
    """The host with what is read of these NICs alone."""
    host, index = source.host, HostIndex(source.host)
    for address in nics:
        host = look_closer(source, host, index.functions[address]) if address in index.functions else host
    return host


def _joined(first: Plan, second: Plan) -> Plan:
    notes = dict.fromkeys((*first.notes, *second.notes))
    return msgspec.structs.replace(first, steps=(*first.steps, *second.steps), notes=tuple(notes))
