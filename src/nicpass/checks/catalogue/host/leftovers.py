# SPDX-License-Identifier: Apache-2.0
"""Codes about what earlier hands have left behind."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "ON_VFIO": Entry(
        severity=Severity.WARNING,
        sentence="{nic} is bound to {driver}, and no VM that libvirt knows has it.",
        meaning="An earlier hand bound it (driverctl, a kernel argument, DPDK), or a program uses it now.",
        background="A device on vfio-pci has no interface on the host. It is there for a program that opens it by "
        "/dev/vfio: a VM that was started without libvirt, DPDK, or nothing any more. Giving it back to its own driver "
        "takes it from such a program.",
        mend="Only if nothing uses it, which lsof /dev/vfio/* tells; first mend what binds it at every boot, or it is "
        "bound again: {binders}.",
        command="echo > /sys/bus/pci/devices/{address}/driver_override\n"
        "echo {address} > {unbind}\n"
        "echo {address} > /sys/bus/pci/drivers_probe",
    ),
    "OVERRIDE_LEFT": Entry(
        severity=Severity.WARNING,
        sentence="{nic} has a driver override: {override}.",
        meaning="Only that driver can bind it, so it cannot come back to the host on its own driver.",
        background="driver_override in sysfs names the one driver that may bind a device. It is gone after a reboot, "
        "unless something writes it again (driverctl, a udev rule). While a VM has the NIC, libvirt keeps such an "
        "override itself; this one stands although no VM has it.",
        command="echo > /sys/bus/pci/devices/{address}/driver_override",
    ),
    "VFIO_IDS": Entry(
        severity=Severity.WARNING,
        sentence="vfio-pci takes every card with the ids {ids} ({source}), which here are: {cards}.",
        meaning="Identical cards cannot be told apart in this way: one that the host needs is taken too.",
        background="ids= makes vfio-pci bind every device with these ids when it is loaded, in the initramfs or later, "
        "before or after the card's own driver as it happens. A second card of the same kind, or one that is built in "
        "later, is taken like the first. driver_override binds one device by its address instead, and that is what "
        "nicpass and libvirt do.",
        mend="{mend}",
        command="{command}",
    ),
    "BOUND_BY_NEW_ID": Entry(
        severity=Severity.WARNING,
        sentence="{nic} was bound to {driver} by its ids ({ids}), most likely through new_id; the same would happen "
        "to: {cards}.",
        meaning="The driver keeps these ids until it is unloaded and takes every such card that has no driver.",
        background="Writing ids to new_id of a driver makes it bind every device with them that has no driver, now and "
        "later, also one that is plugged in. It is lost at a reboot. remove_id takes the ids back and leaves bound "
        "what is bound. What tells it here is that neither a driver override nor ids= explains the binding.",
        mend="Only if nothing uses the NIC. The first line takes the ids back, the others return the NIC to the host.",
        command="echo {remove} > {remove_id}\necho {address} > {unbind}\necho {address} > /sys/bus/pci/drivers_probe",
    ),
    "DRIVERCTL_OVERRIDE": Entry(
        severity=Severity.WARNING,
        sentence="driverctl binds {nic} to {driver} at every boot ({path}).",
        meaning="It stays there: a VM gets it without libvirt binding it, and the host does not get it back.",
        background="driverctl keeps a file for each device in /etc/driverctl.d and writes driver_override from it "
        "whenever the device appears. A NIC that libvirt manages needs nothing of the kind: it is bound when the VM "
        "starts and returned when it stops. While driverctl's driver is VFIO's and in force, nicpass leaves the "
        "binding to it (managed='no').",
        mend="Take the file away; the override that is in force goes with the second line.",
        command="rm -- {file}\necho > /sys/bus/pci/devices/{address}/driver_override",
    ),
    "CLAIMED_BY_DRIVERCTL": Entry(
        severity=Severity.UNSAFE,
        sentence="driverctl has {nic} for {driver} ({path}), which is not how a VM could have it now.",
        meaning="Two hands that bind one device undo each other's work: what one returns, the other takes.",
        background="driverctl keeps a file for each device in /etc/driverctl.d and writes driver_override from it "
        "whenever the device appears. libvirt writes the same attribute when the VM starts, and clears it when the VM "
        "stops: the override that somebody wanted is gone then, and comes back at the next boot, perhaps while the VM "
        "is to start.",
        mend="Take the file away; the override that is in force goes with the second line.",
        command="rm -- {file}\necho > /sys/bus/pci/devices/{address}/driver_override",
    ),
    "CLAIMED_BY_PROXMOX": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is Proxmox VE's, for {holder} ({path}).",
        meaning="Proxmox binds it when that VM starts and counts on it; it knows nothing of VMs of libvirt.",
        background="hostpciN in the configuration of a VM, and a PCI mapping that VMs name, give a device to VMs of "
        "Proxmox VE. At the start of such a VM, Proxmox takes the device from its driver and binds it to vfio-pci "
        "itself, without asking libvirt whether one of its VMs has it.",
        mend="{mend}",
        command="{command}",
    ),
    "CLAIMED_BY_OPERATOR": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is managed by Kubernetes' SR-IOV operator ({path}).",
        meaning="The operator makes the VFs, binds them and gives them to pods, and puts back what others change.",
        background="The SR-IOV network operator writes down each PF that it has configured in /etc/sriov-operator/pci, "
        "and compares it with what it finds again and again. A VF that goes to a VM is still among those that it "
        "offers to pods, and a PF that goes takes all of them along.",
        mend="Take the PF out of the operator's SriovNetworkNodePolicy, and wait until it has let go of it.",
    ),
    "DRIVER_BLACKLISTED": Entry(
        severity=Severity.WARNING,
        sentence="{module}, a driver of {nic}, is kept from loading ({source}: {text}).",
        meaning="When the NIC comes back to the host it has no driver, and so no network.",
        background="blacklist in modprobe.d keeps a module from being loaded for a device that it serves; install with "
        "/bin/false keeps it from being loaded at all, and so does module_blacklist= on the kernel's command line. "
        "Guides to passthrough used to advise it, and it strikes every card that the module serves.",
        mend="{mend}",
        command="{command}",
    ),
    "HOSTDEV_STALE": Entry(
        severity=Severity.WARNING,
        sentence="The definition of the VM {vm} names {address}, which {what}.",
        meaning="The VM does not start, or gets another device than was meant.",
        background="libvirt names a device of the host by its PCI address. Addresses move when a card is put in or "
        "taken out, or when the firmware numbers its buses anew. The address of a VF is gone while its PF has no VFs, "
        "as it is after a boot until something makes them.",
        mend="If it is a VF, make the VFs first. Else take the device out of the definition.",
        command="{command}",
    ),
    "UDEV_BINDING": Entry(
        severity=Severity.WARNING,
        sentence="A udev rule in {path} gives devices to VFIO or sets a driver override.",
        meaning="It acts whenever such a device appears, also when nicpass or libvirt has just returned it.",
        background="udev runs its rules for each device that appears, at boot and when it is plugged in or a VF is "
        "made. A rule that names ids takes every card of the kind; one that names an address takes whatever stands "
        "there. What it binds is bound for the host, not for a VM.",
        mend="{mend}",
        command="{command}",
    ),
    "LEFTOVERS_UNREAD": Entry(
        severity=Severity.INFO,
        sentence="What earlier hands may have left could not all be read: {reason}.",
        meaning="Bindings, overrides or blacklists may stand in what could not be read.",
        background="nicpass looks through modprobe.d, the administrator's udev rules, driverctl's folder and files of "
        "Proxmox VE and the SR-IOV operator for what binds NICs or keeps their drivers from loading. Some of it could "
        "not be read.",
        mend="Run nicpass as root.",
    ),
}
