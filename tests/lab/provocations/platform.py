# SPDX-License-Identifier: Apache-2.0
"""The host as a whole: processor, kernel, hypervisor, and what kind of host it is."""

from __future__ import annotations

from tests.lab.provocations.provocation import MendedBy, Provocation

_MODULES = "/lib/modules/$(uname -r)"
_LIBVIRT = "libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"


def _hide(file: str, pattern: str, copy: str) -> str:
    """A line that mounts a copy of a file without some lines over it."""
    return f"grep -v {pattern} {file} >/run/{copy}; mount --bind /run/{copy} {file}"


PROVOCATIONS = (
    Provocation(
        code="HOST_IS_VM",
        how="the standard host",
        sees=r"itself a virtual machine \(QEMU",
        scene="as it is",
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="HOST_IS_CONTAINER",
        how="/run/systemd/container as systemd-nspawn makes it",
        sees=r"a container \(systemd-nspawn\)",
        scene="disguise",
        provoke=("echo systemd-nspawn >/run/systemd/container",),
        mended_by=MendedBy.ADVICE,
        mend=("rm /run/systemd/container",),
    ),
    Provocation(
        code="CPU_NO_VIRTUALIZATION",
        how="a /proc/cpuinfo without svm, mounted over the kernel's",
        sees=r"neither vmx nor svm",
        scene="disguise",
        provoke=("sed 's/ svm / /' /proc/cpuinfo >/run/cpuinfo; mount --bind /run/cpuinfo /proc/cpuinfo",),
        mended_by=MendedBy.ADVICE,
        mend=("umount /proc/cpuinfo",),
    ),
    Provocation(
        code="VFIO_NOT_BUILT",
        how="a kernel configuration and a list of modules without VFIO, mounted over the kernel's",
        sees=r"built without vfio-pci",
        scene="disguise",
        provoke=(
            _hide("/boot/config-$(uname -r)", "VFIO", "config"),
            _hide(f"{_MODULES}/modules.dep", "vfio", "modules.dep"),
        ),
        mended_by=MendedBy.ADVICE,
        mend=(f"umount /boot/config-$(uname -r) {_MODULES}/modules.dep",),
    ),
    Provocation(
        code="VFIO_ABSENT",
        how="a list of modules without VFIO, mounted over the kernel's: as after an update, before the reboot",
        sees=r"no vfio-pci module",
        scene="modules",
        provoke=(_hide(f"{_MODULES}/modules.dep", "-e vfio -e kvm-amd", "modules.dep"),),
        mended_by=MendedBy.ADVICE,
    ),
    Provocation(
        code="KVM_MODULE_ABSENT",
        how="kvm_amd unloaded, and a list of modules without it mounted over the kernel's",
        sees=r"no module kvm_amd",
        scene="modules",
        provoke=("modprobe -r kvm_amd; rmmod kvm_amd || true",),
        mended_by=MendedBy.ADVICE,
        mend=(f"umount {_MODULES}/modules.dep; modprobe kvm_amd; udevadm settle",),
    ),
    Provocation(
        code="KVM_ABSENT",
        how="kvm_amd unloaded",
        sees=r"/dev/kvm is not there",
        scene="kvm",
        provoke=("modprobe -r kvm_amd",),
        mended_by=MendedBy.COMMAND,
        mend=("udevadm settle",),
    ),
    Provocation(
        code="KVM_UNUSABLE",
        how="a /dev/kvm that is something else",
        sees=r"/dev/kvm is there and makes no VM",
        scene="kvm device",
        provoke=("mount --bind /dev/null /dev/kvm",),
        mended_by=MendedBy.ADVICE,
        mend=("umount /dev/kvm",),
    ),
    Provocation(
        code="VFIO_NOT_LOADED",
        how="the standard host, before the first use of VFIO",
        sees=r"not loaded yet",
        scene="as it is",
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="LOCKDOWN",
        how="the kernel locked down while it runs",
        sees=r"locked down \(integrity\)",
        provoke=("echo integrity >/sys/kernel/security/lockdown",),
        mended_by=MendedBy.BOOT,
        spoils=True,
    ),
    Provocation(
        code="HYPERVISOR_UNKNOWN",
        how="libvirtd stopped",
        sees=r"libvirt cannot be asked",
        scene="libvirt",
        provoke=(f"systemctl stop {_LIBVIRT}",),
        mended_by=MendedBy.ADVICE,
        mend=(f"systemctl start {_LIBVIRT}",),
        undo=("virsh list",),
    ),
)

UNIT_ONLY = {
    "SECURE_BOOT": "the lab's host boots by QEMU's own loader, not by UEFI",
    "XEN_DOM0": "the lab has no Xen",
    "PCI_UNREAD": "root may read all of the bus; it takes a capture without it, or a function that goes away",
}
