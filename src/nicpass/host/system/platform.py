# SPDX-License-Identifier: Apache-2.0
"""Reads processor, firmware and kernel as far as passthrough depends on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from nicpass.host.system.iommu import count_groups, read_capabilities, read_interrupt_chips, read_tables, read_units
from nicpass.host.system.kvm import read_kvm_device, try_kvm
from nicpass.host.system.machine import (
    read_bmc,
    read_container,
    read_dmi,
    read_lockdown,
    read_secure_boot,
    read_sysfs_read_only,
    read_xen,
)
from nicpass.host.system.modules import read_kernel_options, read_modules, read_parameter
from nicpass.model.fact import Fact, Unknown
from nicpass.model.platform import Platform

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files


Architecture: TypeAlias = Literal["x86", "arm", "power", "s390", "riscv"]


class _Cpu(msgspec.Struct, frozen=True):
    vendor: Fact[str]
    architecture: Fact[Architecture]
    virtualization: Fact[str]
    physical_bits: Fact[int]
    is_guest: Fact[bool]


def read_platform(files: Files) -> Platform:
    """Everything of `Platform`; what cannot be read is Unknown there."""
    cpu = _read_cpu(files)
    kernel = files.read_text("/proc/sys/kernel/osrelease")
    kvm = try_kvm(files)
    units = read_units(files)
    return Platform(
        hostname=files.read_text("/proc/sys/kernel/hostname"),
        kernel=kernel,
        boot_id=files.read_text("/proc/sys/kernel/random/boot_id"),
        cmdline=files.read_text("/proc/cmdline"),
        kernel_options=read_kernel_options(files, kernel),
        cpu_vendor=cpu.vendor,
        architecture=cpu.architecture,
        virtualization=cpu.virtualization,
        physical_bits=cpu.physical_bits,
        is_guest=cpu.is_guest,
        xen=read_xen(files),
        container=read_container(files),
        sysfs_read_only=read_sysfs_read_only(files),
        dmi=read_dmi(files),
        bmc=read_bmc(files),
        secure_boot=read_secure_boot(files),
        lockdown=read_lockdown(files),
        kvm_device=read_kvm_device(files),
        kvm_works=kvm.works,
        kvm_error=kvm.error,
        iommu_tables=read_tables(files),
        iommu_units=units,
        iommu_capabilities=read_capabilities(files, units),
        iommu_groups=count_groups(files),
        interrupt_chips=read_interrupt_chips(files),
        modules=read_modules(files, kernel),
        unsafe_interrupts=read_parameter(files, "vfio_iommu_type1", "allow_unsafe_interrupts"),
        noiommu_mode=read_parameter(files, "vfio", "enable_unsafe_noiommu_mode"),
        vfio_sriov=read_parameter(files, "vfio_pci", "enable_sriov"),
    )


def _read_cpu(files: Files) -> _Cpu:
    """The facts of the first processor of /proc/cpuinfo."""
    text = files.read_text("/proc/cpuinfo")
    if not isinstance(text, str):
        return _Cpu(text, text, text, text, text)
    first = text.split("\n\n", 1)[0]
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    vendor, bits = fields.get("vendor_id"), _parse_physical_bits(fields.get("address sizes"))
    if "flags" not in fields:  # Arm has Features, and no flag that tells
        unflagged = Unknown("no processor flags: /proc/cpuinfo")
        return _Cpu(vendor, _architecture_of(text), unflagged, bits, unflagged)
    flags = set(fields["flags"].split())
    virtualization = next((flag for flag in ("vmx", "svm") if flag in flags), None)
    return _Cpu(vendor, "x86", virtualization, bits, "hypervisor" in flags)


def _architecture_of(text: str) -> Architecture | None:
    """By words that only one kind of processor has: show_cpuinfo() in arch/*/kernel of the kernel."""
    names = {line.partition(":")[0].strip() for line in text.splitlines()}
    if "Features" in names or "CPU implementer" in names:
        return "arm"
    if "hart" in names:
        return "riscv"
    if "IBM/S390" in text:
        return "s390"
    return "power" if "timebase" in names or ("cpu" in names and "clock" in names) else None


def _parse_physical_bits(sizes: str | None) -> Fact[int]:
    """46 of `46 bits physical, 48 bits virtual`; processors other than x86 do not say it."""
    if sizes is None:
        return None
    found = re.match(r"(\d{1,3}) bits physical", sizes, re.ASCII)
    return int(found[1]) if found else Unknown("not a number of bits: address sizes in /proc/cpuinfo")
