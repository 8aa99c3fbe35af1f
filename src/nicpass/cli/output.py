# SPDX-License-Identifier: Apache-2.0
"""How results and errors reach the user: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import Unknown
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nicpass.model.errors import NicpassError


_PIPE_WIDTH = 500
_GAP = 2  # between two columns of rich, without a box


def say(text: str = "") -> None:
    """Print one line for the user."""
    with _unless_gone():
        sys.stdout.write(f"{text}\n")


def flush() -> None:
    """Flush standard output; only here it is seen whether the reader of the last lines is still there."""
    with _unless_gone():
        sys.stdout.flush()


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """A block in which a reader of our output that has gone (`| head`) neither stops a change nor is an error.

    Source: the note on SIGPIPE in the documentation of Python's signal module.
    """
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_json(value: object) -> None:
    """Print `value` as one JSON document."""
    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def say_wrapped(text: str, *, indent: str = "", first: str | None = None) -> None:
    """Print a paragraph, folded at the terminal's width; in a pipe one line, for programs to find. `first` leads it."""
    lead = indent if first is None else first
    if not sys.stdout.isatty():
        say(f"{lead}{' '.join(text.split())}")
        return
    from nicpass.cli.folding import fold  # late: hardly a run folds, and its pattern takes long to compile

    for number, line in enumerate(fold(text, max(20, terminal_width() - len(lead)))):
        say(f"{indent if number else lead}{line}")


def terminal_width() -> int:
    """The width in cells: that of COLUMNS, else the terminal's, else 80; as shutil's, which takes long to load."""
    with contextlib.suppress(KeyError, ValueError):
        if (columns := int(os.environ["COLUMNS"])) > 0:
            return columns
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def say_error(error: NicpassError, *, as_json: bool) -> None:
    """Print an error: sentence and hint to stderr; with --json all of it to stdout, where the result would be."""
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
    """A text made printable by lines: names of files and VMs may hold escape sequences; the line breaks are ours."""
    return "\n".join(printable(line) for line in text.split("\n"))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, spare: Sequence[str] = ()) -> None:
    """Print a table that folds long cells on a terminal and cuts nothing off in a pipe; no columns, no header.

    Of a table wider than the terminal, the columns in `spare` are left out, in that order, before a cell is folded.
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
