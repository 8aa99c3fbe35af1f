# SPDX-License-Identifier: Apache-2.0
"""Codes about the way from a NIC up to the root complex."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_LINK = (
    "A PCIe link trains to the widest and fastest that both ends and the way between them can do. Fewer lanes than "
    "both ends have come from a slot that is wired with less, from a firmware that has split the slot (bifurcation), "
    "or from dirty contacts. A lower speed may only be power saving: many cards and ports slow down while they idle. "
    "lspci -vv shows both ends as LnkCap (most) and LnkSta (now)."
)

ENTRIES: dict[str, Entry] = {
    "ACS_MISSING": Entry(
        severity=Severity.WARNING,
        sentence="{culprit} does not isolate ({controls} missing), so {nic} shares IOMMU group {group} with others.",
        meaning="Below it devices can reach each other without passing the IOMMU, so the kernel keeps them together.",
        background="Access Control Services decide whether a switch, a root port or a card with several functions "
        "sends traffic between its devices up to the IOMMU. The kernel asks for Source Validation (SV), Request and "
        "Completion Redirect (RR, CR) and Upstream Forwarding (UF) at each step to the root. Where one is missing, "
        "everything below goes into one group. For some models without the capability the makers have vouched, and the "
        "kernel believes them. The kernel argument pcie_acs_override only makes the kernel look away: the devices "
        "still reach each other.",
        mend="{mend}",
    ),
    "BEHIND_CONVENTIONAL_BRIDGE": Entry(
        severity=Severity.WARNING,
        sentence="{nic} lies behind the conventional PCI bridge {bridge}.",
        meaning="The IOMMU takes all devices behind that bridge for one, so they can only go to a VM together.",
        background="Conventional PCI does not say who asks. A bridge to it answers to the IOMMU in its own name for "
        "all behind it, so these share one set of translations and one group. Their interrupts are lines that are "
        "shared, and all have one slow bus.",
        mend="A NIC in a PCI Express slot.",
    ),
    "PCIE_LINK_NARROW": Entry(
        severity=Severity.WARNING,
        sentence="The PCIe link of {nic} runs at {now}; the card can do {card} and the port above it {port}.",
        meaning="It has fewer lanes than both ends could use, and that much less bandwidth, in the VM as on the host.",
        background=_LINK,
        mend="Seat the card anew, clean its contacts, and look in the firmware setup for the slot's bifurcation.",
    ),
    "PCIE_LINK_SLOW": Entry(
        severity=Severity.INFO,
        sentence="The PCIe link of {nic} runs at {now}; the card can do {card} and the port above it {port}.",
        meaning="That may be power saving while it idles; if it stays so under load, the link is bad.",
        background=_LINK,
        mend="Look again under load. In the firmware setup the slot's speed may have been set lower than 'Auto'.",
    ),
    "PCIE_SLOT_LIMITS": Entry(
        severity=Severity.INFO,
        sentence="The slot limits {nic}: the card can do {card}, the port above it {port}.",
        meaning="All its ports together cannot move more than this link does.",
        background=_LINK,
        mend="If the card shall be used in full, another slot.",
    ),
}
