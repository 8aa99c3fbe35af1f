# SPDX-License-Identifier: Apache-2.0
"""Plans giving NICs to a VM, all of them or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.blocking import blocking
from nicpass.checks.dependence.intent import advise_intent, intents_of
from nicpass.checks.host.guard import check_confinement
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import is_nic, kind_of, label
from nicpass.checks.preflight import check_host, check_nic, check_vm
from nicpass.model.address import parse_mac
from nicpass.model.errors import BadInputError, RefusedError
from nicpass.model.finding import Finding
from nicpass.model.language import _
from nicpass.model.pci import PciFunction
from nicpass.model.plan import (
    ArmTimer,
    DefineDevice,
    DeviceSpec,
    InstallGuard,
    NicOwner,
    Plan,
    PlugDevice,
    SetTerms,
    StartDomain,
    Step,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.text import vm_word
from nicpass.planner.confirm import confirmed
from nicpass.planner.nic.device import refuse_same_mac, specify_device
from nicpass.planner.nic.running import add_ports, put_in
from nicpass.planner.nic_state.observe import observe_state
from nicpass.planner.refuse import attach_command, refuse_unless_clear
from nicpass.planner.select import select_domain, select_nic, select_nics

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.plan import NicState
    from nicpass.model.request import AttachRequest, NicWish, UndoRequest


class _Nic(msgspec.Struct, frozen=True):
    """One NIC of the request, with what is found about it and this VM."""

    function: PciFunction
    spec: DeviceSpec
    owned: bool
    """Whether it is this VM's already."""
    before: NicOwner | None
    """The terms on which the VM has it."""
    of_nic: tuple[Finding, ...]
    of_vm: tuple[Finding, ...]

    @property
    def standing(self) -> tuple[Finding, ...]:
        """What is found of it, without what the VM was allowed before."""
        found = (*self.of_nic, *self.of_vm)
        if self.before is None or not self.before.allow:
            return found
        blocked = blocking(found, self.before.allow)
        return tuple(finding for finding in found if not finding.severity.blocks or finding in blocked)


def plan_attach(
    host: Host,
    request: AttachRequest,
    guard: tuple[FileChange, ...] = (),
    better: Mapping[Address, NicState] | None = None,
    index: HostIndex | None = None,
) -> Plan:
    """The steps from this host to one in which the VM has the NICs; none if it has them already.

    `guard` holds the file changes that put the guard there; it is empty where the guard is there. `better` are the
    records of NICs that tell more than what is to be seen of them now (law 10). `index` is that of the host, for who
    plans several.

    Raises:
        BadInputError: no such VM or NIC, one that is named twice, or a MAC or VLAN that cannot be.
        ImpossibleError, RefusedError, RebootNeededError: the findings say why.
    """
    index = index or HostIndex(host)
    domain = select_domain(index, request.vm)
    functions, why = _choose(index, request, domain)
    index = index.for_vm(domain, tuple(function.address for function in functions))
    wishes = {select_nic(index, wish.nic).address: wish for wish in request.each}
    nics = [_look_at(function, _of_one(request, wishes.get(function.address)), domain, index) for function in functions]
    _refuse_unclear_settings(nics, request)
    found = _each_once((*check_host(host, index), *(finding for nic in nics for finding in nic.standing)))
    refuse_unless_clear(found, allow=request.allow)
    steps: list[Step] = []
    for nic in nics:
        if nic.owned:  # the state that was kept when the NIC left stays as it is
            _refuse_other_settings(nic.function, _of_one(request, wishes.get(nic.function.address)), domain)
        else:
            refuse_same_mac(nic.spec, nic.function, index)
    for nic in nics:
        if nic.before is not None and request.allow - nic.before.allow:
            after = msgspec.structs.replace(nic.before, allow=request.allow | nic.before.allow)
            steps.append(SetTerms(address=nic.function.address, before=nic.before, after=after))
    leaving = [nic for nic in nics if not nic.owned or _is_to_be_plugged(nic, domain, request)]
    states = [(better or {}).get(nic.spec.address) or observe_state(nic.function, index) for nic in leaving]
    taken = _take(states, domain, [nic.spec for nic in leaving], request.allow, guard)
    steps += _on_its_terms(taken, leaving, request)
    steps += add_ports(domain, functions[0].address, request.add_ports)
    may_wait = request.add_ports > 0
    steps += put_in(domain, [_as_it_stands(nic, domain) for nic in nics], request.where, may_wait=may_wait)
    if request.start and not domain.running:
        steps.append(_start(nics, domain))
    if steps:
        findings = [finding for nic in nics for finding in (*nic.of_nic, *nic.of_vm)]
        steps = list(confirmed(functions[0].address, request.confirm_within, findings, steps))
    summary = _summarize(steps, domain, nics)
    notes = dict.fromkeys((*why, *_notes([finding for nic in nics for finding in nic.of_nic], host)))
    vetoes = [veto for nic in nics for veto in _later_vetoes(nic, request.allow, domain, index)]
    return Plan(
        summary=summary, request=request, steps=tuple(steps), notes=(*notes, *vetoes, *_what_a_hand_does(steps))
    )


def _choose(index: HostIndex, request: AttachRequest, domain: Domain) -> tuple[list[PciFunction], tuple[str, ...]]:
    """(the functions that go in this change, why it is these where the user did not name them)."""
    why: tuple[str, ...] = ()
    if request.from_pf:
        from nicpass.planner.free_vf import choose_vf  # late, as below: most requests name one NIC

        vf, reason = choose_vf(select_nic(index, request.nic), request, domain, index)
        functions, why = [vf], (reason,)
    elif request.more:
        functions = select_nics(index, request.nics)
    else:
        functions = [select_nic(index, request.nic)]
    if request.with_group:
        from nicpass.planner.nic.group import members_along

        along = members_along(functions, index)
        functions += along
        why += tuple(
            _("{nic} goes along, for it is in the same IOMMU group.").format(nic=label(member)) for member in along
        )
    return functions, why


def _of_one(request: AttachRequest, wish: NicWish | None) -> AttachRequest:
    """The request with what is asked for of one NIC."""
    return request if wish is None else msgspec.structs.replace(request, mac=wish.mac, vlan=wish.vlan)


def _look_at(function: PciFunction, request: AttachRequest, domain: Domain, index: HostIndex) -> _Nic:
    owned = domain in index.owners.get(function.address, ())
    alone = len(index.together) == 1 or request.each
    if not alone and kind_of(function, index) != "vf":  # what is asked for is for the VF among them
        request = msgspec.structs.replace(request, mac=None, vlan=None)
    spec = specify_device(function, request, index)
    before = _terms_of(function, domain, index) if owned else None
    if not is_nic(function):  # nothing uses it, or it would not go along
        return _Nic(function, spec, owned, before, (), ())
    of_nic, of_vm = _findings_for(function, domain, index)
    return _Nic(function, spec, owned, before, of_nic, of_vm)


def _refuse_unclear_settings(nics: Sequence[_Nic], request: AttachRequest) -> None:
    """Refuse a MAC or a VLAN of which it is not plain for which of several NICs it is meant."""
    vfs = [nic for nic in nics if nic.spec.element == "interface"]
    if len(nics) > 1 and len(vfs) != 1 and (request.mac is not None or request.vlan is not None):
        raise BadInputError(
            _("--mac and --vlan are for one VF, and {count} of these NICs are VFs.").format(count=len(vfs)),
            _("Give that VF by a command of its own."),
        )


def _is_to_be_plugged(nic: _Nic, domain: Domain, request: AttachRequest) -> bool:
    """Whether the VM runs without a NIC that is in its definition: it is the host's until now, and as it is now."""
    running_with = {device.address for device in domain.live_devices}
    return domain.running and request.where != "config" and nic.spec.address not in running_with


def _on_its_terms(steps: Iterable[Step], nics: Iterable[_Nic], request: AttachRequest) -> Iterator[Step]:
    """The steps, of which a NIC that its VM has already keeps the terms and, if all is taken back, its record."""
    terms = {nic.spec.address: nic.before for nic in nics if nic.before is not None}
    for step in steps:
        before = terms.get(step.address) if isinstance(step, TakeNic) else None
        if not isinstance(step, TakeNic) or before is None:
            yield step
            continue
        owner = msgspec.structs.replace(before, allow=request.allow | before.allow)
        yield msgspec.structs.replace(step, owner=owner, keeps=True)


def _start(nics: Sequence[_Nic], domain: Domain) -> StartDomain:
    """The start of the VM with its NICs; one that the guard has to have seen comes first."""
    guarded = [nic.function.address for nic in nics if nic.spec.managed and not nic.owned]
    addresses = dict.fromkeys((*guarded, *(nic.function.address for nic in nics)))
    first, *more = addresses
    return StartDomain(address=first, domain=domain.name, uuid=domain.uuid, more=tuple(more), guarded=bool(guarded))


def _summarize(steps: Iterable[Step], domain: Domain, nics: Sequence[_Nic]) -> str:
    kinds = {type(step) for step in steps}
    touched = {step.address for step in steps if isinstance(step, DefineDevice | PlugDevice)}
    sentence = _("{name} has {nic} already")
    if kinds & {DefineDevice, PlugDevice, StartDomain}:
        sentence = _("Give {nic} to {name}")
    elif SetTerms in kinds:
        touched = {step.address for step in steps if isinstance(step, SetTerms)}
        sentence = _("Allow more for {nic} in {name}")
    named = [label(nic.function) for nic in nics if not touched or nic.function.address in touched]
    return sentence.format(nic=", ".join(named), name=domain.name)


def _what_a_hand_does(steps: Iterable[Step]) -> tuple[str, ...]:
    """What the dead man's hand would do to a VM that was on before, and that somebody may want to stay on."""
    kinds = {type(step): step for step in steps}
    plug = kinds.get(PlugDevice)
    if not isinstance(plug, PlugDevice) or ArmTimer not in kinds:
        return ()
    text = _(
        "Unless you confirm, the guest of {name} is asked to let go; if it has not in 30 s, {name} is switched off."
    )
    return (text.format(name=plug.domain),)


def _as_it_stands(nic: _Nic, domain: Domain) -> DeviceSpec:
    """How the VM has the NIC already, where it has it in one definition and is to have it in the other."""
    devices = (*domain.config_devices, *domain.live_devices)
    device = next((device for device in devices if device.address == nic.spec.address), None)
    return nic.spec if device is None else msgspec.structs.replace(nic.spec, mac=device.mac, vlan=device.vlan)


def _later_vetoes(nic: _Nic, allow: frozenset[str], domain: Domain, index: HostIndex) -> tuple[str, ...]:
    """What will keep the guard from letting a later start through: what the next boot configures on the NIC again.

    Who has allowed that it is to be configured has not allowed the address that comes of it.
    """
    function = nic.function
    if "HAS_ADDRESS" in allow or (nic.before is not None and "HAS_ADDRESS" in nic.before.allow):
        return ()
    coming = [i for i in intents_of(function, index) if i.purpose == "configure"]
    overridden = any(finding.code == "TO_BE_CONFIGURED" for finding in nic.of_nic)
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
    host: Host,
    steps: Sequence[UndefineDevice | UnplugDevice],
    request: UndoRequest,
    guard: tuple[FileChange, ...] = (),
    better: Mapping[Address, NicState] | None = None,
) -> Plan:
    """The steps that undo a detach: the VM gets the NICs again, as it had them; at once, where it runs.

    `guard` and `better` as in `plan_attach`; `steps` are of one VM.

    Raises:
        BadInputError, ImpossibleError, RefusedError, RebootNeededError: as `plan_attach`.
    """
    index = HostIndex(host)
    domain = select_domain(index, steps[0].uuid)
    functions = [_select_again(index, step) for step in steps]
    specs = [step.device for step in steps]
    for function, spec in zip(functions, specs, strict=True):
        if domain in index.owners.get(function.address, ()) and not put_in(domain, [spec], "both"):
            raise RefusedError(_("{name} has {nic} already.").format(name=domain.name, nic=label(function)))
    index = index.for_vm(domain, tuple(function.address for function in functions))
    of_nics: list[Finding] = []
    found: list[Finding] = [*check_host(host, index)]
    for step, function in zip(steps, functions, strict=True):
        refuse_same_mac(step.device, function, index)
        of_nic, of_vm = _findings_for(function, domain, index) if is_nic(function) else ((), ())
        of_nics += of_nic
        found += [*of_nic, *of_vm]
    refuse_unless_clear(_each_once(found), allow=request.allow)
    # The record of one that the VM has at this moment is better than what is to be seen of it (law 10).
    running_with = {device.address for device in domain.live_devices}
    seen = [(better or {}).get(function.address) or observe_state(function, index) for function in functions]
    leaving = list(zip(seen, specs, strict=True))
    leaving = [(state, spec) for state, spec in leaving if state.address not in running_with]
    taken = _take([state for state, _ in leaving], domain, [spec for _, spec in leaving], request.allow, guard)
    lasting = {device.address for device in domain.config_devices}
    keep = (_kept_on(step, lasting) for step in taken)
    given = (*keep, *put_in(domain, specs, "both"))
    summary = _("Give {nic} to {name}").format(nic=", ".join(map(label, functions)), name=domain.name)
    return Plan(summary=summary, request=request, steps=given, notes=_notes(of_nics, host))


def _kept_on(step: Step, lasting: Container[Address]) -> Step:
    is_kept = isinstance(step, TakeNic) and step.address in lasting
    return msgspec.structs.replace(step, keeps=True) if isinstance(step, TakeNic) and is_kept else step


def _select_again(index: HostIndex, step: UndefineDevice | UnplugDevice) -> PciFunction:
    """The function that the VM had; what went along with a group need not be a NIC."""
    function = index.functions.get(step.address)
    return function if function is not None else select_nic(index, step.address)


def _take(
    states: Sequence[NicState],
    domain: Domain,
    specs: Sequence[DeviceSpec],
    allow: frozenset[str],
    guard: tuple[FileChange, ...],
) -> tuple[Step, ...]:
    """The steps that keep the NICs' states, before which the guard stands.

    What all of them were is on disk before the first may leave.
    """
    managed = [spec for spec in specs if spec.managed]
    installed = (InstallGuard(address=managed[0].address, files=guard),) if guard and managed else ()
    taken = tuple(
        TakeNic(
            address=state.address,
            state=state,
            owner=NicOwner(domain=domain.name, uuid=domain.uuid, allow=allow, managed=spec.managed),
        )
        for state, spec in zip(states, specs, strict=True)
    )
    return (*installed, *taken)


def _findings_for(
    function: PciFunction, domain: Domain, index: HostIndex
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """(the findings about this NIC, those about it in this VM); that it is this very VM's is no objection."""
    owners = [owner for owner in index.owners.get(function.address, ()) if owner != domain]
    of_nic = check_nic(function, index)
    if not owners:
        of_nic = tuple(finding for finding in of_nic if finding.code != "OWNED_BY_VM")
    return of_nic, check_vm(function, domain, index)


def _each_once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings without those that say of one NIC what was said of another: they are about the VM."""
    return tuple({(finding.code, finding.sentence): finding for finding in findings}.values())


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


def _notes(of_nic: Iterable[Finding], host: Host) -> tuple[str, ...]:
    """What is to be known of the NIC; and what keeps the guard, which comes with it, from its work."""
    of_guard = tuple(f"{finding.sentence} {finding.command}" for finding in check_confinement(host.guard))
    return (*of_guard, *(finding.sentence for finding in of_nic if not finding.severity.blocks))
