# SPDX-License-Identifier: Apache-2.0
"""A sign of life at the end of a terminal: a bar that turns, and the seconds that have gone.

The cursor is never hidden, nor is a colour set: so nothing has to be put right, however the program ends (SIGKILL too).
Nothing but carriage returns and spaces moves it, which every terminal understands that has a cursor.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from typing import TYPE_CHECKING

from nicpass.cli.render.folding import cells
from nicpass.cli.render.output import let_stand_aside, terminal_width
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDENT = "     "
_PAUSE = 0.2  # seconds; what is over before that flickers for nobody
_MARKS = "|/-\\"
_PATIENCE = 1.0
"""Seconds that one who prints waits for the line: a terminal that was stopped (Ctrl-S) holds nobody up for it."""


class Spinner:
    """Drawn by a thread of its own from `begin` to `end`; whatever else is printed meanwhile stands above it."""

    def __init__(self, descriptor: int, encoding: str | None) -> None:
        self._descriptor, self._encoding = descriptor, encoding or "ascii"
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._drawn = 0

    def begin(self) -> None:
        self.end()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._turn, args=(self._over, time.monotonic()), daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread to be had: the work goes on without a sign of it
            self._thread.start()
            let_stand_aside(self.aside)

    def end(self) -> None:
        """Take the line away; nothing is drawn any more."""
        self._over.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(_PATIENCE)
        self._thread = None
        with self.aside():
            let_stand_aside(None)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """A block that prints: the line is away, and is drawn again below what was printed."""
        had = self._lock.acquire(timeout=_PATIENCE)
        try:
            self._write("")
            yield
        finally:
            if had:
                self._lock.release()

    def _turn(self, over: threading.Event, began: float) -> None:
        for mark in itertools.cycle(_MARKS):
            if over.wait(_PAUSE):
                return
            if self._lock.acquire(timeout=_PATIENCE):
                try:
                    if not over.is_set() and self._is_ours():
                        seconds = _("{seconds} s").format(seconds=int(time.monotonic() - began))
                        self._write(f"{_INDENT}{mark} {seconds}")
                finally:
                    self._lock.release()

    def _is_ours(self) -> bool:
        """Whether the terminal is this job's: who was sent to the background does not write into others' lines."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # it is no job's
            return True

    def _write(self, text: str) -> None:
        """Put `text` in the place of what was drawn last; a terminal that has gone is no error."""
        if cells(text) >= terminal_width():
            text = ""
        if not text and not self._drawn:
            return
        blank = f"\r{' ' * self._drawn}\r" if self._drawn > cells(text) or not text else "\r"
        self._drawn = cells(text)
        with contextlib.suppress(OSError):
            os.write(self._descriptor, f"{blank}{text}".encode(self._encoding, "replace"))
