# SPDX-License-Identifier: Apache-2.0
"""Codes about SR-IOV: whether a NIC can make VFs, and what keeps it from it."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "SRIOV_OFF_IN_FIRMWARE": Entry(
        severity=Severity.INFO,
        sentence="{nic} could make VFs, but SR-IOV is switched off in its firmware.",
        meaning="With VFs the host would keep the card, and several VMs could share it.",
        background="On ConnectX cards the setting SRIOV_EN in the card's own flash decides whether it shows the "
        "SR-IOV capability at all, and NUM_OF_VFS how many VFs it offers. mlxconfig writes both; it takes effect at "
        "the next cold start of the machine. Under lockdown (Secure Boot) the tool cannot reach the card that way.",
        mend="Switch it on with mlxconfig of NVIDIA's tools (mstconfig of the package mstflint), then switch the "
        "machine off and on.",
        command="mstconfig -d {address} set SRIOV_EN=1 NUM_OF_VFS=8",
    ),
    "VFS_SET_AT_BOOT": Entry(
        severity=Severity.INFO,
        sentence="The number of VFs of {nic} is set at every boot, whatever it is now ({now}): {sources}.",
        meaning="What nicpass vf makes or removes lasts until then; a VM that has a VF which is not made then does not "
        "start.",
        background="The kernel makes no VF by itself: it forgets the number at every boot, and somebody writes it "
        "again: systemd's .link files (SR-IOVVirtualFunctions=), netplan (virtual-function-count), NetworkManager "
        "(total-vfs), an option of an old driver (max_vfs, num_vfs), a udev rule or a script that writes sriov_numvfs. "
        "Where two of them say different numbers, the later one finds VFs there and is refused by the kernel.",
        mend="To have another number for good, change it there.",
    ),
    "SRIOV_KERNEL_CANNOT": Entry(
        severity=Severity.INFO,
        sentence="{nic} has the SR-IOV capability ({total} VFs), but the kernel offers none.",
        meaning="The whole card can be given away, but no VFs of it can be made.",
        background="The kernel shows sriov_totalvfs for a function whose SR-IOV capability it has taken in. It does "
        "not where it was built without CONFIG_PCI_IOV, or where the capability failed its tests: no VFs, a page size "
        "that is not supported, VF BARs that cannot be. Its log then has a line with the card's address.",
        mend="Look into the kernel's log for this address, and for CONFIG_PCI_IOV=y in its configuration.",
        command="grep CONFIG_PCI_IOV /boot/config-$(uname -r)",
    ),
    "VF_BAR_UNASSIGNED": Entry(
        severity=Severity.WARNING,
        sentence="There is no room in memory for the VFs of {nic}: VF BAR {bars} has no address.",
        meaning="VFs cannot be made: the kernel answers 'not enough MMIO resources for SR-IOV'.",
        background="Each VF needs a piece of the address space, and the firmware has to leave room for all of them "
        "below the card's root port. Below 4 GiB there is rarely enough. With 64-bit BARs above 4 GiB there is; else "
        "the kernel can try to lay out the bridges anew.",
        mend="In the firmware setup turn on SR-IOV and 'Above 4G Decoding' (also '64-bit BAR', 'MMIO above 4 GB', on "
        "HPE 'PCIe Resource Padding'). If there is no such switch, add pci=realloc to the kernel's arguments.",
    ),
    "VF_DRIVER_ABSENT": Entry(
        severity=Severity.INFO,
        sentence="{nic} has no driver, so no VFs of it can be made.",
        meaning="VFs are made by the driver of their PF; without one the kernel answers ENOENT.",
        background="Writing a number to sriov_numvfs calls the driver of the PF, which prepares the card and then lets "
        "the kernel find the VFs. Where no driver is bound the write fails with 'No such file or directory', though "
        "the file is there, and the kernel's log says 'no driver bound to device; cannot configure SR-IOV'.",
        mend="Bind it to its driver first; check says what keeps that driver from loading, if something does.",
        command="echo {address} > /sys/bus/pci/drivers_probe",
    ),
    "VF_BY_VFIO": Entry(
        severity=Severity.INFO,
        sentence="{nic} is on {driver}, which makes VFs only with its option enable_sriov.",
        meaning="Without the option the kernel answers ENOENT; with it, whoever has the PF rules all its VFs.",
        background="Since Linux 5.7 vfio-pci can make VFs of a PF that it has, if it was loaded with enable_sriov=1. "
        "The program or guest that has the PF can then read and change what the VFs do, so a VF of it is not for a VM "
        "that is to be kept apart, and the kernel asks for a shared secret (the VF token) before it gives one away.",
        mend="Bind it to its own driver first, and make the VFs there.",
    ),
    "VF_DRIVER_CANNOT": Entry(
        severity=Severity.INFO,
        sentence="The driver {driver} of {nic} makes no VFs through sriov_numvfs.",
        meaning="The card can have VFs, and the kernel answers ENOENT to whoever asks this driver for them.",
        background="A driver says by its function sriov_configure that it can make VFs while it runs. mlx4_core "
        "(ConnectX-3 and older) has none: the number of VFs is an option of the module and holds from its load on. "
        "pci-stub and uio_pci_generic keep a device from others and do nothing with it.",
        mend="{mend}",
    ),
    "VFS_JOIN_GROUP": Entry(
        severity=Severity.WARNING,
        sentence="VFs of {nic} come into its own IOMMU group {group}, for {port} does not isolate.",
        meaning="No VM can have one of them as long as the PF keeps its driver, which it must for VFs to exist.",
        background="The kernel puts all that lies below a port without ACS into the group of that port, VFs as well as "
        "the card itself. Where the port is a member of the PF's group, the VFs become members too. VFIO gives a "
        "group away only when no driver of the host has any device in it. So SR-IOV is no way out behind such a port; "
        "another slot is, behind a port that isolates.",
        mend="Put the card into another slot, one behind another root port.",
    ),
    "VF_REPRESENTOR": Entry(
        severity=Severity.INFO,
        sentence="What {nic} sends comes out at {representor} of its PF {pf}, which is in {upper}.",
        meaning="The PF is in switchdev mode: the host's bridge or Open vSwitch decides what the VM reaches.",
        background="In switchdev mode a card's inner switch forwards nothing by itself. Each VF has another end on the "
        "host, an interface called its representor, and what stands in a bridge, in Open vSwitch or in a tc rule there "
        "is what the VM's frames obey; the card does it by itself once it has learned the rule. VLANs belong to the "
        "representor: the driver of the PF refuses one for a VF.",
    ),
    "VF_REPRESENTOR_LOOSE": Entry(
        severity=Severity.WARNING,
        sentence="What {nic} sends comes out at {representor} of its PF {pf}, which is in no bridge.",
        meaning="The PF is in switchdev mode: as long as nothing forwards what comes out there, the VM has no network.",
        background="In switchdev mode a card's inner switch forwards nothing by itself. Each VF has another end on the "
        "host, an interface called its representor. It has to be up, and in a bridge or in Open vSwitch, or tc rules "
        "have to forward its frames; whether there are such rules was not looked at.",
        mend="Bring it up, and put it into the bridge or Open vSwitch that the VM shall be in.",
    ),
    "ARI_ABSENT": Entry(
        severity=Severity.INFO,
        sentence="The port {port} above {nic} does not forward function numbers above 7 (ARI).",
        meaning="VFs then take further bus numbers; where there are none left, fewer VFs can be made.",
        background="Below a PCIe port there is one device with eight functions. Alternative Routing-ID Interpretation "
        "makes that 256 functions, on one bus. Without it in the port above, a card puts its VFs on the buses that "
        "follow, and the firmware must have set numbers aside for them.",
        mend="Another slot, on another root port; in the firmware setup look for 'ARI' or 'ARI Forwarding'.",
    ),
    "VF_BUS_NUMBERS": Entry(
        severity=Severity.WARNING,
        sentence="The last of {total} VFs of {nic} would lie on bus {last}, and port {port} ends at bus {subordinate}.",
        meaning="Not all VFs can be made: the kernel answers 'SR-IOV: bus number out of range'.",
        background="A VF's place is counted from its PF by the card's offset and stride, and may fall on a following "
        "bus. The port above must cover that bus. The firmware hands out bus numbers at boot and often keeps none "
        "in reserve; the kernel can hand them out anew.",
        mend="Make fewer VFs, or let the kernel number the buses: add pci=assign-busses to its arguments and reboot.",
    ),
    "VF_MAC_UNPINNED": Entry(
        severity=Severity.WARNING,
        sentence="{nic} stands in {owners} as a plain <hostdev>, and its PF {pf} has given it no MAC.",
        meaning="The guest makes up a MAC at each start, and may choose any: switch ports and DHCP see another machine "
        "each time.",
        background="For <interface type='hostdev'> libvirt sets the VF's MAC and VLAN through the PF before the VM "
        "starts. For <hostdev> it sets neither. While the PF has 00:00:00:00:00:00 for a VF, the VF's driver in the "
        "guest takes a random MAC, and the NIC lets it change that.",
        mend="Have it in the VM as <interface type='hostdev'> with a MAC, while the VM is off.",
        command="nicpass detach {owner} {address} && nicpass attach {owner} {address}",
    ),
    "VF_MAC_TWICE": Entry(
        severity=Severity.WARNING,
        sentence="{holder} has the MAC {mac} in {vlan}, and so has: {others}.",
        meaning="The card hands each frame to one of the two only: the other is deaf, and one guest gets what is meant "
        "for the other.",
        background="A PF's switch knows its stations by MAC and VLAN: the PF itself, and each VF by what the PF was "
        "told. Of two with the same, most cards serve the first or the last that was set, some both. Nothing says "
        "so: a guest is without a network now and then, or reads its neighbour's packets.",
        mend="Give one of them another MAC or another VLAN, while its VM is off.",
        command="nicpass detach {owner} {address} && nicpass attach {owner} {address} --mac {free}{same_vlan}",
    ),
}
