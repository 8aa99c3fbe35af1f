# SPDX-License-Identifier: Apache-2.0
"""What a PF can make, who else has a hand in it, and who uses its VFs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.machines import check_machines
from nicpass.checks.dependence.usage import check_usage
from nicpass.checks.device.claims import check_claims
from nicpass.checks.lookup.nics import label, on_vfio
from nicpass.model.errors import ImpossibleError, RefusedError
from nicpass.model.fact import known, why_unknown
from nicpass.model.finding import Severity
from nicpass.model.language import _
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

_MAY_COME_AGAIN = frozenset({"TO_BE_CONFIGURED", "NAMED_UNCLEARLY"})
"""Codes of intents that end no VF's life: patterns such as `Name=en*` mean each VF that is made, whatever it is for."""


def counts_of(function: PciFunction) -> tuple[int, int]:
    """(how many VFs the function can make, how many it has).

    Raises:
        RefusedError: that could not be learned.
        ImpossibleError: it has no SR-IOV.
    """
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


def refuse_claimed(function: PciFunction, index: HostIndex) -> None:
    """Law 5: refuse a PF that another manager has. One that driverctl holds to its driver may have VFs all the same."""
    claims = [claim for claim in check_claims(function, index) if claim.severity == Severity.UNSAFE]
    for claim in claims:
        if claim.code != "CLAIMED_BY_DRIVERCTL":
            raise RefusedError(claim.sentence, claim.mend, findings=(claim,))


def why_machines_unknown(index: HostIndex) -> str | None:
    """Why nobody knows which VM has which VF; None where it is known."""
    unread = why_unknown(index.host.libvirt_networks)
    if unread or not known(index.host.domains):
        return why_unknown(index.host.domains) or unread or _("libvirt is absent")
    return None


def refuse_unknown_machines(pf: PciFunction, index: HostIndex) -> None:
    """Refuse while nobody knows which VM has which VF."""
    if (reason := why_machines_unknown(index)) is not None:
        raise RefusedError(
            _("Whether a VM has one of the VFs of {nic} could not be learned: {reason}.").format(
                nic=label(pf), reason=reason
            ),
            _("systemctl start libvirtd; the Python binding is the package python3-libvirt."),
        )


def refuse_lent(vf: PciFunction, index: HostIndex) -> None:
    """Refuse a VF that a network of libvirt's lends to VMs, or that a VM uses by another interface."""
    if lent := tuple(check_machines(vf, index)):
        raise RefusedError(lent[0].sentence, lent[0].mend, findings=lent)


def uses_by_host(vf: PciFunction, index: HostIndex) -> tuple[Finding, ...]:
    """The findings by which the host uses a VF."""
    findings = (*check_claims(vf, index), *check_usage(vf, index))
    return tuple(f for f in findings if f.severity == Severity.UNSAFE and f.code not in _MAY_COME_AGAIN)


def is_idle(vf: PciFunction, index: HostIndex) -> bool:
    """Whether nobody is known to use the VF, or may do so without our knowing."""
    if why_machines_unknown(index) is not None or index.owners.get(vf.address) or on_vfio(vf):
        return False
    return not any(check_machines(vf, index)) and not uses_by_host(vf, index)


def refuse_used_vfs(function: PciFunction, index: HostIndex, *, by_vms: bool = True) -> None:
    """Refuse while a VF is in use: in a VM's definition, on vfio-pci, or carrying something of the host's.

    Without `by_vms` what VMs have in their definitions is no reason, for somebody sees to that they let go.
    """
    vfs = [f for f in index.host.pci if f.address in function.virtfns or f.physfn == function.address]
    if vfs:
        refuse_unknown_machines(function, index)
    for vf in vfs:
        if by_vms or not index.owners.get(vf.address, ()):
            refuse_used_vf(vf, index)
        else:
            refuse_lent(vf, index)


def refuse_used_vf(vf: PciFunction, index: HostIndex) -> None:
    """Refuse a VF that a pool or a VM has, that is on vfio-pci, or that carries something of the host's."""
    refuse_lent(vf, index)  # first: whose pool it is says more than which VM has it just now
    unsafe = uses_by_host(vf, index)
    if owners := index.owners.get(vf.address, ()):
        raise RefusedError(
            _("VF {nic} belongs to the VM {owner}.").format(nic=label(vf), owner=owners[0].name),
            _("nicpass detach {vm} {address}; or --in-steps, by which VMs that run let go of it meanwhile.").format(
                vm=vm_word(owners[0].name, owners[0].uuid), address=vf.address
            ),
        )
    if on_vfio(vf):
        raise RefusedError(
            _("VF {nic} is on vfio-pci, so a program may be using it.").format(nic=label(vf)),
            _("Unbind it from vfio-pci first."),
        )
    if unsafe:
        raise RefusedError(unsafe[0].sentence, unsafe[0].mend, findings=unsafe)
