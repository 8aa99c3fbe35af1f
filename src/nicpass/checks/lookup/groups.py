# SPDX-License-Identifier: Apache-2.0
"""The members of a NIC's IOMMU group, and which of them may stay as they are while a VM has the rest.

Source: up to Linux 5.18 `vfio_dev_driver_allowed()` of drivers/vfio/vfio.c lets a function keep its driver if its
header is not that of a device (type 0), or the driver is pci-stub. Since 5.19 `pci_dma_configure()` takes the group's
DMA for the host with every driver but those that say `driver_managed_dma`: pcieport, pci-stub and VFIO's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.lookup.nics import is_bridge, on_vfio
from nicpass.model.fact import known

if TYPE_CHECKING:
    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.pci import PciFunction

_BRIDGE_HEADERS = frozenset({0x0604, 0x0607, 0x0609})
"""Classes whose header is a bridge's (PCI Code and ID Assignment, 1.7): PCI-to-PCI, CardBus, semi-transparent."""
_EVENT_COLLECTOR = 0x0807
"""Class of the root complex's event collector, which pcieport drives as it does a root port."""


def group_companions(function: PciFunction, index: HostIndex) -> list[PciFunction]:
    """The other members of the function's IOMMU group, those left out that nobody gives and that stay as they are."""
    if not known(function.iommu_group):
        return []
    members = index.groups[function.iommu_group]
    if len(members) < 2:  # as a thousand VFs are, each in a group of its own
        return []
    return [member for member in members if member.address != function.address and not stays(member, index)]


def stays(function: PciFunction, index: HostIndex) -> bool:
    """Whether the function, a bridge or the like, may stay with the host while a VM has other members of its group."""
    if is_bridge(function) or (known(function.class_code) and function.class_code >> 8 == _EVENT_COLLECTOR):
        return leaves_dma(function, index)
    return False


def leaves_dma(function: PciFunction, index: HostIndex) -> bool:
    """Whether VFIO can give the rest of the group away while the function keeps its driver. Unknown is no."""
    driver = function.driver
    if driver is None or driver == "pci-stub" or on_vfio(function):
        return True
    if has_bridge_header(function):
        return driver == "pcieport" or not known(driver) or not index.claims_dma_by_driver
    return driver == "pcieport" and index.claims_dma_by_driver


def has_bridge_header(function: PciFunction) -> bool:
    """Whether the header is not that of a device; where configuration space was not read, by the class."""
    config = function.config
    if known(config) and config.responds:
        return config.header_type != 0
    return known(function.class_code) and function.class_code >> 8 in _BRIDGE_HEADERS


def port_in_group(function: PciFunction, index: HostIndex) -> PciFunction | None:
    """The nearest bridge above that is in the function's own group: it does not isolate, so its VFs come in too.

    Source: `pci_device_group()` of drivers/iommu/iommu.c, which climbs from a VF's bus as from its PF's.
    """
    if not known(function.iommu_group):
        return None
    above = index.bridges_above(function)
    return next((bridge for bridge in above if bridge.iommu_group == function.iommu_group), None)
