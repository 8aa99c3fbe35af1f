# SPDX-License-Identifier: Apache-2.0
"""Codes about VMs and networks of libvirt's that use a NIC without having it as a PCI device."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "USED_BY_VM": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is used by the VM {owners}: {how}.",
        meaning="Running or not, that VM counts on it, and without it does not start, or has no network.",
        background="A VM can use a NIC of the host without having it as a device: by a macvtap "
        "(<interface type='direct'>) on it or on a bond, bridge or VLAN above it, by vDPA, by passt, by an argument "
        "for QEMU of which libvirt knows nothing. libvirt makes the macvtap when the VM starts, so nothing is seen of "
        "it while the VM is off, and a start fails where the interface that it names is not there.",
        mend="Take it out of the definition of that VM, or let it name another NIC.",
        command="virsh edit {owner}",
    ),
    "NAMED_BY_NETWORK": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} belongs to the network {networks} of libvirt ({how}). VMs with an interface on it: {takers}.",
        meaning="libvirt lends it to whichever VM asks, or leads VMs out by it; the two cannot both have it.",
        background="A network with <forward mode='hostdev'> lends PCI functions: those that it lists, or all VFs of "
        "the PF that <pf dev=> names. One with bridge, private, vepa or passthrough puts macvtaps on the interfaces "
        "of its pool, and nat or route with dev= lets VMs out by this interface only. libvirt takes the first free "
        "function when a VM starts, and does not know of one that was given to a VM by its address until that VM "
        "runs.",
        mend="Take it out of the network, or give away a NIC that is in none; virsh net-destroy puts the change into "
        "effect.",
        command="{undo}",
    ),
}
