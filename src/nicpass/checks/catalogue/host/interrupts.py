# SPDX-License-Identifier: Apache-2.0
"""Codes about interrupt remapping, without which a guest's device can send any interrupt to the host."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_BACKGROUND = (
    "A device sends an interrupt by a write to memory (MSI), and a guest that commands a device can make it write any "
    "such message. Interrupt remapping lets only those through that the host has prepared. VFIO refuses a device "
    "where interrupts are not isolated, unless allow_unsafe_interrupts is set. In /proc/interrupts the controllers "
    "of a host where it is in force begin with IR-; on Arm the ITS does the same."
)

ENTRIES: dict[str, Entry] = {
    "INTERRUPT_REMAPPING_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The host cannot isolate interrupts: {reason}.",
        meaning="VFIO refuses every device on such a host, because a guest could send the host forged interrupts.",
        background=_BACKGROUND,
        mend="{menu} Only for guests that are trusted like the host itself: the module option "
        "vfio_iommu_type1 allow_unsafe_interrupts=1.",
    ),
    "INTERRUPT_REMAPPING_OFF": Entry(
        severity=Severity.REBOOT,
        sentence="Interrupt remapping is not in force: {reason}.",
        meaning="VFIO refuses every device until it is, because a guest could send the host forged interrupts.",
        background=_BACKGROUND,
        mend="{mend}",
    ),
    "INTERRUPT_REMAPPING_UNKNOWN": Entry(
        severity=Severity.WARNING,
        sentence="Whether interrupt remapping is in force could not be learned: {reason}.",
        meaning="VFIO refuses every device where it is not.",
        background=_BACKGROUND,
        mend="Look at /proc/interrupts: on x86 the names of the controllers begin with IR- where it is in force.",
    ),
    "UNSAFE_INTERRUPTS": Entry(
        severity=Severity.WARNING,
        sentence="VFIO gives devices even where interrupts are not isolated (allow_unsafe_interrupts).",
        meaning="Where interrupt remapping is not in force, a guest can send forged interrupts to the host.",
        background=_BACKGROUND,
        mend="Turn it off, and take the option out of /etc/modprobe.d and the kernel's arguments, or it comes back.",
        command="echo N > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
    ),
}
