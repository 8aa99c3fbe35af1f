# SPDX-License-Identifier: Apache-2.0
"""From a change that a file has made to the plans that take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.planning import Plans, better_records, kept_of, look_closer, plan_guard
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
    refuse_restoring,
    restores,
)
from nicpass.planner.undo import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nicpass.cli.source import Source
    from nicpass.model.address import Address
    from nicpass.model.change import Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.plan import NicState, Plan
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
    better = {record.state.address: record.state for record in records if record.state is not None}
    if not must_wait(change):
        return Plans(_joined(first, _restore(undoing.host, change, request, source, better)))
    if not request.unconfirmed:
        refuse_restoring(_closer_to(undoing.host, change, source), change, request, better)

    def go_on() -> Iterator[Plan]:
        later = read()
        yield _restore(later.host, change, request, later)

    note = _("What VMs and pools had before comes again once this is done: it is looked at and planned then.")
    return Plans(msgspec.structs.replace(first, more=True, notes=(*first.notes, note)), go_on())


def _restore(
    host: Host, change: Change, request: UndoRequest, source: Source, better: Mapping[Address, NicState] | None = None
) -> Plan:
    """The plan by which comes again what the change has taken; `better` are the records of NICs that VMs have still."""
    closer = _closer_to(host, change, source)
    if not source.is_live:
        return plan_restoring(closer, change, request, ())
    better = {**better_records(source, closer, [*nics_taken(change)]), **(better or {})}
    return plan_restoring(closer, change, request, plan_guard(source.files), better)


def _closer_to(host: Host, change: Change, source: Source) -> Host:
    """That host with what is read of the NICs that VMs are to have again."""
    return _closer(msgspec.structs.replace(source, host=host), nics_taken(change))


def _closer(source: Source, nics: tuple[Address, ...]) -> Host:
    """The host with what is read of these NICs alone."""
    host, index = source.host, HostIndex(source.host)
    for address in nics:
        host = look_closer(source, host, index.functions[address]) if address in index.functions else host
    return host


def _joined(first: Plan, second: Plan) -> Plan:
    notes = dict.fromkeys((*first.notes, *second.notes))
    return msgspec.structs.replace(first, steps=(*first.steps, *second.steps), notes=tuple(notes))
