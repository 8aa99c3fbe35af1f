# SPDX-License-Identifier: Apache-2.0
"""Codes about hardware virtualization: the processor, the firmware's switch, /dev/kvm."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "CPU_NO_VIRTUALIZATION": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The processor does not offer hardware virtualization: neither vmx nor svm is among its flags.",
        meaning="KVM needs VT-x (Intel) or SVM (AMD); libvirt would fall back to emulation, which VFIO refuses.",
        background="Every server processor since about 2008 has it, so a missing flag mostly means that the firmware "
        "has locked it: Linux hides vmx then. In a virtual machine the flag is there only where the hypervisor below "
        "allows nested virtualization.",
        mend="{menu} In a virtual machine, turn on nested virtualization for it.",
    ),
    "KVM_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="/dev/kvm is not there, or it does not answer, though the processor could do it.",
        meaning="The module for it is not loaded, or it refused because the firmware has locked virtualization off.",
        background="The module makes /dev/kvm when it is loaded, which udev does at boot for a processor that has the "
        "flag. It refuses where the firmware has locked virtualization off; then modprobe answers that the operation "
        "is not supported, and the kernel's log says so.",
        mend="If modprobe answers that it is not supported: {menu}",
        command="modprobe {module}",
    ),
    "KVM_MODULE_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The running kernel has no module {module}, which this processor needs for KVM.",
        meaning="Without it no VM runs with the processor's help, and VFIO serves no other kind.",
        background="The module lies with the others of the running kernel in /lib/modules. It is missing where only a "
        "part of the kernel's packages was installed, or where a newer kernel was installed and not yet booted.",
        mend="Install the package with the kernel's modules; after a kernel update, reboot into the new kernel.",
    ),
    "KVM_UNUSABLE": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="/dev/kvm is there and makes no VM: {reason}.",
        meaning="No VM starts with the processor's help as long as this is so.",
        background="nicpass asked for the API version (KVM_GET_API_VERSION) and for an empty VM (KVM_CREATE_VM), "
        "which it gave back at once. Another hypervisor that holds the processor's virtualization (VirtualBox, "
        "VMware) makes the second fail as busy. So does a firmware that switched it off on some processors only.",
        mend="Look for the reason: dmesg | grep -i kvm; stop other hypervisors on this host.",
    ),
}
