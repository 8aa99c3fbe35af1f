# SPDX-License-Identifier: Apache-2.0
"""A time limit on one input: what takes longer hangs, and is stopped and said."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

SECONDS = 1.0
"""A decoder needs a tenth of a millisecond; the rest is room for a busy machine."""


class HangError(Exception):
    """The input was not done with in time."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise HangError


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """While this is open, `rearm` starts the limit anew for each input."""
    before = signal.signal(signal.SIGALRM, _stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def rearm(seconds: float = SECONDS) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
