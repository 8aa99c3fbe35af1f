# SPDX-License-Identifier: Apache-2.0
"""Hosts that are no PC: a VM has a hypervisor outside and no firmware setup; Arm and POWER have their own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.address import Address
from tests.support.hosts import nic, ready_host
from tests.support.provoking import CPUINFO
from tests.support.reports import read_report

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from tests.support.trees import Tree

NIC = "0000:01:00.0"
NO_GROUP = nic(NIC, "eth1", group=None)
CPUS = {
    "arm": "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n\n",
    "power": "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 2300MHz\n\ntimebase\t: 512000000\n",
    "s390": "vendor_id       : IBM/S390\n# processors    : 2\nfeatures\t: esan3 zarch\n",
    "riscv": "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\n\n",
    "x86": CPUINFO.format(flags="vmx", bits=46),
}
GUEST = {"/proc/cpuinfo": CPUINFO.format(flags="vmx hypervisor", bits=46)}
OF_X86 = ("VT-d", "AMD", "Intel", "VT-x", "SVM", "DMAR", "IVRS", "kvm_amd", "kvm_intel", "intel_iommu")


def told(host: Host) -> dict[str, Finding]:
    return {finding.code: finding for finding in check_host(host)}


def words_of(found: dict[str, Finding]) -> str:
    """What is said of this very host, and how to mend it; the meanings of codes are the same for all hosts."""
    return " ".join(f"{f.sentence} {f.mend} {f.command}" for f in found.values())


def without_iommu(cpu: str) -> Tree:
    files = {"/proc/cpuinfo": CPUS[cpu]}
    return ready_host(NO_GROUP, tables=("FACP",), iommu_units=(), files=files)


class TestGuest:
    def test_the_report_of_a_nested_host(self, tmp_path: Path) -> None:
        found = told(read_report("19-nested-host-firmware-advice", tmp_path))
        mend = found["IOMMU_TABLE_ABSENT"].mend
        assert "hypervisor outside" in mend
        assert "<driver intremap='on' caching_mode='on'/>" in mend
        assert "machine: q35,viommu=intel" in mend
        assert "firmware setup" not in words_of(found)
        assert "too old" not in words_of(found)

    @pytest.mark.parametrize(
        ("tree", "code", "words"),
        [
            (ready_host(NO_GROUP, tables=("FACP",), iommu_units=(), files=GUEST), "IOMMU_TABLE_ABSENT", "viommu=intel"),
            (
                ready_host(interrupts="PCI-MSI", tables=("VIOT",), iommu_units=("virtio0",), files=GUEST),
                "INTERRUPT_REMAPPING_ABSENT",
                "intremap='on'",
            ),
            (
                ready_host(files={"/proc/cpuinfo": CPUINFO.format(flags="hypervisor", bits=46)}),
                "CPU_NO_VIRTUALIZATION",
                "nested=1",
            ),
            (ready_host(kvm=False, files=GUEST), "KVM_ABSENT", "nested=1"),
        ],
    )
    def test_no_vm_is_sent_to_its_firmware_setup(self, tree: Tree, code: str, words: str, tmp_path: Path) -> None:
        finding = told(tree.read(tmp_path))[code]
        assert words in finding.mend
        assert "firmware setup" not in finding.mend

    def test_a_vm_has_no_slots(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, "eth1"), nic("0000:02:00.0", "eth2"), files=GUEST)
        index = HostIndex(tree.read(tmp_path))
        found = {f.code: f for f in check_nic(index.functions[Address(NIC)], index)}
        assert "slot" not in found["GROUP_SHARED_BOUND"].mend
        assert "pcie-root-port of its own" in found["GROUP_SHARED_BOUND"].mend


class TestOtherProcessors:
    @pytest.mark.parametrize("cpu", sorted(CPUS))
    def test_they_are_known_by_their_words(self, cpu: str, tmp_path: Path) -> None:
        assert without_iommu(cpu).read(tmp_path).platform.architecture == cpu

    def test_a_capture_without_them_has_none(self, tmp_path: Path) -> None:
        root = without_iommu("arm").write(tmp_path)
        (root / "proc/cpuinfo").write_text("")
        tree_host = read_again(root)
        assert tree_host.platform.architecture is None

    @pytest.mark.parametrize("cpu", sorted(set(CPUS) - {"x86"}))
    @pytest.mark.parametrize("tables", [("FACP",), (), ("IORT",)])
    @pytest.mark.parametrize("kvm", [True, False])
    def test_they_get_no_words_of_x86(self, cpu: str, tables: tuple[str, ...], kvm: bool, tmp_path: Path) -> None:
        tree = ready_host(
            NO_GROUP,
            tables=tables,
            iommu_units=(),
            interrupts="MSI",
            kvm=kvm,
            files={"/proc/cpuinfo": CPUS[cpu]},
            cmdline="ro quiet",
        )
        said = words_of(told(tree.read(tmp_path)))
        if not tables or tables == ("FACP",):
            said = said.replace("no DMAR, IVRS, IORT or VIOT", "")
        assert not [word for word in OF_X86 if word in said], said

    @pytest.mark.parametrize(("cpu", "asked"), [("arm", True), ("power", False), ("s390", False), ("x86", True)])
    def test_where_interrupts_are_isolated_otherwise_nothing_is_said_of_them(
        self, cpu: str, asked: bool, tmp_path: Path
    ) -> None:
        tree = ready_host(interrupts="XIVE-IRQ", files={"/proc/cpuinfo": CPUS[cpu]})
        assert ("INTERRUPT_REMAPPING_OFF" in told(tree.read(tmp_path))) is asked

    def test_an_intel_board_keeps_its_words(self, tmp_path: Path) -> None:
        mend = told(without_iommu("x86").read(tmp_path))["IOMMU_TABLE_ABSENT"].mend
        assert "VT-d" in mend
        assert "too old" in mend


class TestIommuOfOthers:
    """Groups of the board's display and USB, and no PCI function in any."""

    def test_it_is_one_finding_of_the_host(self, tmp_path: Path) -> None:
        groups = {f"/sys/kernel/iommu_groups/{number}/type": "DMA\n" for number in range(3)}
        tree = ready_host(
            NO_GROUP,
            iommu_units=("smmu3.0x000000002b400000",),
            tables=("IORT",),
            interrupts="ITS-MSI",
            files={"/proc/cpuinfo": CPUS["arm"], **groups},
        )
        host = tree.read(tmp_path)
        found = told(host)
        assert "its 3 groups are of other devices" in found["IOMMU_NOT_FOR_PCI"].sentence
        assert "IOMMU_ON" not in found
        index = HostIndex(host)
        of_nic = {finding.code for finding in check_nic(index.functions[Address(NIC)], index)}
        assert "GROUP_ABSENT" not in of_nic

    def test_a_nic_that_alone_has_none_is_told_of_itself(self, tmp_path: Path) -> None:
        host = ready_host(NO_GROUP, nic("0000:02:00.0", "eth2")).read(tmp_path)
        index = HostIndex(host)
        assert "GROUP_ABSENT" in {finding.code for finding in check_nic(index.functions[Address(NIC)], index)}
        assert "IOMMU_NOT_FOR_PCI" not in told(host)

    def test_a_bus_that_was_not_read_in_full_may_be_served(self, tmp_path: Path) -> None:
        host = ready_host(NO_GROUP, files={"/sys/kernel/iommu_groups/0/type": "DMA\n"}).read(tmp_path)
        assert "IOMMU_NOT_FOR_PCI" in told(host)
        assert "IOMMU_NOT_FOR_PCI" not in told(msgspec.structs.replace(host, pci_unread="absent: class"))


def read_again(root: Path) -> Host:
    from nicpass.host.doors.files import Files
    from nicpass.host.read import read_host

    return read_host(Files(str(root)), ())
