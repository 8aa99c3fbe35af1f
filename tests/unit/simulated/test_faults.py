# SPDX-License-Identifier: Apache-2.0
"""Every step, every failure: whatever one effect answers, the host ends as before or as after.

An effect fails once or from then on, before or after it has had its effect. Exit code 0 is as after, 1 as before.
Code 6 is only for what goes on failing on the way back; then the sentence says so, and once it is mended
`nicpass recover` brings the host to one of the two ends.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import pytest

from nicpass.model.errors import ExitCode
from tests.support.simulation.course import faults_in, observe_course
from tests.support.simulation.scenes import SCENES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.course import Course
    from tests.support.simulation.effects import Fault

pytestmark = pytest.mark.spawns

SOME = ("attach a VF with MAC and VLAN, and start", "detach from vfio-pci", "make more VFs")


def check_fault(course: Course, fault: Fault) -> str:
    """How the host ended, in words."""
    what = f"{fault.text}: {course.effects[fault.number].text}"
    outcome = course.run(faults=(fault,))
    code = outcome.exit_code
    assert code in (ExitCode.DONE, ExitCode.ROLLED_BACK, ExitCode.NEEDS_PERSON), f"{what}: {outcome}"
    if code == ExitCode.NEEDS_PERSON:
        assert fault.lasting, f"{what}: a person is needed, though it had passed: {outcome.sentence}"
        assert outcome.sentence
        course.recover(what)
        return f"a person, then {course.end(what)}"
    end = course.end(what)
    assert end == ("after" if code == ExitCode.DONE else "before"), f"{what}: exit code {code} and {end}: {outcome}"
    course.recover(what)
    if course.end(what) != end:
        # A journal that nobody could write tells less than the sentence did: then the change is one that was cut off.
        assert fault.lasting, f"{what}: recovery moved it from {end}"
        assert course.effects[fault.number].door == "append", f"{what}: recovery moved it from {end}"
        return f"{end}, and by recovery {course.end(what)}"
    return end


@pytest.mark.parametrize("name", SOME)
def test_a_failure_anywhere_ends_before_or_after(name: str, quick_path: Path) -> None:
    _check_all(name, quick_path, every=False)


@pytest.mark.full
@pytest.mark.parametrize("name", SCENES)
def test_every_failure_anywhere_ends_before_or_after(name: str, quick_path: Path) -> None:
    _check_all(name, quick_path, every=True)


def _check_all(name: str, folder: Path, *, every: bool) -> None:
    course = observe_course(name, folder)
    ends: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    for fault in faults_in(course.effects, every=every):
        try:
            ends[check_fault(course, fault)] += 1
        except AssertionError as error:
            wrong.append(str(error)[:3000])
    print(f"{name}: {ends.total() + len(wrong)} faults: {dict(ends)}")
    assert not wrong, "\n\n".join([f"{len(wrong)} wrong", *wrong])
