# SPDX-License-Identifier: Apache-2.0
"""The NIC as a device, its group, and what earlier hands left on it."""

from __future__ import annotations

from tests.lab.provocations.provocation import MendedBy, Provocation

NIC = "0000:02:00.0"
_SYSFS = f"/sys/bus/pci/devices/{NIC}"
_BRIDGED, _COMPANION = "0000:05:04.0", "0000:05:05.0"

PROVOCATIONS = (
    Provocation(
        code="DRIVER_ABSENT",
        how="the driver unbound",
        sees=r"0000:02:00.0 has no driver",
        nic=NIC,
        provoke=(f"echo {NIC} >{_SYSFS}/driver/unbind",),
        mended_by=MendedBy.ADVICE,
        mend=(f"echo {NIC} >/sys/bus/pci/drivers_probe; udevadm settle",),
    ),
    Provocation(
        code="RESET_NONE",
        how="all ways to reset the NIC switched off in reset_method",
        sees=r"no way to reset enp2s0",
        nic=NIC,
        provoke=(f"echo >{_SYSFS}/reset_method",),
        mended_by=MendedBy.ADVICE,
        mend=(f"echo default >{_SYSFS}/reset_method",),
    ),
    Provocation(
        code="VF_PREFERRED",
        how="a NIC with SR-IOV",
        sees=r"can make 7 VFs",
        nic=NIC,
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="ON_VFIO",
        how="the NIC bound to vfio-pci with driverctl",
        sees=r"bound to vfio-pci",
        nic=NIC,
        provoke=(f"driverctl set-override {NIC} vfio-pci",),
        mended_by=MendedBy.COMMAND,
        undo=("udevadm settle; modprobe -r vfio-pci vfio_iommu_type1",),
    ),
    Provocation(
        code="OVERRIDE_LEFT",
        how="a driver_override written while the NIC keeps its driver",
        sees=r"driver override: vfio-pci",
        nic=NIC,
        provoke=(f"echo vfio-pci >{_SYSFS}/driver_override",),
        mended_by=MendedBy.COMMAND,
        undo=("udevadm settle",),
    ),
    Provocation(
        code="GROUP_SHARED",
        how="two NICs behind one PCIe-to-PCI bridge",
        sees=r"ens4 .* shares IOMMU group \d+ with devices that the host uses: 0000:05:05.0",
        nic=_BRIDGED,
        mended_by=MendedBy.ADVICE,
        mend=(f"echo {_COMPANION} >/sys/bus/pci/devices/{_COMPANION}/driver/unbind",),
        undo=(f"echo {_COMPANION} >/sys/bus/pci/drivers_probe; udevadm settle",),
    ),
    Provocation(
        code="GROUP_SHARED",
        how="two functions of one card without ACS",
        sees=r"enp3s0f0 .* shares IOMMU group \d+ with devices that the host uses: 0000:03:00.1",
        shape="tangled",
        nic="0000:03:00.0",
        mended_by=MendedBy.ADVICE,
        mend=("echo 0000:03:00.1 >/sys/bus/pci/devices/0000:03:00.1/driver/unbind",),
        undo=("echo 0000:03:00.1 >/sys/bus/pci/drivers_probe; udevadm settle",),
    ),
    Provocation(
        code="GROUP_SHARED",
        how="two NICs on ports of a switch, below a root port without ACS",
        sees=r"enp7s0 .* shares IOMMU group \d+ with devices that the host uses: 0000:08:00.0",
        shape="tangled",
        nic="0000:07:00.0",
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="GROUP_SHARED_IDLE",
        how="two NICs behind one bridge, the other without a driver",
        sees=r"shares IOMMU group \d+ with idle devices: 0000:05:05.0",
        nic=_BRIDGED,
        provoke=(f"echo {_COMPANION} >/sys/bus/pci/devices/{_COMPANION}/driver/unbind",),
        mended_by=MendedBy.NOTHING,
        undo=(f"echo {_COMPANION} >/sys/bus/pci/drivers_probe; udevadm settle",),
    ),
    Provocation(
        code="GROUP_ABSENT",
        how="a NIC that the DMAR table puts under no IOMMU",
        sees=r"is in no IOMMU group",
        shape="tangled",
        nic="0000:04:00.0",
        mended_by=MendedBy.NOTHING,
    ),
)

UNIT_ONLY: dict[str, str] = {}
