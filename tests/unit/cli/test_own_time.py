# SPDX-License-Identifier: Apache-2.0
"""nicpass's own time in an attach stays of its kind: a busy machine may treble it, a walk over all functions does more.

`make bench` holds the limit itself, on a machine that has nothing else to do.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from bench.own_time import LIMIT, attach
from nicpass.engine.journal import JOURNALS
from tests.support.hosts import generate_functions, generated_host

FUNCTIONS = 1024


@pytest.mark.spawns
def test_an_attach_among_a_thousand_functions_takes_its_time_and_no_more(tmp_path: Path) -> None:
    tree = generated_host(FUNCTIONS).write(tmp_path)
    vfs = [f for f in generate_functions(FUNCTIONS) if f.vf_index == 5 and f.pf is not None][:4]
    times = [attach(tree, vf.netdevs[0], vf.address) for vf in vfs][1:]
    assert len(list((tree / JOURNALS[1:]).iterdir())) == len(vfs), "no attach was made"
    assert statistics.median(time.cpu for time in times) < 3 * LIMIT
    assert all(time.wall > 0 for time in times)
