# SPDX-License-Identifier: Apache-2.0
"""Records of NICs whose VM or card is gone, or whose state somebody does not want back: told, and settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.host.orphans import find_orphans, has_device
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import on_vfio
from nicpass.cli.carry_out import carry_out
from nicpass.cli.render.system_log import log_settled
from nicpass.cli.source import Source, read_live_source
from nicpass.engine.journal import owed, read_changes
from nicpass.engine.nic.owed import settle_nic
from nicpass.engine.nic.store import KeptNic, list_kept_nics, read_kept_nic
from nicpass.engine.recovery import abandon
from nicpass.host.network.link_settings import add_settings
from nicpass.hypervisor.libvirt.guard import plan_guard_removal
from nicpass.model.errors import BadInputError, NicpassError, RefusedError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.plan import GiveBackNic, NicStep, Plan, RemoveGuard, Step
from nicpass.model.request import DetachRequest
from nicpass.planner.nic.detach import plan_taking_back
from nicpass.planner.nic_state.compare import differences
from nicpass.planner.nic_state.observe import observe_state
from nicpass.planner.select import require_domains

if TYPE_CHECKING:
    from nicpass.cli.render.telling import Teller
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.change import Actor, Change


def settle_orphans(files: Files, actor: Actor, teller: Teller, *, boot: bool) -> int:
    """Carry out `plan_orphans`; how many there were. One that fails stays a record, and keeps no other from it.

    At a boot libvirt is not asked, which may be starting VMs: their files tell which there are.
    """
    if not list_kept_nics(files):
        return 0
    source = read_live_source(files, boot=boot)
    plans = plan_orphans(source)
    for plan in plans:
        try:
            teller.tell_outcome(carry_out(plan, source, actor, as_json=teller.as_json))
        except NicpassError as error:
            teller.tell_error(error)
    if not boot:
        _tell_left(plans, source, teller)
    return len(plans)


def _tell_left(plans: tuple[Plan, ...], source: Source, teller: Teller) -> None:
    """Tell of the records that need a person, and what he would say: nothing that is left is kept from him."""
    settled = {step.address for plan in plans for step in plan.steps if isinstance(step, NicStep)}
    for orphan in find_orphans(HostIndex(source.host)):
        if orphan.nic.address not in settled:
            text = _("{address} was given to the VM {vm}, but {reason}. It is not all that it was, and is left to you:")
            text = text.format(address=orphan.nic.address, vm=orphan.nic.vm, reason=orphan.reason)
            teller.tell(text, orphan.command)


def plan_orphans(source: Source) -> tuple[Plan, ...]:
    """The plans that let those records go whose VM is gone and whose NIC is all that it was; others need a person."""
    records = {kept.state.address: kept for kept in _read_kept(source.files)}
    orphans = (o for o in find_orphans(HostIndex(source.host)) if o.nic_is_here and o.nic.address in records)
    ready = [o.nic.address for o in orphans if _is_as_before(records[o.nic.address], source)]
    left = len(records)
    plans = []
    for address in ready:
        left -= 1
        kept = records[address]
        request = DetachRequest(vm=kept.owner.uuid if kept.owner is not None else "", nic=address)
        # The guard goes with the last, once the records before it are gone.
        guard = plan_guard_removal(source.files, *ready) if not left else ()
        plans.append(plan_taking_back(source.host, request, kept.state, kept.owner, guard))
    return tuple(plans)


def abandon_nic(files: Files, address: Address, actor: Actor, teller: Teller) -> None:
    """Have a NIC as it is now: what it was is wanted back no more. A VM that has it keeps it.

    Raises:
        BadInputError: nothing is kept of the NIC.
        ImpossibleError: libvirt cannot be asked, so whose the NIC is cannot be told.
        RefusedError: the NIC is with its VM now, or has not come back to a driver of the host.
    """
    kept = read_kept_nic(files, address)
    if kept is None:
        raise BadInputError(
            _("Nothing is kept of {address}: nobody owes it anything.").format(address=address), "nicpass list"
        )
    source = read_live_source(files, boot=False)
    owner = kept.owner.domain if kept.owner is not None else ""
    domains = require_domains(HostIndex(source.host), owner)
    holders = [domain for domain in domains if has_device(domain, address)]
    for domain in holders:
        if any(device.address == address for device in domain.live_devices):
            raise RefusedError(
                _("{name} is running with {nic}.").format(name=domain.name, nic=address),
                f"virsh shutdown {domain.name}",
            )
    waiting = [change for change in owed(read_changes(files)) if _is_about(change, address)]
    if holders:
        settle_nic(files, _as_it_is(kept, source))
    else:
        _forget(kept, source, actor, teller)
    for change in waiting:
        abandon(files, change)
    text = _("Abandoned: {change}. The host stays as it is.").format(change=address)
    teller.tell(text)
    log_settled(actor, text)


def _as_it_is(kept: KeptNic, source: Source) -> KeptNic:
    """The record with the NIC's state of now: from here on this is what it was."""
    address = kept.state.address
    index = HostIndex(source.host)
    function = index.functions.get(address)
    if function is None or on_vfio(function) or function.driver is None:
        raise RefusedError(
            _("{address} is not on a driver of the host, so what it is to the host cannot be seen.").format(
                address=address
            ),
            "nicpass list",
        )
    now = observe_state(function, HostIndex(add_settings(source.host, source.files, function)))
    return msgspec.structs.replace(kept, state=now, renewed=True)


def _forget(kept: KeptNic, source: Source, actor: Actor, teller: Teller) -> None:
    address = kept.state.address
    steps: list[Step] = [GiveBackNic(address=address, state=kept.state, owner=kept.owner, gone=True)]
    if guard := plan_guard_removal(source.files, address):
        steps.append(RemoveGuard(address=address, files=guard))
    request = DetachRequest(vm=kept.owner.domain if kept.owner is not None else "", nic=address)
    summary = _("Leave {address} as it is").format(address=address)
    plan = Plan(summary=summary, request=request, steps=tuple(steps))
    teller.tell_outcome(carry_out(plan, source, actor, as_json=teller.as_json))


def _is_about(change: Change, address: Address) -> bool:
    steps = change.opened.plan.steps if change.opened is not None else ()
    return any(isinstance(step, NicStep) and step.address == address for step in steps)


def _is_as_before(kept: KeptNic, source: Source) -> bool:
    from nicpass.engine.host_steps import read_state  # late, as its handler is

    return not differences(kept.state, read_state(source.files, kept.state.address))


def _read_kept(files: Files) -> tuple[KeptNic, ...]:
    """Every record that can be read; about one that cannot, nothing is known to be gone."""
    found: list[KeptNic] = []
    for address in value_or(list_kept_nics(files), ()):
        try:
            kept = read_kept_nic(files, address)
        except NicpassError:
            continue
        if kept is not None:
            found.append(kept)
    return tuple(found)
