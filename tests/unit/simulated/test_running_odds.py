# SPDX-License-Identifier: Apache-2.0
"""What a running VM's two definitions hold is not always the same, and its guest or a boot may come in between."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from nicpass.engine.admission import read_start
from nicpass.engine.handler import Handler
from nicpass.engine.journal import last_to_undo, read_changes
from nicpass.engine.lock import hold_lock
from nicpass.engine.nic.store import read_kept_nic
from nicpass.engine.transaction import run_plan
from nicpass.host.system.actor import read_actor
from nicpass.hypervisor.libvirt.hostdevs import find_device
from nicpass.model.address import Address
from nicpass.model.errors import NoAnswerError, StepError
from nicpass.model.guard import HOOK
from nicpass.model.network import IpAddress
from nicpass.model.plan import PlugDevice, UnplugDevice
from nicpass.model.request import ApplyRequest, AttachRequest, DetachRequest, UndoRequest
from nicpass.model.state import DeclaredState, DeclaredVm
from tests.support.simulation.boot import reboot
from tests.support.simulation.commands import run_command
from tests.support.simulation.effects import Death
from tests.support.simulation.hardware import NIC, VFS, simulated_tree
from tests.support.simulation.host import LAST, SimulatedHost, change, do, recover_all
from tests.support.simulation.libvirt import Daemon, DomainHandle, SimulatedLibvirtError
from tests.support.simulation.scenes import ALLOW, WEB, start_web, stop_unguarded, stop_web

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.request import Request
    from tests.support.simulation.host import Machine, Outcome

pytestmark = pytest.mark.spawns

GIVE = AttachRequest(vm="web", nic=NIC, allow=ALLOW)
GIVE_LATER = AttachRequest(vm="web", nic=NIC, allow=ALLOW, where="config")
START = AttachRequest(vm="web", nic=NIC, allow=ALLOW, start=True)
OWN, LATER = "10.3.0.5", "10.77.0.9"


def act(host: SimulatedHost, *acts: object) -> None:
    for each in acts:
        assert host.run(each).exit_code == 0  # type: ignore[arg-type]
        host.settle()


def places(machine: Machine, nic: str = NIC) -> tuple[bool, bool]:
    """(whether the definition has the NIC, whether the running machine has it)."""
    live = machine.daemon.running.get(WEB)
    config = machine.daemon.definitions()[WEB].read_text()
    xmls = (config, live.xml if live is not None else "<domain/>")
    config_has, live_has = (find_device(xml, Address(nic)) is not None for xml in xmls)
    return config_has, live_has


def own_addresses(machine: Machine) -> set[str]:
    return {address.address for address in machine.read().network.addresses or ()}  # type: ignore[union-attr]


def recorded(machine: Machine) -> set[str]:
    kept = read_kept_nic(machine.files, Address(NIC))
    assert kept is not None
    return {address.address for address in kept.state.addresses}


def add_address(machine: Machine) -> None:
    """The administrator gives the host one more address on that NIC."""
    interfaces = machine.kernel.interfaces
    index = interfaces.index_of("lan0")
    assert index is not None
    address = IpAddress(netdev="lan0", address=LATER, prefix_length=24, broadcast="10.77.0.255", label="lan0")
    interfaces.add_address(index, address)


def fail_last_plug(host: SimulatedHost, request: Request, *, deaf: bool = False) -> Outcome:
    """The change with a last NIC that is plugged in, and is then not seen to be; a deaf guest keeps that one."""

    def act(machine: Machine) -> None:
        handlers = dict(machine.handlers())
        plug, unplug = handlers[PlugDevice], handlers[UnplugDevice]

        def verify(step: PlugDevice) -> None:
            if step.address == NIC:
                raise StepError("It is not seen.")
            plug.verify(step)

        def apply(step: UnplugDevice) -> None:
            if deaf and step.address == NIC:
                raise StepError("It does not let go.")
            unplug.apply(step)

        handlers[PlugDevice], handlers[UnplugDevice] = Handler(plug.apply, verify), Handler(apply, unplug.verify)
        wanted = request
        if isinstance(request, UndoRequest):
            wanted = UndoRequest(change=last_to_undo(read_changes(machine.files)).identity, allow=request.allow)
        with hold_lock(machine.files, read_actor(machine.files, ["attach"])):
            run_plan(machine.plan(wanted), handlers, machine.files)

    done = host.run(act)
    host.settle()
    return done


def test_undoing_what_left_the_definition_alone_keeps_the_record_of_what_the_nic_was(host: SimulatedHost) -> None:
    do(host, START)
    do(host, DetachRequest(vm="web", nic=NIC, where="config"))
    do(host, UndoRequest(change=LAST))

    def look(machine: Machine) -> None:
        assert places(machine) == (True, True)
        assert OWN in recorded(machine)

    act(host, look, stop_web)
    do(host, DetachRequest(vm="web", nic=NIC))

    def back(machine: Machine) -> None:
        assert machine.kernel.driver_of(NIC) == "igb"
        assert OWN in own_addresses(machine)

    act(host, back)


def test_a_boot_in_the_midst_of_a_detach_of_the_running_machine_leaves_the_record(host: SimulatedHost) -> None:
    do(host, START)
    start, take = host.raw(), DetachRequest(vm="web", nic=NIC, where="live")
    effects = host.run(functools.partial(change, request=take)).effects
    (unplug,) = (number for number, effect in enumerate(effects) if effect.subject.startswith("unplug"))
    host.put_back(start)
    host.run(functools.partial(change, request=take), death=Death(unplug + 2, "after"))
    reboot(host, host.first, 1)
    settled = host.run(recover_all).settled
    assert [each.exit_code for each in settled] == [0], settled

    def look(machine: Machine) -> None:
        assert places(machine) == (True, False)
        assert OWN in recorded(machine)

    act(host, look)


def test_what_was_let_through_is_no_more_so_once_the_running_machine_has_let_go(host: SimulatedHost) -> None:
    do(host, START)
    do(host, DetachRequest(vm="web", nic=NIC, where="live"))

    def look(machine: Machine) -> None:
        assert NIC not in read_start(machine.files, WEB)

    act(host, look)


def test_it_leaves_as_it_is_then_and_not_as_it_was_when_it_was_written_down(host: SimulatedHost) -> None:
    act(host, start_web)
    do(host, GIVE_LATER)
    act(host, add_address)
    do(host, GIVE)
    act(host, stop_web)

    def look(machine: Machine) -> None:
        assert own_addresses(machine) >= {OWN, LATER}

    act(host, look)


def test_a_nic_that_was_in_the_definition_comes_back_whole_where_plugging_fails(host: SimulatedHost) -> None:
    act(host, start_web)
    do(host, GIVE_LATER)
    before = host.state()
    done = fail_last_plug(host, GIVE)
    assert done.exit_code == 1, done
    assert host.state() == before


def test_so_does_one_that_an_undoing_would_have_given_again(host: SimulatedHost) -> None:
    do(host, START)
    do(host, DetachRequest(vm="web", nic=NIC, where="live"))
    done = fail_last_plug(host, UndoRequest(change=LAST, allow=ALLOW))
    assert done.exit_code == 1, done

    def look(machine: Machine) -> None:
        assert OWN in own_addresses(machine)
        assert OWN in recorded(machine)

    act(host, look)


def test_one_that_came_back_by_itself_leaves_by_its_better_record(host: SimulatedHost) -> None:
    act(host, start_web)
    do(host, GIVE)
    act(host, lambda machine: machine.daemon.change(WEB, deaf=True))
    do(host, DetachRequest(vm="web", nic=NIC), exit_code=1)

    def let_go(machine: Machine) -> None:
        machine.daemon.change(WEB, deaf=False)
        element = find_device(machine.daemon.running[WEB].xml, Address(NIC))
        assert element is not None
        machine.daemon.unplug(WEB, element)
        assert OWN not in own_addresses(machine)

    act(host, let_go)
    do(host, GIVE)
    do(host, DetachRequest(vm="web", nic=NIC))

    def look(machine: Machine) -> None:
        assert OWN in own_addresses(machine)

    act(host, look)


_BY_FILE = ApplyRequest(
    file="host.yaml", state=DeclaredState(vms={"db": DeclaredVm(nics=(NIC,), allow=tuple(sorted(ALLOW)))})
)


@pytest.mark.parametrize(
    "give", [AttachRequest(vm="db", nic=NIC, allow=ALLOW), _BY_FILE], ids=["by a command", "by a file"]
)
def test_what_was_not_restored_after_one_vm_is_owed_after_the_next(host: SimulatedHost, give: Request) -> None:
    act(host, start_web)
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, where="live"))
    act(host, stop_unguarded)
    do(host, give)
    do(host, DetachRequest(vm="db", nic=NIC))

    def look(machine: Machine) -> None:
        assert OWN in own_addresses(machine)

    act(host, look)


@pytest.mark.parametrize("where", ["both", "live"])
def test_the_guard_stays_while_a_guest_keeps_one_of_several(quick_path: Path, where: str) -> None:
    host = SimulatedHost(quick_path, simulated_tree(4))
    act(host, start_web)
    both = AttachRequest(vm="web", nic=VFS[0], more=(NIC,), allow=ALLOW, where=where)  # type: ignore[arg-type]
    assert fail_last_plug(host, both, deaf=True).exit_code == 6

    def look(machine: Machine) -> None:
        assert places(machine)[1]
        assert machine.files.exists(HOOK)

    act(host, look, stop_web)

    def back(machine: Machine) -> None:
        assert OWN in own_addresses(machine)

    act(host, back)


def test_an_undoing_takes_back_those_too_that_were_only_plugged_in(quick_path: Path) -> None:
    host = SimulatedHost(quick_path, simulated_tree(4))
    act(host, start_web)
    do(host, GIVE_LATER)
    do(host, AttachRequest(vm="web", nic=NIC, more=(VFS[0],), allow=ALLOW))
    do(host, UndoRequest(change=LAST))

    def look(machine: Machine) -> None:
        assert places(machine) == (True, False)
        assert places(machine, VFS[0]) == (False, False)
        assert OWN in own_addresses(machine)

    act(host, look)


def test_an_undoing_takes_nothing_out_of_a_machine_that_had_it_before(host: SimulatedHost) -> None:
    act(host, start_web)
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, where="live"))
    before = host.state()
    do(host, GIVE)
    do(host, UndoRequest(change=LAST))
    assert host.state() == before


def test_an_undoing_gives_those_too_that_were_only_in_the_running_machine(quick_path: Path) -> None:
    host = SimulatedHost(quick_path, simulated_tree(4))
    act(host, start_web)
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, where="live"))
    do(host, AttachRequest(vm="web", nic=VFS[0]))
    do(host, DetachRequest(vm="web", nic=NIC, more=(VFS[0],)))
    do(host, UndoRequest(change=LAST, allow=ALLOW))

    def look(machine: Machine) -> None:
        assert places(machine)[1]
        assert places(machine, VFS[0]) == (True, True)

    act(host, look)


@pytest.mark.parametrize("confirm_within", [None, 60])
def test_what_was_only_plugged_in_is_gone_with_the_machine(
    host: SimulatedHost, tmp_path: Path, confirm_within: int | None
) -> None:
    act(host, start_web)
    do(host, GIVE_LATER)
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, confirm_within=confirm_within))
    act(host, stop_web)
    command = ("recover", "--unconfirmed") if confirm_within else ("undo",)
    told = run_command(host, *command, report=tmp_path / "report")
    assert told.exit_code == 0, told

    def look(machine: Machine) -> None:
        assert places(machine) == (True, False)
        assert OWN in own_addresses(machine)

    act(host, look)
    do(host, DetachRequest(vm="web", nic=NIC))  # nothing awaits confirmation any more


def test_a_guest_that_was_asked_before_is_not_asked_again_and_the_way_out_is_told(host: SimulatedHost) -> None:
    act(host, start_web)
    do(host, GIVE)

    def take(machine: Machine) -> None:
        def refuse(*_words: object) -> None:
            raise SimulatedLibvirtError("Device hostdev0 is already in the process of unplug")

        setattr(Daemon, "unplug", refuse)  # noqa: B010
        change(machine, DetachRequest(vm="web", nic=NIC))

    done = host.run(take)
    assert done.exit_code == 1, done
    assert "already in the process" in done.sentence
    assert f"nicpass detach web {NIC} --stop" in done.hint


@pytest.mark.parametrize(
    "error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), NoAnswerError("libvirt hangs."), TypeError("no")]
)
def test_no_answer_of_a_guest_takes_its_nic_back(host: SimulatedHost, error: Exception) -> None:
    act(host, start_web)

    def give(machine: Machine) -> None:
        def answer(*_words: object) -> dict[str, object]:
            raise error

        setattr(DomainHandle, "interfaceAddresses", answer)  # noqa: B010
        change(machine, GIVE)

    act(host, give, lambda machine: None)

    def look(machine: Machine) -> None:
        assert places(machine) == (True, True)

    act(host, look)
