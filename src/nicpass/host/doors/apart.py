# SPDX-License-Identifier: Apache-2.0
"""Work in a child that can be abandoned (law 12): a process that hangs in the kernel cannot even be killed.

What it says goes through a pipe of ours, so that whoever waits for our own output to end does not wait for the child.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_GRACE = 1.0  # seconds that a killed child has to go
_CHUNK = 65536
_STDOUT, _STDERR = 1, 2


def run_apart(work: Callable[[], int], seconds: float) -> int | None:
    """The exit code that `work` answers in a child; None when it was killed, or abandoned, after `seconds`.

    What it writes to standard output or error comes out at our standard error; `work` empties its own buffers.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _work(work, reading, writing)
    os.close(writing)
    deadline = time.monotonic() + seconds
    try:
        if not _pass_on(reading, deadline):
            os.kill(child, signal.SIGKILL)
            _pass_on(reading, time.monotonic() + _GRACE)
            # One that is gone by now is not left as a zombie; nobody waits for one that is not.
            os.waitpid(child, os.WNOHANG)
            return None
    finally:
        os.close(reading)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _work(work: Callable[[], int], reading: int, writing: int) -> None:
    """Does not return: what the parent was about to do is not done twice."""
    code = 1
    try:
        os.close(reading)
        for stream in (_STDOUT, _STDERR):
            os.dup2(writing, stream)
        os.close(writing)
        code = work()
    finally:
        os._exit(code)


def _pass_on(reading: int, deadline: float) -> bool:
    """Whether all who could write have ended before the deadline."""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            content = os.read(reading, _CHUNK)
            if not content:
                return True
            with contextlib.suppress(OSError):
                os.write(_STDERR, content)
    return False
