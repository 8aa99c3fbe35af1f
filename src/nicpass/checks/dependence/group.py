# SPDX-License-Identifier: Apache-2.0
"""Law 2: every device of the group is looked at before any is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.groups import group_companions
from nicpass.checks.lookup.nics import label
from nicpass.model.fact import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.group")


def check_group(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Findings about the NIC's IOMMU group, and about what else is in it."""
    if not known(function.iommu_group):
        # Where no device has a group, for the IOMMU is off or serves others, that is one finding about the host.
        if index.groups:
            evidence = ((f"/sys/bus/pci/devices/{function.address}/iommu_group", "absent"),)
            yield make_finding("GROUP_ABSENT", function.address, evidence, nic=label(function))
        return
    companions = group_companions(function, index)
    if companions:
        from nicpass.checks.dependence.companions import check_companions  # late: most NICs are alone in theirs

        yield from check_companions(function, companions, index)
