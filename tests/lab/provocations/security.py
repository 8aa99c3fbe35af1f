# SPDX-License-Identifier: Apache-2.0
"""The host as an auditor sees it: `nicpass check --security`."""

from __future__ import annotations

from tests.lab.provocations.provocation import MendedBy, Provocation

AUDIT = ("--security",)
NIC, VF = "0000:02:00.0", "0000:02:10.0"
_LIBVIRT = "libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"


def _hostdev(file: str, bus: str, slot: str) -> str:
    """A line that writes a <hostdev> for virsh attach-device."""
    address = f'<address domain="0x0000" bus="{bus}" slot="{slot}" function="0x0"/>'
    text = f'<hostdev mode="subsystem" type="pci" managed="yes"><source>{address}</source></hostdev>'
    return f"echo '{text}' >{file}"


PROVOCATIONS = (
    Provocation(
        code="PREBOOT_DMA_OPEN",
        how="a DMAR table without the flag DMA_CTRL_PLATFORM_OPT_IN",
        sees=r"keeps devices from DMA until the kernel takes over",
        arguments=AUDIT,
        scene="as it is",
        mended_by=MendedBy.BOOT,
        sound_shape="tangled",
    ),
    Provocation(
        code="VFIO_NODE_OPEN",
        how="a group's node in /dev/vfio that everybody may open",
        sees=r"/dev/vfio/\d+ can be opened by every user of this host \(mode 0666\)",
        arguments=AUDIT,
        scene="nodes",
        provoke=(
            f"driverctl --nosave set-override {NIC} vfio-pci",
            f"chmod 0666 /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/{NIC}/iommu_group))",
        ),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="VFIO_NODE_OF_USER",
        how="a group's node that belongs to a user",
        sees=r"/dev/vfio/\d+ belongs to nobody",
        arguments=AUDIT,
        scene="nodes",
        provoke=(f"chown nobody /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/{NIC}/iommu_group))",),
        mended_by=MendedBy.COMMAND,
        undo=(f"driverctl --nosave unset-override {NIC}", "udevadm settle; modprobe -r vfio-pci vfio_iommu_type1"),
    ),
    Provocation(
        code="WHOLE_NIC_GIVEN",
        how="a whole NIC in a VM's definition",
        sees=r"enp2s0 .* is given to db01 whole",
        arguments=AUDIT,
        nic=NIC,
        scene="given",
        provoke=("nicpass attach db01 enp2s0",),
        mended_by=MendedBy.ADVICE,
        mend=("nicpass detach db01 enp2s0",),
    ),
    Provocation(
        code="OPTION_ROM_SHOWN",
        how="a NIC with an option ROM given without <rom bar='off'/>",
        sees=r"db01 may run the option ROM of enp7s0",
        shape="tangled",
        arguments=AUDIT,
        nic="0000:07:00.0",
        scene="rom",
        provoke=(_hostdev("/run/nic.xml", "0x07", "0x00"), "virsh attach-device db01 /run/nic.xml --config"),
        mended_by=MendedBy.COMMAND,
        edit='s|</hostdev>|<rom bar="off"/></hostdev>|',
        undo=("virsh detach-device db01 /run/nic.xml --config",),
    ),
    Provocation(
        code="FIREWALL_BYPASSED",
        how="a NIC given to a VM",
        sees=r"do not see the traffic of VMs on NICs of their own: .*db01",
        arguments=AUDIT,
        scene="given",
        mended_by=MendedBy.NOTHING,
        provoke=("true",),
    ),
    Provocation(
        code="FILTERREF_BYPASSED",
        how="a VM with a network filter on its virtual interface and a NIC of the host",
        sees=r"web01 has network filters of libvirt's \(clean-traffic\)",
        arguments=AUDIT,
        nic="0000:01:00.0",
        scene="given",
        provoke=(
            "nicpass attach web01 enp1s0",
            "virsh dumpxml web01 --inactive | sed \"s|</devices>|<interface type='ethernet'><model type='virtio'/>"
            "<filterref filter='clean-traffic'/></interface></devices>|\" >/run/vm.xml; virsh define /run/vm.xml",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("nicpass detach web01 enp1s0", "virsh define /var/lib/lab/web01.xml"),
    ),
    Provocation(
        code="VF_TRUSTED",
        how="a VF that is trusted",
        sees=r"VF .*0000:02:10.0.* of db01 is trusted",
        arguments=AUDIT,
        nic=VF,
        scene="vf",
        provoke=(
            f"echo 2 >/sys/bus/pci/devices/{NIC}/sriov_numvfs; udevadm settle",
            f"ip link set enp2s0 up; nicpass attach db01 {VF}",
            "ip link set enp2s0 vf 0 trust on",
        ),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="VF_SPOOFCHK_OFF",
        how="a VF whose spoof check is off",
        sees=r"VF .*0000:02:10.0.* of db01 may send with any source address",
        arguments=AUDIT,
        nic=VF,
        scene="vf",
        provoke=("ip link set enp2s0 vf 0 spoofchk off",),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="VF_WITHOUT_VLAN",
        how="a VF without a VLAN beside one that has one",
        sees=r"VF .*0000:02:10.0.* of db01 has no VLAN, while other VFs of enp2s0 have \(7\)",
        arguments=AUDIT,
        nic=VF,
        scene="vf",
        provoke=("ip link set enp2s0 vf 1 vlan 7",),
        mended_by=MendedBy.ADVICE,
        mend=("ip link set enp2s0 vf 0 vlan 8",),
        undo=(
            "ip link set enp2s0 vf 0 vlan 0; ip link set enp2s0 vf 1 vlan 0",
            f"nicpass detach db01 {VF}; echo 0 >/sys/bus/pci/devices/{NIC}/sriov_numvfs; udevadm settle",
            "ip link set enp2s0 down",
        ),
    ),
    Provocation(
        code="NIC_OF_TWO_VMS",
        how="a NIC in the definitions of two VMs",
        sees=r"enp2s0 .* stands in the definitions of several VMs",
        arguments=AUDIT,
        nic=NIC,
        scene="shared",
        provoke=(
            _hostdev("/run/nic.xml", "0x02", "0x00"),
            "virsh attach-device web01 /run/nic.xml --config; virsh attach-device db01 /run/nic.xml --config",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("virsh detach-device db01 /run/nic.xml --config",),
        undo=("virsh detach-device web01 /run/nic.xml --config",),
    ),
    Provocation(
        code="GROUP_OF_TWO_VMS",
        how="the two NICs behind one bridge in the definitions of two VMs",
        sees=r"is split between VMs",
        arguments=AUDIT,
        scene="shared",
        provoke=(
            _hostdev("/run/four.xml", "0x05", "0x04"),
            _hostdev("/run/five.xml", "0x05", "0x05"),
            "virsh attach-device web01 /run/four.xml --config; virsh attach-device db01 /run/five.xml --config",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("virsh detach-device db01 /run/five.xml --config",),
        undo=("virsh detach-device web01 /run/four.xml --config",),
    ),
    Provocation(
        code="GROUP_OF_VM_AND_HOST",
        how="one of two NICs behind one bridge in a VM's definition, the other on its driver",
        sees=r"is split between VMs and the host",
        arguments=AUDIT,
        provoke=(
            _hostdev("/run/four.xml", "0x05", "0x04"),
            "virsh attach-device web01 /run/four.xml --config",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("echo 0000:05:05.0 >/sys/bus/pci/devices/0000:05:05.0/driver/unbind",),
        undo=(
            "echo 0000:05:05.0 >/sys/bus/pci/drivers_probe; udevadm settle",
            "virsh detach-device web01 /run/four.xml --config",
        ),
    ),
    Provocation(
        code="QEMU_AS_ROOT",
        how='user = "root" in qemu.conf',
        sees=r"libvirt runs its VMs as root",
        arguments=AUDIT,
        scene="qemu.conf",
        provoke=("cp -a /etc/libvirt/qemu.conf /run/qemu.conf; echo 'user = \"root\"' >>/etc/libvirt/qemu.conf",),
        mended_by=MendedBy.ADVICE,
        mend=("sed -i '/^user = \"root\"$/d' /etc/libvirt/qemu.conf",),
    ),
    Provocation(
        code="QEMU_UNCONFINED",
        how='security_driver = "none" in qemu.conf',
        sees=r"confines its VMs by no security driver",
        arguments=AUDIT,
        scene="qemu.conf",
        provoke=("echo 'security_driver = \"none\"' >>/etc/libvirt/qemu.conf",),
        mended_by=MendedBy.ADVICE,
        mend=("sed -i '/^security_driver = \"none\"$/d' /etc/libvirt/qemu.conf",),
        undo=("cp -a /run/qemu.conf /etc/libvirt/qemu.conf",),
    ),
    Provocation(
        code="GIVEN_NICS_UNKNOWN",
        how="libvirtd stopped",
        sees=r"could not be learned, so isolation could not be judged",
        arguments=AUDIT,
        provoke=(f"systemctl stop {_LIBVIRT}",),
        mended_by=MendedBy.COMMAND,
        undo=(f"systemctl start {_LIBVIRT}", "virsh list"),
    ),
)

UNIT_ONLY = {"VFIO_NODES_UNKNOWN": "root may look into /dev/vfio on every kernel"}
