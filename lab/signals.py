# SPDX-License-Identifier: Apache-2.0
"""A request to end is an exception, so that every `with` on the way out does its work."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


def end_in_order() -> None:
    """Let SIGINT, SIGTERM and SIGHUP unwind the program, also where whoever started it has had them ignored.

    A shell does that with SIGINT for what it runs in the background (POSIX.1-2024, 2.11).
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise KeyboardInterrupt(signal.Signals(number).name)
