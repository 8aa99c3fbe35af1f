# SPDX-License-Identifier: Apache-2.0
"""A program of the lab ends in order when it is asked to, whoever started it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.spawns
_WAIT = """
from lab.signals import end_in_order
end_in_order()
try:
    print("waiting", flush=True)
    input()
except KeyboardInterrupt:
    print("in order", flush=True)
"""


def _ignore_all() -> None:
    """As a shell leaves SIGINT to what it starts in the background (POSIX.1-2024, 2.11), and nohup(1) SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_also_one_that_was_started_in_the_background(number: signal.Signals) -> None:
    command = [sys.executable, "-c", _WAIT]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_ignore_all,  # noqa: PLW1509 - this test starts no threads
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        program.send_signal(number)
        assert program.communicate(timeout=20)[0] == "in order\n"
