# SPDX-License-Identifier: Apache-2.0
"""What goes along when a NIC's whole IOMMU group goes to one VM; bridges and what the VM has already stay as they are.

A member that the host uses is not left out quietly: a NIC is judged as if it had been named, and any other thing is
told by the findings about the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.companions import is_idle, is_storage
from nicpass.checks.lookup.groups import group_companions
from nicpass.checks.lookup.nics import is_bridge, is_nic, label, pf_of
from nicpass.model.errors import RefusedError
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.pci import PciFunction


def members_along(functions: Sequence[PciFunction], index: HostIndex) -> list[PciFunction]:
    """The members of the functions' groups that go along, in the order of their groups.

    Raises:
        RefusedError: one of them is a thing that no VM is given with a NIC.
    """
    found: dict[Address, PciFunction] = {}
    named = {function.address for function in functions}
    pfs = {place[0] for function in functions if (place := pf_of(function, index)) is not None}
    for function in functions:
        for member in group_companions(function, index):
            if member.address not in named | pfs and _goes_along(member, function, index):
                found[member.address] = member
    return list(found.values())


def _goes_along(member: PciFunction, function: PciFunction, index: HostIndex) -> bool:
    if is_bridge(member) or index.owners.get(member.address):
        return False
    if is_nic(member):
        return True
    if not known(member.class_code) or not is_idle(member, index):
        return False
    if is_storage(member):
        raise RefusedError(
            _("{member}, in the IOMMU group of {nic}, has disks, which no VM is given with a NIC.").format(
                member=member.address, nic=label(function)
            ),
            _("It has no driver of the host, so it may stay where it is: name the NICs, without --with-group."),
        )
    return True
