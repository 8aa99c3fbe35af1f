# SPDX-License-Identifier: Apache-2.0
"""Codes about the firmware's IOMMU tables and what they reserve."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_WAYS_OUT = (
    "Update the firmware, then look in its setup for what uses this memory: on AMD boards Kernel DMA Protection or "
    "Pre-boot DMA Protection, on HPE servers the shared memory feature of the slot. Otherwise another NIC or slot, "
    "or a VF, if its own IOMMU group shows no such region. Where all that fails: patched kernels, such as Proxmox "
    "VE's, give it away with intel_iommu=relax_rmrr, at the risk that firmware and guest write into each other's "
    "memory."
)

ENTRIES: dict[str, Entry] = {
    "RESERVED_REGION": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The IOMMU group of {nic} must reach memory that the firmware keeps for it at all times: {regions}.",
        meaning="The kernel gives no device to a VM whose reserved memory would no longer be mapped.",
        background="Firmware can demand that a device always reaches a piece of memory under its own address: an "
        "RMRR in Intel's DMAR table, an IVMD in AMD's IVRS table. Management controllers and their NICs use it, "
        "because they go on working while the operating system runs. The kernel shows it as a region of type direct "
        "in the reserved_regions of the IOMMU group. When a VM asks for the device, the kernel refuses, and dmesg "
        'says "ineligible for IOMMU domain attach due to platform RMRR requirement" or, in newer kernels, "Firmware '
        'has requested this device have a 1:1 IOMMU mapping". Patched kernels that leave this check out let the '
        "guest and the firmware write over each other's memory.",
        mend=_WAYS_OUT,
    ),
    "RESERVED_REGION_RELAXED": Entry(
        severity=Severity.WARNING,
        sentence="This kernel lets go of memory that the firmware keeps for {nic}: {regions}.",
        meaning="Once a VM has the NIC, that memory is mapped for it no longer, and what the firmware or a management "
        "controller does there by the NIC fails, or hits the guest's memory.",
        background="The kernel shows the memory as direct-relaxable. By itself it does so for graphics and USB "
        "controllers alone; for a NIC only a patched kernel does, told by intel_iommu=relax_rmrr. The check that was "
        "left out is there because a BMC that shares the NIC goes on to use the memory while the VM runs. Often "
        "nothing uses it, and the NIC works; nobody but the maker of the firmware can say so for certain.",
        mend="Look in the firmware's setup for what reserves it (on HPE servers the shared memory feature of the "
        "slot), and test the VM under load before it is relied on. Without intel_iommu=relax_rmrr the VM would not "
        "start.",
    ),
    "RESERVED_REGION_FIRMWARE": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The firmware's table keeps memory for {nic} ({regions}): the kernel will not give it to a VM.",
        meaning="What the kernel made of it could not be read; by the table alone this NIC stays with the host.",
        background="The table names this function, or a bridge above it, in an RMRR (Intel) or IVMD (AMD). Every "
        "kernel that shows such a region as direct refuses to hand the device to a VM; only USB controllers and "
        "graphics are let go. Here the kernel's own list, reserved_regions of the IOMMU group, was not there to read: "
        "the IOMMU is off, the kernel is old, or this is a capture. With the IOMMU on, that list has the last word.",
        mend=_WAYS_OUT,
    ),
    "TABLE_DAMAGED": Entry(
        severity=Severity.WARNING,
        sentence="The firmware's {table} table is damaged: {problems}.",
        meaning="What it says of units and reserved memory may be incomplete, here and in the kernel.",
        background="The lengths and checksums in the table do not agree with its content. What could be decoded "
        "without guessing was used, the rest was left out. The kernel reads the same bytes: it stops at a record "
        "that passes the end of the table, and may then run without the IOMMU or without part of it; dmesg says so "
        "in lines that begin with DMAR or AMD-Vi.",
        mend="Update the firmware; until then compare with what the kernel says: dmesg | grep -i -e DMAR -e AMD-Vi",
    ),
    "TABLE_UNREADABLE": Entry(
        severity=Severity.WARNING,
        sentence="The firmware's {table} table could not be read: {reason}.",
        meaning="It is there, or may be; which memory it reserves and which NIC it covers is unknown.",
        background="The kernel shows ACPI tables in /sys/firmware/acpi/tables to root only. Without them, reserved "
        "memory is still known from the IOMMU groups while the IOMMU is on, but not while it is off, and the table's "
        "flags are unknown.",
        mend="Run this as root.",
    ),
    "X2APIC_OPT_OUT": Entry(
        severity=Severity.INFO,
        sentence="The firmware asks the kernel not to use x2APIC.",
        meaning="Interrupt remapping works all the same, in xAPIC mode; it matters on hosts with more than 255 CPUs.",
        background="The flag X2APIC_OPT_OUT of the DMAR table. The kernel obeys it and keeps to xAPIC, whose CPU "
        "numbers have 8 bits. The kernel argument intremap=no_x2apic_optout overrides the firmware. VFIO needs "
        "interrupt remapping, not x2APIC.",
    ),
    "INTERRUPT_REMAPPING_NOT_OFFERED": Entry(
        severity=Severity.WARNING,
        sentence="The firmware's DMAR table does not offer interrupt remapping.",
        meaning="Without it a guest can send the host any interrupt, so VFIO refuses unless told otherwise.",
        background="The flag INTR_REMAP of the DMAR table is not set: the chipset cannot remap interrupts, or the "
        "firmware has turned it off. The kernel then does not use it. VFIO gives no device to a VM on such a host "
        "unless allow_unsafe_interrupts is set for vfio_iommu_type1, which trusts the guest not to forge interrupts.",
        mend="In the firmware setup look for interrupt remapping beside VT-d, and for a newer firmware. "
        "If there is none, give NICs of this host only to guests that you trust.",
    ),
    "NO_UNIT_FOR_NIC": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="No IOMMU in the firmware's {table} table covers {nic}.",
        meaning="Nothing can confine the DMA of this NIC, so the kernel gives it no IOMMU group.",
        background="Each IOMMU of a host serves the functions that its record in the table names, or all that are "
        "left in its PCI segment. This NIC is in none of them. Either the slot hangs on a part of the chipset "
        "without an IOMMU, or the firmware has left it out.",
        mend="Another slot, best one that is wired to the processor; or a newer firmware.",
    ),
    "DOMAIN_IDENTITY": Entry(
        severity=Severity.INFO,
        sentence="While {nic} is the host's, its DMA is not confined: the domain of IOMMU group {group} is identity.",
        meaning="A VM that gets it is confined all the same; only the host's own drivers and devices are trusted.",
        background="The kernel argument iommu=pt, or the kernel's own choice, maps all memory one to one for the "
        "host's devices: quick, and without protection against a device or driver that goes wrong. For a VM, VFIO "
        "puts the group into a domain of its own.",
    ),
}
