# SPDX-License-Identifier: Apache-2.0
"""Which VF of a PF goes to a VM that wants any: one that nobody uses, on the node of the VM's memory where it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.blocking import blocking
from nicpass.checks.dependence.vfs import describe_use
from nicpass.checks.lookup.nics import label, pf_of
from nicpass.checks.preflight import check_nic
from nicpass.checks.vm.memory import memory_nodes
from nicpass.model.errors import ImpossibleError
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.memory import format_cpulist
from nicpass.planner.vf.use import counts_of

if TYPE_CHECKING:
    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.domain import Domain
    from nicpass.model.pci import PciFunction
    from nicpass.model.request import AttachRequest

_TOLD = 4
"""VFs in use that a sentence names."""


def choose_vf(pf: PciFunction, request: AttachRequest, domain: Domain, index: HostIndex) -> tuple[PciFunction, str]:
    """(the VF, why it is this one).

    Of those that nobody uses, the first with which nothing else is wrong; where there is none such, the first: what is
    wrong with it is told when it is judged.

    Raises:
        ImpossibleError: the NIC makes no VFs, has made none, or all of them are in use.
    """
    counts_of(pf)
    vfs = index.vfs.get(pf.address, [])
    if not vfs:
        raise ImpossibleError(
            _("{pf} has no VFs.").format(pf=label(pf)),
            _("Make some: {command}").format(command=f"nicpass vf create {pf.address} --count N"),
        )
    unused = [vf for vf in vfs if not _use_of(vf, index)]
    if not unused:
        raise ImpossibleError(
            _("No VF of {pf} is free: {uses}.").format(pf=label(pf), uses=_tell_uses(vfs, index)),
            f"nicpass vf list {pf.address}",
        )
    wanted = memory_nodes(domain, index)
    order = sorted(unused, key=lambda vf: (not _is_near(vf, wanted), _number_of(vf, index)))
    looking = index.for_vm(domain)
    ready = (vf for vf in order if not blocking(check_nic(vf, looking), request.allow))
    vf = next(ready, order[0])
    return vf, _tell_why(vf, pf, domain, wanted, index)


def _use_of(vf: PciFunction, index: HostIndex) -> str:
    """Who uses the VF; empty for one that is bound at every boot for a VM, and that no VM has."""
    bound = vf.address in index.boot_bindings and vf.address not in index.owners
    return "" if bound else describe_use(vf, index)


def _tell_uses(vfs: list[PciFunction], index: HostIndex) -> str:
    words = [f"{label(vf)}: {_use_of(vf, index)}" for vf in vfs[:_TOLD]]
    more = len(vfs) - _TOLD
    return "; ".join([*words, *([_("and {count} more").format(count=more)] if more > 0 else [])])


def _number_of(vf: PciFunction, index: HostIndex) -> int:
    place = pf_of(vf, index)
    return place[1] if place is not None and place[1] is not None else len(index.functions)


def _is_near(vf: PciFunction, wanted: frozenset[int]) -> bool:
    return known(vf.numa_node) and vf.numa_node in wanted


def _tell_why(vf: PciFunction, pf: PciFunction, domain: Domain, wanted: frozenset[int], index: HostIndex) -> str:
    place = pf_of(vf, index)
    number = place[1] if place is not None and place[1] is not None else "?"
    sentence = _("{vf}, VF {number} of {pf}, is the first that nobody uses.")
    if _is_near(vf, wanted):
        sentence = _("{vf}, VF {number} of {pf}, is the first that nobody uses on the NUMA node of {vm}'s memory.")
    elif wanted:
        sentence = _(
            "{vf}, VF {number} of {pf}, is the first that nobody uses; none is on NUMA node {nodes}, where {vm} has "
            "its memory."
        )
    return sentence.format(vf=label(vf), number=number, pf=label(pf), vm=domain.name, nodes=format_cpulist(wanted))
