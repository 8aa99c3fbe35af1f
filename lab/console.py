# SPDX-License-Identifier: Apache-2.0
"""Consoles as files: what the box and its guests print, and a shell on a guest's own console.

A nested guest's console is a serial port of the box, which QEMU outside writes to a file. So what is read here is
what the guest itself printed: no software of the box stands between.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.agent import Result
from lab.errors import LabError, LabTimeoutError

BOOT_MARK = "LAB-GUEST-BOOT"
READY_MARK = "LAB-GUEST-READY"
T = TypeVar("T")
_LONGEST_LINE = 4000  # bytes; a terminal in canonical mode drops what is beyond 4095


class Console:
    """A console that can only be read."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self._log = log

    def text(self) -> str:
        """All the text that was printed since the machine was started or resumed."""
        return self._log.read_bytes().decode(errors="replace").replace("\r", "")

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.text().splitlines()[-lines:])


class GuestConsole(Console):
    """The serial console of a nested guest, with the shell that its init serves there."""

    def __init__(self, name: str, log: Path, fifo: Path) -> None:
        super().__init__(name, log)
        # The FIFO is held open for reading too, or QEMU would see the end of its input whenever nobody writes.
        self._input = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)

    def close(self) -> None:
        os.close(self._input)

    def wait_ready(self, timeout: float = 400) -> None:
        """Wait until the guest has booted and its shell answers."""
        deadline = time.monotonic() + timeout
        while True:
            self._wait(lambda text: is_ready(text) or None, deadline, "its shell is not ready")
            try:
                # An old mark may be that of a guest that is gone: only an answer counts.
                self.execute("true", timeout=min(3, deadline - time.monotonic()))
            except LabTimeoutError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def execute(self, command: str, timeout: float = 60) -> Result:
        """Run a shell command in the guest. Its standard error comes with the standard output."""
        token = secrets.token_hex(6)
        line = command_line(command, token)
        start = time.monotonic()
        os.write(self._input, line)
        code, output = self._wait(
            lambda text: parse_answer(text, token), start + timeout, "a command did not end", command
        )
        return Result(code, output, "", time.monotonic() - start)

    def succeed(self, command: str, timeout: float = 60) -> str:
        """The output of a command in the guest that must exit with 0."""
        result = self.execute(command, timeout)
        if result.exit_code != 0:
            raise LabError(
                f"a command failed in {self.name}", command=command, exit_code=result.exit_code, output=result.stdout
            )
        return result.stdout

    def wait_until_succeeds(self, command: str, timeout: float = 60) -> str:
        """The output of the first try of a command in the guest that exits with 0."""
        deadline = time.monotonic() + timeout
        while True:
            result = self.execute(command, max(deadline - time.monotonic(), 1))
            if result.exit_code == 0:
                return result.stdout
            if time.monotonic() > deadline:
                raise LabTimeoutError(
                    f"a command did not succeed in {self.name} within {timeout:.0f} s",
                    command=command,
                    exit_code=result.exit_code,
                    output=result.stdout,
                    consoles={self.name: self.tail()},
                )
            time.sleep(0.2)

    def wait_for_text(self, pattern: str, timeout: float = 60) -> re.Match[str]:
        """Wait until the console shows something that the regular expression finds, for example a panic."""
        return self._wait(re.compile(pattern).search, time.monotonic() + timeout, f"it never printed {pattern!r}")

    def _wait(self, look: Callable[[str], T | None], deadline: float, complaint: str, command: str = "") -> T:
        while True:
            found = look(self.text())
            if found is not None:
                return found
            if time.monotonic() > deadline:
                consoles = {self.name: self.tail()}
                raise LabTimeoutError(f"guest {self.name}: {complaint}", command=command, consoles=consoles)
            time.sleep(0.05)


def is_ready(text: str) -> bool:
    """True if the guest that booted last has also got as far as its shell."""
    return text.rfind(READY_MARK) > text.rfind(BOOT_MARK)


def command_line(command: str, token: str) -> bytes:
    """The line to type so that the answer stands between two marks with `token`, whatever the command holds.

    The line has no quotes: if a guest starts in the middle of what was typed for its forerunner, the rest must not
    open a string that swallows the next line. And an echo of the line (`${Z}`, which is empty) must not look like an
    answer.
    """
    code = base64.b64encode(command.encode()).decode()
    # Without separators and patterns, the shell leaves the command as it is.
    run = f"(IFS=; set -f; exec sh -c $(echo {code} | base64 -d)) </dev/null 2>&1"
    line = f"echo; echo @B${{Z}}{token}; {run}; S=$?; echo; echo @E${{Z}}{token} $S\n"
    if len(line) > _LONGEST_LINE:
        raise LabError("the command is too long for a terminal's line", command=command)
    return line.encode()


def parse_answer(text: str, token: str) -> tuple[int, str] | None:
    """The exit code and the output of the command that was typed with `token`, or None while it runs."""
    found = re.search(rf"^@B{token}\n(.*?)\n?^@E{token} (\d+)\n", text, re.DOTALL | re.MULTILINE)
    return (int(found[2]), found[1]) if found else None
