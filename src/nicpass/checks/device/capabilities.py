# SPDX-License-Identifier: Apache-2.0
"""Findings from a NIC's configuration space and power attributes: there or gone, interrupts, D3cold, option ROM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import attribute, kind_of, label, list_nics, on_vfio
from nicpass.model.fact import Unknown, known, value_or, why_unknown
from nicpass.model.pci import IS_VF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.config_space import ConfigSpace
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.capabilities")

_CONVENTIONAL_SIZE = 256
_KIB = 1024


def check_config_readable(host: Host) -> Iterator[Finding]:
    """One finding for the host: who lacks the right for one NIC lacks it for all."""
    cut = [nic for nic in list_nics(host) if _why_cut(nic)]
    if cut:
        evidence = tuple((attribute(nic, "config"), _why_cut(nic)) for nic in cut[:1])
        yield make_finding("CONFIG_UNREADABLE", evidence=evidence, count=len(cut), first=cut[0].address)


def _why_cut(function: PciFunction) -> str | None:
    config = function.config
    if known(config) and config.responds and config.bytes_read < _CONVENTIONAL_SIZE:
        return why_unknown(config.pm)
    return None if config == IS_VF else why_unknown(config)


def check_config(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    config, nic = function.config, label(function)
    if not known(config):
        return
    shown = attribute(function, "config")
    if not config.responds:
        state = value_or(function.power_state, "unknown")
        evidence = ((shown, "ff ff ff ff ..."), (attribute(function, "power_state"), state))
        yield make_finding("DEVICE_GONE", function.address, evidence, nic=nic, address=function.address, state=state)
        return
    for owner in (function, *index.bridges_above(function)) if kind_of(function, index) != "vf" else (function,):
        yield from _check_damage(owner, function)
    yield from _check_interrupts(function, config)


def _check_damage(owner: PciFunction, function: PciFunction) -> Iterator[Finding]:
    if known(owner.config) and owner.config.problems:
        problems = "; ".join(owner.config.problems)
        evidence = ((attribute(owner, "config"), problems),)
        yield make_finding(
            "CONFIG_DAMAGED", function.address, evidence, nic=label(function), owner=label(owner), problems=problems
        )


def _check_interrupts(function: PciFunction, config: ConfigSpace) -> Iterator[Finding]:
    evidence = ((attribute(function, "config"), f"MSI {_shown(config.msi)}, MSI-X {_shown(config.msix)}"),)
    if config.msix is None and config.msi is None:
        yield make_finding("MSI_NONE", function.address, evidence, nic=label(function))
    elif config.msix is None and known(config.msi):
        yield make_finding("MSIX_NONE", function.address, evidence, nic=label(function), vectors=config.msi.vectors)


def _shown(fact: object) -> str:
    return "absent" if fact is None else why_unknown(fact) or "present"


def check_d3cold(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """D3cold, only where it can happen: vfio-pci lets an idle device sleep, and the port above may be switched off."""
    port = index.functions.get(function.bridge) if function.bridge is not None else None
    if on_vfio(function) and function.d3cold_allowed is True and port is not None and port.runtime_pm == "auto":
        evidence = (
            (attribute(function, "d3cold_allowed"), 1),
            (attribute(port, "power/control"), port.runtime_pm),
            (attribute(function, "power_state"), value_or(function.power_state, "unknown")),
        )
        yield make_finding("D3COLD_ALLOWED", function.address, evidence, nic=label(function), address=function.address)


def check_option_rom(function: PciFunction, _index: HostIndex) -> Iterator[Finding]:
    if known(function.rom_size) and function.rom_size > 0:
        size = f"{function.rom_size // _KIB} KiB"
        evidence = ((attribute(function, "rom"), size),)
        yield make_finding("OPTION_ROM", function.address, evidence, nic=label(function), size=size)


def check_card_nodes(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Functions of one card, and a PF's VFs, are on one NUMA node: they hang on one link."""
    if kind_of(function, index) == "vf":
        return
    own = (index.functions[vf] for vf in function.virtfns if vf in index.functions)
    card = (*index.slots[function.address[:-2]], *own)
    nodes = {member.numa_node for member in card if not isinstance(member.numa_node, Unknown)}
    if len(nodes) > 1:
        shown = tuple((attribute(member, "numa_node"), value_or(member.numa_node, -1)) for member in card)
        names = ", ".join(str(node) for node in sorted(-1 if node is None else node for node in nodes))
        yield make_finding("NUMA_INCONSISTENT", function.address, shown, nic=label(function), nodes=names)
