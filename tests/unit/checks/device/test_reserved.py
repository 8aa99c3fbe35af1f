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
from tests.support.provoking import controller
from tests.support.reports import lay_out, run_on
from tests.support.trees import MSI_REGION, Tree

NIC = "0000:01:00.0"
PORT = bridge("0000:00:01.0")
DIRECT_REGION = "0x000000007d000000 0x000000007d000fff direct\n"
RELAXED_REGION = "0x000000007d000000 0x000000007d000fff direct-relaxable\n"

HAVING: dict[str, Tree] = {
    "RESERVED_REGION": ready_host(reserved_regions={10: MSI_REGION + DIRECT_REGION}),
    "RESERVED_REGION_RELAXED": ready_host(reserved_regions={10: MSI_REGION + RELAXED_REGION}),
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


class TestRelaxed:
    """Regions of type direct-relaxable: stock kernels have them for graphics and USB alone."""

    @pytest.mark.parametrize(
        ("code", "cmdline", "said"),
        [(0x0C0330, "ro", False), (0x030000, "ro intel_iommu=on,relax_rmrr", False), (0x040300, "ro", True)],
    )
    def test_another_member_may_be_why(self, code: int, cmdline: str, said: bool, tmp_path: Path) -> None:
        other = controller("0000:02:00.0", code, None)
        tree = ready_host(PORT, nic(NIC, "eth1"), other, reserved_regions={10: RELAXED_REGION}, cmdline=cmdline)
        assert ("RESERVED_REGION_RELAXED" in findings_of(tree, tmp_path)) is said

    @pytest.mark.parametrize(
        ("regions", "kernel", "code", "words"),
        [
            (RELAXED_REGION, "6.1.0-28-amd64", "RMRR_RELAXED", "and this kernel heeds it"),
            (MSI_REGION, "6.2.16-5-pve", "RMRR_RELAXED", "Proxmox VE, as this one is"),
            (MSI_REGION, "6.1.0-28-amd64", "RMRR_RELAXED", "cannot be seen"),
            (DIRECT_REGION, "6.2.16-5-pve", "IOMMU_ARGUMENT_UNKNOWN", "relax_rmrr has no meaning"),
        ],
    )
    def test_what_the_argument_does_is_seen_in_the_groups(
        self, regions: str, kernel: str, code: str, words: str, tmp_path: Path
    ) -> None:
        cmdline = "ro intel_iommu=on,relax_rmrr"
        tree = ready_host(cmdline=cmdline, kernel=kernel, reserved_regions={10: regions})
        found = findings_of(tree, tmp_path)
        assert words in found[code].sentence
        assert len({"RMRR_RELAXED", "IOMMU_ARGUMENT_UNKNOWN"} & set(found)) == 1

    def test_the_report_of_a_patched_kernel(self, tmp_path: Path) -> None:
        code, told = run_on(lay_out("11-relax-rmrr", tmp_path), "check", "0a:00.0", "-v")
        assert code == 0
        assert "RMRR_RELAXED" in told
        assert "IOMMU_ARGUMENT_UNKNOWN" not in told
        assert "do not start after the next boot" in told

    def test_the_report_of_a_machine_without_the_patch(self, tmp_path: Path) -> None:
        code, told = run_on(lay_out("11-relax-rmrr/tree-not-relaxed", tmp_path), "check", "0a:00.0")
        assert code == 3
        assert "intel_iommu=relax_rmrr, at the risk" in told

    def test_the_report_of_a_nic_whose_memory_is_relaxed(self, tmp_path: Path) -> None:
        name = "h15-relaxed-rmrr-risk-untold-and-argument-called-meaningless"
        root = lay_out(name, tmp_path)
        # The report was cut down to what an older nicpass read: the class stands in uevent alone, and what the host
        # uses the NIC for is not in it, so that the exit code says nothing.
        (root / "sys/devices/pci0000:00/0000:00:02.0/0000:04:00.1/class").write_text("0x020000\n")
        told = run_on(root, "check")[1]
        assert "This host: ready" in told
        assert "warning: RESERVED_REGION_RELAXED" in told
        assert "0x791ee000-0x791f1fff" in told
        assert "has no meaning" not in told
