# SPDX-License-Identifier: Apache-2.0
"""Plans taking NICs back: by their VM's definition, or by their records where the VM is gone, or the NIC itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nicpass.checks.host.orphans import has_device, why_card_gone
from nicpass.checks.lookup.groups import group_companions
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label, on_vfio
from nicpass.checks.lookup.pools import pools_of_host
from nicpass.host.system.given import given_of
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.plan import GiveBackNic, Plan, RemoveGuard, StopDomain, UndefineDevice
from nicpass.model.text import printable, quote, vm_word
from nicpass.planner.nic.running import spec_of, take_out
from nicpass.planner.nic_state.observe import observe_state
from nicpass.planner.select import require_domains, select_domain, select_nic, tell_twice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nicpass.model.address import Address
    from nicpass.model.domain import Domain, DomainDevice
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicOwner, NicState, StartDomain, Step
    from nicpass.model.request import DetachRequest, UndoRequest, Where


class OnRecord(NamedTuple):
    """A NIC that is to come back, with what is on disk about it."""

    nic: str
    """Its address, or as the user named it."""
    state: NicState | None = None
    """What it was when it left; without it only the driver can be given back."""
    owner: NicOwner | None = None
    """The VM that has it by the same record."""
    where: Where | None = None
    """Which of the VM's definitions it shall leave, where that is not as the request says for all."""


class _Part(NamedTuple):
    """What takes one NIC back."""

    nic: str
    vm: str
    address: Address
    stops: tuple[StopDomain, ...] = ()
    unplugs: tuple[Step, ...] = ()
    undefines: tuple[Step, ...] = ()
    gives: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    stays: bool = False
    """Whether the VM has it still, now or from its next start on, and so its record and the guard stay."""


def plan_taking_back(
    host: Host,
    request: DetachRequest,
    kept: NicState | None,
    owner: NicOwner | None = None,
    guard: tuple[FileChange, ...] = (),
) -> Plan:
    """As `plan_taking_all_back`, for one NIC."""
    return plan_taking_all_back(host, request, (OnRecord(request.nic, kept, owner),), guard)


def plan_taking_all_back(
    host: Host, request: DetachRequest, records: Sequence[OnRecord], guard: tuple[FileChange, ...] = ()
) -> Plan:
    """As `plan_detach`; where VM or NIC are gone, the steps by which the record of the NIC is settled.

    `records` are the NICs of the request, in its order.

    Raises:
        BadInputError, RefusedError: as `plan_detach`.
        ImpossibleError: libvirt cannot be asked, or not all of the PCI bus was read: nothing is known to be gone.
    """
    index = HostIndex(host)
    return _join([_take_one_back(index, request, record) for record in records], request, guard, index)


def plan_detach(
    host: Host,
    request: DetachRequest,
    kept: NicState | None,
    owner: NicOwner | None = None,
    guard: tuple[FileChange, ...] = (),
) -> Plan:
    """The steps from this host to one in which the VM does not have the NIC and the host has it back.

    `kept` is the NIC's state when it left, from disk; without it only the driver can be given back. `owner` is the VM
    that has the NIC by the same record, and `guard` the file changes for the guard to go; empty while it has to stay.

    Raises:
        BadInputError: no such VM or NIC, or the VM does not have it.
        RefusedError: the VM is running, and is not to be stopped.
    """
    index = HostIndex(host)
    part = _detach_one(index, request.vm, OnRecord(request.nic, kept, owner), request)
    return _join([part], request, guard, index)


def _join(parts: Sequence[_Part], request: DetachRequest, guard: tuple[FileChange, ...], index: HostIndex) -> Plan:
    """One plan: all NICs leave the definition before the first comes back, for from then on there is no turning back.

    Each kind is done in the inverse order of the giving, as an undoing would do it.
    """
    for number, part in enumerate(parts):
        if any(part.address == other.address for other in parts[:number]):
            raise tell_twice(part.nic)
    steps: list[Step] = [*_stop_once(parts)]
    steps += [step for part in reversed(parts) for step in part.unplugs]
    steps += [step for part in reversed(parts) for step in part.undefines]
    steps += [step for part in reversed(parts) for step in part.gives]
    if guard and not any(part.stays for part in parts):
        steps.append(RemoveGuard(address=parts[0].address, files=guard))
    nics = ", ".join(part.nic for part in parts)
    notes = dict.fromkeys([note for part in parts for note in part.notes] + [*_left_in_group(parts, index)])
    summary = _("Take {nic} back from {name}").format(nic=nics, name=parts[0].vm)
    return Plan(summary=summary, request=request, steps=tuple(steps), notes=tuple(notes))


def _stop_once(parts: Sequence[_Part]) -> Iterator[StopDomain]:
    """A step for each VM that runs, with all of its NICs; nearly always there is one VM."""
    stops = {stop.uuid: stop for part in reversed(parts) for stop in part.stops}
    for uuid, stop in stops.items():
        addresses = [other.address for part in parts for other in part.stops if other.uuid == uuid]
        yield StopDomain(
            address=addresses[0], domain=stop.domain, uuid=uuid, more=tuple(addresses[1:]), for_all=stop.for_all
        )


def _left_in_group(parts: Sequence[_Part], index: HostIndex) -> Iterator[str]:
    """What a VM keeps of a group of which the host gets a part back: it cannot be started with that."""
    back = {part.address for part in parts}
    for part in parts:
        function = index.functions.get(part.address)
        companions = group_companions(function, index) if function is not None else []
        for owner in index.owners.get(part.address, ())[:1]:
            left = [c for c in companions if c.address not in back and owner in index.owners.get(c.address, ())]
            if left:
                yield _("{name} keeps {nics} of the same IOMMU group, and does not start with a part of it.").format(
                    name=owner.name, nics=", ".join(map(label, left))
                )


def _detach_one(index: HostIndex, vm: str, record: OnRecord, request: DetachRequest) -> _Part:
    domain, function = select_domain(index, vm), _select(index, record)
    if not has_device(domain, function.address):
        owners = ", ".join(printable(owner.name) for owner in index.owners.get(function.address, ()))
        hint = (
            _("It belongs to: {owners}.").format(owners=owners)
            if owners
            else _("It belongs to no VM; see nicpass list.")
        )
        raise BadInputError(_("{name} does not have {nic}.").format(name=domain.name, nic=label(function)), hint)
    refuse_held(function, domain, index)
    _refuse_of_pool(function, domain, index)
    where = record.where or request.where
    taking = take_out(domain, function.address, where, stop=request.stop)
    part = _Part(label(function), domain.name, function.address, taking.stops, taking.unplugs, taking.undefines)
    runs_with_it = any(device.address == function.address for device in domain.live_devices)
    if runs_with_it and not taking.stops and not taking.unplugs:
        note = _("{name} has {nic} until it is shut down.").format(name=domain.name, nic=label(function))
        return part._replace(notes=(note,), stays=True)
    state, notes = state_to_restore(function, index, record.state)
    keeps = where == "live" and any(d.address == function.address for d in domain.config_devices)
    give = GiveBackNic(address=function.address, state=state, owner=record.owner, keeps=keeps) if state else None
    return part._replace(gives=(give,) if give is not None else (), notes=notes, stays=keeps)


def _refuse_of_pool(function: PciFunction, domain: Domain, index: HostIndex) -> None:
    """Refuse a VF that libvirt has picked from a pool: the VM has an interface of the pool, and not this VF."""
    if any(device.address == function.address for device in domain.config_devices):
        return
    for pool in pools_of_host(index):
        if any(member.vf == function.address and member.uuid == domain.uuid for member in pool.holders):
            raise BadInputError(
                _("{name} has {nic} from the pool {pool}.").format(
                    name=domain.name, nic=label(function), pool=pool.name
                ),
                f"nicpass detach {vm_word(domain.name, domain.uuid)} --from-pool {quote(pool.name)}",
            )


def _select(index: HostIndex, record: OnRecord) -> PciFunction:
    """The function that is meant; what went along with a group need not be a NIC, and is known by its record."""
    if record.state is not None and record.state.address in index.functions:
        return index.functions[record.state.address]
    return select_nic(index, record.nic)


def _take_one_back(index: HostIndex, request: DetachRequest, record: OnRecord) -> _Part:
    kept, owner = record.state, record.owner
    if kept is None:
        return _detach_one(index, request.vm, record, request)
    domains = require_domains(index, request.vm)
    domain = _find_domain(domains, request, kept, owner)
    lost = why_card_gone(given_of(kept, owner), index)
    has_it = domain is not None and has_device(domain, kept.address)
    if not _is_orphan(domain, request, owner, has_it=has_it, lost=lost):
        return _detach_one(index, domain.uuid if domain is not None else request.vm, record, request)
    if lost is None and kept.address not in index.functions:
        raise ImpossibleError(
            _("Whether {address} is there is not known: {reason}.").format(
                address=kept.address, reason=index.host.pci_unread
            ),
            "nicpass list",
        )
    stops, undefines = _take_out(domain, kept, request)
    name = domain.name if domain is not None else request.vm
    nic = kept.address if lost else label(index.functions[kept.address])
    notes: tuple[str, ...] = (_("{reason}, so only its record is settled.").format(reason=lost),) if lost else ()
    if domain is None:
        notes += (_("The VM {name} is gone: the record tells what the NIC was.").format(name=name),)
    gives = _close(kept, owner, domain, lost, index)
    return _Part(nic, name, kept.address, stops, undefines=undefines, gives=gives, notes=notes)


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


def _take_out(
    domain: Domain | None, kept: NicState, request: DetachRequest
) -> tuple[tuple[StopDomain, ...], tuple[Step, ...]]:
    if domain is None or not has_device(domain, kept.address):
        return (), ()
    devices = [device for device in domain.config_devices if device.address == kept.address]
    undefine = tuple(undefine_step(domain, device) for device in devices[:1])
    return stop_first(domain, kept.address, stop=request.stop), undefine


def _close(
    kept: NicState, owner: NicOwner | None, domain: Domain | None, lost: str | None, index: HostIndex
) -> tuple[Step, ...]:
    """The step that settles the record: the NIC comes back, unless it is gone, or another VM's by now."""
    others = [other for other in index.owners.get(kept.address, ()) if other != domain]
    if lost or others:
        return (GiveBackNic(address=kept.address, state=kept, owner=owner, gone=True),)
    state, _notes = state_to_restore(index.functions[kept.address], index, kept)
    return () if state is None else (GiveBackNic(address=kept.address, state=state, owner=owner),)


def plan_stop(host: Host, step: StartDomain, request: UndoRequest) -> Plan:
    """The step that undoes the start of a VM. Raises RefusedError unless the request says `stop`."""
    domain = select_domain(HostIndex(host), step.uuid)
    summary = _("Stop {name}").format(name=domain.name)
    return Plan(summary=summary, request=request, steps=stop_first(domain, step.address, stop=request.stop))


def refuse_to_go_on(host: Host, step: StartDomain, *, stop: bool) -> None:
    """Refuse to take a NIC from a VM and leave that VM on, where the change that gave it has started the VM."""
    domain = next((domain for domain in value_or(host.domains, ()) or () if domain.uuid == step.uuid), None)
    if domain is not None:
        stop_first(domain, step.address, stop=stop)


def stop_first(domain: Domain, address: Address, *, stop: bool) -> tuple[StopDomain, ...]:
    """The step that a running VM needs before its definition may lose the NIC; none for a stopped VM."""
    if not domain.running:
        return ()
    if not stop:
        raise RefusedError(
            _("{name} is running; {what} can be taken back only while it is stopped.").format(
                name=domain.name, what=address
            ),
            _("virsh shutdown {name}, and try again when it is off; or --stop, which does both.").format(
                name=vm_word(domain.name, domain.uuid)
            ),
        )
    return (StopDomain(address=address, domain=domain.name, uuid=domain.uuid, for_all=True),)


def undefine_step(domain: Domain, device: DomainDevice) -> UndefineDevice:
    """The step that takes a device out of a VM's definition, and knows it well enough to put it back."""
    return UndefineDevice(address=device.address, domain=domain.name, uuid=domain.uuid, device=spec_of(device))


def state_to_restore(
    function: PciFunction, index: HostIndex, kept: NicState | None
) -> tuple[NicState | None, tuple[str, ...]]:
    """(the state that the NIC shall have, notes about it); the state is None where there is nothing to go back to."""
    now = observe_state(function, index)
    if (binding := index.boot_bindings.get(function.address)) is not None and on_vfio(function):
        note = _("{nic} stays on {driver}, which has it at every boot; to give it back to the host: {command}").format(
            nic=label(function), driver=function.driver, command=f"nicpass prepare --remove {binding.address}"
        )
        return None if kept is None else now, (note,)
    if kept is None and on_vfio(function):
        return None, (
            _("{nic} stays on {driver}: nicpass did not attach it and knows no other driver of it.").format(
                nic=label(function), driver=function.driver
            ),
        )
    if kept is None:
        return now, (_("nicpass did not attach it: what it was before is not known, so it is left as it is."),)
    from nicpass.planner.nic_state.compare import gained_since
    from nicpass.planner.nic_state.whole import why_hollow  # late: who gives a NIC away has no record to doubt

    if (hollow := why_hollow(kept, function.driver)) is not None:
        return now, (hollow,)
    gained = gained_since(kept, now)
    if gained:
        # The host has come to use the NIC since; going back to the record would cut that use off.
        return now, (_("The host uses it by now ({names}), so it is left as it is.").format(names=", ".join(gained)),)
    return kept, ()


def refuse_held(function: PciFunction, domain: Domain, index: HostIndex) -> None:
    """Refuse a NIC with which another VM is running: that VM may have the NIC in its definition too."""
    for owner in index.owners.get(function.address, ()):
        if owner != domain and any(device.address == function.address for device in owner.live_devices):
            raise RefusedError(
                _("{name} is running with {nic}.").format(name=owner.name, nic=label(function)),
                f"virsh shutdown {vm_word(owner.name, owner.uuid)}",
            )
