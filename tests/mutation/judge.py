# SPDX-License-Identifier: Apache-2.0
"""One mutant before its tests: in a process of its own, which ends with the first test that notices it."""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NoReturn, TextIO

Outcome = Literal["killed", "hung", "lived", "uncovered", "broken"]
"""`hung`: noticed, for a test did not end. `uncovered`: no test runs it. `broken`: it could not be put in place."""
SPARE_SECONDS, SPARE_TIMES = 6.0, 8.0
"""A test that takes so much longer than without a mutant hangs: room for a machine that others use too."""


@dataclass(frozen=True)
class Verdict:
    key: str
    outcome: Outcome
    by: str = ""
    """The test that noticed it."""
    seconds: float = 0.0

    @property
    def noticed(self) -> bool:
        return self.outcome in {"killed", "hung"}


@dataclass(frozen=True)
class Trial:
    name: str
    seconds: float
    """How long it may take, as it took without a mutant."""
    notices: Callable[[], bool]


def judge(key: str, trials: list[Trial], prepare: Callable[[str], None]) -> Verdict:
    """What becomes of the mutant that `prepare` puts in place, before these trials in their order.

    `prepare` and the trials run in a process of their own; `prepare` is given a folder that is removed afterwards.
    """
    if not trials:
        return Verdict(key, "uncovered")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nicpass-mutant-", ignore_cleanup_errors=True) as folder:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _try(trials, lambda: prepare(folder), writing)
        os.close(writing)
        outcome, last = _watch(reading, trials)
        os.close(reading)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    by = "" if outcome == "lived" else trials[last].name
    return Verdict(key, outcome, by, round(time.monotonic() - start, 2))


def _watch(reading: int, trials: list[Trial]) -> tuple[Outcome, int]:
    """The outcome, and which trial was the last."""
    rest, ready, last = b"", False, 0
    while True:
        limit = SPARE_SECONDS + SPARE_TIMES * trials[last].seconds
        if not select.select([reading], [], [], limit)[0]:
            return "hung", last
        piece = os.read(reading, 65536)
        if not piece:
            return ("killed" if ready else "broken"), last  # the process is gone, perhaps with the test
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line in {b"lived", b"killed"}:
                return ("lived" if line == b"lived" else "killed"), last
            ready, last = True, int(line)


def _try(trials: list[Trial], prepare: Callable[[], None], writing: int) -> NoReturn:
    os.setsid()
    silence()
    try:
        prepare()
        for place, trial in enumerate(trials):
            os.write(writing, b"%d\n" % place)
            if trial.notices():
                os.write(writing, b"killed\n")
                os._exit(0)
        os.write(writing, b"lived\n")
    finally:
        os._exit(0)


def silence() -> None:
    """Nothing that this process or its children say is seen."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    sys.stdout = sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    return open(os.devnull, "w")  # noqa: PTH123
