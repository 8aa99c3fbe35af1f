# SPDX-License-Identifier: Apache-2.0
"""A program at a pseudo-terminal (pty(7)), and what stands on its screen."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal:
    """A program whose three streams are a terminal of so many columns; it reads what `let_go` writes from there."""

    def __init__(self, code: str, *argv: str, columns: int = 80, **environment: str) -> None:
        self.ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        settings = termios.tcgetattr(theirs)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "LANG")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**inherited, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment},
        )
        os.close(theirs)
        self.output = ""
        self._bytes = b""

    def read_until(self, words: str) -> None:
        """Read until `words` were printed; an AssertionError where the program ends before."""
        while words not in self.output:
            assert self._read(), f"{words!r} is not in {self.output!r}"

    def let_go(self) -> None:
        """Let the program go on that waits for a line."""
        os.write(self.ours, b"\n")

    def end(self) -> int:
        """The exit code, once the program has ended and all that it printed was read."""
        while self._read():
            pass
        return self.process.wait(60)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def screen(self) -> list[str]:
        """The lines as they stand on the screen in the end."""
        return [draw(line) for line in self.output.replace("\r\n", "\n").split("\n")]

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)
        os.close(self.ours)

    def _read(self) -> bool:
        try:
            content = os.read(self.ours, 65536)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self._bytes += content
        self.output = self._bytes.decode("utf-8", "ignore")
        return bool(content)


def draw(line: str) -> str:
    """What is to be seen of a line in which carriage returns go back to its beginning."""
    seen = ""
    for part in line.split("\r"):
        seen = part + seen[len(part) :]
    return seen.rstrip()


def cells(line: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in line)


@contextlib.contextmanager
def terminal(code: str, *argv: str, columns: int = 80, **environment: str) -> Iterator[Terminal]:
    opened = Terminal(code, *argv, columns=columns, **environment)
    try:
        yield opened
    finally:
        opened.close()
