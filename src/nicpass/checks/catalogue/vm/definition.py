# SPDX-License-Identifier: Apache-2.0
"""Codes about the VM that shall have the NIC: its machine, its state, and what it gives up."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "VM_RUNNING": Entry(
        severity=Severity.INFO,
        sentence="{vm} is running: {nic} is plugged into it at once, and stands in its definition for the next start.",
        meaning="Its guest sees the NIC as it sees a card that is plugged into a running machine.",
        background="libvirt keeps two definitions of a running VM: the lasting one, which counts at the next start, "
        "and that of the running machine. nicpass changes both, at the same place in the guest, unless --live or "
        "--config asks for one of them. Plugging a NIC in needs a free hot-plug port and all of the guest's memory "
        "locked; taking it out needs a guest that lets go of it.",
    ),
    "VM_TRANSIENT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{vm} is transient: it has no lasting definition into which {nic} could be written.",
        meaning="A transient VM is gone when it stops, and its definition with it.",
        background="A VM that was made by virsh create instead of virsh define exists only while it runs. libvirt "
        "refuses to change a lasting definition that is not there.",
        mend="Make it lasting: its running definition, defined, is its lasting one.",
        command='f=$(mktemp) && virsh dumpxml {handle} --inactive > "$f" && virsh define "$f"; rm -f "$f"',
    ),
    "VM_SAVED_STATE": Entry(
        severity=Severity.UNSAFE,
        sentence="{vm} has a saved state (managed save), and its next start would go on from there without {nic}.",
        meaning="The saved state holds the machine as it was, devices included; what the definition gained since "
        "does not count until the VM has been shut down properly.",
        background="virsh managedsave, and libvirt-guests when the host shuts down, write the memory of a VM to disk "
        "together with the definition of the machine that ran. The next start restores exactly that machine. An "
        "attach would be reported as done, and the guest would come up without the NIC. Removing the saved state "
        "instead of resuming it is a power cut for the guest.",
        mend="Start the VM, shut its guest down properly, and try again. To throw the saved state away, which is a "
        "power cut for the guest: virsh managedsave-remove.",
        command="virsh start {handle} && virsh shutdown {handle}",
    ),
    "VM_HAS_SNAPSHOTS": Entry(
        severity=Severity.INFO,
        sentence="{vm} has {count} snapshots from before; going back to one takes {nic} out of its definition again.",
        meaning="A snapshot holds the definition of its time, and one with memory cannot be made while the VM has "
        "the NIC.",
        background="virsh snapshot-revert restores the definition that the snapshot carries, in which the NIC does "
        "not stand. Snapshots of disks alone can still be made while a NIC is assigned. Snapshots with memory use the "
        "same way as migration and are refused.",
    ),
    "VM_UNREAD": Entry(
        severity=Severity.WARNING,
        sentence="Parts of the definition of {vm} could not be read: {reasons}.",
        meaning="What could not be read was not checked.",
        background="A definition is read field by field. A value that is none (a size without a known unit, a list of "
        "CPUs that is no list) is left out of the checks, and named here, instead of being guessed.",
        mend="Look at it with virsh dumpxml; virsh edit refuses to save what libvirt itself cannot read.",
        command="virsh dumpxml {handle} --inactive",
    ),
    "VM_NOT_PCIE": Entry(
        severity=Severity.WARNING,
        sentence="{vm} is a machine without PCI Express ({machine}).",
        meaning="The guest sees the NIC as a conventional PCI device, without its extended capabilities.",
        background="The machine types pc-i440fx have a conventional PCI bus only. QEMU then shows the guest the first "
        "256 bytes of the NIC's configuration space, so capabilities beyond are not there for its driver: serial "
        "number, AER, SR-IOV, resizable BARs. Most NICs work all the same, some drivers refuse. A guest that was "
        "installed on i440fx finds its devices at other addresses on q35, and Windows may have to be activated anew.",
        mend="For a new guest choose q35. For an old one, try whether its driver works first.",
    ),
    "VM_NO_FREE_ROOT_PORT": Entry(
        severity=Severity.WARNING,
        sentence="{vm} is running and has no free place for a hot-plugged device ({used} of {ports} root ports taken).",
        meaning="A device is plugged into a running PCI Express machine only through a free root port, and libvirt "
        "adds none while it runs.",
        background="On q35 and virt each root port takes one device, and root ports themselves cannot be "
        "hot-plugged. libvirt gives a new VM a few spare ones and adds what is missing when a device is put into the "
        "definition of a stopped VM. Ports with hotplug='off' do not count.",
        mend="Give it from the next start on, with --config, for which libvirt adds a port; or shut the VM down and, "
        "by virsh edit, add under <devices>: <controller type='pci' model='pcie-root-port'/>, once for each device to "
        "come.",
        command="virsh edit {handle}",
    ),
    "VM_PORT_WILL_BE_ADDED": Entry(
        severity=Severity.INFO,
        sentence="{vm} has no free root port; libvirt adds one when {nic} is put into its definition.",
        meaning="Nothing is wrong as long as the VM is stopped.",
        background="libvirt extends the PCI topology of a stopped VM by itself. The new port stays when the NIC goes "
        "again.",
    ),
    "VM_VIOMMU": Entry(
        severity=Severity.WARNING,
        sentence="{vm} has a virtual IOMMU ({model}), which costs speed and locked memory for every assigned device.",
        meaning="With it every device of the host is in an address space of its own, and each may pin the guest's "
        "memory once more.",
        background="A virtual IOMMU lets the guest confine its own devices, for nested passthrough or DPDK inside. "
        "QEMU must then follow every change of the guest's tables, and each change is a system call into VFIO. "
        "libvirt's usual limit of locked memory, the guest's memory and 1 GiB, may not do for several devices; it can "
        "be set with <memtune><hard_limit>.",
        mend="If the guest does not need it, take <iommu> out of the definition; else boot the guest with iommu=pt.",
        command="virsh edit {handle}",
    ),
    "VM_VIOMMU_NO_CACHING": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{vm} has a virtual Intel IOMMU without caching mode, with which QEMU refuses every assigned device.",
        meaning="Without caching mode the guest need not tell QEMU of new mappings, so VFIO could not follow them.",
        background="QEMU stops with: Device assignment is not allowed without enabling caching-mode=on for Intel "
        "IOMMU. In libvirt's definition it is an attribute of the driver of the iommu device, off when not given.",
        mend="By virsh edit, in <iommu model='intel'>: <driver caching_mode='on'/>, beside what stands there.",
        command="virsh edit {handle}",
    ),
    "VM_OTHER_HOSTDEVS": Entry(
        severity=Severity.INFO,
        sentence="{vm} has other devices of the host already: {devices}.",
        meaning="They bind it to this host as the NIC will, and start only if all of them are there.",
        background="A VM with assigned devices starts only when each of them can be taken: present, in a group of its "
        "own, and not in another running VM. Memory is locked once for all of them, unless there is a virtual IOMMU.",
    ),
    "VM_GUEST_LACKS_DRIVER": Entry(
        severity=Severity.WARNING,
        sentence="{vm} runs {system}, which has no driver of its own for {nic}: {driver} came with {since}.",
        meaning="The guest would show a device that it cannot use until a driver is installed in it.",
        background="The guest drives a NIC that is given to it, so it needs the NIC's own driver, not a virtual one. "
        "What system a guest has is what libosinfo's entry in the definition says, which virt-install wrote once; the "
        "guest may have been upgraded since, or have a newer kernel from backports.",
        mend="Before the NIC goes: install a newer kernel or the vendor's driver in the guest, and keep its virtual "
        "interface as a way in.",
    ),
    "VM_NO_MIGRATION": Entry(
        severity=Severity.WARNING,
        sentence="With {nic} {vm} can no longer be migrated live, saved or snapshotted with its memory.",
        meaning="The state inside the NIC cannot be carried over by QEMU, unless its VFIO driver supports migration.",
        background="Live migration, virsh save, managed save and snapshots with memory all stop a machine and write "
        "down its whole state. VFIO knows the state of a device only where a variant driver (such as mlx5_vfio_pci) "
        "and the firmware offer it; libvirt and QEMU refuse otherwise. libvirt-guests cannot suspend such a VM when "
        "the host shuts down: let it shut guests down instead (ON_SHUTDOWN=shutdown).",
        mend="If migration matters: a VF with <teaming type='transient'>, paired with a virtio interface, is "
        "unplugged before a migration and plugged in again after it.",
    ),
    "VM_TEAMED": Entry(
        severity=Severity.INFO,
        sentence="{vm} has {nic} in a team with a virtual interface, so it can be migrated without it.",
        meaning="libvirt unplugs it before a migration and plugs it in again on the other host.",
        background="<teaming type='transient'> in the definition marks the VF as one that may go; virtio's failover "
        "feature in the guest moves the traffic to the virtual interface meanwhile. The guest needs a kernel with "
        "net_failover, and both interfaces the same MAC.",
    ),
    "VIRTIO_ENOUGH": Entry(
        severity=Severity.INFO,
        sentence="Nothing in the definition of {vm} asks for hardware: no CPU pinning, no huge pages, no other device "
        "of the host.",
        meaning="If it needs no more than plain networking, a virtio interface with vhost would do, and keep migration "
        "and snapshots.",
        background="vhost-net moves the packets of a virtio interface in the host's kernel. What a guest needs of "
        "latency, packet rate or hardware offloads does not stand in its definition, so this is a question, not an "
        "advice: pinning and huge pages are only the usual companions of a VM that needs a NIC of its own.",
        mend="<interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>, or a macvtap.",
    ),
}
