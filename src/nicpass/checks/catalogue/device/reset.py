# SPDX-License-Identifier: Apache-2.0
"""Codes about how a NIC can be reset."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_BACKGROUND = (
    "Before a device goes to another user the kernel resets it, so that nothing of the last one is left in it. "
    "It tries, in this order, a reset made for the model, FLR (PCI Express), FLR by Advanced Features (conventional "
    "PCI), the power states D3hot and D0 where the device says that this resets it (NoSoftRst-), and last a reset "
    "of the whole bus. The attribute reset_method in sysfs lists those that the device has; Linux before 5.15 lacks "
    "it. A bus reset by itself is used only where nothing else is on the bus; VFIO also uses it for several functions "
    "when all of them belong to the same VM."
)

ENTRIES: dict[str, Entry] = {
    "RESET_NONE": Entry(
        severity=Severity.WARNING,
        sentence="The kernel knows no way to reset {nic}.",
        meaning="The guest gets it in the state in which the last user left it; some drivers cannot bear that.",
        background=_BACKGROUND,
        mend="A VF can always be reset (SR-IOV demands FLR); or another slot, where a bus reset is possible.",
    ),
    "RESET_BUS_ONLY": Entry(
        severity=Severity.INFO,
        sentence="{nic} can only be reset together with its bus, on which it is alone.",
        meaning="That is a full reset; it only takes longer, because the link has to come up again.",
        background=_BACKGROUND,
    ),
    "RESET_BUS_SHARED": Entry(
        severity=Severity.WARNING,
        sentence="{nic} has no reset of its own; a reset of its bus would also reset {others}.",
        meaning="The VM can reset it only if all of these are given to the same VM, and else starts with it as it is.",
        background=_BACKGROUND,
        mend="Give all of them to the same VM, or put the card where it is alone on its bus.",
    ),
    "RESET_UNKNOWN": Entry(
        severity=Severity.WARNING,
        sentence="Whether {nic} can be reset could not be learned: {reason}.",
        meaning="Without a reset the guest gets it in the state in which the last user left it.",
        background=_BACKGROUND,
        mend="Run the check as root, on a kernel of 5.15 or newer.",
    ),
}
