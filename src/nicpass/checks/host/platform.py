# SPDX-License-Identifier: Apache-2.0
"""Whether this host can do passthrough at all: what kind of host it is, IOMMU, KVM, VFIO, hypervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.host.interrupts import check_interrupts
from nicpass.checks.host.iommu import check_iommu, check_iommu_arguments, check_iommu_state
from nicpass.checks.host.kernel import check_lockdown, check_vfio
from nicpass.checks.host.kvm import check_kvm
from nicpass.model.fact import known, why_unknown
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host

make_finding = Finder("host.platform")


_BUS = "/sys/bus/pci/devices"


def check_kind(host: Host) -> Iterator[Finding]:
    """Bare metal has no finding; a container, dom0 and a guest have theirs."""
    platform = host.platform
    if known(platform.container):
        evidence = (("/run/systemd/container, /proc/1/environ", platform.container),)
        yield make_finding("HOST_IS_CONTAINER", evidence=evidence, kind=platform.container)
    elif platform.sysfs_read_only is True:
        kind = _("of an unknown kind, with /sys mounted read-only")
        yield make_finding("HOST_IS_CONTAINER", evidence=(("/proc/self/mountinfo", "/sys ro"),), kind=kind)
    if platform.xen == "dom0":
        yield make_finding("XEN_DOM0", evidence=(("/proc/xen/capabilities", "control_d"),))
    elif platform.xen == "guest" or platform.is_guest is True:
        names = [name for name in (platform.dmi.sys_vendor, platform.dmi.product_name) if known(name) and name]
        product = " ".join(names) or _("its maker is not shown")
        yield make_finding("HOST_IS_VM", evidence=(("/proc/cpuinfo", "hypervisor"),), product=product)


def check_bus(host: Host) -> Iterator[Finding]:
    if host.pci_unread is not None:
        yield make_finding("PCI_UNREAD", evidence=((_BUS, host.pci_unread),), reason=host.pci_unread)


def check_hypervisor(host: Host) -> Iterator[Finding]:
    reason = why_unknown(host.domains)
    if reason is None and (unread := why_unknown(host.libvirt_networks)) is not None:
        reason = _("its networks, which lend NICs to VMs: {reason}").format(reason=unread)
    if reason is not None:
        yield make_finding("HYPERVISOR_UNKNOWN", evidence=(("libvirt", reason),), reason=reason)


PLATFORM_CHECKS: tuple[Callable[[Host], Iterator[Finding]], ...] = (
    check_kind,
    check_bus,
    check_iommu,
    check_iommu_arguments,
    check_iommu_state,
    check_interrupts,
    check_kvm,
    check_vfio,
    check_lockdown,
    check_hypervisor,
)


def check_platform(host: Host) -> Iterator[Finding]:
    for check in PLATFORM_CHECKS:
        yield from check(host)
