# SPDX-License-Identifier: Apache-2.0
"""Plans taking back a change that was done: made anew for the host as it is now, with all of today's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.checks.lookup.nics import on_vfio
from nicpass.model.change import Change, Outcome
from nicpass.model.errors import BadInputError, RefusedError
from nicpass.model.fact import value_or
from nicpass.model.inverse import invert_step
from nicpass.model.language import _
from nicpass.model.plan import (
    AddPorts,
    ArmTimer,
    DefineDevice,
    DisarmTimer,
    GiveBackNic,
    JoinPool,
    LeavePool,
    NicStep,
    Plan,
    PlugDevice,
    RemovePorts,
    SetNumvfs,
    SetPool,
    SetTerms,
    StartDomain,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.request import DetachRequest, UndoRequest, VfRequest
from nicpass.model.text import quote
from nicpass.planner.nic.attach import plan_reattach
from nicpass.planner.nic.detach import OnRecord, plan_stop, plan_taking_all_back, refuse_to_go_on
from nicpass.planner.vf.count import plan_vf
from nicpass.planner.vf.set import plan_vf_set_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.request import Where


class Kept(NamedTuple):
    """The records about the NICs of a change, and how their guard goes and comes."""

    nics: tuple[OnRecord, ...] = ()
    """Each NIC of the change, by its address."""
    guard_removal: tuple[FileChange, ...] = ()
    """The file changes by which the guard goes, if it goes with these NICs."""
    guard: tuple[FileChange, ...] = ()
    """The file changes by which the guard comes, if it is not there."""

    def of(self, address: Address) -> OnRecord:
        return next((nic for nic in self.nics if nic.nic == address), OnRecord(address))


def plan_undo(host: Host, change: Change, request: UndoRequest, kept: Kept) -> Plan:
    """The steps from this host to one without `change`.

    Raises:
        BadInputError: the change was not done, or its NIC or VM is not there any more.
        ImpossibleError, RefusedError: the world has moved on; the sentence says how.
    """
    steps = steps_of(change)
    plan = _plan_inverse(host, change, steps, request, kept)
    summary = _("Undo {change}: {summary}").format(change=change.identity, summary=plan.summary)
    return with_disarming(msgspec.structs.replace(plan, summary=summary, request=request), change)


def with_disarming(plan: Plan, change: Change) -> Plan:
    """The plan that undoes the change, with the step by which its dead man's hand goes, if that is there still."""
    armed = [step for step in steps_of(change) if isinstance(step, ArmTimer)]
    if not armed or change.outcome != Outcome.UNCONFIRMED:
        return plan
    disarm = DisarmTimer(address=armed[0].address, seconds=armed[0].seconds)
    return msgspec.structs.replace(plan, steps=(*plan.steps, disarm))


def nics_of(change: Change) -> tuple[Address, ...]:
    """The addresses of the NICs that the change was about. Raises BadInputError as `plan_undo` does."""
    found: dict[Address, None] = {}
    for step in steps_of(change):
        if isinstance(step, NicStep):
            found[step.address] = None
    if not found:
        raise BadInputError(_("This change has nothing that could be undone."))
    return tuple(found)


def is_of_pools(change: Change) -> bool:
    """Whether the change was of a pool, or of a VM's interface of one."""
    steps = change.opened.plan.steps if change.opened is not None else ()
    return any(
        isinstance(step, SetPool | JoinPool | LeavePool) or (isinstance(step, StartDomain) and bool(step.pool_macs))
        for step in steps
    )


def steps_of(change: Change) -> tuple[Step, ...]:
    """The steps of a change that was done."""
    if change.opened is not None and change.opened.plan.steps:
        if change.outcome in (Outcome.DONE, Outcome.UNCONFIRMED):
            return change.opened.plan.steps
        if change.outcome == Outcome.UNFINISHED:
            raise RefusedError(_("{change} was cut off.").format(change=change.identity), "nicpass recover")
    raise BadInputError(
        _("{change} was not done, so there is nothing to undo.").format(change=change.identity),
        f"nicpass show {quote(change.identity)}",
    )


def _plan_inverse(host: Host, change: Change, steps: tuple[Step, ...], request: UndoRequest, kept: Kept) -> Plan:
    """The plan that undoes `steps`, by those that tell the kind of change; the other steps only serve these."""
    in_steps = change.opened is not None and isinstance(change.opened.plan.request, VfRequest)
    given = [step for step in steps if isinstance(step, DefineDevice | PlugDevice) and not in_steps]
    if given:
        return _plan_taking_back(host, steps, given, request, kept)
    if unplugged := [s for s in steps if isinstance(s, UnplugDevice | UndefineDevice) and not in_steps]:
        return plan_reattach(host, each_once(unplugged), request, kept.guard)
    for step in steps:
        if isinstance(step, SetNumvfs):
            return _undo_vf(host, step, request, in_steps=any(isinstance(other, UnplugDevice) for other in steps))
    return _undo_terms(host, steps, request, kept)


def each_once(steps: Iterable[UndefineDevice | UnplugDevice]) -> tuple[UndefineDevice | UnplugDevice, ...]:
    """A step for each NIC, the last first: the one that knows how it stood in the lasting definition, if any does."""
    lasting = {step.address: step for step in steps if isinstance(step, UndefineDevice)}
    return tuple({step.address: lasting.get(step.address, step) for step in reversed([*steps])}.values())


def take_given_back(host: Host, steps: Sequence[Step], request: UndoRequest, kept: Kept) -> list[Plan]:
    """The plan for each VM that takes back what a change of many parts has given to it; the last VM's comes first."""
    given = [step for step in steps if isinstance(step, DefineDevice | PlugDevice)]
    plans = []
    for uuid in dict.fromkeys(step.uuid for step in reversed(given)):
        nics = {step.address for step in given if step.uuid == uuid}
        of_vm = tuple(step for step in steps if isinstance(step, NicStep) and step.address in nics)
        plans.append(_plan_taking_back(host, of_vm, [step for step in given if step.uuid == uuid], request, kept))
    return plans


def undo_vfs(host: Host, steps: Sequence[Step], request: UndoRequest) -> list[Plan]:
    """The plan for each PF that undoes what a change of many parts has done to its VFs."""
    return [_undo_vf(host, step, request) for step in reversed(steps) if isinstance(step, SetNumvfs)]


def without_devices(host: Host, steps: Sequence[Step]) -> Host:
    """The host as it is to the plans that follow, once these steps have taken NICs out of VMs."""
    gone = {(s.uuid, s.address) for s in steps if isinstance(s, UndefineDevice | UnplugDevice)}
    off = {step.uuid for step in steps if isinstance(step, StopDomain)}
    back = {step.address for step in steps if isinstance(step, GiveBackNic)}
    if not isinstance(host.domains, tuple):
        return host
    running = {domain.uuid for domain in host.domains if domain.running} - off
    domains = tuple(_without(domain, gone, running=domain.uuid in running) for domain in host.domains)
    functions = tuple(
        msgspec.structs.replace(function, driver=None) if function.address in back and on_vfio(function) else function
        for function in host.pci
    )
    return msgspec.structs.replace(host, domains=domains, pci=functions)


def _without(domain: Domain, gone: set[tuple[str, Address]], *, running: bool) -> Domain:
    live = domain.live_devices if running else ()
    return msgspec.structs.replace(
        domain,
        running=running,
        config_devices=tuple(d for d in domain.config_devices if (domain.uuid, d.address) not in gone),
        live_devices=tuple(d for d in live if (domain.uuid, d.address) not in gone),
    )


def _undo_terms(host: Host, steps: tuple[Step, ...], request: UndoRequest, kept: Kept) -> Plan:
    """The plan that undoes a start of a VM, what it allowed, and its ports: no NIC came into a definition."""
    terms, back = _invert_terms(steps, kept)
    ports = tuple(
        RemovePorts(address=step.address, domain=step.domain, uuid=step.uuid, indices=step.indices)
        for step in steps
        if isinstance(step, AddPorts)
    )
    for step in steps:
        if isinstance(step, StartDomain):
            plan = plan_stop(host, step, request)
            return msgspec.structs.replace(plan, steps=(*plan.steps, *back, *ports))
    if back:
        addresses = ", ".join(step.address for step in terms)
        summary = _("Allow less for {address} in {name}").format(address=addresses, name=terms[0].after.domain)
        return Plan(summary=summary, request=request, steps=(*back, *ports))
    if ports:
        summary = _("Take the root ports out of {name}").format(name=ports[0].domain)
        return Plan(summary=summary, request=request, steps=ports)
    raise BadInputError(_("This change has nothing that could be undone."))


def _plan_taking_back(
    host: Host,
    steps: tuple[Step, ...],
    given: Sequence[DefineDevice | PlugDevice],
    request: UndoRequest,
    kept: Kept,
) -> Plan:
    """The detach of all that was given; what the VM had before has the terms again that it had."""
    places = {step.address: _where_given(step.address, steps) for step in given}
    left = [address for address, where in places.items() if where != "live" or _is_there(address, given[0].uuid, host)]
    _terms, back = _invert_terms(steps, kept)
    back += tuple(invert_step(step) for step in steps if isinstance(step, AddPorts))
    if not left:
        summary = _("Take {nic} back from {name}").format(nic=", ".join(places), name=given[0].domain)
        return Plan(summary=summary, request=request, steps=back)
    first, *more = left
    detach = DetachRequest(vm=given[0].uuid, nic=first, more=tuple(more))
    records = tuple(kept.of(address)._replace(where=places[address]) for address in left)
    plan = _detach_all(host, steps, detach, records, request, kept)
    # Before a NIC comes back, for from then on there is no turning back.
    place = next((n for n, step in enumerate(plan.steps) if isinstance(step, GiveBackNic)), len(plan.steps))
    return msgspec.structs.replace(plan, steps=(*plan.steps[:place], *back, *plan.steps[place:]))


def _is_there(address: Address, uuid: str, host: Host) -> bool:
    """Whether the VM runs with the NIC still, or has it nowhere any more, so that its record is to be settled."""
    domain = next((domain for domain in value_or(host.domains, ()) or () if domain.uuid == uuid), None)
    if domain is None:
        return True
    devices = (domain.live_devices, domain.config_devices)
    live, lasting = (address in {device.address for device in each} for each in devices)
    return live or not lasting


def _where_given(address: Address, steps: tuple[Step, ...]) -> Where:
    """The definitions of the VM into which the change brought the NIC."""
    kinds = {type(step) for step in steps if isinstance(step, NicStep) and step.address == address}
    if DefineDevice not in kinds:
        return "live"
    # One that had not to leave the host, nor to be plugged in, was in the running machine before.
    return "both" if kinds & {PlugDevice, TakeNic} else "config"


def _detach_all(
    host: Host,
    steps: tuple[Step, ...],
    detach: DetachRequest,
    records: Sequence[OnRecord],
    request: UndoRequest,
    kept: Kept,
) -> Plan:
    """The detach, by the means that the undoing of this change may use.

    A VM that the change has started was off before, so it is not left on. The dead man's hand asks a guest that was on
    before to let go, and switches it off only where it does not.
    """
    started = [step for step in steps if isinstance(step, StartDomain)]
    for step in started:
        refuse_to_go_on(host, step, stop=request.stop)
    gently = request.unconfirmed and not started
    wanted = (False, True) if gently else (request.stop,)
    for stop in wanted:
        try:
            wish = msgspec.structs.replace(detach, stop=stop)
            plan = plan_taking_all_back(host, wish, records, kept.guard_removal)
        except RefusedError:
            if stop == wanted[-1]:
                raise
        else:
            break
    forced = (msgspec.structs.replace(s, forced=gently) if isinstance(s, UnplugDevice) else s for s in plan.steps)
    return msgspec.structs.replace(plan, steps=tuple(forced))


def _invert_terms(steps: tuple[Step, ...], kept: Kept) -> tuple[list[SetTerms], tuple[Step, ...]]:
    """(the steps that have set terms, what takes them back). Raises RefusedError where the terms are others by now."""
    terms = [step for step in steps if isinstance(step, SetTerms)]
    for step in terms:
        if kept.of(step.address).owner != step.after:
            raise RefusedError(
                _("{address} is given on other terms by now, or to nobody.").format(address=step.address),
                "nicpass list",
            )
    return terms, tuple(map(invert_step, reversed(terms)))


def _undo_vf(host: Host, step: SetNumvfs, request: UndoRequest, *, in_steps: bool = False) -> Plan:
    function = next((function for function in host.pci if function.address == step.address), None)
    if function is not None and isinstance(function.numvfs, int) and function.numvfs != step.after:
        raise RefusedError(
            _("The number of VFs of {address} is {count} by now, not the {after} that this change made.").format(
                address=step.address, count=function.numvfs, after=step.after
            ),
            _("Say what you want: nicpass vf create {address} --count N, or nicpass vf remove {address}.").format(
                address=step.address
            ),
        )
    if step.before == step.after:
        return plan_vf_set_back(host, step, request)
    plan = plan_vf(host, VfRequest(pf=step.address, count=step.before, in_steps=in_steps))
    # What the VFs were set to before stands in the step, not on the host.
    known = {"before": step.after, "after_vfs": step.before_vfs, "derived": (), "autoprobe": step.before_autoprobe}
    back = tuple(msgspec.structs.replace(s, **known) if isinstance(s, SetNumvfs) else s for s in plan.steps)
    return msgspec.structs.replace(plan, steps=back, request=request)
