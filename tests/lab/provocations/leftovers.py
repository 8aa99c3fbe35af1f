# SPDX-License-Identifier: Apache-2.0
"""What earlier hands left behind."""

from __future__ import annotations

from tests.lab.provocations.provocation import MendedBy, Provocation

NIC = "0000:02:00.0"
_SYSFS = f"/sys/bus/pci/devices/{NIC}"
_UNLOAD = "udevadm settle; modprobe -r vfio-pci vfio_iommu_type1"

PROVOCATIONS = (
    Provocation(
        code="ON_VFIO",
        how="a NIC bound to vfio-pci",
        sees=r"0000:02:00.0 is bound to vfio-pci",
        nic=NIC,
        scene="driverctl",
        provoke=(f"driverctl set-override {NIC} vfio-pci",),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="DRIVERCTL_OVERRIDE",
        how="driverctl set-override",
        sees=r"driverctl binds .*0000:02:00.0.* to vfio-pci at every boot",
        nic=NIC,
        scene="driverctl",
        mended_by=MendedBy.COMMAND,
        provoke=("udevadm settle",),
        undo=(_UNLOAD,),
    ),
    Provocation(
        code="CLAIMED_BY_DRIVERCTL",
        how="a file of driverctl's for another driver",
        sees=r"driverctl has .*0000:02:00.0.* for uio_pci_generic",
        nic=NIC,
        scene="files",
        provoke=(f"mkdir -p /etc/driverctl.d; echo uio_pci_generic >/etc/driverctl.d/pci-{NIC}",),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="OVERRIDE_LEFT",
        how="a driver_override written while the NIC keeps its driver",
        sees=r"driver override: vfio-pci",
        nic=NIC,
        scene="files",
        provoke=(f"echo vfio-pci >{_SYSFS}/driver_override",),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="VFIO_IDS",
        how="options vfio-pci ids=8086:10d3 in /etc/modprobe.d",
        sees=r"8086:10d3 \(/etc/modprobe.d/lab.conf\).*0000:03:00.0",
        scene="files",
        provoke=("echo 'options vfio-pci ids=8086:10d3' >/etc/modprobe.d/lab.conf",),
        mended_by=MendedBy.COMMAND,
        undo=("rm -f /etc/modprobe.d/lab.conf",),
    ),
    Provocation(
        code="VFIO_IDS",
        how="the kernel argument vfio-pci.ids=8086:10d3",
        sees=r"8086:10d3 \(/proc/cmdline\).*0000:03:00.0.*0000:03:00.1",
        shape="tangled",
        scene="as it is",
        mended_by=MendedBy.BOOT,
    ),
    Provocation(
        code="DRIVER_BLACKLISTED",
        how="blacklist igb in /etc/modprobe.d",
        sees=r"igb, a driver of enp2s0",
        nic=NIC,
        scene="files",
        provoke=("echo 'blacklist igb' >/etc/modprobe.d/lab-blacklist.conf",),
        mended_by=MendedBy.COMMAND,
        undo=("rm -f /etc/modprobe.d/lab-blacklist.conf",),
    ),
    Provocation(
        code="UDEV_BINDING",
        how="a udev rule that writes a driver_override",
        sees=r"/etc/udev/rules.d/99-lab.rules",
        scene="files",
        provoke=(
            'echo \'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="0000:77:00.0", ATTR{driver_override}="vfio-pci"\' '
            ">/etc/udev/rules.d/99-lab.rules",
        ),
        mended_by=MendedBy.COMMAND,
        undo=("rm -f /etc/udev/rules.d/99-lab.rules; udevadm control --reload",),
    ),
    Provocation(
        code="HOSTDEV_STALE",
        how="a VM's definition that names a card that is gone",
        sees=r"VM web01 names 0000:77:00.0, which is not there",
        scene="files",
        provoke=(
            'echo \'<hostdev mode="subsystem" type="pci" managed="yes"><source><address domain="0x0000" '
            'bus="0x77" slot="0x00" function="0x0"/></source></hostdev>\' >/run/stale.xml',
            "virsh attach-device web01 /run/stale.xml --config",
        ),
        mended_by=MendedBy.COMMAND,
        undo=("virsh define /var/lib/lab/web01.xml",),
    ),
    Provocation(
        code="BOUND_BY_NEW_ID",
        how="the ids of a NIC without a driver written to vfio-pci's new_id",
        sees=r"through new_id",
        nic=NIC,
        scene="new_id",
        provoke=(
            f"modprobe vfio-pci; echo {NIC} >{_SYSFS}/driver/unbind",
            "echo 8086 10c9 >/sys/bus/pci/drivers/vfio-pci/new_id",
        ),
        mended_by=MendedBy.COMMAND,
        undo=(_UNLOAD,),
    ),
    Provocation(
        code="LEFTOVERS_UNREAD",
        how="a file in /etc/modprobe.d that only root may read, and nicpass run by an ordinary user",
        sees=r"modprobe.d",
        user="nobody",
        scene="unread",
        provoke=("touch /etc/modprobe.d/lab-secret.conf; chmod 600 /etc/modprobe.d/lab-secret.conf",),
        mended_by=MendedBy.ROOT,
        undo=("rm /etc/modprobe.d/lab-secret.conf",),
    ),
)

_JOURNEY = "seen in the journeys of a guard whose Python is gone (tests/lab/test_guard_broken.py)"

UNIT_ONLY = {
    "GUARD_MISSING": _JOURNEY,
    "GUARD_NOT_EXECUTABLE": _JOURNEY,
    "GUARD_BROKEN": _JOURNEY,
    "GUARD_CHANGED": _JOURNEY,
    "STARTED_UNGUARDED": _JOURNEY,
    "VETOED_UNGUARDED": _JOURNEY,
    "STOPPED_UNGUARDED": _JOURNEY,
    "HOOKS_CONFINED": "Debian has no policy of SELinux in force",
    "CLAIMED_BY_PROXMOX": "the lab's host is no node of Proxmox VE",
    "CLAIMED_BY_OPERATOR": "the lab's host is no node of Kubernetes",
    "RECORD_WITHOUT_VM": "seen on simulated hosts, with every way in which a VM loses a NIC",
    "RECORD_WITHOUT_NIC": "seen on simulated hosts, with cards that are taken out and VFs after a boot",
    "START_VETOED": "test_guard.py has a start vetoed: list and check tell it until the next one goes on",
    "BOUND_AT_BOOT": "seen in the journeys of nicpass prepare, which reboot the host",
    "BOOT_BINDING_PENDING": "seen in the journeys of nicpass prepare, which reboot the host",
    "BOOT_BINDING_FAILED": "Debian's kernel has the drivers of QEMU's NICs as modules, which come too late to be first",
    "BOOT_BINDING_ABSENT": "a card would have to be taken out of the host between two boots",
    "BOOT_BINDING_AMBIGUOUS": "QEMU gives each NIC a serial number of its own, or none",
    "BOOT_BINDING_DAMAGED": "files of boot.d are judged alike on every host",
    "BOOT_BINDING_OTHER_CARD": "QEMU's NICs of one kind that can be swapped have serial numbers made from their MACs",
    "DRIVER_BUILT_IN": "Debian's kernel has all drivers of NICs as modules",
    "VFS_MISSING": "test_vfs_last.py has VFs that go with their PF's driver, and come again",
    "VFS_TOO_MANY": "files of vfs.d are judged alike on every host",
    "PF_OF_VFS_ABSENT": "a card would have to be taken out of the host between two boots",
    "VF_FILE_DAMAGED": "files of vfs.d are judged alike on every host",
    "VF_FILES_UNREAD": "root may read all of it",
    "BOOT_BINDINGS_UNREAD": "root may read all of it",
}
