# SPDX-License-Identifier: Apache-2.0
"""Plans taking a NIC back by its record: also where the VM that had it is gone, or the NIC itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.host.orphans import has_device, why_card_gone
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label
from nicpass.host.system.given import given_of
from nicpass.model.errors import ImpossibleError
from nicpass.model.language import _
from nicpass.model.plan import DetachRequest, GiveBackNic, NicOwner, NicState, Plan, RemoveGuard, Step
from nicpass.planner.attach import plan_detach, state_to_restore, stop_first, undefine_step
from nicpass.planner.select import require_domains

if TYPE_CHECKING:
    from nicpass.model.domain import Domain
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host


def plan_taking_back(
    host: Host,
    request: DetachRequest,
    kept: NicState | None,
    owner: NicOwner | None = None,
    guard: tuple[FileChange, ...] = (),
) -> Plan:
    """As `plan_detach`; where VM or NIC are gone, the steps by which the record of the NIC is settled.

    Raises:
        BadInputError, RefusedError: as `plan_detach`.
        ImpossibleError: libvirt cannot be asked, or not all of the PCI bus was read: nothing is known to be gone.
    """
    if kept is None:
        return plan_detach(host, request, kept, owner, guard)
    index = HostIndex(host)
    domains = require_domains(index, request.vm)
    domain = _find_domain(domains, request, kept, owner)
    lost = why_card_gone(given_of(kept, owner), index)
    has_it = domain is not None and has_device(domain, kept.address)
    if not _is_orphan(domain, request, owner, has_it=has_it, lost=lost):
        vm = domain.uuid if domain is not None else request.vm
        plan = plan_detach(host, msgspec.structs.replace(request, vm=vm), kept, owner, guard)
        return msgspec.structs.replace(plan, request=request)
    if lost is None and kept.address not in index.functions:
        raise ImpossibleError(
            _("Whether {address} is there is not known: {reason}.").format(
                address=kept.address, reason=host.pci_unread
            ),
            "nicpass list",
        )
    steps = [*_take_out(domain, kept, request), *_close(kept, owner, domain, lost, index)]
    if guard:
        steps.append(RemoveGuard(address=kept.address, files=guard))
    name = domain.name if domain is not None else request.vm
    nic = kept.address if lost else label(index.functions[kept.address])
    notes: tuple[str, ...] = (_("{reason}, so only its record is settled.").format(reason=lost),) if lost else ()
    if domain is None:
        notes += (_("The VM {name} is gone: the record tells what the NIC was.").format(name=name),)
    summary = _("Take {nic} back from {name}").format(nic=nic, name=name)
    return Plan(summary=summary, request=request, steps=tuple(steps), notes=notes)


def _find_domain(
    domains: tuple[Domain, ...], request: DetachRequest, kept: NicState, owner: NicOwner | None
) -> Domain | None:
    """The VM that is meant: the one of this name; but where that one has not the NIC, the one of the record."""
    named = next((domain for domain in domains if request.vm in (domain.name, domain.uuid)), None)
    if owner is None or request.vm not in (owner.domain, owner.uuid):
        return named
    if named is not None and has_device(named, kept.address):
        return named
    return next((domain for domain in domains if domain.uuid == owner.uuid), None)


def _is_orphan(
    domain: Domain | None, request: DetachRequest, owner: NicOwner | None, *, has_it: bool, lost: str | None
) -> bool:
    if has_it:
        return lost is not None
    if domain is None:
        return owner is None or request.vm in (owner.domain, owner.uuid)
    return owner is not None and owner.uuid == domain.uuid


def _take_out(domain: Domain | None, kept: NicState, request: DetachRequest) -> tuple[Step, ...]:
    if domain is None or not has_device(domain, kept.address):
        return ()
    devices = [device for device in domain.config_devices if device.address == kept.address]
    undefine = tuple(undefine_step(domain, device) for device in devices[:1])
    return (*stop_first(domain, kept.address, stop=request.stop), *undefine)


def _close(
    kept: NicState, owner: NicOwner | None, domain: Domain | None, lost: str | None, index: HostIndex
) -> tuple[Step, ...]:
    """The step that settles the record: the NIC comes back, unless it is gone, or another VM's by now."""
    others = [other for other in index.owners.get(kept.address, ()) if other != domain]
    if lost or others:
        return (GiveBackNic(address=kept.address, state=kept, owner=owner, gone=True),)
    state, _notes = state_to_restore(index.functions[kept.address], index, kept)
    return () if state is None else (GiveBackNic(address=kept.address, state=state, owner=owner),)
