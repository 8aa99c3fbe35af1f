# SPDX-License-Identifier: Apache-2.0
"""Codes of `nicpass check --security`: the host as an auditor sees it.

A finding is unsafe where one guest can reach the host or another guest; a warning where it tells what the guest gains
with a NIC of its own and an administrator should have meant; info where it is true of all passthrough. It is unsafe
too that nobody can say who has which NIC.
"""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_BYPASS = (
    "The packets of an assigned NIC go from the guest's driver to the wire. The host's kernel never sees them: not "
    "nftables or iptables, not ebtables, not bridge VLAN filtering, not tc, not Open vSwitch, and no capture on the "
    "host. What must be enforced is enforced by the NIC (a VF's MAC, VLAN, spoof check and rate, set through its PF) "
    "or by the switch port. "
)
_WHOLE = (
    "A VF has no access to the firmware and settings of the card; those belong to the PF. A whole NIC is given with "
    "everything: any MAC, any VLAN, promiscuous mode, its flash memory. "
)

ENTRIES: dict[str, Entry] = {
    "GROUP_OF_TWO_VMS": Entry(
        severity=Severity.UNSAFE,
        sentence="IOMMU group {group} is split between VMs: {members}.",
        meaning="Members of a group can reach each other's memory without the IOMMU seeing it, so these VMs are not "
        "apart.",
        background="VFIO gives a group to one user at a time. While both VMs are defined so, the second one does not "
        "start; where the grouping is not the hardware's own (an ACS override), it does, and one guest's device can "
        "write to registers of the other's.",
        mend="Give the whole group to one VM, move a card to another slot, or use VFs, which have groups of their own.",
    ),
    "GROUP_OF_VM_AND_HOST": Entry(
        severity=Severity.UNSAFE,
        sentence="IOMMU group {group} is split between VMs and the host: {members}.",
        meaning="The guest's device can reach the host's without the IOMMU seeing it.",
        background="DMA between members of a group can pass below the IOMMU. VFIO refuses to open a group while a "
        "driver of the host holds a member, so a VM defined like this does not start, unless that driver lets go.",
        mend="Take the host's driver off the other members or give them along, or use another slot or a VF.",
    ),
    "NIC_OF_TWO_VMS": Entry(
        severity=Severity.WARNING,
        sentence="{nic} stands in the definitions of several VMs: {owners}.",
        meaning="They use it in turn, so what one leaves in the card, the next one finds.",
        background="Only one of them can run at a time. Between two users VFIO resets the device, which clears its "
        "registers, not its flash memory: a whole NIC carries firmware and option ROM from one guest to the next.",
        mend="Give each VM a VF or a NIC of its own.",
    ),
    "VFIO_NODE_OPEN": Entry(
        severity=Severity.UNSAFE,
        sentence="{path} can be opened by every user of this host (mode {mode}).",
        meaning="Whoever opens it drives the devices behind it, with DMA and firmware.",
        background="A node below /dev/vfio stands for an IOMMU group or one device; opening it for reading and writing "
        "is all that it takes to drive the device. Only /dev/vfio/vfio, which merely makes empty containers, is meant "
        "to be open to all (Documentation/driver-api/vfio.rst). The kernel makes group nodes for root alone, so a udev "
        "rule or a hand has changed this one.",
        mend="Take the mode back, and the udev rule that set it out of /etc/udev/rules.d, or it comes back.",
        command="chmod 0600 {path_quoted}",
    ),
    "VFIO_NODE_OF_USER": Entry(
        severity=Severity.WARNING,
        sentence="{path} belongs to {owner} (mode {mode}).",
        meaning="That user or group drives the devices behind it, without libvirt and without root.",
        background="DPDK and VMs without root are set up like this on purpose. libvirt itself hands QEMU the node in a "
        "mount namespace of its own and leaves the host's alone. A user who holds a whole NIC can read and write its "
        "flash memory.",
        mend="If nobody means it: give the node back to root, and look in /etc/udev/rules.d for what changed it.",
        command="chown root:root {path_quoted} && chmod 0600 {path_quoted}",
    ),
    "VFIO_NODES_UNKNOWN": Entry(
        severity=Severity.WARNING,
        sentence="Who may open the nodes below /dev/vfio could not be learned: {reason}.",
        meaning="They are the way to the devices that are given away.",
        background="Listing /dev/vfio and asking for owner and mode of its nodes needs no special rights on most "
        "systems. A capture of a host mostly lacks /dev, so nothing is known of it.",
        mend="Run it on the host itself, as root.",
    ),
    "VF_TRUSTED": Entry(
        severity=Severity.WARNING,
        sentence="{vf} of {owners} is trusted by its PF.",
        meaning="The guest may change its MAC, see traffic that is not its own, and on some cards do more.",
        background="ip link set PF vf N trust on lets a VF ask its PF for privileges: another MAC, multicast and "
        "unicast promiscuous mode, on some cards priorities and mirroring. It is off by default. Bonding inside the "
        "guest and VRRP need it.",
        mend="If the guest does not need it, take it away.",
        command="ip link set {pf_quoted} vf {vf_index} trust off",
    ),
    "VF_SPOOFCHK_OFF": Entry(
        severity=Severity.WARNING,
        sentence="{vf} of {owners} may send with any source address: its spoof check is off.",
        meaning="The guest can pass itself off as another machine of its network.",
        background="With spoof check the NIC drops frames whose source MAC, or VLAN, is not the VF's own. Bridging or "
        "nested guests behind the VF need it off. Some cards have no such check and show it off always.",
        mend="If the guest is no bridge, turn it on.",
        command="ip link set {pf_quoted} vf {vf_index} spoofchk on",
    ),
    "VF_WITHOUT_VLAN": Entry(
        severity=Severity.WARNING,
        sentence="{vf} of {owners} has no VLAN, while other VFs of {pf} have ({vlans}).",
        meaning="The guest is in the port's untagged network, and may tag its packets for any VLAN that the port "
        "carries.",
        background="A VLAN that the PF sets on a VF is put on and taken off by the NIC, and the guest cannot leave it. "
        "Without one the guest sends tags of its own, and what the switch port lets through reaches it. Neighbours "
        "with a VLAN make it likely that it was forgotten here.",
        mend="In the VM's definition: <vlan><tag id='N'/></vlan> in its <interface type='hostdev'>.",
    ),
    "WHOLE_NIC_GIVEN": Entry(
        severity=Severity.WARNING,
        sentence="{nic} is given to {owners} whole.",
        meaning="The guest may use any MAC and VLAN, see all that the switch port sends, and write the firmware.",
        background=_WHOLE + "A guest that rewrites the firmware keeps its hold on the card after it is given back, "
        "through every reset and reinstallation; the host would then run that firmware's option ROM when it boots.",
        mend="A VF in place of the whole NIC where the card has them; else limit the switch port, and check the "
        "firmware's version and signature when the NIC comes back.",
    ),
    "OPTION_ROM_SHOWN": Entry(
        severity=Severity.INFO,
        sentence="{owners} may run the option ROM of {nic}.",
        meaning="The VM's firmware runs it before the guest's system, and a former user of a whole NIC may have "
        "written it.",
        background="QEMU shows the guest the expansion ROM that lies in the card's flash memory. SeaBIOS runs it, and "
        "OVMF where the guest's Secure Boot does not forbid it. The host's own firmware does the same at the next "
        "boot. A guest that does not boot from this NIC needs no option ROM.",
        mend="In the VM's definition: <rom bar='off'/> in the device's element; on the host, turn off the slot's "
        "option ROM in the firmware setup.",
        command="virsh edit {handle}",
    ),
    "FIREWALL_BYPASSED": Entry(
        severity=Severity.INFO,
        sentence="The host's firewall and bridge rules do not see the traffic of VMs on NICs of their own: {vms}.",
        meaning="What must be enforced has to be enforced by the NIC, the switch port or the guest.",
        background=_BYPASS,
        mend="Set MAC, VLAN and spoof check on VFs; limit the switch port of whole NICs.",
    ),
    "FILTERREF_BYPASSED": Entry(
        severity=Severity.WARNING,
        sentence="{vm} has network filters of libvirt's ({filters}), which do not apply to its own NIC {nic}.",
        meaning="Whoever wrote <filterref> expects the VM to be filtered, and it can go past that.",
        background=_BYPASS + "libvirt carries out <filterref> with ebtables and iptables rules on the tap device of an "
        "interface. An assigned NIC has none, and libvirt refuses a filter on such an interface.",
        mend="Set on the VF what the filter demands (MAC, VLAN, spoof check), and the rest on the switch port.",
    ),
    "QEMU_AS_ROOT": Entry(
        severity=Severity.WARNING,
        sentence="libvirt runs its VMs as root (user = {user}).",
        meaning="A guest that breaks out of QEMU is root on this host.",
        background="libvirt starts QEMU as a user of its own (libvirt-qemu, qemu) and hands it only what the VM needs. "
        "Passthrough does not need root: libvirt gives the VFIO node to that user and raises the limit of locked "
        "memory itself. The setting is mostly left over from old advice.",
        mend="Take user and group out of /etc/libvirt/qemu.conf, restart libvirtd, and restart the VMs one by one.",
    ),
    "QEMU_UNCONFINED": Entry(
        severity=Severity.WARNING,
        sentence="libvirt confines its VMs by no security driver (security_driver = none).",
        meaning="A guest that breaks out of QEMU may open whatever QEMU's user may, other VMs' disks included.",
        background="With SELinux or AppArmor libvirt gives each QEMU process a label or profile of its own, which "
        "allows its own disks and devices only. Left out of the settings, libvirt takes what the host has.",
        mend="Take security_driver out of /etc/libvirt/qemu.conf, restart libvirtd, and restart the VMs one by one.",
    ),
    "PREBOOT_DMA_OPEN": Entry(
        severity=Severity.INFO,
        sentence="The firmware does not say that it keeps devices from DMA until the kernel takes over.",
        meaning="A device that a guest has tampered with, or one plugged in from outside, could write to memory while "
        "the host boots.",
        background="Intel's DMAR table has a flag, DMA_CTRL_PLATFORM_OPT_IN, by which the firmware says that it had "
        "confined DMA before it started the system (VT-d, 8.1); AMD's IVRS has one in its field IVinfo. Without it the "
        "time between power-on and the kernel's own IOMMU setup is open. A whole NIC that a guest has reprogrammed is "
        "such a device.",
        mend="In the firmware setup look for: Pre-boot DMA Protection, Kernel DMA Protection, DMA Control Guarantee.",
    ),
    "GIVEN_NICS_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="Which VM has which NIC could not be learned, so isolation could not be judged: {reason}.",
        meaning="An audit that sees no VM proves nothing.",
        background="Whose NIC it is stands in libvirt's definitions. The daemon answers root and the group libvirt.",
        mend="Run it as root, with libvirtd running and the package python3-libvirt installed.",
        command="systemctl start libvirtd",
    ),
}
