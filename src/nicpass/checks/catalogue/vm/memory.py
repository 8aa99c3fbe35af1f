# SPDX-License-Identifier: Apache-2.0
"""Codes about the memory and CPUs of the VM against those of the host and the place of the NIC."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_LOCKING = (
    "A device may write to any part of the guest's memory at any time, so VFIO pins all of it when the VM starts. "
    "libvirt raises the limit of locked memory (RLIMIT_MEMLOCK) of QEMU to the guest's memory and 1 GiB, or to "
    "<memtune><hard_limit> where the definition has one. "
)
_NUMA = (
    "A NIC hangs on one processor's PCI Express lanes. Its DMA to memory of another node, and interrupts handled on "
    "CPUs of another node, cross the link between the processors: more latency, less throughput. The node of the NIC "
    "is numa_node in sysfs, as the firmware tells it (ACPI _PXM). "
)

ENTRIES: dict[str, Entry] = {
    "VM_MEMORY_LOCK": Entry(
        severity=Severity.INFO,
        sentence="With {nic} all {memory} of {vm} stay locked in the host's memory while it runs.",
        meaning="They can be neither swapped out nor shared nor taken back by the balloon.",
        background=_LOCKING + "Overcommit, KSM and ballooning gain nothing from such a VM; QEMU switches the balloon "
        "off while a VFIO device is there.",
    ),
    "VM_MEMORY_LOCK_EACH": Entry(
        severity=Severity.INFO,
        sentence="{vm} has a virtual IOMMU, so its memory is locked once for each of {times} devices: {memory}.",
        meaning="So much the limit of locked memory has to allow; the memory itself is there once.",
        background="Behind a virtual IOMMU each assigned device has an address space of its own, and VFIO counts the "
        "guest's memory once for each of them. Newer versions of libvirt allow for that; older ones allow for one "
        "device, and the start with a second one fails with ENOMEM. <memtune><hard_limit> has to have room for all.",
        mend="If the start fails with 'cannot allocate memory': a newer libvirt, or <hard_limit> with room for that.",
    ),
    "VM_MEMORY_RESERVED": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="The memory of {vm} ({memory}, machine {machine}) would lie across {region}, which the IOMMU of {nic} "
        "cannot map.",
        meaning="QEMU maps all of the guest's memory for the NIC; there the kernel answers EINVAL, and no VM starts.",
        background="The kernel shows in reserved_regions which addresses the IOMMU group of a device cannot use. On "
        "AMD that is a piece below 1 TiB which belongs to HyperTransport. Up to the machine types of QEMU 7.0 a guest "
        "with more than about 1010 GiB has memory there. Since 7.1 QEMU lays it above 1 TiB instead.",
        mend="{mend}",
        command="virsh edit {handle}",
    ),
    "VM_MEMORY_LIMIT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{vm} may use {limit} at most (hard_limit), and its memory of {memory} must be locked whole.",
        meaning="Pinning the guest's memory for the NIC fails, and the VM does not start.",
        background=_LOCKING + "A hard_limit below the guest's memory makes VFIO_IOMMU_MAP_DMA fail with ENOMEM.",
        mend="Take <hard_limit> out of <memtune> by virsh edit, as libvirt's documentation advises, or raise it.",
        command="virsh memtune {handle} --hard-limit {enough_kib} --config",
    ),
    "VM_MEMORY_LIMIT_TIGHT": Entry(
        severity=Severity.WARNING,
        sentence="{vm} may use {limit} at most (hard_limit), which leaves less than 1 GiB beside its memory of "
        "{memory}.",
        meaning="QEMU's own memory and the NIC's registers count too; the kernel may kill the VM or refuse to pin.",
        background=_LOCKING + "How much QEMU needs beside the guest's memory cannot be computed beforehand, which is "
        "why libvirt's documentation advises against hard_limit.",
        mend="Take <hard_limit> out of <memtune> by virsh edit, or raise it.",
        command="virsh memtune {handle} --hard-limit {enough_kib} --config",
    ),
    "VM_MEMORY_TOO_BIG": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{vm} has {memory} of memory, and the whole host has {total}.",
        meaning="With the NIC the guest's memory must be locked whole, so the VM cannot start.",
        background=_LOCKING + "Without an assigned device such a VM could start and live on swap.",
        mend="Give the VM less memory (virsh setmaxmem and virsh setmem, both with --config), or the host more.",
    ),
    "VM_MEMORY_SHORT": Entry(
        severity=Severity.WARNING,
        sentence="{vm} needs {memory} at its start, and the host has {available} available.",
        meaning="The memory is locked at once when the VM starts with the NIC: others are swapped out, or something is "
        "killed.",
        background=_LOCKING + "MemAvailable in /proc/meminfo is the kernel's estimate of what can be had without "
        "swapping; it changes from moment to moment.",
        mend="Stop another VM first, or give this one less memory.",
    ),
    "VM_HUGEPAGES_ABSENT": Entry(
        severity=Severity.INFO,
        sentence="{vm} does not use huge pages.",
        meaning="Pinning small pages makes the start of a big VM slower and its address translation costlier.",
        background="The IOMMU and the processor translate addresses by pages. With pages of 2 MiB or 1 GiB there are "
        "hundreds or thousands of times fewer of them. Transparent huge pages give a part of that by themselves.",
        mend="By virsh edit: <memoryBacking><hugepages/></memoryBacking>, after setting pages aside on the host.",
    ),
    "VM_HUGEPAGES_SHORT": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{vm} needs {need} huge pages of {size}, and {free} are free.",
        meaning="Its memory comes from huge pages only, so it does not start.",
        background="Huge pages are set aside beforehand in nr_hugepages; a VM takes them whole at its start and gives "
        "them back at its end. On a host that has run for long the kernel may not find enough memory in one piece, so "
        "read the number back after writing it. Pages of 1 GiB are best set aside at boot (hugepagesz=1G hugepages=N).",
        mend="Set more of them aside, and read the file back to see whether the kernel found them.",
        command="echo {wanted} > {path} && cat {path}",
    ),
    "VM_CPU_REMOTE": Entry(
        severity=Severity.WARNING,
        sentence="{vm} is pinned to CPUs {cpus}, and {nic} is on NUMA node {node}, whose CPUs are {near}.",
        meaning="Interrupts and packets cross from one processor to the other.",
        background=_NUMA + "Emulator threads matter less: they do not touch the packets of an assigned NIC.",
        mend="Pin the virtual CPUs to the NIC's node, or give the VM a NIC of the node where it runs.",
        command="for vcpu in $(seq 0 {last}); do virsh vcpupin {handle} $vcpu {near} --config; done",
    ),
    "VM_MEMORY_REMOTE": Entry(
        severity=Severity.WARNING,
        sentence="{vm} takes its memory from NUMA nodes {nodes}, and {nic} is on node {node}.",
        meaning="The NIC's DMA crosses from one processor to the other.",
        background=_NUMA + "Memory and CPUs of the VM should both lie on the NIC's node.",
        mend="Take the VM's memory from the NIC's node, if it has enough, or give it a NIC of its own node.",
        command="virsh numatune {handle} --nodeset {node} --config",
    ),
    "VM_UNPINNED": Entry(
        severity=Severity.INFO,
        sentence="{vm} may run on every NUMA node of this host, and {nic} is on node {node} (CPUs {near}).",
        meaning="Where it runs then changes how fast the NIC is, from one start to the next.",
        background=_NUMA + "Without pinning the scheduler places the VM by load, not by its NIC.",
        mend="If speed matters, pin its virtual CPUs and its memory to the NIC's node. Once it has the NIC, nicpass "
        "tune does that, one to one.",
        command="for vcpu in $(seq 0 {last}); do virsh vcpupin {handle} $vcpu {near} --config; done\n"
        "virsh numatune {handle} --nodeset {node} --config",
    ),
    "VM_ADDRESS_WIDTH": Entry(
        severity=Severity.WARNING,
        sentence="{vm} has physical addresses of {bits} bits, and the host's IOMMU translates {width}.",
        meaning="Guest memory that lies above cannot be mapped for DMA, and a VM that has any does not start.",
        background="The width that the IOMMU translates can be smaller than that of the processor. Firmware and "
        "systems place 64-bit BARs, and very large memory, near the top of what the virtual processor says that it "
        "can address. What lies beyond the IOMMU's reach fails in VFIO_IOMMU_MAP_DMA: for memory the VM does not "
        "start, for BARs only traffic between devices is lost.",
        mend="By virsh edit, in <cpu>: <maxphysaddr mode='emulate' bits='{width}'/> (libvirt 8.7 or newer).",
        command="virsh edit {handle}",
    ),
}
