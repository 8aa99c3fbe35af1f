# SPDX-License-Identifier: Apache-2.0
"""How results and errors reach the user: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import msgspec

from nicpass.model.fact import Unknown
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nicpass.model.errors import NicpassError


_PIPE_WIDTH = 500
# A Chinese character, or a word with the space behind it; each with the brackets and closing punctuation around it.
_BREAKABLE = re.compile(r"[（《“]*(?:[\u3400-\u9fff]|[^\s\u3000-\u9fff\uff00-\uffef“”]+|\S)[，。；：、！？）》”]*\s*")
_GAP = 2  # between two columns of rich, without a box


def say(text: str = "") -> None:
    """One line for the user."""
    with _unless_gone():
        sys.stdout.write(f"{text}\n")


def flush() -> None:
    """Bring to the user what is still held back, now that it can be seen whether he is there."""
    with _unless_gone():
        sys.stdout.flush()


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """That the reader of our output has gone (`| head`) neither stops a change nor is an error.

    Source: the note on SIGPIPE in the documentation of Python's signal module.
    """
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_json(value: object) -> None:
    """One JSON document."""
    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def say_wrapped(text: str, *, indent: str = "", first: str | None = None) -> None:
    """A paragraph, folded at the width of a terminal; in a pipe one line, for programs to find. `first` leads it."""
    lead = indent if first is None else first
    if not sys.stdout.isatty():
        say(f"{lead}{' '.join(text.split())}")
        return
    width = shutil.get_terminal_size().columns
    for number, line in enumerate(fold(text, max(20, width - len(lead)))):
        say(f"{indent if number else lead}{line}")


def fold(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces and between Chinese characters, which need none.

    A line does not begin with what closes (W3C, Requirements for Chinese Text Layout, 3.1.3). What cannot be broken,
    such as a path, stays whole.
    """
    lines, line, cells = [], "", 0
    for word in _BREAKABLE.findall(" ".join(text.split())):
        wide = sum(2 if east_asian_width(letter) in "WF" else 1 for letter in word.rstrip())
        if line and cells + wide > width:
            lines.append(line.rstrip())
            line, cells = "", 0
        line += word
        cells += wide + len(word) - len(word.rstrip())
    return [*lines, line.rstrip()] if line else lines


def say_error(error: NicpassError, *, as_json: bool) -> None:
    """The sentence and the hint to stderr; with --json the whole error to stdout, where the result would be."""
    if as_json:
        fields = {"code": error.code, "exit_code": int(error.exit_code), "sentence": error.sentence}
        say_json({"error": fields | {"hint": error.hint, "findings": error.findings}})
        return
    sys.stderr.write(f"nicpass: {_printable_lines(error.sentence)}\n")
    for finding in error.findings:
        if finding.sentence not in error.sentence:
            also = _("also: {sentence}").format(sentence=_printable_lines(finding.sentence))
            sys.stderr.write(f"  {also}\n")
    if error.hint:
        hint = _("hint: {hint}").format(hint=_printable_lines(error.hint))
        sys.stderr.write(f"  {hint}\n")


def _printable_lines(text: str) -> str:
    """Names of files and VMs in it may hold escape sequences; the line breaks are ours."""
    return "\n".join(printable(line) for line in text.split("\n"))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, spare: Sequence[str] = ()) -> None:
    """A table that folds long cells on a terminal and cuts nothing off in a pipe; no columns, no header.

    Where it is too wide for the terminal, the columns in `spare` are left out, in that order, before a cell is folded.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # rich itself heeds COLUMNS and the terminal; a pipe has no width, and its reader wants whole lines.
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
    body = [tuple(map(printable, row)) for row in rows]
    places = _fit_columns([columns, *body] if columns else body, columns, spare, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    for place in places if columns else ():
        table.add_column(columns[place], overflow="fold")
    for row in body:
        table.add_row(*(Text(row[place]) for place in places))
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        say(line.rstrip())


def _fit_columns(lines: Sequence[Sequence[str]], columns: Sequence[str], spare: Sequence[str], width: int) -> list[int]:
    """Which columns to print so that no line is wider than `width`, as far as `spare` allows."""
    from rich.cells import cell_len

    widths = [max(cell_len(cell) for cell in cells) for cells in zip(*lines, strict=True)]
    places = list(range(len(widths)))
    for name in spare:
        if sum(widths[place] + _GAP for place in places) - _GAP <= width:
            break
        places.remove(columns.index(name))
    return places


def show(fact: object) -> str:
    """A fact in a table: `-` for none, `?` for unknown."""
    if isinstance(fact, Unknown):
        return "?"
    return "-" if fact is None or fact in ("", ()) else str(fact)
