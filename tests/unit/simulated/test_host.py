# SPDX-License-Identifier: Apache-2.0
"""The simulated host answers as Linux and libvirt do, and nicpass's own way goes through it from end to end."""

from __future__ import annotations

import errno
import functools
from typing import TYPE_CHECKING

import pytest

from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest, VfRequest
from nicpass.model.vf import VfSetRequest, VfWish
from tests.support.simulation.clock import Clock
from tests.support.simulation.contents import list_differences, read_raw
from tests.support.simulation.effects import Effects
from tests.support.simulation.hardware import NIC, PF, VFS, simulated_tree
from tests.support.simulation.host import LAST, SimulatedHost, change
from tests.support.simulation.kernel import Kernel
from tests.support.simulation.scenes import ALLOW, stop_web

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.request import Request

DEVICES = "/sys/bus/pci/devices"


class TestKernel:
    """What is written to sysfs."""

    @pytest.fixture
    def kernel(self, quick_path: Path) -> Kernel:
        simulated_tree().write(quick_path / "root")
        return Kernel(quick_path, Clock(), Effects())

    @staticmethod
    def refused(kernel: Kernel, path: str, value: str) -> int | None:
        with pytest.raises(OSError) as caught:  # noqa: PT011  the number is what is asked for
            kernel.write(path, value)
        return caught.value.errno

    def test_vfs_go_from_one_number_to_another_only_through_none(self, kernel: Kernel) -> None:
        path = f"{DEVICES}/{PF}/sriov_numvfs"
        kernel.write(path, "2")
        assert kernel.vfs_of(PF) == VFS[:2]
        assert self.refused(kernel, path, "4") == errno.EBUSY
        kernel.write(path, "0")
        kernel.write(path, "4")
        assert kernel.vfs_of(PF) == VFS
        assert [kernel.driver_of(vf) for vf in VFS] == ["ixgbevf"] * 4
        assert self.refused(kernel, path, "5") == errno.ERANGE

    def test_no_driver_takes_vfs_while_autoprobe_is_off(self, kernel: Kernel) -> None:
        kernel.write(f"{DEVICES}/{PF}/sriov_drivers_autoprobe", "0")
        kernel.write(f"{DEVICES}/{PF}/sriov_numvfs", "2")
        kernel.write("/sys/bus/pci/drivers_probe", VFS[0])
        kernel.write(f"{DEVICES}/{VFS[1]}/driver_override", "ixgbevf")
        kernel.write("/sys/bus/pci/drivers_probe", VFS[1])
        assert [kernel.driver_of(vf) for vf in VFS[:2]] == [None, "ixgbevf"]

    def test_all_of_it_goes_with_them(self, kernel: Kernel, quick_path: Path) -> None:
        before = read_raw(quick_path / "root")
        for count in ("4", "0"):
            kernel.write(f"{DEVICES}/{PF}/sriov_numvfs", count)
        assert read_raw(quick_path / "root") == before

    def test_an_override_binds_that_driver_and_no_other(self, kernel: Kernel) -> None:
        kernel.write(f"{DEVICES}/{NIC}/driver_override", "vfio-pci")
        kernel.write(f"{DEVICES}/{NIC}/driver/unbind", NIC)
        assert kernel.interfaces.find("lan0") is None
        assert self.refused(kernel, "/sys/bus/pci/drivers/igb/bind", NIC) == errno.ENODEV
        assert self.refused(kernel, f"{DEVICES}/{NIC}/driver/unbind", NIC) == errno.ENOENT
        kernel.write("/sys/bus/pci/drivers_probe", NIC)
        assert kernel.driver_of(NIC) == "vfio-pci"

    def test_an_interface_comes_back_bare_and_under_the_kernels_name(self, kernel: Kernel) -> None:
        kernel.write(f"{DEVICES}/{NIC}/driver/unbind", NIC)
        kernel.write("/sys/bus/pci/drivers_probe", NIC)
        link = kernel.interfaces.find("eth0")
        assert link is not None
        assert (link.mtu, link.up, link.altnames) == (1500, False, ())
        kernel.settle_udev()
        assert kernel.interfaces.find("lan0") is not None
        _, addresses, _ = kernel.interfaces.tables()
        assert not [address for address in addresses if address.netdev == "lan0"]

    def test_half_made_vfs_are_finished_for_whoever_asks(self, kernel: Kernel) -> None:
        kernel.half_of_numvfs(PF, 4)
        assert len(kernel.vfs_of(PF)) == 2
        kernel.finish_numvfs()
        assert kernel.vfs_of(PF) == VFS


@pytest.mark.spawns
@pytest.mark.parametrize(
    ("there", "back", "numvfs"),
    [
        (
            AttachRequest(vm="web", nic="lan0", start=True, allow=ALLOW),
            DetachRequest(vm="web", nic=NIC),
            0,
        ),
        (
            AttachRequest(vm="web", nic=VFS[0], start=True, mac="52:54:00:00:00:07", vlan=7),
            DetachRequest(vm="web", nic=VFS[0]),
            2,
        ),
        (VfRequest(pf="eth1", count=4), VfRequest(pf="eth1", count=0), 0),
        (VfRequest(pf="eth1", count=0), UndoRequest(change=LAST), 2),
        (VfSetRequest(pf="eth1", vfs="0,2", settings=VfWish(vlan=7, qos=3)), UndoRequest(change=LAST), 4),
        (VfSetRequest(pf=VFS[1], settings=VfWish(mac="52:54:00:00:00:07")), UndoRequest(change=LAST), 2),
    ],
    ids=["NIC", "VF", "make VFs", "remove VFs", "set VFs", "set a MAC"],
)
def test_there_and_back_again_the_whole_host_is_as_it_was(
    there: Request, back: Request, numvfs: int, quick_path: Path
) -> None:
    host = SimulatedHost(quick_path, simulated_tree(numvfs))
    before = host.state()
    assert host.run(functools.partial(change, request=there)).exit_code == 0
    assert host.state() != before
    if isinstance(there, AttachRequest):
        assert host.run(stop_web).exit_code == 0
    done = host.run(functools.partial(change, request=back))
    assert done.exit_code == 0, done
    assert list_differences(host.state(), before) == []
