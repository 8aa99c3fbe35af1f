# SPDX-License-Identifier: Apache-2.0
"""Programs that run emulated hosts at once share this machine's processors out among them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.running import hold_port

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


def test_two_hosts_hold_two_ports_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("lab.running.cache_root", lambda: tmp_path)
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    with ExitStack() as one, ExitStack() as other:
        monkeypatch.setattr("random.sample", lambda ports, _count: ports[:2])
        held = [hold_port(one), hold_port(other)]
        assert len(set(held)) == 2
        assert not [port for port in held if first <= port <= last]
        with pytest.raises(LabError, match="no port"):
            hold_port(one)
        one.close()
        assert hold_port(other) == held[0], "given back with the host that had it"
