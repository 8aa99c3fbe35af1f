# SPDX-License-Identifier: Apache-2.0
"""Codes about the host as a whole: what kind of host it is, and its hypervisor."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "HOST_IS_CONTAINER": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="This is a container ({kind}), not the host itself.",
        meaning="Drivers, IOMMU and network belong to the host; from here they can be neither changed nor fully seen.",
        background="A container shares the kernel of its host, mostly with /sys mounted read-only and network "
        "interfaces of its own. What is found here may be true of the host or only of this container. Binding a "
        "device to another driver is the host's business.",
        mend="Run nicpass on the host itself.",
    ),
    "PCI_UNREAD": Entry(
        severity=Severity.WARNING,
        sentence="The PCI bus could not be read in full: {reason}.",
        meaning="There may be NICs, and members of IOMMU groups, that are not shown here.",
        background="Every PCI function has a folder below /sys/bus/pci/devices, and its class there tells a NIC from "
        "a disk. A function that goes away while it is read, a capture that lacks it, or rights that were taken from "
        "/sys leave it out. What was not seen is not said to be absent.",
        mend="Run it once more, as root; of a capture, take all of /sys/bus/pci and /sys/devices.",
    ),
    "HOST_IS_VM": Entry(
        severity=Severity.INFO,
        sentence="This host is itself a virtual machine ({product}).",
        meaning="What it can give away is what its own hypervisor gave to it; a VM in it needs nested virtualization.",
        background="The processor's flag hypervisor says that another hypervisor runs below. Passthrough from here "
        "needs an IOMMU that this hypervisor shows (intel-iommu, amd-iommu or virtio-iommu of QEMU), nested "
        "virtualization, and a NIC that was passed to this machine or is emulated as a PCI device.",
    ),
    "XEN_DOM0": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="This is dom0 of a Xen host.",
        meaning="Under Xen the hypervisor holds the IOMMU, and devices go to guests by xen-pciback, not by VFIO.",
        background="Xen uses the IOMMU itself and hides it from dom0, so there are no IOMMU groups here. Devices are "
        "given with xl pci-assignable-add and xl pci-attach. nicpass does not support Xen yet.",
        mend="Use xl pci-assignable-add and the option pci= of the guest, or boot this host without Xen to use KVM.",
    ),
    "HYPERVISOR_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="libvirt cannot be asked which VM has which NIC: {reason}.",
        meaning="A NIC that stands in another VM's definition must not be given away twice.",
        background="Whose NIC it is stands in the definitions of the VMs, which libvirt keeps. As long as it does not "
        "answer, every NIC may be one that a VM needs, and unknown counts as in use.",
        mend="systemctl start libvirtd; the Python binding is the package python3-libvirt.",
    ),
}
