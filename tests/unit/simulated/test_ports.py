# SPDX-License-Identifier: Apache-2.0
"""Root ports that a VM gets with a NIC: for the next start, and gone with the undoing unless something needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.hypervisor.libvirt.hostdevs import find_device
from nicpass.model.address import Address
from nicpass.model.request import AttachRequest, UndoRequest
from tests.support.simulation.hardware import NIC
from tests.support.simulation.host import LAST, Machine, SimulatedHost, do, see
from tests.support.simulation.scenes import ALLOW, WEB, give_express, start_web

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.spawns

GIVE = AttachRequest(vm="web", nic=NIC, allow=ALLOW, add_ports=2)
PORTS = [f'<controller type="pci" index="{index}" model="pcie-root-port" />' for index in (8, 9)]


def definition(machine: Machine) -> str:
    return machine.daemon.definitions()[WEB].read_text()


def sound(bus: int) -> str:
    """A device on the port of this bus."""
    address = f"<address type='pci' domain='0x0000' bus='0x0{bus}' slot='0x00' function='0x0'/>"
    return f"    <sound model='ich9'>\n      {address}\n    </sound>\n"


def fill_ports(machine: Machine) -> None:
    """Something stands on every port of the VM."""
    path = machine.daemon.definitions()[WEB]
    devices = "".join(sound(bus) for bus in (5, 6, 7))
    path.write_text(path.read_text().replace("  </devices>", f"{devices}  </devices>"))


@pytest.fixture
def express(host: SimulatedHost) -> SimulatedHost:
    """The VM has PCI Express, as q35 does."""
    see(host, give_express)
    return host


def test_they_come_and_go_with_the_change(express: SimulatedHost) -> None:
    before = express.state()
    do(express, GIVE)

    def look(machine: Machine) -> None:
        assert all(port in definition(machine) for port in PORTS)

    see(express, look)
    do(express, UndoRequest(change=LAST))
    after = express.state()
    assert {n for n in {*before, *after} if before.get(n) != after.get(n) and "/var/lib/nicpass" not in n} == set()


def test_a_running_vm_without_a_free_port_gets_it_at_its_next_start(express: SimulatedHost) -> None:
    see(express, fill_ports)
    see(express, start_web)
    refused = do(express, AttachRequest(vm="web", nic=NIC, allow=ALLOW), exit_code=3)
    assert "--add-ports 2" in refused.hint
    do(express, GIVE)

    def look(machine: Machine) -> None:
        assert find_device(definition(machine), Address(NIC)) is not None
        assert find_device(machine.daemon.running[WEB].xml, Address(NIC)) is None
        assert all(port in definition(machine) for port in PORTS)

    see(express, look)


def test_a_port_that_something_stands_on_stays(express: SimulatedHost) -> None:
    do(express, GIVE)

    def use(machine: Machine) -> None:
        path = machine.daemon.definitions()[WEB]
        path.write_text(path.read_text().replace("  </devices>", f"{sound(8)}  </devices>"))

    see(express, use)
    do(express, UndoRequest(change=LAST))

    def look(machine: Machine) -> None:
        assert [port in definition(machine) for port in PORTS] == [True, False]

    see(express, look)


def test_more_of_them_for_a_vm_that_has_the_nic_are_taken_back_too(express: SimulatedHost) -> None:
    do(express, AttachRequest(vm="web", nic=NIC, allow=ALLOW))
    before = express.state()
    do(express, GIVE)
    do(express, UndoRequest(change=LAST))
    after = express.state()
    assert {n for n in {*before, *after} if before.get(n) != after.get(n) and "/var/lib/nicpass" not in n} == set()


def test_where_there_are_no_more_buses_it_is_refused_before_anything_is_done(express: SimulatedHost) -> None:
    def give_the_last(machine: Machine) -> None:
        path = machine.daemon.definitions()[WEB]
        port = "    <controller type='pci' index='254' model='pcie-root-port'/>\n"
        path.write_text(path.read_text().replace("  <devices>\n", f"  <devices>\n{port}"))

    see(express, give_the_last)
    assert "the last can be 255" in do(express, GIVE, exit_code=3).sentence
    do(express, AttachRequest(vm="web", nic=NIC, allow=ALLOW, add_ports=1))


@pytest.mark.parametrize("count", [-1, 17])
def test_a_number_that_is_none_is_bad_input(count: int, express: SimulatedHost) -> None:
    done = do(express, AttachRequest(vm="web", nic=NIC, allow=ALLOW, add_ports=count), exit_code=2)
    assert f"--add-ports {count}" in done.sentence


def test_a_vm_without_pci_express_has_none(host: SimulatedHost) -> None:
    assert "no PCI Express" in do(host, GIVE, exit_code=3).sentence
