# SPDX-License-Identifier: Apache-2.0
"""Codes about NICs that nicpass has given to VMs."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "RECORD_WITHOUT_VM": Entry(
        severity=Severity.WARNING,
        sentence="{nic} was given to the VM {vm}, but {reason}.",
        meaning="The record of what the NIC was, and the guard that stands for it, are left over.",
        background="attach keeps on disk what a NIC was to the host, and for as long as there is such a record a hook "
        "of libvirt and a unit of systemd stand guard. A VM that is undefined, or that loses the NIC by another hand "
        "(virsh edit), tells nobody: the record and the guard stay, until the NIC is taken back.",
        mend="Take it back: what it was is restored and compared. nicpass recover does so where it is all that it was.",
        command="{command}",
    ),
    "RECORD_WITHOUT_NIC": Entry(
        severity=Severity.WARNING,
        sentence="{nic} was given to the VM {vm}, but {reason}.",
        meaning="The VM cannot start with a NIC that is not there.",
        background="The VFs of a PF are made anew after each boot, by whatever makes them, and until then their "
        "addresses do not exist. A card that was taken out, or put into another slot, is not at its address either. "
        "The record of such a NIC can be settled without it: detach takes it out of the VM's definition and forgets "
        "what it was.",
        mend="{advice} It is taken out of the VM, and its record let go, by:",
        command="{command}",
    ),
    "START_VETOED": Entry(
        severity=Severity.WARNING,
        sentence="A start of the VM {vm} was vetoed at {when}: {sentence}",
        meaning="The VM is off, and stays off until what stood in the way is mended or allowed.",
        background="Before each start of a VM that has a NIC of the host, a hook of libvirt looks at the host again "
        "and vetoes the start where the host would lose what it was not told to give. libvirt shows the reason to "
        "whoever starts the VM; a VM that a boot starts has nobody who sees it. This goes away with the next start "
        "that is let through, or when the NIC is taken back.",
        mend="Mend what stands in the way, and start the VM again. {advice}",
        command="{command}",
    ),
}
