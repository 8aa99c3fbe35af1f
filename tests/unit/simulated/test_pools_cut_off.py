# SPDX-License-Identifier: Apache-2.0
"""A change of a pool that was cut off, on a host that went on meanwhile."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from tests.support.simulation.effects import Death
from tests.support.simulation.host import change, recover_all
from tests.support.simulation.scenes import SCENES, make_ready, stop_web

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spawns


def test_a_vm_that_was_shut_down_since_is_given_nothing_again(quick_path: Path) -> None:
    """Its guest let go of the VF, and then ended: what it had in the running machine nobody can give back to it."""
    scene = SCENES["detach from a pool while it runs"]
    host = make_ready(scene, quick_path)
    start, act = host.raw(), functools.partial(change, request=scene.request)
    number = next(n for n, effect in enumerate(host.run(act).effects) if "unplug" in effect.text)
    host.put_back(start)
    assert host.run(act, death=Death(number, "after")).exit_code is None
    assert host.run(stop_web).exit_code == 0
    done = host.run(recover_all)
    assert [settled.exit_code for settled in done.settled] == [0], done.settled
    assert host.run(recover_all).settled == ()
