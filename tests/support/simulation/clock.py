# SPDX-License-Identifier: Apache-2.0
"""Time on the simulated host: it passes when the program sleeps, so no test waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Seconds since the program began; `on_tick` lets happen what was due."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_tick: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)
        self.on_tick()

    def install(self) -> None:
        """From here on `time.sleep` and `time.monotonic` are these; only for a process of its own."""
        setattr(time, "sleep", self.sleep)  # noqa: B010  typed as something narrower
        setattr(time, "monotonic", lambda: self.now)  # noqa: B010
