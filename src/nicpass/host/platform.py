# SPDX-License-Identifier: Apache-2.0
"""Reads processor, firmware and kernel as far as passthrough depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.platform import Platform

if TYPE_CHECKING:
    from nicpass.host.files import Files

TABLES = "/sys/firmware/acpi/tables"
IOMMU_TABLES = ("DMAR", "IVRS", "IORT", "VIOT")
"""Intel's, AMD's, Arm's and virtio's description of the IOMMU (ACPI 6.5, 5.6; VIOT: its own specification)."""

MODULES = ("vfio", "vfio_pci", "vfio_iommu_type1", "kvm", "kvm_intel", "kvm_amd")


def read_platform(files: Files) -> Platform:
    """Everything of `Platform`; what cannot be read is Unknown there."""
    cpu = _read_cpu(files)
    kernel = files.read_text("/proc/sys/kernel/osrelease")
    return Platform(
        hostname=files.read_text("/proc/sys/kernel/hostname"),
        kernel=kernel,
        boot_id=files.read_text("/proc/sys/kernel/random/boot_id"),
        cmdline=files.read_text("/proc/cmdline"),
        cpu_vendor=cpu[0],
        virtualization=cpu[1],
        kvm_device=_read_kvm_device(files),
        iommu_tables=_read_tables(files),
        iommu_units=_sorted(files.list_directory("/sys/class/iommu")),
        iommu_groups=_count(files.list_directory("/sys/kernel/iommu_groups")),
        modules=_read_loaded_modules(files),
        available_modules=_read_available_modules(files, kernel),
        unsafe_interrupts=_read_unsafe_interrupts(files),
    )


def _read_cpu(files: Files) -> tuple[Fact[str], Fact[str]]:
    """(vendor, `vmx` or `svm`) from the first processor of /proc/cpuinfo."""
    text = files.read_text("/proc/cpuinfo")
    if not isinstance(text, str):
        return text, text
    first = text.split("\n\n", 1)[0]
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    if "flags" not in fields:  # Arm has Features, and no flag that tells
        return fields.get("vendor_id"), Unknown("no processor flags: /proc/cpuinfo")
    flags = set(fields["flags"].split())
    return fields.get("vendor_id"), next((flag for flag in ("vmx", "svm") if flag in flags), None)


def _read_kvm_device(files: Files) -> Fact[bool]:
    """Whether /dev/kvm is there. A capture has no /dev, so there it is unknown."""
    if files.exists("/dev/kvm"):
        return True
    return False if files.exists("/dev") else Unknown("not captured: /dev/kvm")


def _read_tables(files: Files) -> Fact[tuple[str, ...]]:
    names = files.list_directory(TABLES)
    if not known(names):
        return names
    # Where there are several of one signature, the kernel numbers them: DMAR1, DMAR2.
    return tuple(table for table in IOMMU_TABLES if table in names or f"{table}1" in names)


def _read_loaded_modules(files: Files) -> Fact[tuple[str, ...]]:
    if not files.exists("/sys/module"):
        return Unknown("not captured: /sys/module")
    return tuple(name for name in MODULES if files.exists(f"/sys/module/{name}"))


def _read_available_modules(files: Files, kernel: Fact[str]) -> Fact[tuple[str, ...]]:
    if not isinstance(kernel, str):
        return Unknown("the kernel's release is unknown")
    listings = [files.read_text(f"/lib/modules/{kernel}/{name}") for name in ("modules.dep", "modules.builtin")]
    texts = [text for text in listings if isinstance(text, str)]
    if not texts:
        return Unknown(f"absent: /lib/modules/{kernel}/modules.dep")
    paths = [line.split(":", 1)[0] for text in texts for line in text.splitlines()]
    stems = {path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_") for path in paths}
    return tuple(name for name in MODULES if name in stems)


def _read_unsafe_interrupts(files: Files) -> Fact[bool]:
    text = files.read_text("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
    return text == "Y" if isinstance(text, str) else text


def _sorted(names: Fact[tuple[str, ...]]) -> Fact[tuple[str, ...]]:
    return tuple(sorted(names)) if known(names) else names


def _count(names: Fact[tuple[str, ...]]) -> Fact[int]:
    return len(names) if isinstance(names, tuple) else names
