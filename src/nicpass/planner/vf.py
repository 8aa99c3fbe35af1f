# SPDX-License-Identifier: Apache-2.0
"""Plans making and removing the VFs of a PF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.machines import check_machines, uses_of
from nicpass.checks.dependence.usage import check_usage
from nicpass.checks.device.claims import check_claims
from nicpass.checks.device.sriov import check_bus_numbers
from nicpass.checks.device.vf_making import check_vf_group, why_no_vfs
from nicpass.checks.lookup.boot_lines import find_counts
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label, on_vfio
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.finding import Severity
from nicpass.model.language import _
from nicpass.model.plan import Plan, SetNumvfs, VfRequest
from nicpass.model.text import printable, vm_word
from nicpass.planner.confirm import confirmed
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    from nicpass.model.host import Host
    from nicpass.model.network import VfSettings
    from nicpass.model.pci import PciFunction


def plan_vf(host: Host, request: VfRequest) -> Plan:
    """The step to `count` VFs; none if there are that many.

    Raises:
        BadInputError: no such NIC, or more VFs than it has.
        ImpossibleError: the NIC has no SR-IOV, no driver that makes VFs, or no room for them.
        RefusedError: another manager of devices has the NIC, or a VF of it is in use: then the kernel would wait for
            the VF's user, in a way that cannot be killed.
    """
    index = HostIndex(host)
    function = select_nic(index, request.pf)
    totalvfs, numvfs = _counts_of(function)
    if not 0 <= request.count <= totalvfs:
        raise BadInputError(
            _("{nic} can make 0 to {totalvfs} VFs, not {count}.").format(
                nic=label(function), totalvfs=totalvfs, count=request.count
            ),
            _("--count N, with such a number."),
        )
    if numvfs == request.count:
        return Plan(
            summary=_already(request.count).format(nic=label(function), count=request.count),
            request=request,
            steps=(),
        )
    if request.count > 0 and numvfs == 0:
        _refuse_what_cannot_be(function, index)
    _refuse_claimed(function, index)
    _refuse_used_vfs(function, index)
    summary = _summarize(numvfs, request.count).format(numvfs=numvfs, count=request.count, nic=label(function))
    vfs = _settings_of(function, index)
    step = SetNumvfs(
        address=function.address,
        before=numvfs,
        after=request.count,
        before_vfs=vfs,
        # The kernel removes all VFs on the way to another number.
        after_vfs=tuple(vf for vf in vfs if vf.vf_index < request.count),
        before_autoprobe=value_or(function.vf_autoprobe, None),
        autoprobe=_autoprobe(function, request),
    )
    # Making VFs resets the PF for a moment, with many drivers; with some of them it does not come back.
    steps = confirmed(function.address, request.confirm_within, check_usage(function, index), (step,))
    notes = _notes(function, index, request.count) if request.count else ()
    notes += (*_pool_notes(function, index), *_boot_notes(function, request.count, index))
    return Plan(summary=summary, request=request, steps=steps, notes=notes)


def _autoprobe(function: PciFunction, request: VfRequest) -> bool | None:
    """Whether the host's drivers shall take the VFs; without VFs it is again as the kernel has it from the start."""
    now = value_or(function.vf_autoprobe, None)
    return None if now is None else request.for_host or not request.count


def _refuse_what_cannot_be(function: PciFunction, index: HostIndex) -> None:
    """Refuse VFs that the kernel would refuse: for want of a driver that makes them, or of room."""
    for finding in why_no_vfs(function, index):
        raise ImpossibleError(finding.sentence, finding.mend or finding.command, findings=(finding,))


def _notes(function: PciFunction, index: HostIndex, count: int) -> tuple[str, ...]:
    """What makes the VFs less than they seem: where they come to lie, in which group, and whose they are."""
    config = function.config
    findings = [*check_vf_group(function, index)]
    if known(config) and known(config.sriov):
        findings += check_bus_numbers(function, config.sriov, index, count)
    notes = tuple(finding.sentence for finding in findings)
    if on_vfio(function):
        notes += (
            _("Whoever has {nic} by {driver} rules its VFs.").format(nic=label(function), driver=function.driver),
        )
    return notes


def _summarize(before: int, after: int) -> str:
    if after == 0:
        return _("Remove the VF of {nic}") if before == 1 else _("Remove the {numvfs} VFs of {nic}")
    return _("Make 1 VF of {nic}") if after == 1 else _("Make {count} VFs of {nic}")


def _already(count: int) -> str:
    if count == 0:
        return _("{nic} has no VFs")
    return _("{nic} has 1 VF already") if count == 1 else _("{nic} has {count} VFs already")


def _pool_notes(pf: PciFunction, index: HostIndex) -> tuple[str, ...]:
    """That a network of libvirt's will lend the VFs that are made is how such a pool gets them, and no objection."""
    return tuple(
        _("The network {network} of libvirt lends the VFs of {nic} to VMs: {how}.").format(
            network=printable(use.name), nic=label(pf), how=printable(use.how)
        )
        for use in uses_of(pf, index)
        if use.kind == "network" and "<pf " in use.how
    )


def _boot_notes(pf: PciFunction, wanted: int, index: HostIndex) -> tuple[str, ...]:
    """What sets another number of VFs at every boot: then what is made or removed here lasts until that."""
    notes = []
    for setting in find_counts(pf, index):
        shown = {"nic": label(pf), "source": setting.source, "text": printable(setting.text), "count": setting.vfs}
        if setting.vfs is None:
            notes.append(_("{source} sets the number of VFs of {nic} at every boot: {text}.").format(**shown))
        elif setting.vfs > wanted:
            notes.append(_("{source} makes {count} VFs of {nic} again at the next boot: {text}.").format(**shown))
        elif setting.vfs < wanted:
            notes.append(
                _(
                    "{source} makes only {count} VFs of {nic} at the next boot ({text}): {gone} of {wanted} are gone "
                    "then, and a VM that has one of these does not start."
                ).format(**shown, gone=wanted - setting.vfs, wanted=wanted)
            )
    return tuple(notes)


def _settings_of(function: PciFunction, index: HostIndex) -> tuple[VfSettings, ...]:
    """The settings that the PF enforces on its VFs now; a PF with two interfaces tells them by both."""
    found = {vf.vf_index: vf for link in index.netdevs(function) for vf in link.vfs}
    return tuple(found[number] for number in sorted(found))


def _counts_of(function: PciFunction) -> tuple[int, int]:
    """(how many VFs the function can make, how many it has)."""
    totalvfs, numvfs = function.totalvfs, function.numvfs
    if known(totalvfs) and known(numvfs) and totalvfs > 0:
        return totalvfs, numvfs
    reason = why_unknown(totalvfs) or why_unknown(numvfs)
    if reason is not None:
        raise RefusedError(
            _("Whether {nic} has SR-IOV could not be learned: {reason}.").format(nic=label(function), reason=reason),
            _("Run it as root."),
        )
    raise ImpossibleError(
        _("{nic} cannot make VFs: the kernel shows no SR-IOV for it.").format(nic=label(function)),
        _("Is it switched off in the card's firmware, or in the machine's? Not every card has it."),
    )


def _refuse_claimed(function: PciFunction, index: HostIndex) -> None:
    """Law 5: refuse a PF that another manager has. One that driverctl holds to its driver may have VFs all the same."""
    claims = [claim for claim in check_claims(function, index) if claim.severity == Severity.UNSAFE]
    for claim in claims:
        if claim.code != "CLAIMED_BY_DRIVERCTL":
            raise RefusedError(claim.sentence, claim.mend, findings=(claim,))


_MAY_COME_AGAIN = frozenset({"TO_BE_CONFIGURED", "NAMED_UNCLEARLY"})
"""Codes of intents that end no VF's life: patterns such as `Name=en*` mean each VF that is made, whatever it is for."""


def _refuse_used_vfs(function: PciFunction, index: HostIndex) -> None:
    """Refuse while a VF is in use: in a VM's definition, on vfio-pci, or carrying something of the host's."""
    vfs = [f for f in index.host.pci if f.address in function.virtfns or f.physfn == function.address]
    unread = why_unknown(index.host.libvirt_networks)
    if vfs and (unread or not known(index.host.domains)):
        reason = why_unknown(index.host.domains) or unread or _("libvirt is absent")
        raise RefusedError(
            _("Whether a VM has one of the VFs of {nic} could not be learned: {reason}.").format(
                nic=label(function), reason=reason
            ),
            _("systemctl start libvirtd; the Python binding is the package python3-libvirt."),
        )
    for vf in vfs:
        owners = index.owners.get(vf.address, ())
        if lent := tuple(check_machines(vf, index)):  # first: whose pool it is says more than which VM has it just now
            raise RefusedError(lent[0].sentence, lent[0].mend, findings=lent)
        findings = (*check_claims(vf, index), *check_usage(vf, index))
        unsafe = [f for f in findings if f.severity == Severity.UNSAFE and f.code not in _MAY_COME_AGAIN]
        if owners:
            raise RefusedError(
                _("VF {nic} belongs to the VM {owner}.").format(nic=label(vf), owner=owners[0].name),
                f"nicpass detach {vm_word(owners[0].name, owners[0].uuid)} {vf.address}",
            )
        if on_vfio(vf):
            raise RefusedError(
                _("VF {nic} is on vfio-pci, so a program may be using it.").format(nic=label(vf)),
                _("Unbind it from vfio-pci first."),
            )
        if unsafe:
            raise RefusedError(unsafe[0].sentence, unsafe[0].mend, findings=tuple(unsafe))
