# SPDX-License-Identifier: Apache-2.0
"""The one door to processes: an argument list, a time limit, an answer. Never a shell."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from subprocess import Popen

_GRACE = 1.0  # seconds that a killed process has to go
_LOOK = 0.25
"""Seconds after which it is seen that a program has ended whose output somebody keeps open."""


class Completed(msgspec.Struct, frozen=True):
    """How a process ended. `exit_code` is None when it was not found or had to be killed at its limit."""

    exit_code: int | None
    output: str
    error: str


class Processes:
    """Runs programs of the system."""

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        """Run `argv` to its end, or kill it, with what it has started, after `timeout` seconds.

        A process that hangs in the kernel cannot be killed; then it is left behind, not waited for. One that has ended
        is not waited for either, where a daemon that it has left behind keeps its output open.
        """
        import subprocess  # late: with what it loads, it takes longer than to plan an attach

        try:
            # A session of its own: Ctrl-C in our terminal must not cut a helper short in the middle of a write.
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            is_absent = isinstance(error, FileNotFoundError)
            reason = "not installed" if is_absent else (error.strerror or str(error)).lower()
            return Completed(None, "", f"{argv[0]}: {reason}")
        answer = _converse(process, stdin.encode("utf-8", "surrogateescape"), timeout)
        if answer is None:
            return Completed(None, "", f"{argv[0]}: no answer within {timeout:g} s")
        # Whoever names an interface or a file decides what is printed: no byte of it may stop us (law 11).
        output, error_output = (text.decode("utf-8", "backslashreplace") for text in answer)
        return Completed(process.returncode, output, error_output.strip())


def _converse(process: Popen[bytes], stdin: bytes, timeout: float) -> tuple[bytes, bytes] | None:
    """What it has written to its output and to its error output; None when it had to be killed."""
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        answer = _listen(process, stdin, max(0.0, min(_LOOK, left)))
        if answer is None and left > _LOOK:
            continue
        if answer is None:
            # The leader of its session is not reaped yet, so the number is its group's still (kill(2)).
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            _listen(process, stdin, _GRACE)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return answer


def _listen(process: Popen[bytes], stdin: bytes, seconds: float) -> tuple[bytes, bytes] | None:
    """All that it has written by its end; None where that has not come within `seconds`."""
    from subprocess import TimeoutExpired

    try:
        return process.communicate(stdin, timeout=seconds)
    except TimeoutExpired as expired:
        if process.poll() is None:
            return None
        return expired.output or b"", expired.stderr or b""
