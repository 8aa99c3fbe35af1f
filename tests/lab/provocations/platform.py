# SPDX-License-Identifier: Apache-2.0
"""The host as a whole: IOMMU, processor, kernel, hypervisor."""

from __future__ import annotations

from tests.lab.provocations.provocation import MendedBy, Provocation

_MODULES = "/lib/modules/$(uname -r)"

PROVOCATIONS = (
    Provocation(
        code="IOMMU_ON",
        how="the standard host",
        sees=r"on \(dmar0\), with \d+ groups",
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="IOMMU_TABLE_ABSENT",
        how="a host whose firmware has no IOMMU",
        sees=r"no IOMMU table",
        shape="none",
        mended_by=MendedBy.BOOT,
    ),
    Provocation(
        code="IOMMU_OFF",
        how="the kernel argument intel_iommu=off",
        sees=r"intel_iommu=off",
        shape="off",
        mended_by=MendedBy.BOOT,
    ),
    Provocation(
        code="CPU_NO_VIRTUALIZATION",
        how="a /proc/cpuinfo without svm, mounted over the kernel's",
        sees=r"neither vmx nor svm",
        provoke=("sed 's/ svm / /' /proc/cpuinfo >/run/cpuinfo; mount --bind /run/cpuinfo /proc/cpuinfo",),
        mended_by=MendedBy.ADVICE,
        mend=("umount /proc/cpuinfo",),
        undo=("rm /run/cpuinfo",),
    ),
    Provocation(
        code="KVM_ABSENT",
        how="kvm_amd unloaded",
        sees=r"/dev/kvm is not there",
        provoke=("modprobe -r kvm_amd",),
        mended_by=MendedBy.ADVICE,
        mend=("modprobe kvm_amd; udevadm settle",),
    ),
    Provocation(
        code="VFIO_ABSENT",
        how="the modules of the running kernel replaced by others, as an update does",
        sees=r"no vfio-pci module",
        provoke=(
            "modprobe -r vfio-pci vfio_iommu_type1",
            f"grep -v vfio {_MODULES}/modules.dep >/run/modules.dep",
            f"mount --bind /run/modules.dep {_MODULES}/modules.dep",
        ),
        mended_by=MendedBy.ADVICE,
        mend=(f"umount {_MODULES}/modules.dep",),
        undo=("rm /run/modules.dep",),
    ),
    Provocation(
        code="VFIO_NOT_LOADED",
        how="the standard host, before the first use of VFIO",
        sees=r"not loaded yet",
        mended_by=MendedBy.ADVICE,
        mend=("modprobe vfio-pci",),
        undo=("modprobe -r vfio-pci vfio_iommu_type1",),
    ),
    Provocation(
        code="HYPERVISOR_UNKNOWN",
        how="libvirtd stopped",
        sees=r"libvirt cannot be asked",
        provoke=("systemctl stop libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket",),
        mended_by=MendedBy.ADVICE,
        mend=("systemctl start libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket",),
        undo=("virsh list",),
    ),
)

UNIT_ONLY: dict[str, str] = {}
