# SPDX-License-Identifier: Apache-2.0
"""Every step, every death: killed before, in and after each effect, the host ends as before or as after.

Compared is the whole simulated host: every file, link and folder, what netlink says, which VMs run with what, which
timers are set. "As before" and "as after" are what an undisturbed run began with and ended with.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.support.simulation.course import deaths_in, observe_course
from tests.support.simulation.scenes import MAIN_SCENES, SCENES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spawns


def _param(name: str, *main: str) -> object:
    """What is much like another scene is for `make test-full`."""
    return pytest.param(name, marks=() if name in (main or MAIN_SCENES) else pytest.mark.full)


@pytest.mark.parametrize("name", [_param(name) for name in SCENES])
def test_a_death_anywhere_ends_before_or_after(name: str, quick_path: Path) -> None:
    course = observe_course(name, quick_path)
    ends: list[str] = []
    for death in deaths_in(course.effects):
        what = f"{death.moment} {course.effects[death.number].text}"
        assert course.run(death=death).exit_code is None, f"{what}: it was to be killed"
        course.recover(what)
        ends.append(course.end(what))
    print(f"{name}: {len(ends)} deaths: {ends.count('before')} ended before, {ends.count('after')} after")


@pytest.mark.full
@pytest.mark.parametrize("name", SCENES)
def test_a_death_in_the_recovery_too(name: str, quick_path: Path) -> None:
    course = observe_course(name, quick_path)
    ends: list[str] = []
    for death in deaths_in(course.effects):
        assert course.run(death=death).exit_code is None
        cut_off = course.host.raw()
        effects = course.recover("undisturbed").effects
        for second in deaths_in(effects) if effects else []:
            what = f"{death.moment} {course.effects[death.number].text}, {second.moment} {effects[second.number].text}"
            course.host.put_back(cut_off)
            assert course.recover(what, second).exit_code is None, f"{what}: it was to be killed"
            course.recover(what)
            ends.append(course.end(what))
    print(f"{name}: {len(ends)} double deaths: {ends.count('before')} ended before, {ends.count('after')} after")


@pytest.mark.parametrize("name", ["attach and start", "detach from vfio-pci"])
def test_a_death_in_some_recoveries_too(name: str, quick_path: Path) -> None:
    course = observe_course(name, quick_path)
    ends: list[str] = []
    places = itertools.count()
    for death in deaths_in(course.effects):
        assert course.run(death=death).exit_code is None
        cut_off = course.host.raw()
        deaths = deaths_in(course.recover("undisturbed").effects)
        if len(deaths) == 1:  # there was nothing to recover
            continue
        second = deaths[next(places) % len(deaths)]
        what = f"{death}, then {second}"
        course.host.put_back(cut_off)
        assert course.recover(what, second).exit_code is None, f"{what}: it was to be killed"
        course.recover(what)
        ends.append(course.end(what))
    print(f"{name}: {len(ends)} double deaths: {ends.count('before')} ended before, {ends.count('after')} after")


@pytest.mark.parametrize("name", [_param(name, "attach and start", "detach and stop") for name in SCENES])
def test_a_power_cut_anywhere_ends_before_or_after(name: str, quick_path: Path) -> None:
    """The recovery is that of the next boot; the two ends are what that boot makes of them."""
    course = observe_course(name, quick_path).after_boot()
    ends: list[str] = []
    for death in deaths_in(course.effects):
        what = f"{death.moment} {course.effects[death.number].text}"
        assert course.run(death=death).exit_code is None, f"{what}: it was to be killed"
        course.power_cut()
        course.recover(what)
        ends.append(course.end(what))
    print(f"{name}: {len(ends)} power cuts: {ends.count('before')} ended before, {ends.count('after')} after")
