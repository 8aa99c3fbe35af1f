# SPDX-License-Identifier: Apache-2.0
"""Time on the simulated host: it passes when the program sleeps or waits for an event, so no test waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nicpass.host.doors.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The simulated clock: seconds since the program began; `on_tick` lets happen what was due."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = 0.0
        """Seconds of the real clock that each sleep takes, where another program is to come forward meanwhile."""
        self._real_sleep = time.sleep
        self.on_tick: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)
        if self.pace:
            self._real_sleep(self.pace)
        self.on_tick()

    def wait(self, seconds: float) -> bool:
        """In place of `Changes.wait`: a simulated kernel makes no events, so all the time passes."""
        self.sleep(seconds)
        return False

    def install(self) -> None:
        """Put this clock behind `time.sleep`, `time.monotonic` and `Changes.wait`; only in a process of its own."""
        setattr(Changes, "wait", self.wait)  # noqa: B010
        setattr(time, "sleep", self.sleep)  # noqa: B010  typed as something narrower
        setattr(time, "monotonic", lambda: self.now)  # noqa: B010
