# SPDX-License-Identifier: Apache-2.0
"""Processor, firmware and kernel."""

from __future__ import annotations

import msgspec

from nicpass.model.fact import Fact


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """Processor, firmware and kernel, as far as passthrough depends on them."""

    hostname: Fact[str] = None
    kernel: Fact[str] = None
    boot_id: Fact[str] = None
    cmdline: Fact[str] = None
    cpu_vendor: Fact[str] = None
    virtualization: Fact[str] = None
    """`vmx` or `svm` in the flags of /proc/cpuinfo."""
    kvm_device: Fact[bool] = None
    iommu_tables: Fact[tuple[str, ...]] = None
    """Which of DMAR (Intel), IVRS (AMD), IORT (Arm) and VIOT (virtio) the firmware publishes."""
    iommu_units: Fact[tuple[str, ...]] = None
    """Names in /sys/class/iommu: those that a kernel driver has taken into use."""
    iommu_groups: Fact[int] = None
    modules: Fact[tuple[str, ...]] = None
    """Those of the modules that passthrough needs that are loaded or built in."""
    available_modules: Fact[tuple[str, ...]] = None
    """Those that modules.dep or modules.builtin of the running kernel names."""
    unsafe_interrupts: Fact[bool] = None
