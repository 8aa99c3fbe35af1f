# SPDX-License-Identifier: Apache-2.0
"""One change on a simulated host, run again and again from the same beginning with another fate each time."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from nicpass.model.errors import ExitCode
from tests.support.simulation.boot import reboot
from tests.support.simulation.contents import list_differences
from tests.support.simulation.effects import Death, Fault
from tests.support.simulation.host import change, recover_all
from tests.support.simulation.scenes import SCENES, make_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nicpass.engine.recovery import Settled
    from nicpass.model.request import Request
    from tests.support.simulation.contents import Raw
    from tests.support.simulation.effects import Effect, FaultKind
    from tests.support.simulation.host import Machine, Outcome, SimulatedHost

_ERRORS: tuple[FaultKind, ...] = ("EBUSY", "EIO", "ENODEV", "ENOSPC")


class Course(NamedTuple):
    """A change as it goes when nothing happens: what the host was before, what it is after."""

    host: SimulatedHost
    request: Request
    start: Raw
    before: dict[str, str]
    after: dict[str, str]
    effects: tuple[Effect, ...]

    def run(self, *, death: Death | None = None, faults: tuple[Fault, ...] = ()) -> Outcome:
        """Run the change from the beginning, with this fate."""
        self.host.put_back(self.start)
        return self.host.run(functools.partial(change, request=self.request), death=death, faults=faults)

    def recover(self, what: str, death: Death | None = None) -> Outcome:
        """Run nicpass recover, and once more to see that it finds nothing to do; unless the run is to die."""
        outcome = self.host.run(_recover_twice, death=death)
        if death is None:
            assert outcome.exit_code == ExitCode.DONE, f"{what}: {outcome}"
            assert all(settled.exit_code == ExitCode.DONE for settled in outcome.settled), f"{what}: {outcome.settled}"
        return outcome

    def power_cut(self) -> None:
        """The power goes at this moment, and comes back; what was set by hand is gone."""
        reboot(self.host, self.host.first, 1)

    def after_boot(self) -> Course:
        """The course with `before` and `after` each as a boot leaves it."""
        self.host.put_back(self.start)
        self.power_cut()
        before = self.host.state()
        assert self.run().exit_code == ExitCode.DONE
        self.power_cut()
        return self._replace(before=before, after=self.host.state())

    def end(self, what: str) -> str:
        """The host's end, `before` or `after`; an AssertionError that lists the differences where it is neither."""
        state = self.host.state()
        if state in (self.before, self.after):
            return "before" if state == self.before else "after"
        nearer = min((self.before, self.after), key=lambda end: len(list_differences(state, end)))
        name = "before" if nearer is self.before else "after"
        raise AssertionError("\n".join([f"{what}: differs from {name}:", *list_differences(state, nearer)]))


def _recover_twice(machine: Machine) -> tuple[Settled, ...]:
    settled = recover_all(machine)
    effects = len(machine.effects.log)
    again = recover_all(machine)
    assert again == (), f"a second recovery found something to settle: {again}"
    assert machine.effects.log[effects:] == [], "a second recovery did something"
    return settled


def observe_course(name: str, folder: Path) -> Course:
    """Make the scene's host, and run its change to its end once."""
    host = make_ready(SCENES[name], folder)
    start, before = host.raw(), host.state()
    assert host.raw() == start, "it was settled"
    done = host.run(functools.partial(change, request=SCENES[name].request))
    assert done.exit_code == ExitCode.DONE, done
    after = host.state()
    assert after != before
    return Course(host, SCENES[name].request, start, before, after, done.effects)


def deaths_in(effects: tuple[Effect, ...]) -> list[Death]:
    """Deaths before the first effect, in and after each: after one effect is before the next."""
    found = [Death(0, "before")]
    for number, effect in enumerate(effects):
        found += [Death(number, "middle")] if effect.divisible else []
        found.append(Death(number, "after"))
    return found


def faults_in(effects: tuple[Effect, ...], *, every: bool) -> Iterator[Fault]:
    """The faults of each effect: one error number by turns in all its ways; with `every` the other numbers too."""
    for number, effect in enumerate(effects):
        chosen = _ERRORS[number % len(_ERRORS)]
        kinds: tuple[FaultKind, ...] = (chosen, "hangs") if effect.door == "process" else (chosen,)
        for kind in kinds:
            yield from (Fault(number, kind, acted, lasting) for acted in (False, True) for lasting in (False, True))
        if every:
            yield from (Fault(number, kind) for kind in _ERRORS if kind != chosen)
        if effect.probes:
            yield from (Fault(number, "late"), Fault(number, "probe fails"), Fault(number, "probe fails", lasting=True))
