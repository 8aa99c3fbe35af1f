# SPDX-License-Identifier: Apache-2.0
"""The way from a NIC up to the root complex: isolation (ACS), conventional bridges, the PCIe link.

Source: `pci_device_group()` in drivers/iommu/iommu.c and `pci_acs_enabled()` in drivers/pci/pci.c of the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.device.quirk_table import ISOLATED_FUNCTIONS, ISOLATING_PORTS, is_one_of
from nicpass.checks.lookup.groups import group_companions
from nicpass.checks.lookup.nics import attribute, kind_of, label
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.config_space import AcsControl, PcieLink
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.path")

ISOLATION: tuple[AcsControl, ...] = ("SV", "RR", "CR", "UF")
"""The ACS controls that the kernel asks for before it splits a group (REQ_ACS_FLAGS)."""

_DOWNSTREAM = ("root port", "downstream switch port")
_CONVENTIONAL_BRIDGE = "PCIe-to-PCI bridge"


def check_isolation(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Which function on the way does not isolate; only where the kernel has put others into the NIC's group.

    The kernel's groups have the last word, so a card or port that isolates without saying so is not accused.
    """
    companions = group_companions(function, index)
    if not companions:
        return
    slot = function.address[:-2]
    culprits: list[tuple[PciFunction, tuple[AcsControl, ...]]] = []
    if any(companion.address[:-2] == slot for companion in companions):
        culprits.append((function, lacking_isolation(function)))
    apart = any(companion.address[:-2] != slot for companion in companions)
    # A bridge that is in the group itself is a culprit too where all others are on the NIC's own card.
    above = [b for b in index.bridges_above(function) if apart or b.iommu_group == function.iommu_group]
    culprits += [(bridge, lacking_isolation(bridge)) for bridge in above]
    for culprit, lacking in culprits:
        if lacking:
            has = culprit.config.acs if known(culprit.config) else None
            shown = f"ACS on: {' '.join(has.enabled) or 'none'}" if known(has) else "no ACS capability"
            yield make_finding(
                "ACS_MISSING",
                function.address,
                ((attribute(culprit, "config"), shown),),
                nic=label(function),
                culprit=label(culprit),
                controls=", ".join(lacking),
                group=function.iommu_group,
                mend=_mend_isolation(culprit, function, index),
            )


def _mend_isolation(culprit: PciFunction, function: PciFunction, index: HostIndex) -> str:
    """What helps: a card takes its own lack of isolation along into every slot, and no firmware can add it."""
    if culprit.address == function.address:
        return _("All functions of the card to one VM, or another card: in another slot this one is no better.")
    if index.host.platform.cpu_vendor == "GenuineIntel":
        return _(
            "Another slot, on a root port that isolates. In the firmware setup look for ACS, 'ACS Control' or 'PCIe "
            "ARI/ACS support'."
        )
    return _(
        "Another slot, on a root port that isolates. In the firmware setup look for ACS, 'ACS Enable' or "
        "'PCIe ARI/ACS support', often below AMD CBS or NBIO."
    )


def lacking_isolation(function: PciFunction) -> tuple[AcsControl, ...]:
    """The ACS controls that the function would need and does not have on; empty where it isolates, or nobody knows.

    A control that the function cannot switch counts as on, once it has the capability (7.7.8.2).
    """
    config = function.config
    if not known(config) or not known(config.pcie):
        return ()
    if config.pcie.port_type in _DOWNSTREAM:
        excused = is_one_of(function, ISOLATING_PORTS)
    else:
        # A card with one function, and one that reaches memory only by the root complex, needs no control.
        has_peers = config.multifunction and config.pcie.port_type != "root complex integrated endpoint"
        excused = not has_peers or is_one_of(function, ISOLATED_FUNCTIONS)
    if excused:
        return ()
    if config.acs is None:
        return ISOLATION
    if not known(config.acs):
        return ()
    return tuple(
        control for control in ISOLATION if control in config.acs.capable and control not in config.acs.enabled
    )


def check_conventional_bridge(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Below a conventional bridge the IOMMU sees one requester, the bridge itself."""
    for bridge in index.bridges_above(function) if kind_of(function, index) != "vf" else ():
        if known(bridge.config) and (
            bridge.config.pcie is None
            or (known(bridge.config.pcie) and bridge.config.pcie.port_type == _CONVENTIONAL_BRIDGE)
        ):
            kind = "no PCI Express capability" if bridge.config.pcie is None else _CONVENTIONAL_BRIDGE
            yield make_finding(
                "BEHIND_CONVENTIONAL_BRIDGE",
                function.address,
                ((attribute(bridge, "config"), kind),),
                nic=label(function),
                bridge=bridge.address,
            )
            return


def check_link(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """The link now, against what the card and the port above it could both do."""
    link = link_of(function)
    if link is None or kind_of(function, index) == "vf":
        return
    port = index.functions.get(function.bridge) if function.bridge is not None else None
    above = link_of(port) if port is not None else None
    shown: tuple[tuple[str, object], ...] = ((attribute(function, "current_link_speed"), describe_link(link)),)
    shown += ((attribute(port, "max_link_speed"), describe_most(above)),) if port is not None and above else ()
    both = _least(link, above)
    facts = {
        "nic": label(function),
        "now": describe_link(link),
        "card": describe_most(link),
        "port": describe_most(above) if above else "unknown",
    }
    if _is_less(link.width, both.max_width):
        yield make_finding("PCIE_LINK_NARROW", function.address, shown, **facts)
    elif _is_less(link.speed, both.max_speed):
        yield make_finding("PCIE_LINK_SLOW", function.address, shown, **facts)
    elif _is_less(both.max_width, link.max_width) or _is_less(both.max_speed, link.max_speed):
        yield make_finding("PCIE_SLOT_LIMITS", function.address, shown, **facts)


def link_of(function: PciFunction) -> PcieLink | None:
    """The function's PCIe link from configuration space; where that cannot be read, from sysfs."""
    config = function.config
    if known(config) and known(config.pcie):
        return config.pcie.link
    return function.sysfs_link if known(function.sysfs_link) else None


def _least(link: PcieLink, above: PcieLink | None) -> PcieLink:
    """The speed and width that both ends can do; where one end is not known, those of the other."""
    if above is None:
        return link
    return type(link)(
        max_speed=_smaller(link.max_speed, above.max_speed), max_width=_smaller(link.max_width, above.max_width)
    )


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _is_less(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one < other


def describe_link(link: PcieLink) -> str:
    """The link's speed and width as they are now, `8 GT/s x8`."""
    return _words(link.speed, link.width)


def describe_most(link: PcieLink) -> str:
    """The link's highest speed and width in the same words, `8 GT/s x8`."""
    return _words(link.max_speed, link.max_width)


def _words(speed: int | None, width: int | None) -> str:
    return f"{f'{speed / 1000:g} GT/s' if speed else '?'} x{width or '?'}"
