# SPDX-License-Identifier: Apache-2.0
"""What the firmware's IOMMU tables and the kernel's groups mean for a NIC: reserved memory, units, domain types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label
from nicpass.checks.lookup.regions import is_relaxed, regions_of
from nicpass.model.fact import Fact, Unknown, known, why_unknown
from nicpass.model.firmware import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.checks.lookup.scopes import Reservation
    from nicpass.model.finding import Finding
    from nicpass.model.firmware import Dmar, Firmware, Ivrs
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.platform import Platform

make_finding = Finder("device.reserved")

_TABLES = "/sys/firmware/acpi/tables"
_GROUPS = "/sys/kernel/iommu_groups"


def check_tables(host: Host) -> Iterator[Finding]:
    """The firmware's tables themselves: readable, sound, and what their flags ask of the kernel."""
    yield from _check_readable(host.firmware)
    if known(host.firmware.dmar):
        yield from _check_dmar_flags(host.firmware.dmar, host.platform)


def _check_readable(firmware: Firmware) -> Iterator[Finding]:
    tables = (("DMAR", firmware.dmar, _problems(firmware.dmar)), ("IVRS", firmware.ivrs, _problems(firmware.ivrs)))
    for table, fact, problems in tables:
        path, reason = f"{_TABLES}/{table}", why_unknown(fact)
        if problems:
            evidence = tuple((path, problem) for problem in problems)
            yield make_finding("TABLE_DAMAGED", None, evidence, table=table, problems="; ".join(problems))
        elif reason is not None:
            yield make_finding("TABLE_UNREADABLE", None, ((path, reason),), table=table, reason=reason)


def _problems(table: Fact[Dmar] | Fact[Ivrs]) -> tuple[str, ...]:
    """The faults of the table; data that is no table at all has its Unknown's reason for a fault."""
    if isinstance(table, Unknown):
        return (table.unknown.removeprefix(DAMAGED),) if table.unknown.startswith(DAMAGED) else ()
    return table.problems if table is not None else ()


def _check_dmar_flags(dmar: Dmar, platform: Platform) -> Iterator[Finding]:
    evidence = ((f"{_TABLES}/DMAR, flags", f"{dmar.flags:#x}"),)
    # Where /proc/interrupts shows what is in force, that is told, and not what was offered.
    if not dmar.intr_remap and not known(platform.interrupt_chips):
        yield make_finding("INTERRUPT_REMAPPING_NOT_OFFERED", None, evidence)
    if dmar.x2apic_opt_out:
        yield make_finding("X2APIC_OPT_OUT", None, evidence)


def check_reserved(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Memory that must stay mapped for the NIC: the kernel's word counts, the table's where that is not known."""
    group = index.group_facts.get(function.iommu_group) if known(function.iommu_group) else None
    if group is not None and known(group.reserved_regions):
        kinds, path = {region.type for region in group.reserved_regions}, f"{_GROUPS}/{group.number}/reserved_regions"
        if "direct" in kinds:
            direct = regions_of(group, "direct")
            table = index.scopes.reservations_of_group(group.number)
            evidence = ((path, f"direct {direct}"), *_table_evidence(table))
            yield make_finding("RESERVED_REGION", function.address, evidence, nic=label(function), regions=direct)
        elif "direct-relaxable" in kinds and is_relaxed(group, index.groups[group.number]):
            relaxed = regions_of(group, "direct-relaxable")
            shown = ((path, f"direct-relaxable {relaxed}"),)
            yield make_finding("RESERVED_REGION_RELAXED", function.address, shown, nic=label(function), regions=relaxed)
    elif table_evidence := _table_evidence(index.scopes.reservations_of(function)):
        regions = ", ".join(dict.fromkeys(value for _, value in table_evidence))
        nic = label(function)
        yield make_finding("RESERVED_REGION_FIRMWARE", function.address, table_evidence, nic=nic, regions=regions)


def _table_evidence(reservations: list[Reservation]) -> tuple[tuple[str, str], ...]:
    """The reservations as evidence; memory that the kernel gives up for a VM is none."""
    return tuple((each.source, f"{each.start}-{each.end}") for each in reservations if not each.is_relaxable)


def check_unit(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Whether any unit is there for the NIC. The kernel, where it has put the NIC into a group, has answered that."""
    if function.iommu_group is not None:
        return
    firmware, scopes = index.host.firmware, index.scopes
    units = (("DMAR", scopes.unit_of(function), firmware.dmar), ("IVRS", scopes.amd_unit_of(function), firmware.ivrs))
    for table, unit, fact in units:
        # A damaged table may have lost the very record that names this function.
        if unit is None and fact is not None and not _problems(fact):
            evidence = ((f"{_TABLES}/{table}", f"no unit for {function.address}"),)
            yield make_finding("NO_UNIT_FOR_NIC", function.address, evidence, nic=label(function), table=table)


def check_domain(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    group = index.group_facts.get(function.iommu_group) if known(function.iommu_group) else None
    if group is not None and group.type == "identity":
        evidence = ((f"{_GROUPS}/{group.number}/type", "identity"),)
        yield make_finding("DOMAIN_IDENTITY", function.address, evidence, nic=label(function), group=group.number)
