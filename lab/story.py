# SPDX-License-Identifier: Apache-2.0
"""Tells a run as it happens, and sums it up: step, promised, observed, seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import LabError

_LOG_WIDTH = 160


class NotObservedError(Exception):
    """An effect that a step promised did not show; the text says what did."""


@dataclass(frozen=True)
class Row:
    """One step. `observed` is what was seen, whether or not it is what was promised."""

    step: str
    promised: str
    observed: str
    seconds: float
    held: bool


class Story:
    """Runs steps in order; after one that does not hold, the others are not reached, and say so."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.started = time.monotonic()
        # A log file has no width of its own; eighty columns would fold every cell of the table.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _LOG_WIDTH
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)

    @property
    def held(self) -> bool:
        """True when there were steps and each was observed to hold."""
        return bool(self.rows) and all(row.held for row in self.rows)

    def say(self, text: str = "") -> None:
        """Print one line, with the time since the start before it."""
        elapsed = time.monotonic() - self.started
        self._console.print(Text(f"[{elapsed:6.1f} s] {text}"))

    def quote(self, text: str) -> None:
        """Print a program's output, as the program printed it."""
        for line in text.rstrip("\n").splitlines():
            self._console.print(Text(f"    {line}", style="dim"))

    def step(self, name: str, promised: str, observe: Callable[[], str]) -> None:
        """Do one step: `observe` acts, looks, and returns what it saw, or raises NotObservedError."""
        if self.rows and not self.rows[-1].held:
            self.rows.append(Row(name, promised, "not reached", 0.0, held=False))
            return
        self.say(f"{name} …")
        started = time.monotonic()
        held = True
        try:
            observed = observe()
        except (NotObservedError, LabError) as error:
            observed, held = str(error), False
        self.rows.append(Row(name, promised, _first_line(observed), time.monotonic() - started, held))
        self.say(f"{'  ok:' if held else '  FAILED:'} {observed}")

    def sum_up(self) -> None:
        """Print the table of all steps."""
        table = Table(title="What was promised, and what was observed", expand=False)
        for column, justify in (("step", "left"), ("promised", "left"), ("observed", "left"), ("seconds", "right")):
            table.add_column(column, justify="right" if justify == "right" else "left", overflow="fold")
        for row in self.rows:
            style = "" if row.held else "bold red"
            mark = "" if row.held else "✗ "
            cells = (mark + row.step, row.promised, row.observed, f"{row.seconds:.1f}")
            table.add_row(*(Text(cell) for cell in cells), style=style)
        self._console.print()
        self._console.print(table, soft_wrap=False)
        verdict = "every row was observed" if self.held else "NOT every row was observed"
        self.say(f"{sum(row.held for row in self.rows)} of {len(self.rows)} steps hold: {verdict}.")


def require(condition: object, observed: str) -> str:
    """Return `observed` if `condition` holds: then it is what was promised.

    Raises:
        NotObservedError: `condition` does not hold.
    """
    if not condition:
        raise NotObservedError(observed)
    return observed


def _first_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{lines[0]} …"
