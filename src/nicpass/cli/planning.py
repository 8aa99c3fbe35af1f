# SPDX-License-Identifier: Apache-2.0
"""From a request to the plan for the host as it is now: what a plan needs is read here, and decided below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.source import Source, read_source
from nicpass.engine.journal import read_changes, select_change, undone_by
from nicpass.engine.store import read_kept_nic
from nicpass.host.network.link_settings import add_settings
from nicpass.hypervisor.libvirt.guard import plan_guard, plan_guard_removal
from nicpass.model.errors import BadInputError, NicpassError
from nicpass.model.language import _
from nicpass.model.plan import AttachRequest, DetachRequest, PrepareRequest, Request, UndoRequest, VfRequest
from nicpass.model.text import quote
from nicpass.planner.attach import plan_attach, plan_detach
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    import argparse

    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicOwner, NicState, Plan


def read_and_plan(request: Request, arguments: argparse.Namespace) -> tuple[Source, Plan]:
    """The host as it is now, and the plan for it.

    For an attach it is enough to read what is near the NIC. Where that plan is refused, all is read before the refusal
    is told: the whole host may offer a way out, and the nearer of two NICs of one name is not to be taken for the only
    one.
    """
    if isinstance(request, AttachRequest):
        source = read_source(arguments, request.nic)
        try:
            return source, plan_request(request, source)
        except NicpassError:
            if source.host.pci_unread is None:
                raise
    source = read_source(arguments)
    return source, plan_request(request, source)


def plan_request(request: Request, source: Source) -> Plan:
    match request:
        case AttachRequest():
            host = _look_closer(source, select_nic(HostIndex(source.host), request.nic))
            return plan_attach(host, request, plan_guard(source.files) if source.is_live else ())
        case DetachRequest():
            function = select_nic(HostIndex(source.host), request.nic)
            return plan_detach(source.host, request, *_kept_of(function, source))
        case VfRequest():
            from nicpass.planner.vf import plan_vf

            return plan_vf(source.host, request)
        case UndoRequest():
            return _plan_undo(request, source)
        case PrepareRequest():
            raise BadInputError(_("This is planned elsewhere."))  # pragma: no cover - for mypy to see every kind


def _plan_undo(request: UndoRequest, source: Source) -> Plan:
    from nicpass.planner.undo import Kept, nic_of, plan_undo

    changes = read_changes(source.files)
    change = select_change(changes, request.change)
    if (other := undone_by(change, changes)) is not None:
        raise BadInputError(
            _("{change} was undone already, by {other}.").format(change=change.identity, other=other),
            f"nicpass show {quote(other)}",
        )
    if change.opened is not None and isinstance(change.opened.plan.request, PrepareRequest):
        from nicpass.cli.prepare_planning import plan_undo_of_prepare  # late: few undo a preparation

        return plan_undo_of_prepare(change, request, source)
    function = select_nic(HostIndex(source.host), nic_of(change))
    host = _look_closer(source, function)
    state, owner, removal = _kept_of(function, source)
    return plan_undo(host, change, request, Kept(state, owner, removal, plan_guard(source.files)))


def _kept_of(function: PciFunction, source: Source) -> tuple[NicState | None, NicOwner | None, tuple[FileChange, ...]]:
    """(the NIC's state when it left, its owner, the changes that remove the guard if it goes too), as kept on disk."""
    if not source.is_live:
        return None, None, ()
    kept = read_kept_nic(source.files, function.address)
    removal = plan_guard_removal(source.files, function.address)
    return (kept.state, kept.owner, removal) if kept is not None else (None, None, removal)


def _look_closer(source: Source, function: PciFunction) -> Host:
    """The host with the link settings that are read of this NIC alone; of a snapshot nothing more can be read."""
    return add_settings(source.host, source.files, function) if source.is_live else source.host
