# SPDX-License-Identifier: Apache-2.0
"""Codes about the kernel: VFIO, lockdown, Secure Boot."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "VFIO_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The running kernel has no vfio-pci module.",
        meaning="vfio-pci is the driver through which a VM reaches the NIC.",
        background="The module is not among those that /lib/modules lists for the running kernel. It is missing where "
        "only a part of the kernel's packages was installed, or where a newer kernel was installed and not yet booted.",
        mend="Install the package with the kernel's modules; after a kernel update, reboot into the new kernel.",
    ),
    "VFIO_NOT_BUILT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The running kernel was built without vfio-pci (CONFIG_VFIO_PCI is not set).",
        meaning="vfio-pci is the driver through which a VM reaches the NIC; no package adds it to this kernel.",
        background="Whether a kernel has VFIO is chosen when it is built. Kernels made for clouds or small devices "
        "often lack it, the standard ones of distributions have it.",
        mend="Boot a kernel that has it, such as the distribution's standard one.",
    ),
    "VFIO_NOT_LOADED": Entry(
        severity=Severity.INFO,
        sentence="vfio-pci is not loaded yet; libvirt loads it when it is first needed.",
        meaning="Nothing is wrong: the module is there.",
        background="A module that nothing uses need not be loaded. libvirt loads vfio-pci when the first VM with a "
        "device of the host starts, and nicpass does so when it binds one.",
    ),
    "LOCKDOWN": Entry(
        severity=Severity.INFO,
        sentence="The kernel is locked down ({mode}).",
        meaning="Passthrough works all the same; tools that write to the card behind its driver do not.",
        background="Lockdown keeps even root from changing the running kernel. Writes to the config space of a PCI "
        "device and mapping its BARs through /sys are refused (LOCKDOWN_PCI_ACCESS), so setpci and firmware tools "
        "such as mstflint or mstconfig fail. Reading config space is not restricted, so this check sees everything. "
        "VFIO goes another way and is not touched, nor is a firmware update that the card's own driver does "
        "(devlink dev flash). Kernel modules must be signed.",
        mend="Only for a firmware tool that needs it: boot once without lockdown (Secure Boot off, no lockdown=).",
    ),
    "SECURE_BOOT": Entry(
        severity=Severity.INFO,
        sentence="Secure Boot is on.",
        meaning="Passthrough works all the same; kernel modules must be signed, and most kernels lock themselves down.",
        background="With Secure Boot the firmware starts only what is signed. The kernels of most distributions turn "
        "lockdown on in that case (mode integrity). A driver from outside the distribution, such as a vendor's own "
        "NIC driver or a patched vfio-pci, is loaded only if it is signed with an enrolled key.",
    ),
}
