# SPDX-License-Identifier: Apache-2.0
"""The VM that shall have the NIC. Definitions are changed as `virsh edit` would, by sed(1)."""

from __future__ import annotations

from tests.lab.provocations.provocation import MendedBy, Provocation

NIC, OTHER, PF = "0000:02:00.0", "0000:03:00.0", "0000:01:00.0"
WEB = ("--vm", "web01", "enp2s0")
_RESTORE = "virsh define /var/lib/lab/web01.xml"


def _change(*edits: str) -> str:
    """A line that changes the definition of web01."""
    script = " ".join(f'-e "{edit}"' for edit in edits)
    return f"virsh dumpxml web01 --inactive | sed {script} >/run/vm.xml; virsh define /run/vm.xml"


def _add(element: str) -> str:
    return _change(f"s|<devices>|{element}<devices>|")


PROVOCATIONS = (
    Provocation(
        code="VM_NO_MIGRATION",
        how="any VM",
        sees=r"With enp2s0 .* web01 can no longer be migrated",
        arguments=WEB,
        nic=NIC,
        scene="as it is",
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="VIRTIO_ENOUGH",
        how="a VM without pinning, huge pages or devices of the host",
        sees=r"web01 asks for hardware",
        arguments=WEB,
        nic=NIC,
        scene="as it is",
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="VM_MEMORY_LOCK",
        how="any VM",
        sees=r"all 384 MiB of web01",
        arguments=WEB,
        nic=NIC,
        scene="as it is",
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="VM_HUGEPAGES_ABSENT",
        how="a VM without huge pages",
        sees=r"web01 does not use huge pages",
        arguments=WEB,
        nic=NIC,
        scene="as it is",
        mended_by=MendedBy.ADVICE,
        mend=(_add("<memoryBacking><hugepages/></memoryBacking>"),),
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_VIOMMU_NO_CACHING",
        how="a VM with <iommu model='intel'/>",
        sees=r"web01 has a virtual Intel IOMMU without caching mode",
        arguments=WEB,
        nic=NIC,
        scene="first",
        provoke=(_change("s|</devices>|<iommu model='intel'/></devices>|"),),
        mended_by=MendedBy.COMMAND,
        edit='s|<iommu model=.intel./>|<iommu model="intel"><driver caching_mode="on"/></iommu>|',
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_MEMORY_LIMIT",
        how="a hard_limit below the VM's memory",
        sees=r"web01 may use 256 MiB at most",
        arguments=WEB,
        nic=NIC,
        scene="first",
        provoke=("virsh memtune web01 --hard-limit 262144 --config",),
        mended_by=MendedBy.COMMAND,
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_HUGEPAGES_SHORT",
        how="a VM with huge pages on a host that has set none aside",
        sees=r"web01 needs 192 huge pages of 2 MiB, and 0 are free",
        arguments=WEB,
        nic=NIC,
        scene="first",
        provoke=(_add("<memoryBacking><hugepages/></memoryBacking>"),),
        mended_by=MendedBy.COMMAND,
        undo=("echo 0 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", _RESTORE),
    ),
    Provocation(
        code="VM_PORT_WILL_BE_ADDED",
        how="a VM of type q35 without a root port",
        sees=r"web01 has no free root port",
        arguments=WEB,
        nic=NIC,
        scene="first",
        provoke=(_change("/pcie-root-port/,/controller>/d"),),
        mended_by=MendedBy.NOTHING,
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_NOT_PCIE",
        how="a VM of type pc",
        sees=r"web01 is a machine without PCI Express",
        arguments=WEB,
        nic=NIC,
        scene="second",
        provoke=(
            "sed -e \"s/machine='q35'/machine='pc'/\" -e /pcie-root/d /var/lib/lab/web01.xml >/run/vm.xml",
            "virsh define /run/vm.xml",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("virsh undefine web01", _RESTORE),
    ),
    Provocation(
        code="VM_MEMORY_LIMIT_TIGHT",
        how="a hard_limit just above the VM's memory",
        sees=r"leaves less than 1 GiB",
        arguments=WEB,
        nic=NIC,
        scene="third",
        provoke=("virsh memtune web01 --hard-limit 524288 --config",),
        mended_by=MendedBy.COMMAND,
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_VIOMMU",
        how="a VM with a virtual IOMMU in caching mode",
        sees=r"web01 has a virtual IOMMU \(intel\)",
        arguments=WEB,
        nic=NIC,
        scene="third",
        provoke=(_change("s|</devices>|<iommu model='intel'><driver caching_mode='on'/></iommu></devices>|"),),
        mended_by=MendedBy.COMMAND,
        edit="/<iommu/,/iommu>/d",
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_MEMORY_TOO_BIG",
        how="a VM with more memory than the host",
        sees=r"web01 has 8 GiB of memory",
        arguments=WEB,
        nic=NIC,
        scene="second",
        provoke=("virsh setmaxmem web01 8G --config; virsh setmem web01 8G --config",),
        mended_by=MendedBy.ADVICE,
        mend=("virsh setmem web01 384M --config; virsh setmaxmem web01 384M --config",),
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_MEMORY_SHORT",
        how="a VM with more memory than is available",
        sees=r"web01 needs .* at its start",
        arguments=WEB,
        nic=NIC,
        scene="fourth",
        provoke=(
            "size=$(awk '/MemTotal/ {print int($2) - 65536}' /proc/meminfo); "
            "virsh setmaxmem web01 $size --config; virsh setmem web01 $size --config",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("virsh setmem web01 384M --config; virsh setmaxmem web01 384M --config",),
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_OTHER_HOSTDEVS",
        how="a VM with another NIC of the host",
        sees=r"0000:03:00.0",
        arguments=WEB,
        nic=NIC,
        scene="fourth",
        provoke=("nicpass attach web01 enp3s0",),
        mended_by=MendedBy.NOTHING,
        undo=("nicpass detach web01 enp3s0",),
    ),
    Provocation(
        code="VM_RUNNING",
        how="the VM started",
        sees=r"web01 is running",
        arguments=WEB,
        nic=NIC,
        guest="web01",
        mended_by=MendedBy.NOTHING,
        undo=("virsh destroy web01",),
    ),
    Provocation(
        code="VM_SAVED_STATE",
        how="the VM's state saved by virsh managedsave",
        sees=r"web01 has a saved state",
        arguments=WEB,
        nic=NIC,
        guest="web01",
        provoke=("virsh managedsave web01",),
        mended_by=MendedBy.COMMAND,
        mend=("timeout 60 sh -c 'until virsh domstate web01 | grep -q \"shut off\"; do sleep 0.5; done'",),
        full=True,
    ),
    Provocation(
        code="VM_TRANSIENT",
        how="a VM that was created, not defined",
        sees=r"web01 is transient",
        arguments=("--vm", "web01", "enp2s0"),
        nic=NIC,
        provoke=(
            "virsh dumpxml web01 --inactive >/run/vm.xml; virsh undefine web01; virsh create /run/vm.xml --paused",
        ),
        mended_by=MendedBy.COMMAND,
        undo=("virsh destroy web01", _RESTORE),
        full=True,
    ),
    Provocation(
        code="VM_NO_FREE_ROOT_PORT",
        how="a running VM of type q35 without a root port",
        sees=r"has no free place for a hot-plugged device",
        arguments=WEB,
        nic=NIC,
        provoke=(_change("/pcie-root-port/,/controller>/d"), "virsh start web01 --paused"),
        mended_by=MendedBy.ADVICE,
        mend=("virsh destroy web01", _RESTORE),
        full=True,
    ),
    Provocation(
        code="VM_CPU_REMOTE",
        how="a VM pinned to the processor of one node, and the NIC on the other",
        sees=r"web01 is pinned to CPUs 0, and enp2s0 .* is on NUMA node 1",
        shape="tangled",
        arguments=WEB,
        nic=NIC,
        scene="nodes",
        provoke=(f"echo 1 >/sys/bus/pci/devices/{NIC}/numa_node", "virsh vcpupin web01 0 0 --config"),
        mended_by=MendedBy.COMMAND,
        undo=(f"echo -1 >/sys/bus/pci/devices/{NIC}/numa_node", _RESTORE),
    ),
    Provocation(
        code="VM_MEMORY_REMOTE",
        how="a VM with memory of one node, and the NIC on the other",
        sees=r"web01 takes its memory from NUMA nodes 0",
        shape="tangled",
        arguments=WEB,
        nic=NIC,
        scene="nodes",
        provoke=("virsh numatune web01 --nodeset 0 --config",),
        mended_by=MendedBy.COMMAND,
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_UNPINNED",
        how="a VM without pinning on a host with two nodes",
        sees=r"web01 may run on every NUMA node",
        shape="tangled",
        arguments=WEB,
        nic=NIC,
        scene="unpinned",
        provoke=(f"echo 1 >/sys/bus/pci/devices/{NIC}/numa_node",),
        mended_by=MendedBy.COMMAND,
        undo=(f"echo -1 >/sys/bus/pci/devices/{NIC}/numa_node", _RESTORE),
    ),
    Provocation(
        code="VM_ADDRESS_WIDTH",
        how="a VM with the processor of a host whose IOMMU is narrower",
        sees=r"web01 has physical addresses of 40 bits, and the host's IOMMU translates 39",
        shape="tangled",
        arguments=WEB,
        nic=NIC,
        scene="width",
        mended_by=MendedBy.COMMAND,
        edit='s|<cpu \\(.*\\)/>|<cpu \\1><maxphysaddr mode="emulate" bits="39"/></cpu>|',
        undo=(_RESTORE,),
    ),
    Provocation(
        code="VM_TEAMED",
        how="a VF in a team with a virtio interface",
        sees=r"in a team with a virtual interface",
        arguments=("--vm", "web01"),
        nic="0000:01:10.0",
        provoke=(
            "echo 1 >/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs; udevadm settle",
            _change(
                "s|</devices>|<interface type='user'><mac address='52:54:00:00:09:01'/><model type='virtio'/>"
                "<teaming type='persistent'/><alias name='ua-net0'/></interface>"
                "<interface type='hostdev' managed='yes'><mac address='52:54:00:00:09:01'/><source>"
                "<address type='pci' domain='0' bus='1' slot='0x10' "
                "function='0'/></source><teaming type='transient' persistent='ua-net0'/></interface></devices>|"
            ),
        ),
        mended_by=MendedBy.NOTHING,
        undo=("echo 0 >/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs; udevadm settle", _RESTORE),
    ),
)

UNIT_ONLY = {
    "VM_MEMORY_RESERVED": "no host of the lab has a terabyte of memory",
    "VM_MEMORY_LOCK_EACH": "the lab's VMs with a virtual IOMMU have one NIC of the host; definitions have two",
    "VM_HAS_SNAPSHOTS": "the lab's VMs have no disk, and libvirt makes no snapshot of such a VM",
    "VM_UNREAD": "libvirt checks a definition before it keeps it, so it hands out none that cannot be read",
    "VM_GUEST_LACKS_DRIVER": "QEMU has no NIC that is too new for a system that libosinfo names",
}
