# SPDX-License-Identifier: Apache-2.0
"""Two programs at the same moment: one wins, the other is told by whom or why not, and nothing is half done."""

from __future__ import annotations

import collections
import os
import time
from typing import TYPE_CHECKING

import pytest

from nicpass.cli.arguments.requests import words_of
from nicpass.model.errors import ExitCode
from nicpass.model.request import AttachRequest, VfRequest
from tests.support.simulation.contents import list_differences
from tests.support.simulation.hardware import NIC, VFS, simulated_tree
from tests.support.simulation.host import Machine, SimulatedHost, change, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nicpass.model.request import Request
    from tests.support.simulation.host import Outcome

pytestmark = pytest.mark.spawns

ALLOW = frozenset({"HAS_ADDRESS", "CARRIES_ROUTE"})
TO_WEB = AttachRequest(vm="web", nic=NIC, start=True, allow=ALLOW)
TO_DB = AttachRequest(vm="db", nic=NIC, start=True, allow=ALLOW)
VF_TO_WEB = AttachRequest(vm="web", nic=VFS[0])
NO_VFS, MORE_VFS = VfRequest(pf="eth1", count=0), VfRequest(pf="eth1", count=4)
PAIRS: dict[str, tuple[Request, Request, int]] = {
    "one NIC to two VMs": (TO_WEB, TO_DB, 80),
    "a VF to a VM, and all VFs removed": (VF_TO_WEB, NO_VFS, 60),
    "VFs made and removed": (MORE_VFS, NO_VFS, 30),
    "one NIC, twice to the same VM": (TO_WEB, TO_WEB, 30),
}
"""Two commands and how often; together 200 times."""


def together(host: SimulatedHost, requests: tuple[Request, ...], delays: tuple[float, ...]) -> list[Outcome]:
    """Both begin at the same moment but for their delays: seconds of the real clock."""
    reading, writing = os.pipe()
    sleep = time.sleep

    def act(request: Request, number: int) -> Callable[[Machine], None]:
        def begin(machine: Machine) -> None:
            machine.clock.pace = 0.001
            os.close(writing)
            os.read(reading, 1)  # until the starter's end is closed
            sleep(delays[number])
            change(machine, request)

        return begin

    spawned = [host.spawn(act(request, number)) for number, request in enumerate(requests)]
    os.close(reading)
    os.close(writing)
    outcomes = [wait_for(each) for each in spawned]
    processes = [process for process, _ in spawned]
    for number, outcome in enumerate(outcomes):
        if outcome.exit_code == ExitCode.BUSY:
            holder = f"process {processes[1 - number]}, nicpass {' '.join(words_of(requests[1 - number]))}, by "
            assert holder in outcome.sentence, f"the holder is {holder}, and it says: {outcome.sentence}"
    return outcomes


def alone(host: SimulatedHost, *requests: Request) -> dict[str, str]:
    """The host after these, one after the other; and then as it was."""
    start = host.raw()
    for request in requests:
        host.run(lambda machine, request=request: change(machine, request))  # type: ignore[misc]
    state = host.state()
    host.put_back(start)
    return state


@pytest.mark.parametrize("pair", PAIRS)
def test_one_wins_and_the_other_is_told(pair: str, quick_path: Path) -> None:
    first, second, times = PAIRS[pair]
    host = SimulatedHost(quick_path, simulated_tree(numvfs=2))
    start = host.raw()
    possible = {
        "first": alone(host, first),
        "second": alone(host, second),
        "both": alone(host, first, second),
        "both, the second first": alone(host, second, first),
    }
    seen: collections.Counter[str] = collections.Counter()
    for time_ in range(times):
        host.put_back(start)
        late = (time_ % 6) ** 2 * 0.004  # from the same moment to when the other is done
        outcomes = together(host, (first, second), (late, 0.0) if time_ % 2 else (0.0, late))
        state = host.state()
        codes = [outcome.exit_code for outcome in outcomes]
        assert codes.count(ExitCode.DONE) >= 1, outcomes
        losers = [outcome for outcome in outcomes if outcome.exit_code != ExitCode.DONE]
        assert {outcome.exit_code for outcome in losers} <= {ExitCode.BUSY, ExitCode.REFUSED, ExitCode.BAD_INPUT}
        if losers:
            winner = "first" if codes[0] == ExitCode.DONE else "second"
            assert list_differences(state, possible[winner]) == []
        else:
            assert state in (possible["both"], possible["both, the second first"])
        seen[" and ".join(sorted(outcome.error or "done" for outcome in outcomes))] += 1
        assert unfinished(host) == []
    print(f"{pair}: {dict(seen)}")
    assert any("BusyError" in words for words in seen), f"the two never met: {seen}"


def unfinished(host: SimulatedHost) -> list[str]:
    """Journals without a last record."""
    journals = sorted((host.base / "root/var/lib/nicpass/journal").glob("*.jsonl"))
    return [path.name for path in journals if b'"type":"closed"' not in path.read_bytes().splitlines()[-1]]


def test_together_they_are_200() -> None:
    assert sum(times for _, _, times in PAIRS.values()) == 200
