# SPDX-License-Identifier: Apache-2.0
"""Codes about the IOMMU group of a NIC and what else is in it."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_BACKGROUND = (
    "Devices are in one group when they may reach each other without the IOMMU seeing it: functions of one card, or "
    "what stands behind a bridge or port that does not keep its devices apart (ACS). VFIO gives a group to one VM, and "
    "only when no driver of the host has any device in it. The ways out, the safest first: a VF, which mostly has a "
    "group of its own; a slot behind another port; the whole group to one VM; a firmware option for ACS. There is also "
    "a patched kernel with pcie_acs_override=, which draws the groups smaller without making the hardware any safer: "
    "devices in different VMs can then reach each other's memory, so it is no way out where the guests are not trusted."
)

ENTRIES: dict[str, Entry] = {
    "GROUP_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{nic} is in no IOMMU group.",
        meaning="The IOMMU does not cover this device, or it is off; VFIO cannot confine it.",
        background="Other devices of this host have a group, so the IOMMU is on and leaves this one out. Either the "
        "firmware's table does not name it, or the device is one that the kernel cannot confine.",
    ),
    "GROUP_SHARED": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} shares IOMMU group {group} with devices that the host uses: {members}.",
        meaning="A group goes to a VM whole or not at all, because its members can reach each other's memory.",
        background=_BACKGROUND,
        mend="{ways}",
    ),
    "GROUP_SHARED_BOUND": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} shares IOMMU group {group} with devices that nobody uses, and that have a driver of the host: "
        "{members}.",
        meaning="VFIO gives the group to no VM before the host's drivers have let go of all of it.",
        background="A group goes to one VM whole or not at all. A device of it that the host's driver has keeps the "
        "group from every VM, also when nothing is done with it: QEMU then says 'group is not viable'. What stands in "
        "the definition of the same VM with managed='yes' is taken from its driver when that VM starts. Bridges may "
        "keep their driver, but only root ports and the like: up to Linux 5.18 by the type of their header, since then "
        "by their driver, pcieport. A bridge to the processor or to ISA, with a driver for temperatures, counters or a "
        "watchdog, is like any other device.",
        mend="{ways}",
        command="{unbind}",
    ),
    "GROUP_SHARED_IDLE": Entry(
        severity=Severity.WARNING,
        sentence="{nic} shares IOMMU group {group} with idle devices, which must go along: {members}.",
        meaning="They must stay without a host driver while the VM runs, and the VM's DMA can reach them.",
        background=_BACKGROUND,
        mend="{ways}",
    ),
    "GROUP_HAS_STORAGE": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="A disk that the host uses is in IOMMU group {group} with {nic}: {members}.",
        meaning="The whole group would leave the host, and what is mounted or swapped to with it.",
        background=_BACKGROUND,
        mend="{ways}",
    ),
    "GROUP_HAS_CONSOLE": Entry(
        severity=Severity.UNSAFE,
        sentence="The host's console is in IOMMU group {group} with {nic}: {members}.",
        meaning="The whole group would leave the host, and with it the screen or the only keyboard at the machine.",
        background=_BACKGROUND,
        mend="{ways}",
    ),
    "GROUP_HAS_OTHER_VM": Entry(
        severity=Severity.UNSAFE,
        sentence="A device in IOMMU group {group} with {nic} belongs to another VM: {members}.",
        meaning="Only one VM at a time can have devices of a group, so of these VMs only one can run.",
        background=_BACKGROUND,
        mend="{ways}",
    ),
    "VF_GROUP_HAS_PF": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The VF {nic} is in IOMMU group {group} with its own PF {pf}.",
        meaning="The PF must stay with its driver for the VF to exist, and VFIO refuses the group as long as it does.",
        background="VFIO gives a group away only when no driver of the host has any device in it. The driver of the PF "
        "makes the VFs and must stay. So no VF of this PF can go to a VM as long as they share a group. They do when "
        "a bridge or port above them does not keep its devices apart (ACS): another slot helps, or a firmware option.",
        mend="{ways}",
    ),
}
