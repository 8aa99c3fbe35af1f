# SPDX-License-Identifier: Apache-2.0
"""PCI functions, as sysfs shows them."""

from __future__ import annotations

import msgspec

from nicpass.model.address import Address, parse_address
from nicpass.model.fact import Fact


class PciFunction(msgspec.Struct, frozen=True, kw_only=True):
    """One PCI function, as /sys/bus/pci/devices/ADDRESS shows it (Documentation/ABI/testing/sysfs-bus-pci)."""

    address: Address
    class_code: Fact[int] = None
    """24 bits: base class, sub-class, programming interface; 0x020000 is an Ethernet controller."""
    vendor_id: Fact[int] = None
    device_id: Fact[int] = None
    subsystem_vendor_id: Fact[int] = None
    subsystem_device_id: Fact[int] = None
    driver: Fact[str] = None
    driver_override: Fact[str] = None
    bridge: Address | None = None
    """The bridge directly above; None on a root bus."""
    iommu_group: Fact[int] = None
    numa_node: Fact[int] = None
    reset_methods: Fact[tuple[str, ...]] = None
    totalvfs: Fact[int] = None
    """How many VFs it can make; None for what has no SR-IOV (Documentation/PCI/pci-iov-howto.rst)."""
    numvfs: Fact[int] = None
    physfn: Fact[Address] = None
    virtfns: tuple[Address, ...] = ()
    """The VFs of this PF; the place in the tuple is the VF's index."""
    netdevs: Fact[tuple[str, ...]] = None
    block_devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A snapshot comes from elsewhere, and addresses are printed into lines to paste."""
        if parse_address(self.address) != self.address:
            raise ValueError(f"not a PCI address: {self.address!r}")
