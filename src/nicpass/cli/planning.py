# SPDX-License-Identifier: Apache-2.0
"""From a request to the plan for the host as it is now: what a plan needs is read here, and decided below."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.source import Source, read_source
from nicpass.engine.admission import read_start
from nicpass.engine.journal import read_boot_id, read_changes, select_change, undone_by
from nicpass.engine.nic.store import list_kept_nics, read_kept_nic, read_nic_state
from nicpass.model.errors import BadInputError, NicpassError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.plan import PlaceDomain, SetNumvfs, SteerInterrupts, TakeNic, UnplugDevice
from nicpass.model.request import (
    ApplyRequest,
    AttachRequest,
    DetachRequest,
    PoolAttachRequest,
    PoolDetachRequest,
    PoolRequest,
    PrepareRequest,
    Request,
    TuneRequest,
    UndoRequest,
    VfRequest,
)
from nicpass.model.text import quote
from nicpass.model.vf import VfSetRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.select import explain_swapped, select_kept, select_nic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.change import Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicOwner, NicState, Plan


class Plans(NamedTuple):
    """The plan for the host as it is, and those that go on with it, each made when it is asked for."""

    first: Plan
    further: Iterator[Plan] = iter(())
    is_reboot_due: bool = False
    """Whether a reboot is to come once it is done."""


def read_and_plan(request: Request, arguments: argparse.Namespace) -> tuple[Source, Plan]:
    """The host as it is now, and the plan for it.

    For an attach it is enough to read what is near the NIC. Where that plan is refused, all is read before the refusal
    is told: the whole host may offer a way out, and the nearer of two NICs of one name is not to be taken for the only
    one.
    """
    if isinstance(request, AttachRequest):
        # What several NICs depend on, or a PF with all of its VFs, is more than what is near one.
        near = None if request.more or request.from_pf or request.with_group else request.nic
        source = read_source(arguments, near)
        try:
            return source, plan_request(request, source)
        except NicpassError:
            if source.host.pci_unread is None:
                raise
    source = read_for(request, arguments)
    return source, plan_request(request, source)


def read_for(request: Request, arguments: argparse.Namespace) -> Source:
    """The whole host, with what this request is about: what lasts is written where the boot reads it."""
    return read_source(
        arguments,
        with_boot=isinstance(request, VfRequest | VfSetRequest | UndoRequest),
        with_cpus=isinstance(request, TuneRequest | UndoRequest),
    )


def plan_request(request: Request, source: Source) -> Plan:
    try:
        return _plan_request(request, source)
    except BadInputError as error:
        if isinstance(request, AttachRequest | DetachRequest):
            command = "attach" if isinstance(request, AttachRequest) else "detach"
            raise explain_swapped(HostIndex(source.host), request.vm, request.nics, command) or error from None
        raise


def _plan_request(request: Request, source: Source) -> Plan:
    match request:
        case AttachRequest():
            return _plan_attach(request, source)
        case DetachRequest():
            return plan_detach_request(request, source, with_guard=True)
        case VfRequest() | VfSetRequest():
            from nicpass.cli.vf.planning import plan_lasting_vfs  # late: most requests are about one NIC

            return plan_lasting_vfs(request, source)
        case PoolRequest() | PoolAttachRequest() | PoolDetachRequest():
            from nicpass.cli.pool.planning import plan_pool_request  # late: most requests are about one NIC

            return plan_pool_request(request, source)
        case TuneRequest():
            from nicpass.planner.placement.tune import plan_tune  # late, as the VFs

            return plan_tune(source.host, request)
        case UndoRequest():
            return _plan_undo(request, source)
        case PrepareRequest() | ApplyRequest():
            raise BadInputError(_("This is planned elsewhere."))  # pragma: no cover - for mypy to see every kind


def plan_detach_request(request: DetachRequest, source: Source, *, with_guard: bool) -> Plan:
    """The plan that takes NICs back; the guard goes with the last of them, if it is to go `with_guard`."""
    from nicpass.planner.nic.detach import OnRecord, plan_taking_all_back  # late: most requests are to give

    states = _kept_states(source)
    addresses = [select_kept(HostIndex(source.host), nic, states) for nic in request.nics]
    records = tuple(OnRecord(address, *kept_of(address, source)) for address in addresses)
    removal = _plan_removal(source, *addresses) if with_guard else ()
    return plan_taking_all_back(source.host, request, records, removal)


def _plan_attach(request: AttachRequest, source: Source) -> Plan:
    host = source.host
    addresses = [select_nic(HostIndex(host), nic).address for nic in request.nics]
    if request.with_group or request.from_pf:  # which they are, only the plan tells
        addresses = [step.address for step in plan_attach(host, request).steps if isinstance(step, TakeNic)]
    for function in host.pci:
        host = look_closer(source, host, function) if function.address in addresses else host
    if not source.is_live:
        return plan_attach(host, request)
    return plan_attach(host, request, plan_guard(source.files), better_records(source, host, addresses))


def better_records(source: Source, host: Host, addresses: list[Address]) -> dict[Address, NicState]:
    """The records of those NICs that are not all that they were: not yet restored, or seen in the middle of a boot."""
    index = HostIndex(host)
    found: dict[Address, NicState] = {}
    for address in addresses:
        if address not in index.given or address not in index.functions:
            continue
        from nicpass.planner.nic_state.compare import (
            gained_since,  # late: mostly there is no record of a NIC to be given
        )
        from nicpass.planner.nic_state.observe import observe_state
        from nicpass.planner.nic_state.whole import why_not_whole

        kept = read_kept_nic(source.files, address)
        if kept is None or kept.owner is None:
            continue
        owed = kept.away is not None and kept.away == read_boot_id(source.files)
        owed = owed or address in read_start(source.files, kept.owner.uuid)
        has_it = any(owner.uuid == kept.owner.uuid for owner in index.owners.get(address, ()))
        now = observe_state(index.functions[address], index)
        if (owed and not gained_since(kept.state, now)) or (has_it and why_not_whole(kept.state, now) is not None):
            found[address] = kept.state
    return found


def _plan_undo(request: UndoRequest, source: Source) -> Plan:
    from nicpass.planner.nic.detach import OnRecord
    from nicpass.planner.undo import Kept, is_of_pools, nics_of, plan_undo

    change = change_to_undo(request, source)
    if change.opened is not None and isinstance(change.opened.plan.request, PrepareRequest):
        from nicpass.cli.boot.planning import plan_undo_of_prepare  # late: few undo a preparation

        return plan_undo_of_prepare(change, request, source)
    if is_of_pools(change):
        from nicpass.cli.pool.planning import plan_undo_of_pools  # late: few changes are of a pool

        return plan_undo_of_pools(change, request, source)
    steps = change.opened.plan.steps if change.opened is not None else ()
    if any(isinstance(step, PlaceDomain | SteerInterrupts) for step in steps):
        from nicpass.planner.placement.tune import plan_untune

        return plan_untune(source.host, change, request)
    index = HostIndex(source.host)
    states, host = _kept_states(source), source.host
    addresses = [select_kept(index, address, states) for address in nics_of(change)]
    for address in addresses:
        host = look_closer(source, host, index.functions[address]) if address in index.functions else host
    records = tuple(OnRecord(address, *kept_of(address, source)) for address in addresses)
    removal = _plan_removal(source, *addresses)
    if {UnplugDevice, SetNumvfs} <= {type(step) for step in steps}:
        from nicpass.cli.vf.planning import with_own_settings

        host = with_own_settings(host, source)
    plan = plan_undo(host, change, request, Kept(records, removal, plan_guard(source.files)))
    if any(isinstance(step, SetNumvfs) for step in plan.steps):
        from nicpass.cli.vf.planning import with_undone_declaration

        return with_undone_declaration(plan, change, source)
    return plan


def change_to_undo(request: UndoRequest, source: Source) -> Change:
    """The change that is meant. Raises BadInputError where there is none, or it was undone already."""
    changes = read_changes(source.files)
    change = select_change(changes, request.change)
    if (other := undone_by(change, changes)) is not None:
        raise BadInputError(
            _("{change} was undone already, by {other}.").format(change=change.identity, other=other),
            f"nicpass show {quote(other)}",
        )
    return change


def _kept_states(source: Source) -> tuple[NicState, ...]:
    """What each NIC was that is given away; a record that cannot be read is left to whoever asks for that NIC."""
    found = list_kept_nics(source.files) if source.is_live else ()
    states = []
    for address in value_or(found, ()):
        with contextlib.suppress(NicpassError):
            states.append(read_nic_state(source.files, address))
    return tuple(state for state in states if state is not None)


def kept_of(address: Address, source: Source) -> tuple[NicState | None, NicOwner | None]:
    """(the NIC's state when it left, its owner), as kept on disk."""
    kept = read_kept_nic(source.files, address) if source.is_live else None
    return (kept.state, kept.owner) if kept is not None else (None, None)


def _plan_removal(source: Source, *leaving: Address) -> tuple[FileChange, ...]:
    """The changes that remove the guard, if it goes with these NICs."""
    if not source.is_live:
        return ()
    from nicpass.hypervisor.libvirt.guard import plan_guard_removal

    return plan_guard_removal(source.files, *leaving)


def plan_guard(files: Files) -> tuple[FileChange, ...]:
    from nicpass.hypervisor.libvirt.guard import plan_guard  # late: a tree or a snapshot has nobody to guard

    return plan_guard(files)


def look_closer(source: Source, host: Host, function: PciFunction) -> Host:
    """The host with the link settings that are read of this NIC alone; of a snapshot nothing more can be read."""
    if not source.is_live:
        return host
    from nicpass.host.network.link_settings import add_settings

    return add_settings(host, source.files, function)
