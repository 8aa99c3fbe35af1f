# SPDX-License-Identifier: Apache-2.0
"""A request to end is an exception, so that every `with` on the way out does its work."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP unwind the program like Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise KeyboardInterrupt(signal.Signals(number).name)
