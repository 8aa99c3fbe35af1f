# SPDX-License-Identifier: Apache-2.0
"""What could not be seen is unknown: neither absent, nor out of use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import list_nics
from nicpass.checks.preflight import check_host, check_nic
from nicpass.host.doors.files import Files
from nicpass.host.system.kvm import read_kvm_device
from nicpass.host.system.modules import read_modules
from nicpass.model.fact import Unknown
from tests.support.dependence import USED_VFS
from tests.support.hosts import nic, pf_with_vfs, ready_host
from tests.support.trees import Tree, Vm, hostdev_xml

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host

NIC = "0000:01:00.0"
DENIED = Unknown("permission denied: /x")


def findings_of(host: Host, address: str = NIC) -> dict[str, Finding]:
    index = HostIndex(host)
    function = next(function for function in list_nics(host) if function.address == address)
    return {finding.code: finding for finding in check_nic(function, index)}


def with_first(host: Host, **changes: object) -> Host:
    """The host whose NIC has these fields changed."""
    changed = tuple(
        msgspec.structs.replace(function, **changes) if function.address == NIC else function for function in host.pci
    )
    return msgspec.structs.replace(host, pci=changed)


@pytest.mark.parametrize("totalvfs", [DENIED, None])
def test_vfs_that_are_there_count_also_where_the_pf_does_not_say_how_many_it_may_have(
    totalvfs: Unknown | None, tmp_path: Path
) -> None:
    host = ready_host(*USED_VFS, vms=(Vm(name="web", devices=hostdev_xml(USED_VFS[1].address)),)).read(tmp_path)
    assert {"PF_HAS_VFS", "PF_OF_USED_VFS"} <= findings_of(with_first(host, totalvfs=totalvfs)).keys()


def test_a_number_of_vfs_that_cannot_be_read_may_be_any(tmp_path: Path) -> None:
    host = ready_host(*pf_with_vfs(NIC, "eth1", 0)).read(tmp_path)
    assert "USE_UNKNOWN" not in findings_of(host)
    found = findings_of(with_first(host, numvfs=DENIED))["USE_UNKNOWN"]
    assert "permission denied: /x" in found.sentence


def test_who_holds_a_group_of_vfio_that_cannot_be_seen_is_unknown(tmp_path: Path) -> None:
    host = ready_host(nic(NIC, driver="vfio-pci")).read(tmp_path)
    assert "USE_UNKNOWN" not in findings_of(host)
    activity = msgspec.structs.replace(host.activity, holders=DENIED)
    assert "USE_UNKNOWN" in findings_of(msgspec.structs.replace(host, activity=activity))


class _Barred(Files):
    """A user who may not look into some folders: tests run as root, who may look anywhere."""

    def __init__(self, root: str, *barred: str) -> None:
        super().__init__(root)
        self.barred = barred

    def list_directory(self, path: str) -> tuple[str, ...] | Unknown | None:
        return Unknown(f"permission denied: {path}") if path in self.barred else super().list_directory(path)


def test_a_device_in_a_folder_that_may_not_be_looked_into_is_unknown(tmp_path: Path) -> None:
    Tree().write(tmp_path)
    assert read_kvm_device(_Barred(str(tmp_path), "/dev")) == Unknown("permission denied: /dev")


def test_modules_in_a_folder_that_may_not_be_looked_into_are_unknown(tmp_path: Path) -> None:
    Tree().write(tmp_path)
    modules = read_modules(_Barred(str(tmp_path), "/sys/module"), "6.1.0-28-amd64")
    assert isinstance(modules, tuple)
    assert {module.state for module in modules} == {Unknown("permission denied: /sys/module")}


def test_an_iommu_of_which_nothing_was_captured_is_not_said_to_be_off_for_want_of_an_argument(tmp_path: Path) -> None:
    host = ready_host(nic(NIC, "eth1", group=None), iommu_units=()).read(tmp_path)
    platform = msgspec.structs.replace(host.platform, cmdline=Unknown("not captured: /proc/cmdline"))
    found = next(f for f in check_host(msgspec.structs.replace(host, platform=platform)) if f.code == "IOMMU_OFF")
    assert "unless told" not in found.sentence
    assert "not known" in found.sentence
    assert "Add " not in found.mend
    assert found.sentence.startswith("The kernel shows no IOMMU group:")


def test_a_kernel_that_turns_the_iommu_on_by_itself_is_not_told_to(tmp_path: Path) -> None:
    tree = ready_host(nic(NIC, "eth1", group=None), iommu_units=(), cmdline="ro quiet")
    host = tree.but(
        files={"/boot/config-6.1.0-28-amd64": "CONFIG_INTEL_IOMMU=y\nCONFIG_INTEL_IOMMU_DEFAULT_ON=y\n"}
    ).read(tmp_path)
    found = next(f for f in check_host(host) if f.code == "IOMMU_OFF")
    assert "leaves it off" not in found.sentence
    assert "Add intel_iommu=on" not in found.mend
