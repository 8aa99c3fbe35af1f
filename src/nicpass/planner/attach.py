# SPDX-License-Identifier: Apache-2.0
"""Plans giving a NIC to a VM and taking it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.dependence.intent import advise_intent, intents_of
from nicpass.checks.host.guard import check_confinement
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label, on_vfio
from nicpass.checks.preflight import check_host, check_nic, check_vm
from nicpass.checks.vm.definition import has_device
from nicpass.model.address import parse_mac
from nicpass.model.errors import BadInputError, RefusedError
from nicpass.model.language import _
from nicpass.model.plan import (
    ArmTimer,
    AttachRequest,
    DefineDevice,
    DetachRequest,
    DeviceSpec,
    GiveBackNic,
    InstallGuard,
    NicOwner,
    Plan,
    PlugDevice,
    RemoveGuard,
    SetTerms,
    StartDomain,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.text import printable, vm_word
from nicpass.planner.confirm import confirmed
from nicpass.planner.device import refuse_same_mac, specify_device
from nicpass.planner.observe import observe_state
from nicpass.planner.refuse import attach_command, refuse_unless_clear
from nicpass.planner.running import put_in, spec_of, take_out
from nicpass.planner.select import select_domain, select_nic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.address import Address
    from nicpass.model.domain import Domain, DomainDevice
    from nicpass.model.file_image import FileChange
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicState, UndoRequest, Where


def plan_attach(host: Host, request: AttachRequest, guard: tuple[FileChange, ...] = ()) -> Plan:
    """The steps from this host to one in which the VM has the NIC; none if it has it already.

    `guard` holds the file changes that put the guard there; it is empty where the guard is there.

    Raises:
        BadInputError: no such VM or NIC, or a MAC or VLAN that cannot be.
        ImpossibleError, RefusedError, RebootNeededError: the findings say why.
    """
    index = HostIndex(host)
    domain, function = select_domain(index, request.vm), select_nic(index, request.nic)
    index = index.for_vm(domain)
    spec = specify_device(function, request, index)
    owned = domain in index.owners.get(function.address, ())
    of_nic = check_nic(function, index)
    findings = _findings_for(of_nic, function, domain, index)
    before = _terms_of(function, domain, index) if owned else None
    allow = request.allow | (before.allow if before is not None else frozenset())
    refuse_unless_clear(findings, allow=allow)
    steps: list[Step] = []
    if owned:  # the state that was kept when the NIC left stays as it is
        _refuse_other_settings(function, request, domain)
        if before is not None and allow != before.allow:
            after = msgspec.structs.replace(before, allow=allow)
            steps.append(SetTerms(address=function.address, before=before, after=after))
        steps += put_in(domain, _as_it_stands(spec, domain), request.where)
    else:
        refuse_same_mac(spec, function, index)
        steps += _give(observe_state(function, index), domain, spec, request.allow, guard, request.where)
    if request.start and not domain.running:
        guarded = spec.managed and not owned
        steps.append(StartDomain(address=function.address, domain=domain.name, uuid=domain.uuid, guarded=guarded))
    if steps:
        steps = list(confirmed(function.address, request.confirm_within, findings, steps))
    summary = _summarize(steps, domain, function)
    notes = (*_notes(of_nic, host), *_later_vetoes(of_nic, function, domain, allow, index), *_what_a_hand_does(steps))
    return Plan(summary=summary, request=request, steps=tuple(steps), notes=notes)


def _summarize(steps: Iterable[Step], domain: Domain, function: PciFunction) -> str:
    kinds = {type(step) for step in steps}
    if kinds & {DefineDevice, PlugDevice, StartDomain}:
        return _("Give {nic} to {name}").format(nic=label(function), name=domain.name)
    if SetTerms in kinds:
        return _("Allow more for {nic} in {name}").format(nic=label(function), name=domain.name)
    return _("{name} has {nic} already").format(name=domain.name, nic=label(function))


def _what_a_hand_does(steps: Iterable[Step]) -> tuple[str, ...]:
    """What the dead man's hand would do to a VM that was on before, and that somebody may want to stay on."""
    kinds = {type(step): step for step in steps}
    plug = kinds.get(PlugDevice)
    if not isinstance(plug, PlugDevice) or ArmTimer not in kinds:
        return ()
    text = _(
        "Unless you confirm, the guest of {name} is asked to let go, and {name} switched off if it has not in 30 s."
    )
    return (text.format(name=plug.domain),)


def _later_vetoes(
    of_nic: tuple[Finding, ...], function: PciFunction, domain: Domain, allow: frozenset[str], index: HostIndex
) -> tuple[str, ...]:
    """What will keep the guard from letting a later start through: what the next boot configures on the NIC again.

    Who has allowed that it is to be configured has not allowed the address that comes of it.
    """
    if "HAS_ADDRESS" in allow:
        return ()
    coming = [i for i in intents_of(function, index) if i.purpose == "configure"]
    overridden = any(finding.code == "TO_BE_CONFIGURED" for finding in of_nic)
    return tuple(
        _(
            "The next boot configures {nic} again ({source}), and the guard will not let {name} start while it has an "
            "address: {advice} Or allow that: {command}"
        ).format(
            nic=label(function),
            source=intent.source,
            name=domain.name,
            advice=advise_intent(intent),
            command=attach_command(domain.name, domain.uuid, function.address, ("HAS_ADDRESS",)),
        )
        for intent in coming[:1]
        if overridden
    )


def _terms_of(function: PciFunction, domain: Domain, index: HostIndex) -> NicOwner | None:
    """The terms on which this VM has the NIC; None where nicpass did not give it, or cannot read that it did."""
    given = index.given.get(function.address)
    if given is None or given.uuid != domain.uuid:
        return None
    return NicOwner(domain=given.vm, uuid=given.uuid, allow=given.allow, managed=given.managed)


def plan_reattach(
    host: Host, step: UndefineDevice | UnplugDevice, request: UndoRequest, guard: tuple[FileChange, ...] = ()
) -> Plan:
    """The steps that undo a detach: the VM gets the NIC again, as it had it; at once, where it runs.

    `guard` as in `plan_attach`.

    Raises:
        BadInputError, ImpossibleError, RefusedError, RebootNeededError: as `plan_attach`.
    """
    index = HostIndex(host)
    domain, function = select_domain(index, step.uuid), select_nic(index, step.address)
    summary = _("Give {nic} to {name}").format(nic=label(function), name=domain.name)
    if has_device(domain, function) and not put_in(domain, step.device, "both"):
        raise RefusedError(_("{name} has {nic} already.").format(name=domain.name, nic=label(function)))
    index = index.for_vm(domain)
    refuse_same_mac(step.device, function, index)
    of_nic = check_nic(function, index)
    refuse_unless_clear(_findings_for(of_nic, function, domain, index), allow=request.allow)
    steps = _give(observe_state(function, index), domain, step.device, request.allow, guard, "both")
    return Plan(summary=summary, request=request, steps=steps, notes=_notes(of_nic, host))


def _as_it_stands(spec: DeviceSpec, domain: Domain) -> DeviceSpec:
    """How the VM has the NIC already, where it has it in one definition and is to have it in the other."""
    devices = (*domain.config_devices, *domain.live_devices)
    device = next((device for device in devices if device.address == spec.address), None)
    return spec if device is None else msgspec.structs.replace(spec, mac=device.mac, vlan=device.vlan)


def _give(
    state: NicState,
    domain: Domain,
    spec: DeviceSpec,
    allow: frozenset[str],
    guard: tuple[FileChange, ...],
    where: Where,
) -> tuple[Step, ...]:
    """The steps that keep the NIC's state and put it into the VM's definitions; the guard stands before either."""
    owner = NicOwner(domain=domain.name, uuid=domain.uuid, allow=allow, managed=spec.managed)
    installed = (InstallGuard(address=state.address, files=guard),) if guard and spec.managed else ()
    return (
        *installed,
        TakeNic(address=state.address, state=state, owner=owner),
        *put_in(domain, spec, where),
    )


def plan_stop(host: Host, step: StartDomain, request: UndoRequest) -> Plan:
    """The step that undoes the start of a VM. Raises RefusedError unless the request says `stop`."""
    domain = select_domain(HostIndex(host), step.uuid)
    summary = _("Stop {name}").format(name=domain.name)
    return Plan(summary=summary, request=request, steps=stop_first(domain, step.address, stop=request.stop))


def stop_first(domain: Domain, address: Address, *, stop: bool) -> tuple[Step, ...]:
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
    domain, function = select_domain(index, request.vm), select_nic(index, request.nic)
    if not has_device(domain, function):
        owners = ", ".join(printable(owner.name) for owner in index.owners.get(function.address, ()))
        hint = (
            _("It belongs to: {owners}.").format(owners=owners)
            if owners
            else _("It belongs to no VM; see nicpass list.")
        )
        raise BadInputError(_("{name} does not have {nic}.").format(name=domain.name, nic=label(function)), hint)
    refuse_held(function, domain, index)
    taking = take_out(domain, function.address, request.where, stop=request.stop)
    summary = _("Take {nic} back from {name}").format(nic=label(function), name=domain.name)
    kinds = {type(step) for step in taking}
    if UnplugDevice not in kinds and StopDomain not in kinds and _runs_with(domain, function):
        note = _("{name} has {nic} until it is shut down.").format(name=domain.name, nic=label(function))
        return Plan(summary=summary, request=request, steps=taking, notes=(note,))
    state, notes = state_to_restore(function, index, kept)
    steps: list[Step] = [*taking]
    keeps = request.where == "live" and any(d.address == function.address for d in domain.config_devices)
    if state is not None:
        steps.append(GiveBackNic(address=function.address, state=state, owner=owner, keeps=keeps))
    if guard and not keeps:
        steps.append(RemoveGuard(address=function.address, files=guard))
    return Plan(summary=summary, request=request, steps=tuple(steps), notes=notes)


def undefine_step(domain: Domain, device: DomainDevice) -> UndefineDevice:
    """The step that takes a device out of a VM's definition, and knows it well enough to put it back."""
    return UndefineDevice(address=device.address, domain=domain.name, uuid=domain.uuid, device=spec_of(device))


def _runs_with(domain: Domain, function: PciFunction) -> bool:
    return any(device.address == function.address for device in domain.live_devices)


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
    from nicpass.planner.compare import gained_since
    from nicpass.planner.whole import why_hollow  # late: who gives a NIC away has no record to doubt

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


def _findings_for(
    of_nic: tuple[Finding, ...], function: PciFunction, domain: Domain, index: HostIndex
) -> tuple[Finding, ...]:
    """All findings about the host, this NIC and this VM; that the NIC is this very VM's is no objection."""
    owners = [owner for owner in index.owners.get(function.address, ()) if owner != domain]
    findings = (*check_host(index.host, index), *of_nic, *check_vm(function, domain, index))
    return tuple(finding for finding in findings if finding.code != "OWNED_BY_VM" or owners)


def _refuse_other_settings(function: PciFunction, request: AttachRequest, domain: Domain) -> None:
    """A VM that has the NIC with another MAC or VLAN does not have what was asked for."""
    for device in (*domain.config_devices, *domain.live_devices):
        if device.address == function.address and (
            (request.mac is not None and parse_mac(request.mac) != device.mac)
            or (request.vlan is not None and request.vlan != device.vlan)
        ):
            raise BadInputError(
                _("{name} has {nic} already, with MAC {mac} and VLAN {vlan}.").format(
                    name=domain.name, nic=label(function), mac=device.mac or _("none"), vlan=device.vlan or _("none")
                ),
                _("nicpass detach {name} {address}, and attach it anew.").format(
                    name=vm_word(domain.name, domain.uuid), address=function.address
                ),
            )


def _notes(of_nic: tuple[Finding, ...], host: Host) -> tuple[str, ...]:
    """What is to be known of the NIC; and what keeps the guard, which comes with it, from its work."""
    of_guard = tuple(f"{finding.sentence} {finding.command}" for finding in check_confinement(host.guard))
    return (*of_guard, *(finding.sentence for finding in of_nic if not finding.severity.blocks))
