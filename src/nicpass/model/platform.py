# SPDX-License-Identifier: Apache-2.0
"""Processor, firmware and kernel."""

from __future__ import annotations

from typing import Literal

import msgspec

from nicpass.model.fact import Fact, Unknown

ModuleState = Literal["absent", "loadable", "loaded", "builtin"]


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """One of the kernel's modules that passthrough needs, under its name with underscores."""

    name: str
    state: ModuleState | Unknown


class IommuCapability(msgspec.Struct, frozen=True, kw_only=True):
    """Capabilities of a VT-d unit: /sys/class/iommu/UNIT/intel-iommu/cap (VT-d specification, Capability Register)."""

    unit: str
    register: Fact[int]

    @property
    def address_width(self) -> int | None:
        """Bits of the widest address that the unit translates: the lesser of MGAW and the widest of SAGAW.

        MGAW is bits 21:16 plus one; SAGAW is bits 12:8, of which 1, 2 and 3 stand for 39, 48 and 57 bits.
        """
        if not isinstance(self.register, int):
            return None
        widths = [width for bit, width in ((9, 39), (10, 48), (11, 57)) if self.register >> bit & 1]
        return min((self.register >> 16 & 0x3F) + 1, max(widths)) if widths else None


class Dmi(msgspec.Struct, frozen=True, kw_only=True):
    """Who made the machine, its board and its firmware: /sys/class/dmi/id (SMBIOS types 0, 1 and 2)."""

    sys_vendor: Fact[str] = None
    product_name: Fact[str] = None
    board_vendor: Fact[str] = None
    board_name: Fact[str] = None
    bios_vendor: Fact[str] = None
    bios_version: Fact[str] = None


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """Processor, firmware and kernel, as far as passthrough depends on them."""

    hostname: Fact[str] = None
    kernel: Fact[str] = None
    boot_id: Fact[str] = None
    cmdline: Fact[str] = None
    kernel_options: Fact[tuple[str, ...]] = None
    """The kernel's build options that matter here and are set, such as `CONFIG_INTEL_IOMMU=y`."""
    cpu_vendor: Fact[str] = None
    architecture: Fact[Literal["x86", "arm", "power", "s390", "riscv"]] = None
    """The processor's kind, by the words of /proc/cpuinfo; None where it has none that are known here."""
    virtualization: Fact[str] = None
    """The processor's flag for virtualization, `vmx` or `svm` in the flags of /proc/cpuinfo."""
    physical_bits: Fact[int] = None
    """How many bits a physical address of the processor has (`address sizes` in /proc/cpuinfo)."""
    is_guest: Fact[bool] = None
    """Whether the processor says that a hypervisor runs below this host (`hypervisor` in the flags)."""
    xen: Fact[Literal["dom0", "guest"]] = None
    container: Fact[str] = None
    """The kind of container that this host is, in systemd's words (`lxc`, `docker`); None outside of one."""
    sysfs_read_only: Fact[bool] = None
    dmi: Dmi = Dmi()
    bmc: Fact[str] = None
    """By what a management controller is known (IPMI); the firmware need not name it."""
    secure_boot: Fact[bool] = None
    """Whether Secure Boot is on; None on a machine that did not boot by UEFI."""
    lockdown: Fact[str] = None
    """The kernel's lockdown: `none`, `integrity` or `confidentiality`; None for a kernel without it."""
    kvm_device: Fact[bool] = None
    kvm_works: Fact[bool] = None
    """Whether /dev/kvm makes a VM; only the running machine can be asked."""
    kvm_error: str | None = None
    """Why /dev/kvm makes no VM."""
    iommu_tables: Fact[tuple[str, ...]] = None
    """Which of DMAR (Intel), IVRS (AMD), IORT (Arm) and VIOT (virtio) the firmware publishes."""
    iommu_units: Fact[tuple[str, ...]] = None
    """Names in /sys/class/iommu: the IOMMU units that a kernel driver has taken into use."""
    iommu_capabilities: tuple[IommuCapability, ...] = ()
    """The capabilities of the VT-d units among `iommu_units`."""
    iommu_groups: Fact[int] = None
    interrupt_chips: Fact[tuple[str, ...]] = None
    """Names of interrupt controllers in /proc/interrupts, the address of a device left off; `IR-` means remapped."""
    modules: Fact[tuple[Module, ...]] = None
    unsafe_interrupts: Fact[bool] = None
    """vfio_iommu_type1's `allow_unsafe_interrupts`."""
    noiommu_mode: Fact[bool] = None
    """vfio's `enable_unsafe_noiommu_mode`."""
    vfio_sriov: Fact[bool] = None
    """vfio_pci's `enable_sriov`: whether a PF that it has can make VFs."""

    def module_state(self, name: str) -> ModuleState | Unknown:
        """The state of the module `name`; Unknown where it was not looked for or could not be learned."""
        modules = self.modules
        if isinstance(modules, Unknown):
            return modules
        return next((m.state for m in modules or () if m.name == name), Unknown(f"not looked for: {name}"))
