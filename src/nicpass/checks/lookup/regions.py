# SPDX-License-Identifier: Apache-2.0
"""What the reserved regions of a group tell of the kernel: whether it lets NICs go that firmware wants to keep.

Source: device_rmrr_is_relaxable() in drivers/iommu/intel/iommu.c. The kernel relaxes the regions of graphics and USB
controllers; a patch that Proxmox VE's kernels carry relaxes all, where intel_iommu=relax_rmrr is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import known, value_or

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.groups import IommuGroup
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

_NETWORK = 0x02


def regions_of(group: IommuGroup, kind: str) -> str:
    """The regions of one type, for people: `0x7d000000-0x7d000fff, ...`; empty where there is none."""
    regions = group.reserved_regions if known(group.reserved_regions) else ()
    return ", ".join(f"{each.start}-{each.end}" for each in regions if each.type == kind)


def is_relaxed(group: IommuGroup, members: Iterable[PciFunction]) -> bool:
    """Whether this kernel relaxes regions that no stock kernel would: none of the group's members is of such a kind."""
    if not regions_of(group, "direct-relaxable"):
        return False
    from nicpass.checks.lookup.scopes import is_relaxable  # late: few functions have regions

    return not any(is_relaxable(member) for member in members)


def relaxes_all(host: Host) -> bool | None:
    """Whether the running kernel relaxes the regions of every device, by the groups of NICs; None where none tells."""
    members: dict[int, list[PciFunction]] = {}
    for function in host.pci:
        if known(function.iommu_group):
            members.setdefault(function.iommu_group, []).append(function)
    answer: bool | None = None
    for group in value_or(host.iommu_groups, ()):
        inside = members.get(group.number, [])
        if not any(known(each.class_code) and each.class_code >> 16 == _NETWORK for each in inside):
            continue
        if regions_of(group, "direct"):
            return False
        answer = is_relaxed(group, inside) or answer
    return answer
