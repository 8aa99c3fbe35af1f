# SPDX-License-Identifier: Apache-2.0
"""Codes about the IOMMU group of a NIC and what else is in it."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "GROUP_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{nic} is in no IOMMU group.",
        meaning="The IOMMU does not cover this device, or it is off; VFIO cannot confine it.",
    ),
    "GROUP_SHARED": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} shares IOMMU group {group} with devices that the host uses: {members}.",
        meaning="A group goes to a VM whole or not at all, because its members can reach each other's memory.",
        mend="In order of safety: a VF in place of the whole NIC, another slot, or a firmware option for ACS.",
    ),
    "GROUP_SHARED_IDLE": Entry(
        severity=Severity.WARNING,
        sentence="{nic} shares IOMMU group {group} with idle devices: {members}.",
        meaning="They must stay without a host driver while the VM runs, and the VM's DMA can reach them.",
    ),
}
