# SPDX-License-Identifier: Apache-2.0
"""Findings about the firmware's tables and what they reserve: a host that has each, and the ready host without."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from lab.dmar import add_rmrr
from nicpass.checks.catalogue.device.reserved import ENTRIES
from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.address import Address
from nicpass.model.finding import Finding
from tests.support import acpi
from tests.support.hosts import bridge, nic, ready_host
from tests.support.trees import MSI_REGION, Tree

NIC = "0000:01:00.0"
PORT = bridge("0000:00:01.0")
DIRECT_REGION = "0x000000007d000000 0x000000007d000fff direct\n"

HAVING: dict[str, Tree] = {
    "RESERVED_REGION": ready_host(reserved_regions={10: MSI_REGION + DIRECT_REGION}),
    "RESERVED_REGION_FIRMWARE": ready_host(
        reserved_regions={10: None},
        firmware={"DMAR": add_rmrr(acpi.dmar(), 0x7D000000, 0x7D000FFF, ((1, 0), (0, 0)))},
    ),
    "TABLE_DAMAGED": ready_host(firmware={"DMAR": acpi.dmar()[:-1]}),
    # A folder in the file's place: root, as whom tests may run, is refused no file.
    "TABLE_UNREADABLE": ready_host(tables=("DMAR/x",)),
    "X2APIC_OPT_OUT": ready_host(firmware={"DMAR": acpi.dmar(flags=acpi.INTR_REMAP | acpi.X2APIC_OPT_OUT)}),
    "INTERRUPT_REMAPPING_NOT_OFFERED": ready_host(firmware={"DMAR": acpi.dmar(flags=0)}, interrupts=None),
    "NO_UNIT_FOR_NIC": ready_host(
        PORT, nic(NIC, "eth1", group=None), firmware={"DMAR": acpi.dmar(acpi.drhd(acpi.pack_scope(((2, 0),))))}
    ),
    "DOMAIN_IDENTITY": ready_host(group_types={10: "identity"}),
}


def findings_of(tree: Tree, root: Path) -> dict[str, Finding]:
    index = HostIndex(tree.read(root))
    found = (*check_host(index.host), *check_nic(index.functions[Address(NIC)], index))
    return {finding.code: finding for finding in found}


def test_every_code_of_the_subject_has_a_host_here() -> None:
    assert set(HAVING) == set(ENTRIES)


@pytest.mark.parametrize("code", sorted(HAVING))
def test_the_host_that_has_it_is_told(code: str, tmp_path: Path) -> None:
    finding = findings_of(HAVING[code], tmp_path)[code]
    assert finding.severity == CATALOGUE[code].severity
    assert finding.evidence
    assert not re.search(r"[{}]|None|Unknown\(", f"{finding.sentence} {finding.mend} {finding.evidence[0].value}")


@pytest.mark.parametrize("code", sorted(HAVING))
def test_the_ready_host_is_not_told(code: str, tmp_path: Path) -> None:
    assert code not in findings_of(ready_host(), tmp_path)


def test_what_is_in_force_goes_before_what_is_offered(tmp_path: Path) -> None:
    host = HAVING["INTERRUPT_REMAPPING_NOT_OFFERED"].read(tmp_path)
    shown = msgspec.structs.replace(host.platform, interrupt_chips=("PCI-MSI",))
    codes = {finding.code for finding in check_host(msgspec.structs.replace(host, platform=shown))}
    assert "INTERRUPT_REMAPPING_NOT_OFFERED" not in codes
    assert "INTERRUPT_REMAPPING_ABSENT" in codes
