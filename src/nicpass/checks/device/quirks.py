# SPDX-License-Identifier: Apache-2.0
"""The kernel's quirks for the NIC's very model, and what follows from them for passthrough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.device.quirk_table import (
    BROKEN_INTX,
    ISOLATED_FUNCTIONS,
    NO_BUS_RESET,
    NO_FLR,
    has_device_reset,
    is_one_of,
)
from nicpass.checks.lookup.nics import attribute, kind_of, label
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.quirks")


def check_quirks(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Findings about quirks of the NIC. None of VFs: theirs is a reset, which every VF has, and there are thousands."""
    if not known(function.vendor_id) or not known(function.device_id) or kind_of(function, index) == "vf":
        return
    model = f"{function.vendor_id:04x}:{function.device_id:04x}"
    for quirk, effect in list_quirks(function, index):
        evidence = ((attribute(function, "uevent"), model), ("drivers/pci/quirks.c", quirk))
        yield make_finding("KERNEL_QUIRK", function.address, evidence, nic=label(function), model=model, effect=effect)


def list_quirks(function: PciFunction, index: HostIndex) -> Iterator[tuple[str, str]]:
    """Pairs of (the kernel's function, what follows). Of a card that has MSI and one function, less follows."""
    config = function.config if known(function.config) else None
    if is_one_of(function, NO_FLR):
        yield "quirk_no_flr", _("it hangs at a function level reset, so the kernel resets it in another way or not")
    if is_one_of(function, NO_BUS_RESET):
        yield "quirk_no_bus_reset", _("it does not survive a bus reset, so the kernel never does one")
    if has_device_reset(function):
        yield "pci_dev_reset_methods", _("the kernel has a reset that is made for it")
    if is_one_of(function, BROKEN_INTX) and (config is None or (config.msi is None and config.msix is None)):
        yield (
            "quirk_broken_intx_masking",
            _("its interrupt line cannot be masked, so in a VM it must not share the line"),
        )
    if is_one_of(function, ISOLATED_FUNCTIONS) and config is not None and config.multifunction:
        effect = _("the kernel takes its functions for isolated although ACS does not say so")
        if _is_seen_apart(function, index):
            effect = _("its functions are isolated although ACS does not say so, and each has a group of its own")
        yield "pci_quirk_mf_endpoint_acs", effect


def _is_seen_apart(function: PciFunction, index: HostIndex) -> bool:
    """Whether the kernel was seen to give each function of the card a group of its own."""
    groups = [member.iommu_group for member in index.slots[function.address[:-2]]]
    return all(known(group) and len(index.groups[group]) == 1 for group in groups)
