# SPDX-License-Identifier: Apache-2.0
"""The PCI functions of a host turned over once: by address, group, bus and slot, with PFs and their VFs."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from nicpass.model.fact import known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.address import Address
    from nicpass.model.fact import Fact
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

# Drivers in the kernel's tree that bind VFs only: they tell a VF where a capture lacks `physfn`.
VF_DRIVERS = frozenset(
    {"bnxtvf", "cxgb4vf", "enic_vf", "fm10kvf", "hinic_vf", "iavf", "i40evf", "igbvf", "ixgbevf", "nfp_netvf"}
)

_DMA_BY_DRIVER = (5, 19)
"""The release since which `pci_dma_configure()` takes a group's DMA for the host (drivers/pci/pci-driver.c)."""


class FunctionIndex:
    """Look-ups by PCI function; each is built when it is first asked for."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @cached_property
    def claims_dma_by_driver(self) -> bool:
        """Whether this kernel takes a group for the host by the driver of a member, not by the member's header.

        A kernel of unknown release counts as a new one.
        """
        kernel = self.host.platform.kernel
        match = re.match(r"([0-9]+)\.([0-9]+)", kernel) if isinstance(kernel, str) else None
        return match is None or (int(match[1]), int(match[2])) >= _DMA_BY_DRIVER

    @cached_property
    def functions(self) -> dict[Address, PciFunction]:
        return {function.address: function for function in self.host.pci}

    @cached_property
    def groups(self) -> dict[int, list[PciFunction]]:
        grouped: dict[int, list[PciFunction]] = defaultdict(list)
        for function in self.host.pci:
            if known(function.iommu_group):
                grouped[function.iommu_group].append(function)
        return grouped

    @cached_property
    def buses(self) -> dict[str, list[PciFunction]]:
        """`0000:01` to the functions on that bus."""
        return _by_prefix(self.host.pci, -5)

    @cached_property
    def slots(self) -> dict[str, list[PciFunction]]:
        """`0000:01:00` to the functions of that device."""
        return _by_prefix(self.host.pci, -2)

    @cached_property
    def shows_reset_methods(self) -> bool:
        """Whether the kernel, or the capture, has `reset_method`: then a function without it has no reset."""
        return any(known(function.reset_methods) for function in self.host.pci)

    def bridges_above(self, function: PciFunction) -> list[PciFunction]:
        """The bridges above the function, from the nearest to the root port; those not in a capture are left out."""
        chain: dict[Address, PciFunction] = {}
        above = function.bridge
        while above is not None and above not in chain and above in self.functions:
            chain[above] = self.functions[above]
            above = chain[above].bridge
        return list(chain.values())

    @cached_property
    def vf_indices(self) -> dict[Address, tuple[Address, int]]:
        """VF to (its PF, its index), from the PF's own numbered links."""
        return {
            vf: (pf.address, index)
            for pf in self.host.pci
            if pf.virtfns
            for index, vf in zip(pf.virtfn_indices or range(len(pf.virtfns)), pf.virtfns, strict=False)
        }

    @cached_property
    def stray_vfs(self) -> dict[tuple[Address | None, Fact[int]], list[Address]]:
        """(Bridge above, vendor) to the VFs there whose PF no link tells; only captures have such."""
        stray: dict[tuple[Address | None, Fact[int]], list[Address]] = defaultdict(list)
        for function in self.host.pci:
            if function.driver in VF_DRIVERS and not known(function.physfn) and function.address not in self.vf_indices:
                stray[function.bridge, function.vendor_id].append(function.address)
        return stray

    @cached_property
    def bridges_in_use(self) -> frozenset[Address]:
        """Bridges with something behind them."""
        return frozenset(function.bridge for function in self.host.pci if function.bridge is not None)

    @cached_property
    def vfs(self) -> dict[Address, list[PciFunction]]:
        """PF to its VFs, by its links to them or theirs to it."""
        grouped: dict[Address, list[PciFunction]] = defaultdict(list)
        for function in self.host.pci:
            pf = self.vf_indices[function.address][0] if function.address in self.vf_indices else function.physfn
            if known(pf):
                grouped[pf].append(function)
        return grouped


def _by_prefix(functions: Iterable[PciFunction], end: int) -> dict[str, list[PciFunction]]:
    grouped: dict[str, list[PciFunction]] = defaultdict(list)
    for function in functions:
        grouped[function.address[:end]].append(function)
    return grouped
