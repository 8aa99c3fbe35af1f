# SPDX-License-Identifier: Apache-2.0
"""The dead man's hand without libvirt: what needs no answer of it is taken back at once, the rest when it answers."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

import pytest

from nicpass.engine.journal import read_changes
from nicpass.engine.lock import hold_lock
from nicpass.engine.recovery import recover, take_back_as_recorded
from nicpass.engine.transaction import watch_nothing
from nicpass.host.system.actor import read_actor
from nicpass.model.change import Outcome
from nicpass.model.errors import ExitCode
from nicpass.model.guard import HOOK
from tests.support.simulation.effects import Death
from tests.support.simulation.host import change
from tests.support.simulation.libvirt import SimulatedLibvirtError
from tests.support.simulation.scenes import SCENES, make_ready

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.engine.recovery import Settled
    from tests.support.simulation.host import Machine

pytestmark = pytest.mark.spawns
SCENE = SCENES["attach, to be confirmed"]
NIC = "0000:03:00.0"


def lose_libvirt() -> None:
    """It lets nobody connect any more; only for a process of its own."""

    def refuse(_uri: str) -> None:
        raise SimulatedLibvirtError("Failed to connect socket")

    sys.modules["libvirt"].__dict__.update(open=refuse, openReadOnly=refuse)


def hand(machine: Machine) -> tuple[Settled, ...]:
    """The timer goes off, and libvirt is not there."""
    lose_libvirt()
    actor = read_actor(machine.files, ["recover", "--unconfirmed"])
    with hold_lock(machine.files, actor):
        settled = recover(machine.files, machine.handlers(), actor, unattended=True)
        waiting = [one for one in read_changes(machine.files) if one.outcome == Outcome.UNCONFIRMED]
        more = [take_back_as_recorded(one, machine.files, machine.handlers(), actor, watch_nothing) for one in waiting]
    assert machine.kernel.driver_of(NIC) != "vfio-pci", "the host has its NIC"
    return (*settled, *more)


def hand_again(machine: Machine) -> tuple[Settled, ...]:
    """systemd starts it anew, and libvirt is there."""
    actor = read_actor(machine.files, ["recover", "--unconfirmed"])
    with hold_lock(machine.files, actor):
        return recover(machine.files, machine.handlers(), actor, unattended=True)


@pytest.mark.parametrize("cut_off", [False, True])
def test_the_host_gets_its_nic_back(cut_off: bool, quick_path: Path) -> None:
    host = make_ready(SCENE, quick_path)
    start, before = host.raw(), host.state()
    done = host.run(functools.partial(change, request=SCENE.request))
    if cut_off:
        created = next(number for number, effect in enumerate(done.effects) if effect.text.startswith("libvirt create"))
        host.put_back(start)
        host.run(functools.partial(change, request=SCENE.request), death=Death(created, "after"))
    (told,) = host.run(hand).settled
    assert told.exit_code == ExitCode.BUSY, "systemd shall let it try again"
    assert "libvirt does not answer" in told.sentence
    assert "may give it back once more" in told.sentence
    assert f"root{HOOK}" in host.state(), "a start would take the NIC: the VM has it in its definition"
    (told,) = host.run(hand_again).settled
    assert (told.exit_code, host.state()) == (ExitCode.DONE, before)
