# SPDX-License-Identifier: Apache-2.0
"""Whether this host can do it at all: IOMMU, KVM, VFIO, hypervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.cmdline import parse_cmdline
from nicpass.checks.catalogue import make_finding
from nicpass.model.fact import known, value_or, why_unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.platform import Platform

_TABLES = "/sys/firmware/acpi/tables"
_UNITS = "/sys/class/iommu"
_GROUPS = "/sys/kernel/iommu_groups"


def check_platform(host: Host) -> Iterator[Finding]:
    yield from check_iommu(host)
    yield from check_kvm(host.platform)
    yield from check_vfio(host.platform)
    yield from check_hypervisor(host)


def check_iommu(host: Host) -> Iterator[Finding]:
    """On, off with the reason, or not there. The table tells Intel from AMD, not the processor's brand."""
    platform = host.platform
    tables, groups = platform.iommu_tables, platform.iommu_groups
    grouped = value_or(groups, 0) or len({f.iommu_group for f in host.pci if known(f.iommu_group)})
    if grouped > 0:
        units = platform.iommu_units
        names = ", ".join(units) if known(units) and units else "no unit shown"
        shown = ((_UNITS, names), (_GROUPS, grouped))
        yield make_finding("IOMMU_ON", evidence=shown, units=names, groups=grouped)
    elif tables == ():
        yield make_finding("IOMMU_TABLE_ABSENT", evidence=((_TABLES, "no DMAR, IVRS, IORT or VIOT"),))
    else:
        reason, mend = explain_iommu_off(platform)
        evidence = ((_TABLES, tables or why_unknown(tables) or "absent"), (_GROUPS, groups or "none"))
        yield make_finding("IOMMU_OFF", evidence=evidence, reason=reason, mend=mend)


def explain_iommu_off(platform: Platform) -> tuple[str, str]:
    """(why, what to do): arguments that turn it off, or the lack of the one that turns it on.

    Source: Documentation/admin-guide/kernel-parameters.txt, `iommu=`, `intel_iommu=`, `amd_iommu=`.
    """
    tables = platform.iommu_tables if known(platform.iommu_tables) else ()
    arguments = parse_cmdline(platform.cmdline) if isinstance(platform.cmdline, str) else {}
    for name in ("iommu", "intel_iommu", "amd_iommu"):
        given = arguments.get(name, [])
        # `iommu=off` cannot be taken back by a later one (iommu_setup() in arch/x86/kernel/pci-dma.c).
        if any("off" in value.split(",") for value in (given if name == "iommu" else given[-1:])):
            return f"the kernel argument {name}=off", f"Take {name}=off out of the kernel's arguments and reboot."
    if "DMAR" in tables and "on" in ",".join(arguments.get("intel_iommu", [])[-1:]).split(","):
        return (
            "the firmware has VT-d and intel_iommu=on is given, yet there are no groups",
            "Look for the reason: dmesg | grep -i -e iommu -e DMAR",
        )
    if "DMAR" in tables:
        return (
            "the firmware has VT-d, and this kernel leaves it off unless told",
            "Add intel_iommu=on to the kernel's arguments and reboot.",
        )
    if tables:
        return f"the firmware has it ({', '.join(tables)})", "Look for the reason: dmesg | grep -i -e iommu -e AMD-Vi"
    return (
        "there are no IOMMU groups, and whether the firmware has an IOMMU is unknown",
        "Look for DMAR or IVRS in /sys/firmware/acpi/tables, as root.",
    )


def check_kvm(platform: Platform) -> Iterator[Finding]:
    """The flag, and the device that the module makes. What was not captured is not a finding."""
    if platform.virtualization is None and known(platform.cpu_vendor):
        yield make_finding("CPU_NO_VIRTUALIZATION", evidence=(("/proc/cpuinfo", "neither vmx nor svm in flags"),))
    elif platform.kvm_device is False:
        module = "kvm_intel" if platform.virtualization == "vmx" else "kvm_amd"
        yield make_finding("KVM_ABSENT", evidence=(("/dev/kvm", "absent"),), module=module)


def check_vfio(platform: Platform) -> Iterator[Finding]:
    loaded, available = platform.modules, platform.available_modules
    if known(loaded) and "vfio_pci" in loaded:
        return
    if known(available):
        code = "VFIO_NOT_LOADED" if "vfio_pci" in available else "VFIO_ABSENT"
        yield make_finding(code, evidence=((f"/lib/modules/{platform.kernel}/modules.dep", "searched"),))


def check_hypervisor(host: Host) -> Iterator[Finding]:
    reason = why_unknown(host.domains)
    if reason is not None:
        yield make_finding("HYPERVISOR_UNKNOWN", evidence=(("libvirt", reason),), reason=reason)
