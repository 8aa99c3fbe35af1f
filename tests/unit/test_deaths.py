# SPDX-License-Identifier: Apache-2.0
"""Every step, every death: killed before, in and after each effect, the host ends as before or as after.

Compared is the whole simulated host: every file, link and folder, what netlink says, which VMs run with what, which
timers are set. "As before" and "as after" are what an undisturbed run began with and ended with.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nicpass.model.errors import ExitCode
from tests.support.simulation.contents import list_differences
from tests.support.simulation.effects import Death
from tests.support.simulation.host import change, recover_all
from tests.support.simulation.scenes import SCENES, make_ready

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.plan import Request
    from tests.support.simulation.contents import Raw
    from tests.support.simulation.effects import Effect
    from tests.support.simulation.host import Outcome, SimulatedHost

pytestmark = pytest.mark.spawns


class Course(NamedTuple):
    """A change as it goes when nothing happens."""

    host: SimulatedHost
    request: Request
    start: Raw
    before: dict[str, str]
    after: dict[str, str]
    effects: tuple[Effect, ...]

    def run(self, **fate: object) -> Outcome:
        self.host.put_back(self.start)
        return self.host.run(functools.partial(change, request=self.request), **fate)  # type: ignore[arg-type]

    def recover(self, death: Death | None = None) -> Outcome:
        return self.host.run(recover_all, death=death)

    def assert_settled(self, what: str) -> str:
        """The host is as before or as after, and a further recovery changes nothing; which of the two."""
        state = self.host.state()
        if state not in (self.before, self.after):
            nearer = min((self.before, self.after), key=lambda end: len(list_differences(state, end)))
            name = "before" if nearer is self.before else "after"
            raise AssertionError("\n".join([f"{what}: differs from {name}:", *list_differences(state, nearer)]))
        untouched = self.host.raw()
        again = self.recover()
        assert (again.exit_code, again.settled, again.effects) == (ExitCode.DONE, (), ()), f"{what}: {again}"
        assert _without_lock(self.host.raw()) == _without_lock(untouched), what
        return "before" if state == self.before else "after"


def _without_lock(raw: Raw) -> Raw:
    return {path: entry for path, entry in raw.items() if path != "root/run/nicpass.lock"}


def observe_course(name: str, folder: Path) -> Course:
    """Run the change to its end once."""
    host = make_ready(SCENES[name], folder)
    start, before = host.raw(), host.state()
    assert host.raw() == start, "it was settled"
    done = host.run(functools.partial(change, request=SCENES[name].request))
    assert done.exit_code == ExitCode.DONE, done
    after = host.state()
    assert after != before
    return Course(host, SCENES[name].request, start, before, after, done.effects)


def deaths_in(effects: tuple[Effect, ...]) -> list[Death]:
    """Before the first, in and after each: after one is before the next."""
    found = [Death(0, "before")]
    for number, effect in enumerate(effects):
        found += [Death(number, "middle")] if effect.divisible else []
        found.append(Death(number, "after"))
    return found


@pytest.mark.parametrize("name", SCENES)
def test_a_death_anywhere_ends_before_or_after(name: str, quick_path: Path) -> None:
    course = observe_course(name, quick_path)
    ends: list[str] = []
    for death in deaths_in(course.effects):
        what = f"{death.moment} {course.effects[death.number].text}"
        assert course.run(death=death).exit_code is None, f"{what}: it was to be killed"
        recovered = course.recover()
        assert recovered.exit_code == ExitCode.DONE, f"{what}: {recovered}"
        assert all(settled.exit_code == ExitCode.DONE for settled in recovered.settled), f"{what}: {recovered.settled}"
        ends.append(course.assert_settled(what))
    print(f"{name}: {len(ends)} deaths: {ends.count('before')} ended before, {ends.count('after')} after")
