# SPDX-License-Identifier: Apache-2.0
"""VFs that were asked for are made again, unless somebody else has a say: another hand, a VM, a change, a driver."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.boot.vfs.declaration import parse_declaration, render_declaration
from nicpass.engine.vf.declared import MadeVfs, make_declared
from nicpass.host.boot.declared_vfs import read_declared_vfs
from nicpass.model.declared_vfs import FOLDER, DeclaredVfs
from nicpass.model.fact import value_or
from nicpass.model.request import AttachRequest, VfRequest
from nicpass.model.vf import VfSetRequest, VfWish
from tests.support.simulation.effects import Death
from tests.support.simulation.hardware import PF, VFS, simulated_tree
from tests.support.simulation.host import Machine, SimulatedHost, change, do

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.spawns

PATH = f"/sys/bus/pci/devices/{PF}/sriov_numvfs"


@pytest.fixture
def host(quick_path: Path) -> SimulatedHost:
    """A host whose PF is to have two VFs, and has them."""
    host = SimulatedHost(quick_path, simulated_tree())
    do(host, VfRequest(pf="eth1", count=2))
    return host


def see(host: SimulatedHost, check: Callable[[Machine, MadeVfs], None], first: Callable[[Machine], object]) -> None:
    """Have something happen first, then the VFs made again, and check what became of it."""

    def act(machine: Machine) -> None:
        first(machine)
        declared = value_or(read_declared_vfs(machine.files).found, ())
        (made,) = make_declared(machine.files, machine.host_steps(), declared)
        check(machine, made)

    done = host.run(act)
    assert done.exit_code == 0, done.traceback or done


def test_a_number_that_somebody_else_has_set_is_left(host: SimulatedHost) -> None:
    def check(machine: Machine, made: MadeVfs) -> None:
        assert (made.exit_code, made.changed) == (1, False)
        assert "has 3 VFs, not the 2" in made.sentence
        assert machine.kernel.vfs_of(PF) == VFS[:3]

    def set_another(machine: Machine) -> None:
        machine.kernel.write(PATH, "0")
        machine.kernel.write(PATH, "3")

    see(host, check, set_another)


def test_what_was_set_by_hand_is_set_back_but_not_of_a_vms_vf(host: SimulatedHost) -> None:
    do(host, VfSetRequest(pf="eth1", vfs="all", settings=VfWish(vlan=9)))
    do(host, AttachRequest(vm="web", nic=VFS[0], start=True, vlan=7))

    def check(machine: Machine, made: MadeVfs) -> None:
        assert (made.exit_code, made.changed) == (0, True)
        assert machine.kernel.vf_settings(VFS[0]).vlan == 7, "libvirt has set it for the VM that runs"
        assert machine.kernel.vf_settings(VFS[1]).vlan == 9
        assert machine.kernel.driver_of(VFS[0]) == "vfio-pci"

    see(host, check, lambda machine: machine.kernel.set_vf(VFS[1], vlan={"vlan": 50, "qos": 0}))


def test_a_driver_that_does_not_come_is_told_and_ends_the_wait(host: SimulatedHost) -> None:
    def check(machine: Machine, made: MadeVfs) -> None:
        assert made.exit_code == 1
        assert "has no interface to set its VFs by: no driver" in made.sentence

    see(host, check, lambda machine: machine.kernel.unbind(PF))


def test_they_come_back_with_the_pfs_driver(host: SimulatedHost) -> None:
    def check(machine: Machine, made: MadeVfs) -> None:
        assert (made.exit_code, made.changed) == (0, True)
        assert machine.kernel.vfs_of(PF) == VFS[:2]
        assert [machine.kernel.driver_of(vf) for vf in VFS[:2]] == [None, None]
        assert "00:00:00" not in {machine.kernel.vf_settings(vf).mac[:8] for vf in VFS[:2]}

    def reload_driver(machine: Machine) -> None:
        machine.kernel.unbind(PF)
        machine.kernel.write("/sys/bus/pci/drivers_probe", PF)

    see(host, check, reload_driver)


def test_another_card_in_its_place_gets_none(host: SimulatedHost) -> None:
    def check(machine: Machine, made: MadeVfs) -> None:
        assert made.exit_code == 1
        assert "Another card stands at" in made.sentence

    def swap(machine: Machine) -> None:
        path = f"{FOLDER}/{PF}.json"
        content = machine.files.read_bytes(path)
        assert isinstance(content, bytes)
        one = parse_declaration(f"{PF}.json", content)
        assert isinstance(one, DeclaredVfs)
        identity = msgspec.structs.replace(one.identity, permanent_mac="00:1b:21:99:99:99")
        machine.files.write_atomic(path, render_declaration(msgspec.structs.replace(one, identity=identity)).content)
        machine.kernel.write(PATH, "0")

    see(host, check, swap)


def test_vfs_of_a_change_that_was_cut_off_are_left_to_who_settles_it(host: SimulatedHost) -> None:
    request = VfRequest(pf="eth1", count=4)
    assert host.run(functools.partial(change, request=request), death=Death(6, "after")).exit_code is None

    def act(machine: Machine) -> None:
        declared = value_or(read_declared_vfs(machine.files).found, ())
        assert declared, "what was there before is asked for still"
        assert make_declared(machine.files, machine.host_steps(), declared) == ()

    assert host.run(act).exit_code == 0
