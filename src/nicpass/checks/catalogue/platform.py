# SPDX-License-Identifier: Apache-2.0
"""Codes about the host as a whole: IOMMU, processor, kernel, hypervisor."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "IOMMU_ON": Entry(
        severity=Severity.INFO,
        sentence="The IOMMU is on ({units}), with {groups} groups.",
        meaning="The kernel has taken the IOMMU into use, so a guest's DMA can be confined to its own memory.",
    ),
    "IOMMU_TABLE_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The firmware publishes no IOMMU table, so the kernel has no IOMMU to use.",
        meaning="Without a DMAR (Intel), IVRS (AMD), IORT (Arm) or VIOT (virtio) table no kernel argument helps.",
        mend="In the firmware setup turn on VT-d (Intel), or AMD-Vi, also called IOMMU (AMD). "
        "If there is no such switch, the board has no IOMMU.",
    ),
    "IOMMU_OFF": Entry(
        severity=Severity.REBOOT,
        sentence="The kernel does not use the IOMMU: {reason}.",
        meaning="VFIO gives a device only out of an IOMMU group, and there are none.",
        mend="{mend}",
    ),
    "CPU_NO_VIRTUALIZATION": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The processor does not offer hardware virtualization: neither vmx nor svm is among its flags.",
        meaning="KVM needs VT-x (Intel) or SVM (AMD); libvirt would fall back to emulation, which VFIO refuses.",
        mend="In the firmware setup turn on VT-x or SVM; in a virtual machine, nested virtualization.",
    ),
    "KVM_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="/dev/kvm is not there, though the processor could do it.",
        meaning="The kvm module is not loaded, or the firmware has locked virtualization off.",
        mend="modprobe {module}",
    ),
    "VFIO_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The running kernel has no vfio-pci module.",
        meaning="vfio-pci is the driver through which a VM reaches the NIC.",
        mend="Install the package with the kernel's modules; after a kernel update, reboot into the new kernel.",
    ),
    "VFIO_NOT_LOADED": Entry(
        severity=Severity.INFO,
        sentence="vfio-pci is not loaded yet; libvirt loads it when it is first needed.",
        meaning="Nothing is wrong: the module is there.",
    ),
    "HYPERVISOR_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="libvirt cannot be asked which VM has which NIC: {reason}.",
        meaning="A NIC that stands in another VM's definition must not be given away twice.",
        mend="systemctl start libvirtd; the Python binding is the package python3-libvirt.",
    ),
}
