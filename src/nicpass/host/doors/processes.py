# SPDX-License-Identifier: Apache-2.0
"""The one door to processes: an argument list, a time limit, an answer. Never a shell."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from subprocess import Popen

_GRACE = 1.0  # seconds that a killed process has to go
_CHUNK = 65536
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
    """What it has written to its output and to its error output; None when it had to be killed.

    An interrupt waits for its end, for what comes next may undo what it is writing; a second one ends it.
    """
    talk = _Talk(process, stdin, time.monotonic() + timeout)
    has_ended, interrupt = False, None
    try:
        try:
            has_ended = talk.go_on()
        except KeyboardInterrupt as error:
            interrupt = error
            has_ended = talk.go_on()
    finally:
        talk.end(by_force=not has_ended)
    if interrupt is not None:
        raise interrupt
    return (bytes(talk.output), bytes(talk.error_output)) if has_ended else None


class _Talk:
    """What a process is told and what it says; `subprocess` itself cannot go on with its input after a pause."""

    def __init__(self, process: Popen[bytes], stdin: bytes, deadline: float) -> None:
        self.process = process
        self.deadline = deadline
        self.output, self.error_output = bytearray(), bytearray()
        self._left = memoryview(stdin)
        self._poll = select.poll()
        self._read: dict[int, bytearray] = {}
        for stream, into in ((process.stdout, self.output), (process.stderr, self.error_output)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._read[stream.fileno()] = into
                self._poll.register(stream.fileno(), select.POLLIN)
        self._stdin = process.stdin
        if self._stdin is not None:
            os.set_blocking(self._stdin.fileno(), False)
            self._poll.register(self._stdin.fileno(), select.POLLOUT)

    def go_on(self) -> bool:
        """Whether it has ended by the deadline; then all that it has written is there."""
        while self.process.poll() is None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                return False
            if not self._read and self._stdin is None:  # it has closed its output, and works on
                self._wait(left)
                continue
            for descriptor, _ in self._poll.poll(min(_LOOK, left) * 1000):
                if descriptor in self._read:
                    self._hear(descriptor)
                else:
                    self._tell()
        for descriptor in tuple(self._read):
            while self._hear(descriptor):
                pass
        return True

    def end(self, *, by_force: bool) -> None:
        """Let go of it; by force end it with what it has started, for a moment waited for."""
        if by_force and self.process.poll() is None:
            # It is not reaped yet, so the number is its group's still (kill(2)).
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._wait(_GRACE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _wait(self, seconds: float) -> None:
        from subprocess import TimeoutExpired

        with contextlib.suppress(TimeoutExpired):
            self.process.wait(seconds)

    def _hear(self, descriptor: int) -> bool:
        """Whether there may be more at once."""
        try:
            content = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        self._read[descriptor] += content
        if not content:
            self._poll.unregister(descriptor)
            del self._read[descriptor]
        return bool(content)

    def _tell(self) -> None:
        if self._stdin is None:
            return
        descriptor = self._stdin.fileno()
        with contextlib.suppress(BlockingIOError):
            try:
                self._left = self._left[os.write(descriptor, self._left[:_CHUNK]) if self._left else 0 :]
            except BrokenPipeError:  # it does not want to know
                self._left = self._left[:0]
        if not self._left:
            self._poll.unregister(descriptor)
            self._stdin.close()
            self._stdin = None
