# SPDX-License-Identifier: Apache-2.0
"""Advice in this host's words: none of AMD's on an Intel host, none of Intel's on AMD's, none that is no cure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from nicpass.boot.arguments.iommu import values_for
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_host, check_nic
from nicpass.checks.security import check_security
from nicpass.model.address import Address
from tests.support import acpi
from tests.support.config_space import PORT, Capabilities
from tests.support.hosts import bridge, nic, ready_host
from tests.support.reports import read_report

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from tests.support.trees import Tree

NIC, SECOND, PORT_ABOVE = "0000:01:00.0", "0000:01:00.1", "0000:00:01.0"
NO_GROUP = nic(NIC, "eth1", group=None)
AMD = {"cpu": "amd", "tables": ("FACP", "IVRS"), "iommu_units": ("ivhd0",)}


def of_host(host: Host) -> dict[str, Finding]:
    return {finding.code: finding for finding in check_host(host)}


def of_nic(host: Host, subject: str = NIC) -> dict[str, Finding]:
    index = HostIndex(host)
    return {finding.code: finding for finding in check_nic(index.functions[Address(subject)], index)}


class TestArguments:
    @pytest.mark.parametrize(
        ("tree", "words", "others"),
        [
            (ready_host(cmdline="ro iommu=on"), ("pt", "off", "soft"), ("fullflush", "memaper", "leak")),
            (ready_host(cmdline="ro iommu=on").but(**AMD), ("pt", "fullflush"), ()),
            (ready_host(cmdline="ro amd_iommu=on"), (), ("fullflush", "force_enable", "write one of")),
            (ready_host(cmdline="ro intel_iommu=On").but(**AMD), (), ("sm_on", "igfx_off", "write one of")),
            (ready_host(cmdline="ro amd_iommu=on").but(**AMD), ("force_enable", "pgtbl_v2"), ("sm_on",)),
            (ready_host(cmdline="ro intel_iommu=On"), ("on", "sm_on"), ("pgtbl_v2",)),
        ],
    )
    def test_only_values_that_do_something_here_are_advised(
        self, tree: Tree, words: tuple[str, ...], others: tuple[str, ...], tmp_path: Path
    ) -> None:
        mend = of_host(tree.read(tmp_path))["IOMMU_ARGUMENT_UNKNOWN"].mend
        assert mend.startswith("Take ")
        assert all(word in mend for word in words)
        assert not any(word in mend for word in others), mend

    def test_with_tables_unknown_all_are_named(self) -> None:
        assert "fullflush" in values_for("iommu", ())
        assert "force_enable" in values_for("amd_iommu", ())


class TestMenus:
    @pytest.mark.parametrize(
        "board", ["Dell Inc.", "HPE", "Lenovo", "Supermicro", "Intel Corporation", "ASUSTeK", "Nobody"]
    )
    @pytest.mark.parametrize(("cpu", "own", "others"), [("intel", "VT-d", "AMD"), ("amd", "IOMMU", "VT-d")])
    def test_a_board_is_told_of_its_own_processor(
        self, board: str, cpu: str, own: str, others: str, tmp_path: Path
    ) -> None:
        files = {"/sys/class/dmi/id/board_vendor": f"{board}\n"}
        tree = ready_host(NO_GROUP, cpu=cpu, tables=("FACP",), iommu_units=(), files=files)
        mend = of_host(tree.read(tmp_path))["IOMMU_TABLE_ABSENT"].mend
        assert own in mend
        assert others not in mend

    def test_of_an_unknown_processor_both_are_named(self, tmp_path: Path) -> None:
        files = {"/proc/cpuinfo": "flags\t: fpu vmx\n", "/sys/class/dmi/id/board_vendor": "HPE\n"}
        mend = of_host(ready_host(NO_GROUP, tables=("FACP",), iommu_units=(), files=files).read(tmp_path))
        assert "Intel VT-d; on AMD" in mend["IOMMU_TABLE_ABSENT"].mend

    @pytest.mark.parametrize(("cpu", "told"), [("intel", False), ("amd", True)])
    def test_a_port_without_acs(self, cpu: str, told: bool, tmp_path: Path) -> None:
        port = dataclasses.replace(bridge(PORT_ABOVE, group=10), capabilities=PORT._replace(acs=None))
        nics = (nic(NIC, "eth1", under=PORT_ABOVE), nic(SECOND, "eth2", under=PORT_ABOVE))
        assert ("AMD CBS" in of_nic(ready_host(port, *nics, cpu=cpu).read(tmp_path))["ACS_MISSING"].mend) is told


class TestQuirk:
    CARD = Capabilities(multifunction=True)

    @pytest.mark.parametrize(("group", "seen"), [(11, True), (10, False), (None, False)])
    def test_groups_of_their_own_are_claimed_only_where_they_were_seen(
        self, group: int | None, seen: bool, tmp_path: Path
    ) -> None:
        first = nic(NIC, "eth1", under=PORT_ABOVE, capabilities=self.CARD)
        second = nic(SECOND, "eth2", under=PORT_ABOVE, capabilities=self.CARD, group=group)
        effect = of_nic(ready_host(bridge(PORT_ABOVE), first, second).read(tmp_path))["KERNEL_QUIRK"].sentence
        assert ("each has a group of its own" in effect) is seen
        assert "although ACS does not say so" in effect


class TestTables:
    @pytest.mark.parametrize(("ivinfo", "open_"), [(0x203041, True), (0x203043, False)])
    def test_amds_flag_of_pre_boot_dma_is_audited(self, ivinfo: int, open_: bool, tmp_path: Path) -> None:
        tree = ready_host(firmware={"IVRS": acpi.ivrs(ivinfo=ivinfo)}).but(**AMD)
        codes = {finding.code for finding in check_security(tree.read(tmp_path))}
        assert ("PREBOOT_DMA_OPEN" in codes) is open_

    def test_the_report_of_a_memory_definition_of_one_byte(self, tmp_path: Path) -> None:
        host = read_report("h20-ivmd-of-one-byte-not-rounded-to-a-page", tmp_path)
        finding = of_nic(host)["RESERVED_REGION_FIRMWARE"]
        assert "0x9618e000-0x9618efff" in finding.sentence
        assert any("0x1 bytes from 0x9618e000" in evidence.source for evidence in finding.evidence)

    @pytest.mark.parametrize(
        ("start", "size", "shown"),
        [
            (0x9618E000, 1, "0x9618e000-0x9618efff"),
            (0x9618E000, 0x1000, "0x9618e000-0x9618efff"),
            (0x9618E000, 0x1001, "0x9618e000-0x9618ffff"),
            (0x9618E800, 0x800, "0x9618f000-0x9618ffff"),
        ],
    )
    def test_whole_pages_as_the_kernel_maps_them(self, start: int, size: int, shown: str, tmp_path: Path) -> None:
        table = acpi.ivrs(acpi.ivhd(b"\x01\0\0\0"), acpi.ivmd(start, size, 0x0100))
        tree = ready_host(NO_GROUP, firmware={"IVRS": table}).but(cpu="amd", tables=("FACP",), iommu_units=())
        assert shown in of_nic(tree.read(tmp_path))["RESERVED_REGION_FIRMWARE"].sentence
