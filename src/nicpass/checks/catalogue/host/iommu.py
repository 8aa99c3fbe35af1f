# SPDX-License-Identifier: Apache-2.0
"""Codes about the IOMMU as a whole: the firmware's table, the kernel's arguments, what is in force."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "IOMMU_ON": Entry(
        severity=Severity.INFO,
        sentence="The IOMMU is on ({kind}: {units}), with {groups} groups.",
        meaning="The kernel has taken the IOMMU into use, so a guest's DMA can be confined to its own memory.",
        background="The kernel makes IOMMU groups only when a driver has taken an IOMMU into use, so a group is the "
        "proof that it is on. Its units stand in /sys/class/iommu: dmar for Intel VT-d, ivhd for AMD-Vi, smmu for Arm, "
        "virtio for the virtual one of QEMU. The firmware's table decides which driver it is, not the processor's "
        "brand: an emulated host may have an AMD processor and a table of Intel's.",
    ),
    "IOMMU_GROUPS_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="The IOMMU is on ({kind}: {units}), and its groups could not be read: {reason}.",
        meaning="Which devices share a group with a NIC is not known, so none may be given away by this picture of the "
        "host.",
        background="A driver registers an IOMMU in /sys/class/iommu only when it takes it into use, so it is on. Its "
        "groups stand in /sys/kernel/iommu_groups, which is there on every running kernel that has an IOMMU; captures "
        "often leave it out. What was left out is not what is absent: nothing follows from it for the host itself.",
        mend="Run it on the machine itself, or capture /sys/kernel/iommu_groups and the links iommu_group too.",
    ),
    "IOMMU_ON_BY_DEFAULT": Entry(
        severity=Severity.INFO,
        sentence="The IOMMU is on although no kernel argument asks for it: this kernel turns VT-d on by itself.",
        meaning="Another kernel on this host may be built otherwise and leave it off; intel_iommu=on makes it certain.",
        background="Whether VT-d is used without an argument is chosen when the kernel is built "
        "(CONFIG_INTEL_IOMMU_DEFAULT_ON). Distributions differ, and changed their minds over the years. AMD-Vi and "
        "Arm's SMMU are always used when the firmware describes them, so there is nothing to ask for.",
        mend="Nothing has to be done. To be sure of it with every kernel, add intel_iommu=on to its arguments.",
    ),
    "IOMMU_TABLE_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The firmware publishes no IOMMU table, so the kernel has no IOMMU to use.",
        meaning="Without a DMAR (Intel), IVRS (AMD), IORT (Arm) or VIOT (virtio) table no kernel argument helps.",
        background="The firmware describes the IOMMU to the kernel in an ACPI table, and leaves the table out when the "
        "IOMMU is switched off in its setup. Then the kernel cannot know that there is one, whatever its arguments "
        "say. Servers from before about 2009, and cheap boards or processors for longer, have no IOMMU at all: then "
        "there is no such switch, and another machine is needed.",
        mend="{menu}",
    ),
    "IOMMU_OFF": Entry(
        severity=Severity.REBOOT,
        sentence="The kernel shows no IOMMU group: {reason}.",
        meaning="VFIO gives a device only out of an IOMMU group, and there are none.",
        background="The kernel takes the IOMMU into use while it boots, so every change takes a reboot. iommu=off "
        "turns off any IOMMU and is not taken back by a later argument. intel_iommu= and amd_iommu= are heeded only "
        "where the firmware has the table of that vendor. What the kernel did about it stands in its log.",
        mend="{mend}",
        command="{command}",
    ),
    "IOMMU_NOT_FOR_PCI": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The IOMMU ({units}) serves no PCI device of this host: its {groups} groups are of other devices.",
        meaning="VFIO gives a PCI device only out of an IOMMU group, and none of them is in one.",
        background="An IOMMU serves the devices that it is wired to. On many Arm boards that is the display, the video "
        "decoder or USB, and the PCI Express controller reaches memory past it. The firmware says which devices it "
        "serves (IORT, or iommu-map in the device tree). Where the hardware could serve PCI and the firmware does not "
        "say so, only a newer firmware or device tree helps.",
        mend="A newer firmware or device tree, where the hardware can do it; else another machine.",
    ),
    "IOMMU_NOT_BUILT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The running kernel was built without a driver for this IOMMU: {option} is not set.",
        meaning="The firmware describes an IOMMU, and this kernel cannot use it, whatever its arguments say.",
        background="Which IOMMU drivers a kernel has is chosen when it is built. The kernels of distributions for "
        "servers and desktops have them all. Kernels made for clouds, containers or small devices may lack them.",
        mend="Boot a kernel that has {option}, such as the distribution's standard one.",
    ),
    "IOMMU_ARGUMENT_WRONG_VENDOR": Entry(
        severity=Severity.WARNING,
        sentence="The kernel argument {argument} is for the table {wanted}, and this firmware has {present}.",
        meaning="It does nothing on this host; whoever wrote it may believe that the IOMMU depends on it.",
        background="intel_iommu= is read by the driver for the table DMAR, amd_iommu= by the one for IVRS. The table "
        "decides, not the processor's brand: a virtual machine with an AMD processor can have a DMAR. An argument of "
        "the other vendor is passed over without a word.",
        mend="Take {argument} out of the kernel's arguments.",
    ),
    "IOMMU_ARGUMENT_UNKNOWN": Entry(
        severity=Severity.WARNING,
        sentence="The kernel argument {name}={value} has no meaning: {name} knows no value {value}.",
        meaning="The kernel passes over it, so it does not do what it was meant to do.",
        background="The kernel compares these values letter by letter, with case: intel_iommu=On or iommu=on do "
        "nothing. amd_iommu=on is copied from guide to guide and was never known: AMD-Vi is used whenever the "
        "firmware has it, unless amd_iommu=off is given. An unknown value stops nothing; it only misleads its reader.",
        mend="{mend}",
    ),
    "RMRR_RELAXED": Entry(
        severity=Severity.WARNING,
        sentence="The kernel argument {argument} is given, {effect}.",
        meaning="A kernel that heeds it gives a VM also devices whose memory the firmware wants to keep: who then "
        "writes there, firmware or guest, writes into the other's data.",
        background="Firmware reserves memory for a device by an RMRR in the DMAR table, and Linux gives no such device "
        "to a VM. A patch, which Proxmox VE's kernels carry, leaves that check out where relax_rmrr is given, and "
        "shows the memory as direct-relaxable. On machines whose firmware reserves memory for every slot (HP's Gen8 "
        "and before) there may be no other way. Mostly the memory is only for a management controller's reports, and "
        "nothing is seen; where it is in use, the guest or the controller fails in ways that nobody can explain. "
        "Without the argument a VM that has such a NIC no longer starts.",
        mend="Look whether a newer firmware, or its setup, can do without the reservation (on HPE servers the shared "
        "memory feature of the slot). Where a VM needs it, leave the argument as it is: taken out, VMs with such a NIC "
        "do not start after the next boot.",
    ),
    "IOMMU_PASSTHROUGH": Entry(
        severity=Severity.INFO,
        sentence="The DMA of the host's own devices is not confined: {reason}.",
        meaning="A device that stays with the host can reach all of its memory; one that a VM has is confined anyhow.",
        background="In this mode the devices of the host see memory as it is (domain type identity), which saves the "
        "translation. A device that is given to a VM gets a domain of its own all the same, so passthrough is as safe "
        "as without it. What is lost is protection against faulty or hostile devices that the host itself drives, "
        "such as ones plugged in from outside.",
    ),
    "IOMMU_ADDRESS_WIDTH": Entry(
        severity=Severity.WARNING,
        sentence="The IOMMU ({units}) translates addresses of {width} bits, while the processor has {bits} bits.",
        meaning="A VM that places memory or a device beyond the IOMMU's reach cannot map it for DMA.",
        background="The width is in the unit's capability register: the lesser of MGAW and the widest page table of "
        "SAGAW. Firmware of a VM that sees all bits of the host's processor may place the 64-bit windows of its "
        "devices near the top of the address space. VFIO then maps them for DMA too, and the IOMMU refuses what it "
        "cannot translate. Telling the VM fewer bits keeps everything within reach.",
        mend="In the VM's definition, inside <cpu>: <maxphysaddr mode='emulate' bits='{width}'/>.",
    ),
    "DMA_OPT_IN": Entry(
        severity=Severity.INFO,
        sentence="The firmware asks the kernel to confine DMA from its start (DMA_CTRL_PLATFORM_OPT_IN in the DMAR).",
        meaning="On a host with ports for strange devices the kernel turns VT-d on by itself, without an argument.",
        background="Firmware sets this flag to guard against devices that are plugged in from outside and do DMA, as "
        "Thunderbolt allows it. Where it also marks a PCI port as external facing, Linux turns VT-d on although it is "
        "off by default, and leaves the devices that are built in unconfined. Passthrough works in that state; "
        "intel_iommu=on makes it certain.",
    ),
    "NOIOMMU_MODE": Entry(
        severity=Severity.WARNING,
        sentence="VFIO's mode without an IOMMU is enabled (enable_unsafe_noiommu_mode).",
        meaning="A device that is used in that mode can read and write all memory of the host, and no VM can have it.",
        background="The mode exists for programs such as DPDK on machines without an IOMMU. It gives a program the "
        "device and no confinement, and the kernel marks itself as tainted. QEMU does not use it, so it is no help "
        "for passing a NIC to a VM. As long as it is enabled, a device without an IOMMU group can be taken in it.",
        mend="Turn it off, and take the option out of /etc/modprobe.d and the kernel's arguments, or it comes back.",
        command="echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
    ),
    "ACS_OVERRIDE": Entry(
        severity=Severity.WARNING,
        sentence="The kernel argument pcie_acs_override={value} is given.",
        meaning="A kernel with the patch for it shows groups that are smaller than they are; whether this one has it "
        "cannot be seen.",
        background="The argument comes from a patch that never went into the kernel. It declares that ports isolate "
        "what stands behind them although the hardware does not say so. Then DMA between devices of different "
        "groups, and so of different VMs, can pass below the IOMMU, unseen. A kernel without the patch passes over "
        "the argument, and the groups are true.",
        mend="Take pcie_acs_override out of the kernel's arguments, reboot, and look at the groups as they really are.",
    ),
}
