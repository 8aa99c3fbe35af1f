# SPDX-License-Identifier: Apache-2.0
"""What the readers and checks must say of real machines; their TRUTH.md has the words.

The captures lie beside the project, in ../shared/hosts; without them these tests skip.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import kind_of, list_nics
from nicpass.checks.preflight import check_host, check_nic
from nicpass.host.doors.files import Files
from nicpass.host.read import read_host
from nicpass.hypervisor.libvirt.domains import read_domains
from nicpass.model.errors import NicpassError
from nicpass.model.fact import Unknown, known
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from nicpass.model.request import AttachRequest
from nicpass.planner.nic.attach import plan_attach
from tests.unit.conftest import CAPTURES

Capture = Callable[[str], Path]

X722 = "hwloc-necve-x722-64byte-config"
I350 = "ghw-xeon-l5640-i350-8vfs"
WITH_DMAR = ("dell-r820-dmar-4sockets", "hp-dc7800-8rmrr-flags0", "supermicro-x10dai-rhsa-numa")
WITHOUT_TABLE = ("hp-dl165g7-amd", "hp-dl360g5-intel")


def read_root(root: Path) -> Host:
    files = Files(str(root))
    return read_host(files, read_domains(files), with_boot=True)


def nics_of(host: Host) -> dict[str, PciFunction]:
    return {str(function.address): function for function in list_nics(host)}


@pytest.mark.parametrize("name", [X722, I350])
def test_every_nic_of_the_truth_is_there_and_no_other(name: str, capture: Capture) -> None:
    host = read_root(capture(name))
    truth = {nic["bdf"]: nic for nic in json.loads((CAPTURES / name / "truth.nics.json").read_text())}
    nics = nics_of(host)
    assert list(nics) == sorted(truth)
    for address, true in truth.items():
        nic = nics[address]
        assert nic.class_code == int(true["cls"], 16)
        assert (nic.vendor_id, nic.device_id) == (int(true["vendor"], 16), int(true["device"], 16))
        assert nic.driver == true["driver"]
        assert nic.netdevs == (tuple(true["net"]) if true["net"] else None)
        assert nic.numa_node == (int(true["numa"]) if int(true["numa"]) >= 0 else None)
        assert nic.iommu_group == true["iommu_group"]
        for mine, theirs in ((nic.totalvfs, true["sriov_totalvfs"]), (nic.numvfs, true["sriov_numvfs"])):
            assert mine == (int(theirs) if theirs is not None else None)
        assert f"/{nic.bridge}/{address}" in true["sysfs_path"]


def test_sriov_is_known_from_sysfs_although_config_has_64_bytes(capture: Capture) -> None:
    host = read_root(capture(X722))
    x722 = nics_of(host)["0000:60:00.0"]
    assert (capture(X722) / "sys/bus/pci/devices/0000:60:00.0/config").stat().st_size == 64
    assert (x722.totalvfs, x722.numvfs) == (64, 0)
    assert kind_of(x722, HostIndex(host)) == "pf"
    assert x722.driver_override is None
    codes = {finding.code for finding in check_nic(x722, HostIndex(host))}
    assert "VF_PREFERRED" in codes
    assert "PF_HAS_VFS" not in codes


def test_an_old_kernel_with_the_iommu_off_and_no_tables_captured(capture: Capture) -> None:
    host = read_root(capture(X722))
    off = next(finding for finding in check_host(host) if finding.code == "IOMMU_OFF")
    assert "whether the firmware has an IOMMU is unknown" in off.sentence
    assert "intel_iommu=on" not in off.mend  # nobody knows yet that it would help


def test_vfs_are_told_from_pfs_although_no_link_says_so(capture: Capture) -> None:
    host = read_root(capture(I350))
    index = HostIndex(host)
    kinds = {address: kind_of(function, index) for address, function in nics_of(host).items()}
    vfs = {f"0000:05:1{slot}.{function}" for slot in (0, 1) for function in (0, 1, 4, 5)}
    assert {address for address, kind in kinds.items() if kind == "vf"} == vfs
    assert len(kinds) == 14


def test_pfs_whose_vfs_are_only_seen_beside_them_are_warned_about(capture: Capture) -> None:
    """Unbinding 05:00.0 would destroy VFs; that the capture lacks the links does not make it harmless."""
    host = read_root(capture(I350))
    index, nics = HostIndex(host), nics_of(host)
    for address in ("0000:05:00.0", "0000:05:00.1"):
        finding = next(f for f in check_nic(nics[address], index) if f.code == "VFS_NEARBY")
        assert "0000:05:10.0" in finding.sentence
    for address in ("0000:01:00.0", "0000:05:10.0"):
        assert "VFS_NEARBY" not in {finding.code for finding in check_nic(nics[address], index)}


@pytest.mark.parametrize("name", [X722, I350])
def test_no_nic_may_go_while_its_use_is_unknown(name: str, capture: Capture) -> None:
    host = read_root(capture(name))
    for address, nic in nics_of(host).items():
        assert "USE_UNKNOWN" in {finding.code for finding in check_nic(nic, HostIndex(host))}
        with pytest.raises(NicpassError):
            plan_attach(host, AttachRequest(vm="guest", nic=address))


@pytest.mark.parametrize("name", WITHOUT_TABLE)
def test_without_a_table_no_kernel_argument_is_proposed(name: str, capture: Capture) -> None:
    host = read_root(capture("servers-without-dmar-ivrs") / name)
    assert host.platform.iommu_tables == ()
    findings = check_host(host)
    absent = next(finding for finding in findings if finding.code == "IOMMU_TABLE_ABSENT")
    assert "firmware setup" in absent.mend
    assert not any("iommu=" in f"{finding.sentence} {finding.mend}" for finding in findings)


@pytest.mark.parametrize("name", WITH_DMAR)
def test_a_dmar_table_is_seen(name: str, capture: Capture) -> None:
    host = read_root(capture(name))
    assert host.platform.iommu_tables == ("DMAR",)
    off = next(finding for finding in check_host(host) if finding.code == "IOMMU_OFF")
    assert "intel_iommu=on" in off.mend


@pytest.mark.parametrize("name", [X722, I350, *WITH_DMAR])
def test_reading_a_capture_twice_gives_the_same(name: str, capture: Capture) -> None:
    root = capture(name)
    first = read_root(root)
    assert first == read_root(root)
    assert all(not isinstance(nic.class_code, Unknown) for nic in first.pci)


def test_of_a_config_of_64_bytes_nothing_is_absent_and_root_is_asked_for(capture: Capture) -> None:
    host = read_root(capture(X722))
    for address, nic in nics_of(host).items():
        assert known(nic.config)
        assert nic.config.bytes_read == 64
        for field in ("pcie", "pm", "msi", "msix", "af_flr", "sriov", "ari", "acs"):
            fact = getattr(nic.config, field)
            assert isinstance(fact, Unknown), (address, field)
            assert "run as root" in fact.unknown
    unreadable = next(finding for finding in check_host(host) if finding.code == "CONFIG_UNREADABLE")
    assert "of 4 NICs" in unreadable.sentence
    assert "as root" in unreadable.mend


def test_of_a_config_of_64_bytes_the_reset_is_unknown_and_nothing_else_is_claimed(capture: Capture) -> None:
    host = read_root(capture(X722))
    index = HostIndex(host)
    for nic in nics_of(host).values():
        codes = {finding.code for finding in check_nic(nic, index)}
        assert "RESET_UNKNOWN" in codes
        assert not codes & {"RESET_NONE", "MSI_NONE", "MSIX_NONE", "ACS_MISSING", "SRIOV_OFF_IN_FIRMWARE", "ARI_ABSENT"}


def test_what_the_i350_capture_lacks_is_unknown_or_absent_and_claims_nothing(capture: Capture) -> None:
    host = read_root(capture(I350))
    index = HostIndex(host)
    for nic in nics_of(host).values():
        assert nic.config is None
        codes = {finding.code for finding in check_nic(nic, index)}
        assert not codes & {"MSI_NONE", "RESET_NONE", "RESET_BUS_SHARED", "SRIOV_KERNEL_CANNOT", "DEVICE_GONE"}


def test_a_card_whose_ports_are_said_to_be_on_two_nodes_is_remarked(capture: Capture) -> None:
    host = read_root(capture(I350))
    index, nics = HostIndex(host), nics_of(host)
    codes = {address: {f.code for f in check_nic(nic, index)} for address, nic in nics.items()}
    assert "NUMA_INCONSISTENT" in codes["0000:05:00.0"]
    assert "NUMA_INCONSISTENT" not in codes["0000:01:00.0"]
