# SPDX-License-Identifier: Apache-2.0
"""Whole-process wall time of two commands in turn, so that both feel the same noise of the machine."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

MIN_RUNS = 5
_CPUS = frozenset(os.sched_getaffinity(0))
# An installed program has its modules compiled; a shell that forbids that would have it compile at every start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Result(NamedTuple):
    """One comparison: medians in seconds, their ratio, and the most that the ratio may be."""

    name: str
    subject: float
    peer: float
    ratio: float
    target: float | None
    """The most that the ratio may be; None where the ratio is only reported."""
    runs: int

    @property
    def met(self) -> bool:
        return self.target is None or self.ratio <= self.target


def compare(name: str, subject: list[str], peer: list[str], *, target: float, runs: int) -> Result:
    """Run the two commands in turn (A B A B ...), after one run of each that warms the caches and is not counted."""
    times: dict[str, list[float]] = {"subject": [], "peer": []}
    for number in range(runs + 1):
        for who, argv in (("subject", subject), ("peer", peer)):
            seconds = time_process(argv)
            if number:
                times[who].append(seconds)
    ours, theirs = statistics.median(times["subject"]), statistics.median(times["peer"])
    return Result(name, ours, theirs, ours / theirs, target, runs)


def time_process(argv: list[str]) -> float:
    """A process's seconds from before its start to after its end; a process that fails is an error, not a time."""
    begin = time.perf_counter()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, env=ENVIRONMENT)
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.decode()}")
    return seconds


def cpus() -> int:
    """How many processors the runs may use; it goes into the record with the numbers."""
    return len(_CPUS)
