# SPDX-License-Identifier: Apache-2.0
"""Codes about NICs that nicpass binds at every boot."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "BOUND_AT_BOOT": Entry(
        severity=Severity.INFO,
        sentence="nicpass binds {nic} to {driver} at every boot ({path}).",
        meaning="Its own driver never sees it, and a VM gets it without libvirt binding it.",
        background="A file for each such NIC lies in /etc/nicpass/boot.d and says what makes it this very card. A "
        "script that runs before udev, in the initramfs and again on the host, looks for that card, writes "
        "driver_override and loads vfio-pci. The NIC stays there when the VM stops, and when it is detached.",
        mend="To give it back to the host: nicpass prepare --remove {address}",
    ),
    "BOOT_BINDING_PENDING": Entry(
        severity=Severity.REBOOT,
        sentence="{nic} is to be on {driver} from the boot on, and is on {had} now: {reason}.",
        meaning="Until it is there, a VM that has it in its definition does not start.",
        background="The file in /etc/nicpass/boot.d is heeded at the next boot, before udev loads any driver. Nothing "
        "is unbound while the host runs, for something may use the NIC. When this is still said after a reboot, then "
        "neither the initramfs nor the unit nicpass-bind.service has run the script.",
        mend="Reboot. If it has been rebooted since: systemctl status nicpass-bind.service, and nicpass prepare anew.",
    ),
    "BOOT_BINDING_FAILED": Entry(
        severity=Severity.REBOOT,
        sentence="{nic} is to be on {driver} from the boot on, and is not: {reason}.",
        meaning="The host uses it like any other NIC, and a VM that counts on it does not start.",
        background="The script that binds at boot unbinds nothing: a device that has a driver already keeps it, since "
        "something may use it by then. A driver can be there first when it is built into the kernel, when the "
        "initramfs loads it before its scripts run, or when the initramfs was made without nicpass's hook and loads "
        "the driver itself.",
        mend="Make the initramfs anew (update-initramfs -u -k all, or dracut --regenerate-all --force), and reboot. "
        "What the script said is in the kernel's log: journalctl -k -g nicpass",
    ),
    "BOOT_BINDING_ABSENT": Entry(
        severity=Severity.WARNING,
        sentence="The NIC that was prepared as {address} ({card}) is not there: {instead}.",
        meaning="No device was bound in its place, so a VM that has it in its definition does not start.",
        background="A NIC with a serial number in its configuration space is known by it wherever it stands. One "
        "without is known by its ids and its slots, from the root down, so one that was put elsewhere is another one: "
        "it could be any other card of the kind. What does not answer is not bound, and what stands in its place is "
        "left to its own driver.",
        mend="If it was moved, prepare it where it stands now: nicpass prepare. In any case take the old file away: "
        "nicpass prepare --remove {address}",
    ),
    "BOOT_BINDING_AMBIGUOUS": Entry(
        severity=Severity.WARNING,
        sentence="Several NICs answer to what was recorded of the one that was prepared as {address}: {answers}.",
        meaning="Not one of them was bound, for it could be the wrong one.",
        background="Serial numbers are meant to be unique, and some makers give all their cards the same. Then the "
        "card is the one that stands where it was recorded, and where none stands there it is not known which one is "
        "meant.",
        mend="Prepare the right one where it stands now: nicpass prepare --remove {address}, then nicpass prepare.",
    ),
    "BOOT_BINDING_DAMAGED": Entry(
        severity=Severity.WARNING,
        sentence="{path} cannot be what nicpass wrote: {reason}.",
        meaning="It binds nothing, and the NIC that it was for is left to its own driver.",
        background="A file in /etc/nicpass/boot.d has one key=value on a line and nothing else. The script that reads "
        "it at boot takes it whole or not at all, so that no NIC is bound by half an identity.",
        mend="Take it away, and prepare the NIC anew.",
        command="rm -- {file}",
    ),
    "BOOT_BINDING_OTHER_CARD": Entry(
        severity=Severity.WARNING,
        sentence="{nic} has the MAC {seen}, and the NIC that was prepared there had {recorded}.",
        meaning="Another card of the same kind may have been put in its place, and the next boot binds it.",
        background="Before a driver has it, a card shows its ids, its slots and perhaps a serial number, not its MAC. "
        "Cards of one kind without serial numbers that were swapped cannot be told apart at boot. The permanent MAC "
        "was recorded when the NIC was prepared, and is compared whenever its own driver shows it.",
        mend="If it is the one that is meant: nicpass prepare --remove {address}, and prepare it anew.",
    ),
    "DRIVER_BUILT_IN": Entry(
        severity=Severity.WARNING,
        sentence="{module}, the driver of {nic}, is built into the kernel, and has the NIC before it can be bound.",
        meaning="The NIC cannot be kept from its own driver at boot; it can only be taken from it later.",
        background="A driver that is part of the kernel binds its devices while the kernel starts, before the first "
        "program of the initramfs runs. What is written into driver_override then comes too late, and nicpass unbinds "
        "nothing at boot. libvirt with managed='yes' takes the NIC from its driver when the VM starts.",
        mend="Use a kernel that has the driver as a module; or do without the binding at boot: "
        "nicpass prepare --remove {address}",
    ),
    "BOOT_BINDINGS_UNREAD": Entry(
        severity=Severity.INFO,
        sentence="What nicpass binds at boot could not all be read: {reason}.",
        meaning="A NIC may be on vfio-pci by nicpass's own hand, or be missing, without this being seen.",
        background="The files are in /etc/nicpass/boot.d, what the last boot made of them is in /run/nicpass/boot.d, "
        "and a card's serial number is in the part of its configuration space that only root may read.",
        mend="Run nicpass as root.",
    ),
}
