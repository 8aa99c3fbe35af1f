# SPDX-License-Identifier: Apache-2.0
"""Programs that run emulated hosts at once share this machine's processors out among them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.spawns
_TELL = "from lab.running import own_processor as p; print(p().number, p().number, flush=True); input()"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor is for all")
def test_two_programs_take_two_processors_and_leave_them(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _TELL],
            env=os.environ | {"NICPASS_LAB_CACHE": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(program: subprocess.Popen[str]) -> list[str]:
        assert program.stdout is not None
        return program.stdout.readline().split()

    first = start()
    taken = told(first)
    second = start()
    other = told(second)
    assert taken[0] == taken[1]
    assert set(taken).isdisjoint(other)
    first.communicate("\n")
    third = start()
    assert told(third) == taken
    for program in (second, third):
        program.communicate("\n")
