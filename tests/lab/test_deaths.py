# SPDX-License-Identifier: Apache-2.0
"""Every record, every death, on the real kernel: the host ends as it was or as it was meant to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count

import pytest

from lab.machine import Machine
from lab.state import HostState
from tests.lab.deaths import Death, cut_power_at, difference, kill_at, read, settle

pytestmark = pytest.mark.lab

ALLOWED = "--allow HAS_ADDRESS --allow CARRIES_ROUTE"
# An administrator's settings (RFC 5737) on the NIC that goes, so that there is something to lose.
SET_UP = """
ip link set enp2s0 mtu 1400 up
ip address add 192.0.2.5/24 dev enp2s0
ip route add 198.51.100.0/24 via 192.0.2.1
"""


@dataclass(frozen=True)
class Journey:
    """A command; what has to be done before it; what takes it back."""

    command: str
    back: str
    first: str = "true"


ATTACH = Journey(f"attach web01 enp2s0 {ALLOWED}", back="nicpass detach web01 enp2s0")
START = Journey(f"attach web01 enp2s0 --start {ALLOWED}", back="nicpass detach web01 0000:02:00.0 --stop")
DETACH = Journey("detach web01 enp2s0", back=f"nicpass {ATTACH.command}", first=f"nicpass {ATTACH.command}")
CREATE = Journey("vf create enp1s0 --count 2", back="nicpass vf remove enp1s0")
REMOVE = Journey("vf remove enp1s0", back=f"nicpass {CREATE.command}", first=f"nicpass {CREATE.command}")
VF = Journey(
    "attach web01 0000:01:10.0 --vlan 7 --start",
    back="nicpass detach web01 0000:01:10.0 --stop",
    first="ip link set enp1s0 up; nicpass vf create enp1s0 --count 1",
)
JOURNEYS = {
    "attach": ATTACH,
    "attach-start": START,
    "detach": DETACH,
    "vf-create": CREATE,
    "vf-remove": REMOVE,
    "attach-vf-start": VF,
}


@pytest.fixture
def machine(fresh_host: Machine) -> Machine:
    fresh_host.succeed(SET_UP)
    fresh_host.wait_for_link("enp2s0")
    return fresh_host


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.full) for name in JOURNEYS])
def test_killed_before_and_after_every_record(machine: Machine, name: str) -> None:
    _kill_everywhere(machine, JOURNEYS[name], ("before", "after"))


def test_killed_before_every_record(machine: Machine) -> None:
    """So what a step did is done, and that it is done is not recorded."""
    _kill_everywhere(machine, ATTACH, ("before",))


def _kill_everywhere(machine: Machine, journey: Journey, moments: tuple[str, ...]) -> None:
    before, after = _walk_once(machine, journey)
    ends: list[str] = []
    for death in (Death(where, number) for number in count(1) for where in moments):
        if not kill_at(machine, death, journey.command):
            break
        settle(machine)
        ends.append(_end_of(before, after, read(machine), death))
        if ends[-1] == "after":
            machine.succeed(journey.back, 180)
    print(f"{journey.command}: {len(ends)} deaths, {ends.count('before')} as before, {ends.count('after')} as meant")
    assert len(ends) >= 4 * len(moments)  # records at the least: opened, doing, done, closed
    assert set(ends) == {"before", "after"}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("attach", 4),
        ("attach-start", 7),
        ("attach-start", 6),
        ("detach", 3),
        ("detach", 5),
        ("vf-create", 3),
    ],
)
@pytest.mark.full
def test_the_power_goes(machine: Machine, name: str, number: int) -> None:
    """What was running ends with the boot; definitions and files are as before or as meant, settled by itself."""
    journey = JOURNEYS[name]
    machine.succeed(journey.first, 180)
    machine.reset()
    before = read(machine)
    machine.succeed(f"nicpass {journey.command}", 180)
    machine.reset()
    after = read(machine)
    machine.succeed(f"{SET_UP}{journey.back}", 180)
    machine.reset()
    assert difference(before, read(machine)) == ""
    machine.succeed(SET_UP)
    assert cut_power_at(machine, Death("after", number), journey.command)
    machine.wait_until_succeeds('test "$(systemctl is-active nicpass-recover.service)" = inactive')
    settled = json.loads(machine.succeed("nicpass recover --json"))["settled"]
    assert bool(settled) == (journey is CREATE), "a unit settles at boot, but for VFs, which no boot keeps"
    _end_of(before, after, read(machine), Death("after", number))


def _walk_once(machine: Machine, journey: Journey) -> tuple[HostState, HostState]:
    """The host before the command, and as the command leaves it when nothing goes wrong."""
    machine.succeed(journey.first, 180)
    before = read(machine)
    machine.succeed(f"nicpass {journey.command}", 180)
    after = read(machine)
    machine.succeed(journey.back, 180)
    assert difference(before, read(machine)) == ""
    return before, after


def _end_of(before: HostState, after: HostState, now: HostState, death: Death) -> str:
    if not (lost := difference(before, now)):
        return "before"
    if not (gained := difference(after, now)):
        return "after"
    raise AssertionError(f"died {death}: neither as before:\n{lost}\nnor as meant:\n{gained}")
