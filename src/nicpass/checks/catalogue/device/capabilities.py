# SPDX-License-Identifier: Apache-2.0
"""Codes about what a NIC's configuration space and power attributes say of it."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_INTERRUPTS = (
    "With MSI and MSI-X a device interrupts by writing to memory, so interrupt remapping can confine it, and each "
    "vector goes to a processor of its own. An interrupt line (INTx) may be shared: then VFIO has to mask the device "
    "at every interrupt, and where the device cannot be masked the line must belong to it alone. A network card "
    "with MSI-X has a vector a queue and processor; with MSI or a line, one for all."
)

ENTRIES: dict[str, Entry] = {
    "CONFIG_UNREADABLE": Entry(
        severity=Severity.WARNING,
        sentence="The configuration space of {count} NICs could not be read in full; the first is {first}.",
        meaning="Reset, interrupts, SR-IOV and isolation of these NICs are unknown, not absent.",
        background="The kernel shows 64 bytes of a function's configuration space to everybody and the rest only to a "
        "process with CAP_SYS_ADMIN. All capabilities lie above those 64 bytes. What sysfs shows besides (VFs, "
        "reset methods, link speed) is used all the same.",
        mend="Run the check as root.",
        command="sudo nicpass check",
    ),
    "CONFIG_DAMAGED": Entry(
        severity=Severity.WARNING,
        sentence="The configuration space of {owner}, on which {nic} depends, is damaged: {problems}.",
        meaning="What lies behind the damage is unknown, and the kernel does not find it either.",
        background="Capabilities are a list of pointers from one to the next. A list that loops or points outside "
        "comes from faulty firmware, a device in the middle of a reset, or a slot with bad contact. The kernel stops "
        "at the same place and treats what it has not reached as absent.",
        mend="Switch the machine off and on. If it stays, update the card's firmware, or try another slot.",
    ),
    "DEVICE_GONE": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{nic} does not answer: its configuration space reads as ones (power state {state}).",
        meaning="It was pulled out, has failed, or did not wake from D3cold; no driver can use it as it is.",
        background="A read that nobody answers comes back with all bits set. That happens when a card has lost its "
        "link or its power, hangs after a reset, or stays in D3cold. Removing the function and scanning the bus again "
        "sometimes brings it back; else only switching the machine off and on does.",
        mend="Look for it with dmesg, then let the kernel find it again.",
        command="echo 1 > /sys/bus/pci/devices/{address}/remove && echo 1 > /sys/bus/pci/rescan",
    ),
    "MSI_NONE": Entry(
        severity=Severity.WARNING,
        sentence="{nic} has neither MSI nor MSI-X, only an interrupt line that others may share.",
        meaning="Interrupts are slow in the VM, and a line that is shared with the host can keep the VM from starting.",
        background=_INTERRUPTS,
        mend="Another NIC, or virtio-net in the VM: a card without MSI is rarely worth passing through.",
    ),
    "MSIX_NONE": Entry(
        severity=Severity.INFO,
        sentence="{nic} has MSI ({vectors} vectors at most), but no MSI-X.",
        meaning="All its queues share few interrupts, so one processor of the VM does most of the work.",
        background=_INTERRUPTS,
    ),
    "D3COLD_ALLOWED": Entry(
        severity=Severity.INFO,
        sentence="{nic} is idle on vfio-pci and may be powered off (D3cold), for the port above it may be, too.",
        meaning="Some cards do not wake from D3cold, or wake without the state that their firmware gave them at boot.",
        background="vfio-pci lets a device that no VM uses sleep. If all below a port sleep and the platform can, the "
        "kernel switches the port's power off: D3cold. The device must then start from nothing. Most can; of those "
        "that cannot the log says that they are unable to change power state from D3cold to D0.",
        mend="If it does not come back from sleep, forbid it: for this device now, or for all of vfio-pci at boot by "
        "the option disable_idle_d3=1 in /etc/modprobe.d.",
        command="echo 0 > /sys/bus/pci/devices/{address}/d3cold_allowed",
    ),
    "OPTION_ROM": Entry(
        severity=Severity.INFO,
        sentence="{nic} has an option ROM of {size}.",
        meaning="The VM's firmware may run it: that takes time at each start, and it is code that the card brings.",
        background="An option ROM holds the card's own boot code, such as PXE. QEMU shows it to the guest, whose "
        "firmware may start it. A guest that has had the whole card may have rewritten it on cards whose flash can be "
        "written from there, and the host's firmware runs it at the next boot.",
        mend="If nothing boots from it, leave it out of the VM: <rom bar='off'/> in its hostdev.",
    ),
    "NUMA_INCONSISTENT": Entry(
        severity=Severity.INFO,
        sentence="Functions of the card of {nic} are said to be on different NUMA nodes: {nodes}.",
        meaning="One card hangs on one processor, so the firmware or the capture is wrong; pin by neither blindly.",
        background="The kernel takes a function's node from the firmware's tables (_PXM of its root port). All "
        "functions of a card share a link, and so a node. Different nodes come from faulty firmware or from a capture "
        "that was edited.",
    ),
}
