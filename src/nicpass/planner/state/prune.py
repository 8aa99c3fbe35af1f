# SPDX-License-Identifier: Apache-2.0
"""What nicpass has made on a host, and a file does not name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.binding.identity import match_identity
from nicpass.checks.lookup.nics import label
from nicpass.model.fact import value_or
from nicpass.model.request import DetachRequest, VfRequest
from nicpass.model.text import printable
from nicpass.planner.state.difference import PRESENT, Difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.domain import Domain
    from nicpass.model.pci import PciFunction
    from nicpass.planner.state.aims import Aims


def nics_to_take_back(aims: Aims, index: HostIndex) -> Iterator[tuple[Domain, tuple[PciFunction, ...]]]:
    """The NICs of each VM that nicpass has given to it, and that the file does not name as its."""
    for domain in value_or(index.host.domains, None) or ():
        named = {nic.address for vm in aims.vms for nic in vm.nics if vm.domain.uuid == domain.uuid}
        has = {device.address for device in (*domain.config_devices, *domain.live_devices)}
        extra = tuple(
            index.functions[given.address]
            for given in index.given.values()
            if given.uuid == domain.uuid and given.address in has - named and given.address in index.functions
        )
        if extra:
            yield domain, extra


def pfs_to_clear(aims: Aims, index: HostIndex) -> Iterator[PciFunction]:
    """The PFs that nicpass makes VFs of at every boot, and that the file does not name."""
    named = {aim.pf.address for aim in aims.pfs}
    for one in value_or(index.host.vf_declarations.found, ()):
        match = match_identity(one.identity, index.host.pci)
        pf = index.functions.get(match.addresses[0]) if match.outcome == "found" else None
        if pf is not None and pf.address not in named:
            yield pf


def find_extra(aims: Aims, index: HostIndex) -> Iterator[Difference]:
    """What `--prune` would take back."""
    for domain, functions in nics_to_take_back(aims, index):
        for function in functions:
            name = printable(domain.name)
            yield Difference(kind="vm", name=name, what=label(function), now=PRESENT, wanted=None, line=0)
    for pf in pfs_to_clear(aims, index):
        yield Difference(kind="pf", name=label(pf), what="vfs", now=str(value_or(pf.numvfs, "?")), wanted="0", line=0)


def ask_to_take_back(aims: Aims, index: HostIndex) -> Iterator[DetachRequest]:
    """A request for each VM that has a NIC too many."""
    for domain, functions in nics_to_take_back(aims, index):
        first, *more = [function.address for function in functions]
        yield DetachRequest(vm=domain.uuid, nic=first, more=tuple(more))


def ask_to_clear(aims: Aims, index: HostIndex, confirm_within: int | None) -> Iterator[tuple[PciFunction, VfRequest]]:
    """A request for each PF whose VFs are to go."""
    for pf in pfs_to_clear(aims, index):
        yield pf, VfRequest(pf=pf.address, count=0, confirm_within=confirm_within)
