# SPDX-License-Identifier: Apache-2.0
"""Who has a device open through VFIO, on a tree with a /proc of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nicpass.engine.nic.store import KeptNic, keep_nic, keep_nic_state, read_nic_state
from nicpass.host.doors.files import Files
from nicpass.host.use.holders import find_vfio_user, scan_descriptors
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


class TestFloods:
    """Any user may have files open by the million: his processes have so many seconds, root's are not delayed."""

    def processes(self, root: Path, **users: str) -> Files:
        """Each has a socket of its number open; `users` leads from `p`NUMBER to its four user ids."""
        for name, ids in users.items():
            folder = root / "proc" / name.removeprefix("p")
            (folder / "fd").mkdir(parents=True)
            (folder / "fd/3").symlink_to(f"socket:[{folder.name}]")
            (folder / "status").write_text(f"Name:\tx\nUid:\t{ids}\nGid:\t0\n", encoding="utf-8")
        return Files(str(root))

    def seen(self, files: Files, seconds: float) -> list[int]:
        return [*scan_descriptors(files, range(100), seconds=seconds).inodes]

    def test_roots_come_first_and_are_seen_to_the_end(self, tmp_path: Path) -> None:
        files = self.processes(tmp_path, p5="1000 1000 1000 1000", p7="0 0 0 0", p6="0 0 0 0")
        assert self.seen(files, 60) == [6, 7, 5]
        assert self.seen(files, 0) == [6, 7]

    @pytest.mark.parametrize("ids", ["1000 0 0 0", "0 0 1000 0", "100000 100000 100000 100000"])
    def test_a_program_that_a_user_has_started_is_his(self, tmp_path: Path, ids: str) -> None:
        assert self.seen(self.processes(tmp_path, p5=ids), 0) == []

    def test_all_that_users_have_numbers_for_share_one_time(self, tmp_path: Path) -> None:
        files = self.processes(tmp_path, p5="100000 100000 100000 100000", p6="165535 165535 165535 165535")
        spent = iter((0.0, 0.0, 9.0, 9.0, 9.0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nicpass.host.use.holders.time.monotonic", lambda: next(spent))
            assert self.seen(files, 5) == [5]

    def test_the_rest_of_a_process_is_left_when_the_time_is_over(self, tmp_path: Path) -> None:
        files = self.processes(tmp_path, p5="1000 1000 1000 1000")
        (tmp_path / "proc/5/fd/4").symlink_to("socket:[6]")
        assert len(scan_descriptors(files, (5, 6)).sockets) == 2
        spent = iter((0.0, 9.0, 9.0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nicpass.host.use.holders.time.monotonic", lambda: next(spent))
            assert len(scan_descriptors(files, (5, 6), seconds=5).sockets) == 1

    def test_one_that_does_not_tell_whose_it_is_is_looked_through(self, tmp_path: Path) -> None:
        files = self.processes(tmp_path, p5="1000 1000 1000 1000")
        (tmp_path / "proc/5/status").unlink()
        assert self.seen(files, 0) == [5]
