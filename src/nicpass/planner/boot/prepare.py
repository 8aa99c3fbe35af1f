# SPDX-License-Identifier: Apache-2.0
"""Plans making a host ready for passthrough, what is done after its reboot, and taking all of it out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.boot.arguments.needed import needed_arguments
from nicpass.boot.binding.identity import identity_of, match_identity
from nicpass.boot.binding.plan import plan_bindings
from nicpass.boot.binding.rights import is_group_name, plan_rights, plan_rights_removal
from nicpass.boot.loader.choice import (
    arguments_of_next_boot,
    plan_arguments,
    plan_removal,
    plan_trial,
    plan_trial_end,
)
from nicpass.checks.device.boot_bindings import check_builtin
from nicpass.checks.host.iommu import check_iommu, is_used
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import kind_of, label, on_vfio, permanent_mac_of
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.address import parse_address, parse_mac
from nicpass.model.boot import BootBinding, BootChange, BootPurpose
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import Unknown, known
from nicpass.model.finding import Severity
from nicpass.model.language import _
from nicpass.model.plan import (
    ArmTimer,
    ChangeBoot,
    GiveBackNic,
    Plan,
    Step,
)
from nicpass.model.prepared import Prepared, PreparedNic, Stage
from nicpass.model.request import PrepareRequest
from nicpass.model.text import vm_word
from nicpass.planner.boot.awaited import awaited_arguments, notes_on_old_files
from nicpass.planner.boot.place import refuse_lost_files, refuse_other_author
from nicpass.planner.confirm import SESSION_CODES, check_seconds
from nicpass.planner.nic_state.observe import observe_state
from nicpass.planner.refuse import refuse_unless_clear
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.boot.arguments.needed import NeededArgument
    from nicpass.boot.text.own_files import Images
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

DEFAULT_SECONDS = 300
"""Seconds to confirm in after the reboot: a server takes minutes until somebody can log in and look."""


class Preparation(NamedTuple):
    """The plan, and the record that shall stand on disk about it; None: no record any more."""

    plan: Plan
    record: Prepared | None
    awaits_reboot: bool = False
    """The next boot brings what the running kernel lacks, whoever has written it."""


def plan_prepare(host: Host, request: PrepareRequest, prepared: Prepared | None, places: Images) -> Preparation:
    """The steps from this host to one whose next boot has the IOMMU on and its NICs on vfio-pci.

    `places` is what stands where files of nicpass may go. No steps: all files are written; whether a reboot is to come
    is another question (`is_reboot_due`).

    Raises:
        BadInputError: no such NIC, or one that cannot be bound at boot.
        ImpossibleError: the board, the firmware or an argument does not allow passthrough.
        RefusedError: the host would lose something at its next boot, or an earlier attempt has failed.
    """
    _refuse_stage(prepared)
    if request.group is not None and not is_group_name(request.group):
        raise BadInputError(_("{group!r} is no name of a group.").format(group=request.group), "--group libvirt-qemu")
    index = HostIndex(host)
    functions = tuple(select_unprepared(request.nics, prepared, index))
    findings = tuple(_findings_for(functions, index))
    refuse_unless_clear(findings, allow=request.allow)
    before = prepared or Prepared(stage=Stage.WAITING, boot_id=host.platform.boot_id)
    nics = (*before.nics, *(_prepare_nic(function, index) for function in functions))
    bindings = tuple(nic.binding for nic in nics)
    needed = _needed(host, before, request)
    arguments = tuple(argument.text for argument in needed)
    refuse_other_author(host.boot, () if arguments == before.arguments else arguments, [f.address for f in functions])
    steps: list[Step] = []
    if bindings:
        steps += _changes(BootPurpose.BINDING, plan_bindings(host.boot, places, bindings))
    written = _write_arguments(host, arguments, before)
    group = request.group if request.group is not None else before.group
    if bindings or group:
        steps += _changes(BootPurpose.RIGHTS, plan_rights(places, _macs(nics), group))
    steps += written
    refuse_lost_files(host.boot, steps)
    record = msgspec.structs.replace(
        before,
        stage=Stage.WAITING,
        boot_id=host.platform.boot_id,
        arguments=arguments,
        trial=before.trial or any(step.purpose == BootPurpose.TRIAL for step in written),
        nics=nics,
        group=group,
        confirm_within=max(before.confirm_within, _seconds(request, findings)),
    )
    notes = (*(f"{argument.text}: {argument.reason}" for argument in needed), *notes_on_old_files(written, arguments))
    awaited = "" if steps else awaited_arguments(host, request)
    plan = Plan(summary=_summary(host, prepared, steps, awaited), request=request, steps=tuple(steps), notes=notes)
    return Preparation(plan, record if steps else prepared, awaits_reboot=bool(awaited))


def _summary(host: Host, prepared: Prepared | None, steps: list[Step], awaited: str) -> str:
    if steps:
        return _("Prepare this host for passthrough")
    if awaited:
        return _("All is written, and only the reboot is missing: the running kernel was not given {arguments}").format(
            arguments=awaited
        )
    if is_reboot_due(host, prepared):
        return _("All is written, and only the reboot is missing")
    return _("This host is prepared already")


def plan_finish(host: Host, prepared: Prepared) -> Preparation:
    """The steps once another boot has come: keep arguments that were seen to work, or let go of those that were not."""
    lacks = what_is_missing(host, prepared)
    steps: list[Step] = []
    if prepared.trial:
        if _works(host, prepared):
            steps += _changes(
                BootPurpose.ARGUMENTS, plan_arguments(host.boot, prepared.arguments, host.platform.container)
            )
        steps += _changes(BootPurpose.TRIAL, plan_trial_end(host.boot, host.platform.container), removes=True)
    seconds = prepared.confirm_within if prepared.nics and not lacks else 0
    if seconds:
        steps.append(ArmTimer(address=prepared.nics[0].binding.address, seconds=seconds))
    record = msgspec.structs.replace(
        prepared,
        stage=Stage.FAILED if lacks else Stage.DONE,
        boot_id=host.platform.boot_id,
        arguments=prepared.arguments if _works(host, prepared) or not prepared.trial else (),
        trial=False,
        saw=lacks,
    )
    request = PrepareRequest(nics=tuple(nic.binding.address for nic in prepared.nics), finish=True)
    summary = _("The reboot did not bring what was prepared") if lacks else _("The host came up as it was prepared")
    return Preparation(Plan(summary=summary, request=request, steps=tuple(steps)), record)


def plan_removal_of(host: Host, request: PrepareRequest, prepared: Prepared, places: Images) -> Preparation:
    """The steps that take a preparation out again: that of the NICs that are named, or all of it.

    Raises:
        BadInputError: a NIC that is named was not prepared.
        RefusedError: a VM has the NIC.
    """
    index = HostIndex(host)
    leaving = _leaving(request, prepared, index)
    staying = tuple(nic for nic in prepared.nics if nic not in leaving)
    everything = not request.nics
    for nic in leaving:
        _refuse_owned(nic, index)
    steps: list[Step] = []
    if leaving:
        bindings = tuple(nic.binding for nic in staying)
        steps += _changes(BootPurpose.BINDING, plan_bindings(host.boot, places, bindings), removes=True)
    rights = plan_rights_removal(places) if everything else plan_rights(places, _macs(staying), prepared.group)
    steps += _changes(BootPurpose.RIGHTS, rights, removes=True)
    if everything:
        if prepared.trial:
            steps += _changes(BootPurpose.TRIAL, plan_trial_end(host.boot, host.platform.container), removes=True)
        steps += _changes(BootPurpose.ARGUMENTS, plan_removal(host.boot, host.platform.container), removes=True)
    steps += [
        GiveBackNic(address=function.address, state=nic.state)
        for nic in leaving
        if (function := _stands_at(nic, index)) is not None and on_vfio(function)
    ]
    record = None if everything else msgspec.structs.replace(prepared, nics=staying)
    summary = _("Take out what was prepared")
    return Preparation(Plan(summary=summary, request=request, steps=tuple(steps)), record)


def is_reboot_due(host: Host, prepared: Prepared | None) -> bool:
    """Whether a reboot is to come: this boot does not show what the written files would give."""
    return prepared is not None and prepared.stage == Stage.WAITING and bool(what_is_missing(host, prepared))


def what_is_missing(host: Host, prepared: Prepared) -> str:
    """The part of the preparation that this boot does not show, in a sentence; empty where nothing is missing."""
    given = _tokens(host.platform.cmdline)
    absent = [argument for argument in prepared.arguments if argument not in given]
    if absent:
        return _("The kernel was not given {arguments}: {path} says {cmdline}.").format(
            arguments=" ".join(absent), path="/proc/cmdline", cmdline=host.platform.cmdline
        )
    if not is_used(host):
        finding = next(iter(check_iommu(host)))
        return f"{finding.sentence} {finding.mend}".strip()
    index = HostIndex(host)
    for nic in prepared.nics:
        function = _stands_at(nic, index)
        if function is None:
            return _("The NIC that was prepared as {address} is not there.").format(address=nic.binding.address)
        if not on_vfio(function):
            return _("{nic} is on {driver}, not on {wanted}.").format(
                nic=label(function), driver=function.driver or _("no driver"), wanted=nic.binding.driver
            )
    return ""


def _works(host: Host, prepared: Prepared) -> bool:
    """Whether the arguments were given and the IOMMU is on, whatever became of the NICs."""
    return not what_is_missing(host, msgspec.structs.replace(prepared, nics=()))


def _refuse_stage(prepared: Prepared | None) -> None:
    if prepared is not None and prepared.stage == Stage.FAILED:
        raise ImpossibleError(
            _("The last reboot did not bring what was prepared: {saw}").format(saw=prepared.saw),
            _("Mend that, then: nicpass prepare --remove, and prepare it anew. Nothing is tried again by itself."),
        )


def _findings_for(functions: tuple[PciFunction, ...], index: HostIndex) -> Iterator[Finding]:
    """All findings about the host and the NICs, but that the IOMMU is off: that is what is mended here."""
    per_nic = (finding for function in functions for finding in check_nic(function, index))
    for finding in (*check_host(index.host, index), *per_nic):
        if finding.severity != Severity.REBOOT:
            yield finding


def _prepare_nic(function: PciFunction, index: HostIndex) -> PreparedNic:
    if kind_of(function, index) == "vf":
        raise BadInputError(
            _("{nic} is a VF, and is not there before its PF has made it.").format(nic=label(function)),
            _("A VF needs no preparation of its own: nicpass prepare, then nicpass attach."),
        )
    _refuse_managed(function, index)
    if on_vfio(function):
        raise RefusedError(
            _("{nic} is on {driver} already, so what it was to the host is not known.").format(
                nic=label(function), driver=function.driver
            ),
            f"nicpass check {function.address}",
        )
    for finding in check_builtin(function, index):
        raise ImpossibleError(finding.sentence, finding.mend, findings=(finding,))
    identity = identity_of(function, index.functions, permanent_mac_of(function, index))
    if isinstance(identity, Unknown):
        raise ImpossibleError(
            _("What makes {nic} this very card cannot be read: {reason}.").format(
                nic=label(function), reason=identity.unknown
            )
        )
    binding = BootBinding(name=function.address, identity=identity, address=function.address)
    return PreparedNic(binding=binding, state=observe_state(function, index))


def _refuse_managed(function: PciFunction, index: HostIndex) -> None:
    """Law 5: a NIC that libvirt takes and gives back by itself is not bound by anybody else."""
    for domain in index.owners.get(function.address, ()):
        if any(device.managed for device in domain.config_devices if device.address == function.address):
            raise RefusedError(
                _("{nic} is in the definition of {name}, for which libvirt binds it at each start.").format(
                    nic=label(function), name=domain.name
                ),
                _("It needs nothing at boot. To have it on vfio-pci from the boot on: detach it, prepare, attach it."),
            )


def select_unprepared(names: tuple[str, ...], prepared: Prepared | None, index: HostIndex) -> Iterator[PciFunction]:
    """The named NICs that were not prepared yet; a NIC that was prepared still answers to its names.

    Raises:
        BadInputError: there is no such NIC.
    """
    nics = prepared.nics if prepared is not None else ()
    for name in names:
        if _select_prepared(name, nics, index) is None:
            yield select_nic(index, name)


def find_prepared(name: str, prepared: Prepared | None, index: HostIndex) -> PciFunction | None:
    """The NIC that was prepared and answers to this name, wherever it stands now; None where there is none such."""
    nic = _select_prepared(name, prepared.nics, index) if prepared is not None else None
    return _stands_at(nic, index) if nic is not None else None


def _select_prepared(name: str, nics: tuple[PreparedNic, ...], index: HostIndex) -> PreparedNic | None:
    """The prepared NIC that `name` means now (another card may stand at its old address), else that of the old name."""
    try:
        function = select_nic(index, name)
    except BadInputError:
        return next((nic for nic in nics if _answers_to(nic, name)), None)
    return next((nic for nic in nics if _stands_at(nic, index) == function), None)


def _answers_to(nic: PreparedNic, name: str) -> bool:
    """Whether `name` is the address that the NIC had, or a name or MAC of its interface while the host had it."""
    names = {name for link in nic.state.links for name in (link.name, *link.altnames)}
    macs = {mac for link in nic.state.links for mac in (link.mac, link.permanent_mac)}
    return name in names or parse_address(name) == nic.binding.address or parse_mac(name) in macs - {None}


def _needed(host: Host, prepared: Prepared, request: PrepareRequest) -> tuple[NeededArgument, ...]:
    """The arguments that are needed, by what the next boot gives to the kernel without nicpass."""
    given = arguments_of_next_boot(host.boot)
    if not known(given):
        given = host.platform.cmdline
    if not known(given):
        raise ImpossibleError(_("The kernel's arguments cannot be read."), _("Run nicpass as root."))
    others = " ".join(word for word in given.split() if word not in prepared.arguments)
    iommu_pt = request.iommu_pt or "iommu=pt" in prepared.arguments
    return needed_arguments(host.platform, others, iommu_pt=iommu_pt, has_groups=is_used(host))


def _write_arguments(host: Host, arguments: tuple[str, ...], before: Prepared) -> list[ChangeBoot]:
    """The steps that write the arguments: for one boot, where the loader can; else for good. None where they stand.

    What could not be kept for good is not tried: it would be told only after the reboot.
    """
    if not arguments or arguments == before.arguments:
        return []
    is_trial = host.boot.can_try and (before.trial or not before.arguments)
    for_good = plan_arguments(host.boot, arguments, host.platform.container)
    if not is_trial:
        return _changes(BootPurpose.ARGUMENTS, for_good)
    return _changes(BootPurpose.TRIAL, plan_trial(host.boot, arguments, host.platform.container))


def _seconds(request: PrepareRequest, findings: tuple[Finding, ...]) -> int:
    """Seconds to confirm in after the reboot, as asked for or as the findings demand."""
    if request.confirm_within is not None:
        check_seconds(request.confirm_within)
        return request.confirm_within
    return DEFAULT_SECONDS if any(finding.code in SESSION_CODES for finding in findings) else 0


def _leaving(request: PrepareRequest, prepared: Prepared, index: HostIndex) -> tuple[PreparedNic, ...]:
    if not request.nics:
        return prepared.nics
    leaving: list[PreparedNic] = []
    for name in request.nics:
        found = _select_prepared(name, prepared.nics, index)
        if found is None:
            raise BadInputError(_("{name} was not prepared.").format(name=name), "nicpass prepare --remove")
        leaving.append(found)
    return tuple(leaving)


def _refuse_owned(nic: PreparedNic, index: HostIndex) -> None:
    function = _stands_at(nic, index)
    for domain in index.owners.get(function.address, ()) if function is not None else ():
        raise RefusedError(
            _("{nic} is in the definition of {name}.").format(nic=nic.binding.address, name=domain.name),
            f"nicpass detach {vm_word(domain.name, domain.uuid)} {nic.binding.address}",
        )


def _tokens(cmdline: object) -> list[str]:
    return cmdline.split() if isinstance(cmdline, str) else []


def _stands_at(nic: PreparedNic, index: HostIndex) -> PciFunction | None:
    """The function that the prepared NIC is now, wherever it has moved to; None where it is not found."""
    match = match_identity(nic.binding.identity, index.host.pci)
    return index.functions[match.addresses[0]] if match.outcome == "found" else None


def _macs(nics: tuple[PreparedNic, ...]) -> list[str]:
    """The permanent MACs of the NICs, by which network managers know them."""
    return [nic.binding.identity.permanent_mac for nic in nics if nic.binding.identity.permanent_mac is not None]


def _changes(purpose: BootPurpose, change: BootChange, *, removes: bool = False) -> list[ChangeBoot]:
    return [ChangeBoot(purpose=purpose, change=change, removes=removes)] if change else []
