# SPDX-License-Identifier: Apache-2.0
"""Making and setting VFs on the simulated host of the tests, in a process of its own that tells how long nicpass took.

What the simulated kernel does is taken off. What nicpass would pay beside it on a real host is done for real: each
program is started, as `true`, and each request for a VF goes by pyroute2 to this kernel, whose `lo` has no VFs. Events
are not waited for: the simulated clock passes by itself.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.model.request import Request

PF = "0000:01:00.0"
_DOORS = ("process", "netlink", "ethtool", "kernel")
"""By these the kernel and programs act; by all others nicpass writes files of its own."""


class Meter:
    """The seconds that passed outside nicpass."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.seconds = 0.0

    def outside(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            begin = self.clock()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds += self.clock() - begin

        return timed


def main() -> None:
    """`FOLDER COUNT`: print nicpass's own seconds in making so many VFs, setting each, and removing them, as JSON."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    from nicpass.model.request import VfRequest
    from nicpass.model.vf import VfSetRequest, VfWish

    requests: dict[str, Request] = {
        "create": VfRequest(pf=PF, count=count, settings=VfWish(vlan=100), until_reboot=True),
        "set": VfSetRequest(pf=PF, vfs=f"0-{count - 1}", settings=VfWish(vlan=200, spoofchk=False)),
        "remove": VfRequest(pf=PF, count=0, until_reboot=True),
    }
    json.dump(_measure(folder, count, requests), sys.stdout)


def _measure(folder: Path, count: int, requests: dict[str, Request]) -> dict[str, float]:
    from tests.support.simulation import hardware

    _make_room(count, hardware.CARDS, hardware.NUMBERS)  # before the kernel knows its cards

    from tests.support.simulation.clock import Clock
    from tests.support.simulation.effects import Effects
    from tests.support.simulation.host import Machine, SimulatedHost, change
    from tests.support.simulation.kernel import Kernel

    host = SimulatedHost(folder)
    machine, meter = Machine(host.base, Effects()), Meter()
    machine.install()
    take_off(machine, meter)
    told = {}
    for name, request in [*requests.items()] * 2:  # the first round loads modules, which is part of the start
        begin, meter.seconds = time.perf_counter(), 0.0
        change(machine, request)
        told[name] = time.perf_counter() - begin - meter.seconds
        Kernel(host.base, Clock(), Effects()).pass_time()
    return told


def _make_room(count: int, cards: dict[str, Any], numbers: dict[str, int]) -> None:
    """Let the simulated PF make `count` VFs."""
    from tests.support.hosts import pf_with_vfs

    made = pf_with_vfs(PF, "eth1", count, totalvfs=count, under=cards[PF].under)
    cards.update({card.address: card for card in made})
    numbers.update({address: number for number, address in enumerate(cards)})


def take_off(machine: Any, meter: Meter) -> None:
    """Count what the kernel and programs do as theirs; and let nicpass pay for what the simulation spares it."""
    from pyroute2 import IPRoute, NetlinkError

    from nicpass.host.doors.processes import Processes
    from tests.support.simulation.doors import SimulatedProcesses, SimulatedSocket

    real, kernel = Processes(), IPRoute()
    perform, run, link = machine.effects.perform, SimulatedProcesses.run, SimulatedSocket.link

    def by_door(effect: Any, act: Any, half: Any = None) -> Any:
        return perform(effect, meter.outside(act) if effect.door in _DOORS else act, half)

    def start(door: Any, argv: list[str], *, timeout: float, stdin: str = "") -> Any:
        Processes.run(real, ["true"], timeout=timeout, stdin=stdin)
        return run(door, argv, timeout=timeout, stdin=stdin)

    def ask(door: Any, verb: str, *, index: int, **settings: Any) -> None:
        if "vf" in settings:
            with contextlib.suppress(NetlinkError):  # it has no VFs
                kernel.link(verb, index=1, vf=dict(settings["vf"]))  # which pyroute2 empties
        link(door, verb, index=index, **settings)

    machine.effects.perform = by_door
    setattr(SimulatedProcesses, "run", start)  # noqa: B010
    setattr(SimulatedSocket, "link", ask)  # noqa: B010
    machine.kernel.tick = meter.outside(machine.kernel.tick)
    machine.kernel.finish_numvfs = meter.outside(machine.kernel.finish_numvfs)


if __name__ == "__main__":
    main()
