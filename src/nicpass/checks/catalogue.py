# SPDX-License-Identifier: Apache-2.0
"""Every code that a finding can have: how grave, what it means, what mends it. `nicpass explain` reads it.

Codes are part of the interface: they do not change their meaning, and a retired one is not used again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.finding import Evidence, Finding, Severity

if TYPE_CHECKING:
    from nicpass.model.address import Address


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is always true of a code. `{...}` in the texts is filled in by the check."""

    severity: Severity
    sentence: str
    meaning: str
    mend: str = ""


CATALOGUE: dict[str, Entry] = {
    "IOMMU_ON": Entry(
        severity=Severity.INFO,
        sentence="The IOMMU is on ({units}), with {groups} groups.",
        meaning="The kernel has taken the IOMMU into use, so a guest's DMA can be confined to its own memory.",
    ),
    "IOMMU_TABLE_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The firmware publishes no IOMMU table, so the kernel has no IOMMU to use.",
        meaning="Without a DMAR (Intel), IVRS (AMD), IORT (Arm) or VIOT (virtio) table no kernel argument helps.",
        mend="In the firmware setup turn on VT-d (Intel), or AMD-Vi, also called IOMMU (AMD). "
        "If there is no such switch, the board has no IOMMU.",
    ),
    "IOMMU_OFF": Entry(
        severity=Severity.REBOOT,
        sentence="The kernel does not use the IOMMU: {reason}.",
        meaning="VFIO gives a device only out of an IOMMU group, and there are none.",
        mend="{mend}",
    ),
    "CPU_NO_VIRTUALIZATION": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The processor does not offer hardware virtualization: neither vmx nor svm is among its flags.",
        meaning="KVM needs VT-x (Intel) or SVM (AMD); libvirt would fall back to emulation, which VFIO refuses.",
        mend="In the firmware setup turn on VT-x or SVM; in a virtual machine, nested virtualization.",
    ),
    "KVM_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="/dev/kvm is not there, though the processor could do it.",
        meaning="The kvm module is not loaded, or the firmware has locked virtualization off.",
        mend="modprobe {module}",
    ),
    "VFIO_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The running kernel has no vfio-pci module.",
        meaning="vfio-pci is the driver through which a VM reaches the NIC.",
        mend="Install the package with the kernel's modules; after a kernel update, reboot into the new kernel.",
    ),
    "VFIO_NOT_LOADED": Entry(
        severity=Severity.INFO,
        sentence="vfio-pci is not loaded yet; libvirt loads it when it is first needed.",
        meaning="Nothing is wrong: the module is there.",
    ),
    "HYPERVISOR_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="libvirt cannot be asked which VM has which NIC: {reason}.",
        meaning="A NIC that stands in another VM's definition must not be given away twice.",
        mend="systemctl start libvirtd; the Python binding is the package python3-libvirt.",
    ),
    "GROUP_ABSENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{nic} is in no IOMMU group.",
        meaning="The IOMMU does not cover this device, or it is off; VFIO cannot confine it.",
    ),
    "GROUP_SHARED": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} shares IOMMU group {group} with devices that the host uses: {members}.",
        meaning="A group goes to a VM whole or not at all, because its members can reach each other's memory.",
        mend="In order of safety: a VF in place of the whole NIC, another slot, or a firmware option for ACS.",
    ),
    "GROUP_SHARED_IDLE": Entry(
        severity=Severity.WARNING,
        sentence="{nic} shares IOMMU group {group} with idle devices: {members}.",
        meaning="They must stay without a host driver while the VM runs, and the VM's DMA can reach them.",
    ),
    "CARRIES_DEFAULT_ROUTE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries the host's default route: {chain}.",
        meaning="Without it the host, and whoever administers it from afar, loses the network.",
        mend="Move the default route to another NIC first, or give away a VF of this one.",
    ),
    "CARRIES_ROUTE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries a route of the host: {chain}.",
        meaning="What the host reaches by that route it would no longer reach.",
        mend="Remove the route, or give away another NIC; --allow CARRIES_ROUTE if it may go.",
    ),
    "HAS_ADDRESS": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries an address of the host: {chain}.",
        meaning="Whoever talks to the host by that address would be cut off.",
        mend="Remove the address, or give away another NIC; --allow HAS_ADDRESS if it may go.",
    ),
    "HAS_UPPER": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is part of another interface: {chain}.",
        meaning="A bond, team, bridge, VLAN or macvlan of the host stands on it and would lose it.",
        mend="Take it out first: ip link set {netdev} nomaster, or delete what stands on it.",
    ),
    "USE_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="What the host uses {nic} for could not be learned: {reason}.",
        meaning="Unknown counts as in use: the NIC might carry the network of the host.",
    ),
    "NETDEV_ELSEWHERE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is on its network driver {driver} and shows no interface here.",
        meaning="Its interface is in another network namespace (a container's?), or the driver failed to make one.",
        mend="Look for it: lsns -t net; dmesg | grep {address}",
    ),
    "PF_HAS_VFS": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} has {count} VFs, which would vanish with it.",
        meaning="A PF is not given away while it has VFs: somebody may be using them.",
        mend="Give away one of its VFs instead, or remove them: nicpass vf remove {address}",
    ),
    "VFS_NEARBY": Entry(
        severity=Severity.WARNING,
        sentence="{nic} may be the PF of VFs beside it that show no PF: {vfs}.",
        meaning="They are bound to a driver of VFs. If they are its own, they vanish with it.",
        mend="ls -l /sys/bus/pci/devices/{address}/virtfn*",
    ),
    "OWNED_BY_VM": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} belongs to the VM {owners} already.",
        meaning="It stands in that VM's definition, running or not.",
        mend="nicpass detach {owner} {address}",
    ),
    "ON_VFIO": Entry(
        severity=Severity.WARNING,
        sentence="{nic} is bound to {driver}, and no VM that libvirt knows has it.",
        meaning="An earlier hand bound it (driverctl, a kernel argument, DPDK), or a program uses it now.",
        mend="If nothing uses it: driverctl unset-override {address}",
    ),
    "OVERRIDE_LEFT": Entry(
        severity=Severity.WARNING,
        sentence="{nic} has a driver override: {override}.",
        meaning="Only that driver can bind it, so it cannot come back to the host on its own driver.",
        mend="driverctl unset-override {address}",
    ),
    "DRIVER_ABSENT": Entry(
        severity=Severity.INFO,
        sentence="{nic} has no driver on the host.",
        meaning="That does not stand in the way; there is only no state that could be compared when it comes back.",
    ),
    "RESET_NONE": Entry(
        severity=Severity.WARNING,
        sentence="The kernel knows no way to reset {nic}.",
        meaning="The guest gets it in the state in which the last user left it; some drivers cannot bear that.",
        mend="A VF can always be reset (SR-IOV demands FLR); or another slot, where a bus reset is possible.",
    ),
    "VF_PREFERRED": Entry(
        severity=Severity.INFO,
        sentence="{nic} can make {totalvfs} VFs; giving away one of them is mostly better than the whole card.",
        meaning="With a VF the host keeps the card, more VMs can share it, and MAC and VLAN are enforced by it.",
        mend="nicpass vf create {address} --count 1",
    ),
}


def make_finding(
    code: str,
    subject: Address | None = None,
    evidence: tuple[tuple[str, object], ...] = (),
    **facts: object,
) -> Finding:
    """A finding with its texts filled in. `evidence` is pairs of (where it was read, what stood there)."""
    entry = CATALOGUE[code]
    return Finding(
        code=code,
        severity=entry.severity,
        subject=subject,
        sentence=entry.sentence.format(**facts),
        evidence=tuple(Evidence(source, str(value)) for source, value in evidence),
        meaning=entry.meaning,
        mend=entry.mend.format(**facts),
    )
