# SPDX-License-Identifier: Apache-2.0
"""Another number of VFs while VMs have some: a VM that runs lets go for as long as it takes, and has its VF again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from nicpass.hypervisor.libvirt.hostdevs import find_device
from nicpass.model.address import Address
from nicpass.model.plan import ChangeBoot, PlugDevice, SetNumvfs, UnplugDevice
from nicpass.model.request import AttachRequest, UndoRequest, VfRequest
from tests.support.simulation.course import observe_course
from tests.support.simulation.effects import Death, Fault
from tests.support.simulation.hardware import PF, VFS, simulated_tree
from tests.support.simulation.host import LAST, Machine, SimulatedHost, change, do, recover_all, see
from tests.support.simulation.scenes import WEB, start_web

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spawns

MORE = VfRequest(pf="eth1", count=4, in_steps=True)


@pytest.fixture
def host(quick_path: Path) -> SimulatedHost:
    """A PF with two VFs: `web` runs with the first, `db`, which is off, has the second in its definition."""
    host = SimulatedHost(quick_path, simulated_tree())
    do(host, VfRequest(pf="eth1", count=2))
    do(host, AttachRequest(vm="web", nic=VFS[0], vlan=7, mac="52:54:00:00:00:07", start=True))
    do(host, AttachRequest(vm="db", nic=VFS[1]))
    return host


def has(machine: Machine, vf: str) -> bool:
    return find_device(machine.daemon.running[WEB].xml, Address(vf)) is not None


def test_the_vm_has_its_vf_again_and_its_definition_never_changed(host: SimulatedHost) -> None:
    def look_before(machine: Machine) -> None:
        plan = machine.plan(MORE)
        kinds = [type(step) for step in plan.steps]
        assert [kind for kind in kinds if kind is not ChangeBoot] == [UnplugDevice, SetNumvfs, PlugDevice]
        assert any("web is without 0000:01:02.0" in note for note in plan.notes)
        assert has(machine, VFS[0])
        (host.base / "definition").write_text(machine.daemon.definitions()[WEB].read_text())

    see(host, look_before)
    do(host, MORE)

    def look_after(machine: Machine) -> None:
        assert machine.kernel.vfs_of(PF) == VFS[:4]
        assert has(machine, VFS[0])
        assert machine.kernel.driver_of(VFS[0]) == "vfio-pci"
        settings = machine.kernel.vf_settings(VFS[0])
        assert (settings.mac, settings.vlan) == ("52:54:00:00:00:07", 7)
        assert machine.daemon.definitions()[WEB].read_text() == (host.base / "definition").read_text()

    see(host, look_after)
    do(host, UndoRequest(change=LAST))

    def look_back(machine: Machine) -> None:
        assert machine.kernel.vfs_of(PF) == VFS[:2]
        assert has(machine, VFS[0])

    see(host, look_back)


def test_without_in_steps_it_is_refused_and_told_of_it(host: SimulatedHost) -> None:
    done = do(host, VfRequest(pf="eth1", count=4), exit_code=4)
    assert "--in-steps" in done.hint


def test_a_vf_that_would_not_come_back_is_refused(host: SimulatedHost) -> None:
    done = do(host, VfRequest(pf="eth1", count=1, in_steps=True), exit_code=4)
    assert "with 1 VFs there is none of its number" in done.sentence
    assert done.hint == "nicpass detach db 0000:01:02.1"


def test_a_guest_that_does_not_let_go_keeps_all_as_it_was(host: SimulatedHost) -> None:
    def make_deaf(machine: Machine) -> None:
        machine.daemon.change(WEB, deaf=True)

    see(host, make_deaf)
    done = do(host, MORE, exit_code=1)
    assert "did not let go of" in done.sentence

    def look(machine: Machine) -> None:
        assert machine.kernel.vfs_of(PF) == VFS[:2]
        assert has(machine, VFS[0])

    see(host, look)


def test_with_vms_that_are_off_nothing_has_to_go_out(host: SimulatedHost) -> None:
    def stop(machine: Machine) -> None:
        machine.daemon.stop(WEB)

    see(host, stop)
    do(host, MORE)

    def look(machine: Machine) -> None:
        assert machine.kernel.vfs_of(PF) == VFS[:4]
        start_web(machine)
        assert has(machine, VFS[0])

    see(host, look)


def shut_down(machine: Machine) -> None:
    machine.daemon.stop(WEB)


def test_a_guest_that_shuts_down_in_the_midst_keeps_nobody_waiting(host: SimulatedHost) -> None:
    """It has let go for good, and has its VF in its definition: there is nothing to be plugged in again."""

    def lets_go_and_ends(machine: Machine) -> None:
        unplug = machine.daemon.unplug

        def and_end(uuid: str, xml: str) -> None:
            unplug(uuid, xml)
            machine.daemon.stop(uuid)

        setattr(machine.daemon, "unplug", and_end)  # noqa: B010
        change(machine, MORE)

    see(host, lets_go_and_ends)

    def look(machine: Machine) -> None:
        assert machine.kernel.vfs_of(PF) == VFS[:4]
        start_web(machine)
        assert has(machine, VFS[0])

    see(host, look)


def test_cut_off_and_shut_down_it_is_settled_all_the_same(host: SimulatedHost) -> None:
    start = host.raw()
    effects = host.run(functools.partial(change, request=MORE)).effects
    number = next(n for n, effect in enumerate(effects) if "unplug" in effect.text)
    host.put_back(start)
    assert host.run(functools.partial(change, request=MORE), death=Death(number, "after")).exit_code is None
    see(host, shut_down)
    done = host.run(recover_all)
    assert [settled.exit_code for settled in done.settled] == [0], done.settled
    assert host.run(recover_all).settled == ()


def test_no_vf_goes_into_a_vm_while_they_are_still_to_be_made_anew(quick_path: Path) -> None:
    """The kernel would wait for that VM, in a write that cannot be ended."""
    course = observe_course("make more VFs in steps", quick_path)
    number = next(n for n, effect in enumerate(course.effects) if "sriov_numvfs" in effect.text)
    assert course.run(faults=(Fault(number, "ENODEV", acted=True, lasting=True),)).exit_code == 6

    def look(machine: Machine) -> None:
        assert not has(machine, VFS[0])

    see(course.host, look)
    course.recover("mended")
    assert course.end("mended") == "before"
