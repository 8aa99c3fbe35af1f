# SPDX-License-Identifier: Apache-2.0
"""Plans making and removing the VFs of a PF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.dependence.machines import uses_of
from nicpass.checks.dependence.usage import check_usage
from nicpass.checks.device.sriov import check_bus_numbers
from nicpass.checks.device.vf_making import check_vf_group, why_no_vfs
from nicpass.checks.lookup.boot_lines import find_counts
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label, on_vfio
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import known, value_or
from nicpass.model.language import _
from nicpass.model.network import NO_MAC
from nicpass.model.plan import Plan, SetNumvfs
from nicpass.model.text import printable, vm_word
from nicpass.model.vf import VfSetRequest
from nicpass.planner.confirm import confirmed
from nicpass.planner.select import select_nic
from nicpass.planner.vf.in_steps import let_go, notes_of, take_again
from nicpass.planner.vf.set import plan_vf_set
from nicpass.planner.vf.settings import (
    Settling,
    refuse_contradictions,
    refuse_twins,
    refuse_what_no_pf_can,
    refuse_what_this_pf_cannot,
    refuses_macs,
    settle,
)
from nicpass.planner.vf.use import counts_of, refuse_claimed, refuse_used_vfs
from nicpass.planner.vf.wish import wishes_of

if TYPE_CHECKING:
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import Step
    from nicpass.model.request import VfRequest
    from nicpass.model.vf import Unsupported


def plan_vf(host: Host, request: VfRequest, unsupported: tuple[Unsupported, ...] = ()) -> Plan:
    """The step to `count` VFs that are set as asked for; none if there are that many, and are so.

    `unsupported` is what the host's drivers were seen not to know.

    Raises:
        BadInputError: no such NIC, more VFs than it has, or settings that no VF can have.
        ImpossibleError: the NIC has no SR-IOV, no driver that makes VFs or that knows these settings, or no room.
        RefusedError: another manager of devices has the NIC, or a VF of it is in use: then the kernel would wait for
            the VF's user, in a way that cannot be killed.
    """
    index = HostIndex(host)
    function = select_nic(index, request.pf)
    totalvfs, numvfs = counts_of(function)
    if not 0 <= request.count <= totalvfs:
        raise BadInputError(
            _("{nic} can make 0 to {totalvfs} VFs, not {count}.").format(
                nic=label(function), totalvfs=totalvfs, count=request.count
            ),
            _("--count N, with such a number."),
        )
    if numvfs == request.count:
        if numvfs and (request.settings.given or request.each):
            same = VfSetRequest(
                pf=request.pf,
                vfs="all",
                settings=request.settings,
                each=request.each,
                confirm_within=request.confirm_within,
            )
            return msgspec.structs.replace(plan_vf_set(host, same, unsupported), request=request)
        summary = _already(request.count).format(nic=label(function), count=request.count)
        return Plan(summary=summary, request=request, steps=())
    wishes = wishes_of(request, tuple(range(request.count)))
    if request.count > 0 and numvfs == 0:
        _refuse_what_cannot_be(function, index)
    aim = Settling(function, wishes, request.count, index, fresh=True)
    refuse_what_no_pf_can(aim)
    refuse_claimed(function, index)
    if request.count:
        _refuse_owned(function, index)
    refuse_used_vfs(function, index, by_vms=not request.in_steps)
    unplugs = let_go(function, request.count, index) if request.in_steps else ()
    step, more = _make_step(aim, numvfs, unsupported)
    probe = {"before_autoprobe": value_or(function.vf_autoprobe, None), "autoprobe": _autoprobe(function, request)}
    step = msgspec.structs.replace(step, **probe)
    # Making VFs resets the PF for a moment, with many drivers; with some of them it does not come back.
    made: tuple[Step, ...] = (*unplugs, step, *take_again(unplugs))
    steps = confirmed(function.address, request.confirm_within, check_usage(function, index), made)
    notes = _notes(function, index, request.count) if request.count else ()
    notes += (*notes_of(unplugs), *more, *_pool_notes(function, index), *_boot_notes(function, request.count, index))
    summary = _summarize(numvfs, request.count).format(numvfs=numvfs, count=request.count, nic=label(function))
    return Plan(summary=summary, request=request, steps=steps, notes=notes)


def _refuse_owned(function: PciFunction, index: HostIndex) -> None:
    """Refuse VFs of a PF that a VM has: the VM could not start with it, and it could not come back as it was."""
    for owner in index.owners.get(function.address, ()):
        raise RefusedError(
            _("{nic} belongs to the VM {owner}; its VFs would vanish with it.").format(
                nic=label(function), owner=printable(owner.name)
            ),
            f"nicpass detach {vm_word(owner.name, owner.uuid)} {function.address}",
        )


def _autoprobe(function: PciFunction, request: VfRequest) -> bool | None:
    """Whether the host's drivers shall take the VFs; without VFs it is again as the kernel has it from the start."""
    now = value_or(function.vf_autoprobe, None)
    return None if now is None else request.for_host or not request.count


def _make_step(aim: Settling, numvfs: int, unsupported: tuple[Unsupported, ...]) -> tuple[SetNumvfs, tuple[str, ...]]:
    """(the step to the VFs, notes). Each VF is set to a MAC: one that its driver chooses is another at every boot."""
    takes_macs = not refuses_macs(aim, unsupported)
    after, derived = settle(aim, aim.chosen if takes_macs else ())
    refuse_contradictions(aim, after)
    refuse_what_this_pf_cannot(aim, after, unsupported)
    refuse_twins(aim, after)
    step = SetNumvfs(
        address=aim.pf.address,
        before=numvfs,
        after=aim.numvfs,
        before_vfs=tuple(vf for _number, vf in sorted(aim.now.items())),
        # The kernel removes all VFs on the way to another number.
        after_vfs=after,
        derived=derived,
    )
    if takes_macs or all(vf.mac != NO_MAC for vf in after):
        return step, ()
    note = _("{driver} takes no MAC of a VF, as was seen: each VF has one that its own driver chooses.")
    return step, (note.format(driver=aim.pf.driver),)


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
