# SPDX-License-Identifier: Apache-2.0
"""Who has a device open through VFIO, on a tree with a /proc of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nicpass.engine.store import KeptNic, keep_nic, keep_nic_state, read_nic_state
from nicpass.host.doors.files import Files
from nicpass.host.use.holders import find_vfio_user
from nicpass.model.address import Address
from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.plan import NicOwner, NicState


@pytest.fixture
def descriptors(tmp_path: Path) -> Path:
    folder = tmp_path / "proc/4711/fd"
    folder.mkdir(parents=True)
    (folder / "0").symlink_to("/dev/null")
    (tmp_path / "proc/self").mkdir()
    return folder


NIC, OTHER = Address("0000:01:00.0"), Address("0000:02:00.0")


def with_cdevs(root: Path) -> Files:
    """Two NICs on vfio-pci: vfio0 is the one's own file, vfio1 the other's."""
    for number, nic in enumerate((NIC, OTHER)):
        (root / f"sys/bus/pci/devices/{nic}/vfio-dev/vfio{number}").mkdir(parents=True)
    return Files(str(root))


@pytest.mark.parametrize(
    ("target", "holder"),
    [
        ("/dev/vfio/10", 4711),
        ("/dev/vfio/11", None),
        ("/dev/vfio/devices/vfio0", 4711),
        ("/dev/vfio/devices/vfio1", None),
        ("/dev/vfio/devices/vfio01", None),
        ("/dev/iommu", None),
        ("/dev/vfio/vfio", None),
    ],
)
def test_the_group_or_the_very_device_of_the_newer_way(
    tmp_path: Path, descriptors: Path, target: str, holder: int | None
) -> None:
    (descriptors / "7").symlink_to(target)
    assert find_vfio_user(with_cdevs(tmp_path), NIC, 10) == holder


def test_of_two_qemus_each_holds_its_own_nic_alone(tmp_path: Path, descriptors: Path) -> None:
    """Both have /dev/iommu open, as QEMU has that passes a device by iommufd."""
    files = with_cdevs(tmp_path)
    for process, number in ((4711, 0), (4712, 1)):
        folder = tmp_path / f"proc/{process}/fd"
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "8").symlink_to("/dev/iommu")
        (folder / "9").symlink_to(f"/dev/vfio/devices/vfio{number}")
    assert find_vfio_user(files, NIC, None) == 4711
    assert find_vfio_user(files, OTHER, None) == 4712


def test_a_process_that_cannot_be_looked_into_may_hold_it(tmp_path: Path, descriptors: Path) -> None:
    (tmp_path / "proc/9").mkdir()
    (tmp_path / "proc/9/fd").symlink_to("fd")
    files = with_cdevs(tmp_path)
    assert isinstance(find_vfio_user(files, NIC, 10), Unknown)
    (descriptors / "7").symlink_to("/dev/vfio/10")
    assert find_vfio_user(files, NIC, 10) == 4711


def test_an_unknown_group_is_nobodys_by_the_old_way(tmp_path: Path, descriptors: Path) -> None:
    (descriptors / "7").symlink_to("/dev/vfio/10")
    assert find_vfio_user(Files(str(tmp_path)), NIC, Unknown("why")) is None


def test_a_record_that_was_moved_is_not_taken_for_another_nics(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    keep_nic_state(files, NicState(address=Address("0000:01:00.0"), driver="igb"))
    folder = tmp_path / "var/lib/nicpass/nics"
    (folder / "0000:01:00.0.json").rename(folder / "0000:02:00.0.json")
    with pytest.raises(StepError, match=r"is about 0000:01:00\.0"):
        read_nic_state(files, Address("0000:02:00.0"))


def test_the_same_record_is_the_same_file(tmp_path: Path) -> None:
    """Whatever order a set has in this process: else two hosts, or two runs, would differ in nothing but that."""
    codes = [f"CODE_{letter}" for letter in "HBEAGDCF"]
    owner = NicOwner(domain="web01", uuid="6e69", allow=frozenset(codes))
    keep_nic(Files(str(tmp_path)), KeptNic(state=NicState(address=Address("0000:01:00.0"), driver=None), owner=owner))
    content = (tmp_path / "var/lib/nicpass/nics/0000:01:00.0.json").read_text()
    assert re.findall("CODE_.", content) == sorted(codes)
