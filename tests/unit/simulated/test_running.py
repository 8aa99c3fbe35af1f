# SPDX-License-Identifier: Apache-2.0
"""A VM that runs gets a NIC and gives it back, also where its guest does not do its part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.engine.nic.store import read_kept_nic
from nicpass.hypervisor.libvirt.hostdevs import find_device
from nicpass.model.address import Address
from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest
from tests.support.simulation.commands import run_command
from tests.support.simulation.hardware import NIC
from tests.support.simulation.host import LAST, SimulatedHost, do
from tests.support.simulation.libvirt import PAUSED
from tests.support.simulation.scenes import ALLOW, WEB, start_web, stop_web

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.host import Machine

pytestmark = pytest.mark.spawns

GIVE = AttachRequest(vm="web", nic=NIC, allow=ALLOW)
TAKE = DetachRequest(vm="web", nic=NIC)


def make_deaf(machine: Machine) -> None:
    machine.daemon.change(WEB, deaf=True)


def let_go(machine: Machine) -> None:
    """The guest heeds after all what it was asked long ago."""
    machine.daemon.change(WEB, deaf=False)
    element = find_device(machine.daemon.running[WEB].xml, Address(NIC))
    assert element is not None
    machine.daemon.unplug(WEB, element)


def pause(machine: Machine) -> None:
    machine.daemon.change(WEB, state=PAUSED)


def act(host: SimulatedHost, *acts: object) -> None:
    for each in acts:
        assert host.run(each).exit_code == 0  # type: ignore[arg-type]


@pytest.fixture
def before(host: SimulatedHost) -> dict[str, str]:
    """The host with the VM running, before it is given a NIC."""
    act(host, start_web)
    return host.state()


def without_journal(state: dict[str, str]) -> dict[str, str]:
    return {path: what for path, what in state.items() if "/var/lib/nicpass/journal" not in path}


def test_it_stands_at_one_place_in_both_definitions(host: SimulatedHost, before: dict[str, str]) -> None:
    do(host, GIVE)

    def look(machine: Machine) -> None:
        config = machine.daemon.definitions()[WEB].read_text()
        elements = [find_device(xml, Address(NIC)) for xml in (config, machine.daemon.running[WEB].xml)]
        assert all(element is not None and 'bus="0x05"' in element for element in elements), elements

    act(host, look)


def test_a_guest_that_does_not_let_go_keeps_it_in_both(host: SimulatedHost, before: dict[str, str]) -> None:
    do(host, GIVE)
    act(host, make_deaf)
    given = without_journal(host.state())
    done = do(host, TAKE, exit_code=1)
    assert "did not let go of" in done.sentence
    assert "--stop" in done.hint
    assert without_journal(host.state()) == given
    do(host, DetachRequest(vm="web", nic=NIC, stop=True))


def test_one_that_lets_go_later_has_it_no_more_and_the_next_detach_settles_that(
    host: SimulatedHost, before: dict[str, str]
) -> None:
    do(host, GIVE)
    act(host, make_deaf)
    do(host, TAKE, exit_code=1)
    act(host, let_go)
    do(host, TAKE)
    assert without_journal(host.state()) == without_journal(before)


def test_undoing_takes_nothing_out_of_a_guest_s_hands(host: SimulatedHost, before: dict[str, str]) -> None:
    do(host, GIVE)
    act(host, make_deaf)
    given = without_journal(host.state())
    done = do(host, UndoRequest(change=LAST), exit_code=1)
    assert "did not let go" in done.sentence
    assert without_journal(host.state()) == given


def test_a_paused_guest_is_not_asked(host: SimulatedHost, before: dict[str, str]) -> None:
    do(host, GIVE)
    act(host, pause)
    given = without_journal(host.state())
    done = do(host, TAKE, exit_code=4)
    assert "paused" in done.sentence
    assert without_journal(host.state()) == given


def test_a_stop_of_the_vm_brings_it_back_as_it_was(host: SimulatedHost, before: dict[str, str]) -> None:
    """The guard knows that it is out, though no start of the VM was asked about."""
    do(host, GIVE)
    act(host, stop_web)

    def look(machine: Machine) -> None:
        addresses = machine.read().network.addresses
        assert "10.3.0.5" in {address.address for address in addresses}  # type: ignore[union-attr]

    act(host, look)


def test_for_the_running_machine_alone_it_stands_in_no_definition(host: SimulatedHost, before: dict[str, str]) -> None:
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, where="live"))

    def look(machine: Machine) -> None:
        assert find_device(machine.daemon.definitions()[WEB].read_text(), Address(NIC)) is None

    act(host, look)
    do(host, TAKE)
    assert without_journal(host.state()) == without_journal(before)


def test_taken_out_of_the_running_machine_alone_its_next_start_has_it(host: SimulatedHost) -> None:
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, start=True))
    do(host, DetachRequest(vm="web", nic=NIC, where="live"))

    def look(machine: Machine) -> None:
        kept = read_kept_nic(machine.files, Address(NIC))
        assert kept is not None
        assert kept.away is None
        assert kept.owner is not None
        assert kept.owner.uuid == WEB

    act(host, look)
    do(host, GIVE)  # and again into the machine that runs
    do(host, TAKE)


@pytest.mark.parametrize("deaf", [False, True])
def test_the_dead_mans_hand_asks_the_guest_and_stops_the_vm_only_where_it_does_not_heed(
    host: SimulatedHost, before: dict[str, str], tmp_path: Path, deaf: bool
) -> None:
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, confirm_within=60))
    if deaf:
        act(host, make_deaf)
    told = run_command(host, "recover", "--unconfirmed", report=tmp_path / "report")
    assert told.exit_code == 0, told

    def look(machine: Machine) -> None:
        assert (WEB in machine.daemon.running) is not deaf
        assert find_device(machine.daemon.definitions()[WEB].read_text(), Address(NIC)) is None
        assert machine.kernel.driver_of(NIC) == "igb"
        assert read_kept_nic(machine.files, Address(NIC)) is None

    act(host, look)


def test_what_was_started_by_the_change_is_stopped_by_its_undoing(host: SimulatedHost) -> None:
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, start=True))
    done = do(host, UndoRequest(change=LAST), exit_code=4)
    assert "--stop" in done.hint
