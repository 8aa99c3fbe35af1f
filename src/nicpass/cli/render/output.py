# SPDX-License-Identifier: Apache-2.0
"""How results and errors reach the user: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import Unknown
from nicpass.model.language import _
from nicpass.model.text import printable, well_formed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nicpass.model.errors import NicpassError


ERROR_SCHEMA = "nicpass.error/1"
_PIPE_WIDTH = 500
_GAP = 2  # between two columns of rich, without a box
_SHORT_WORD = 4  # `no: `


def say(text: str = "") -> None:
    """Print one line for the user; what a terminal would take for more than text is escaped, line breaks too."""
    say_as_it_is(f"{printable(text)}\n")


def say_as_it_is(text: str) -> None:
    """Print text that is wholly our own, or was escaped already."""
    with _output.unless_gone():
        sys.stdout.write(text)


def lost_output() -> str | None:
    """Why what was printed did not reach anybody; None where it did, or where its reader had enough of it.

    Standard output is flushed for it: only then is it seen whether the last lines can be written.
    """
    with _output.unless_gone():
        sys.stdout.flush()
    lost, _output.lost = _output.lost, None
    return lost


class _Output:
    """Standard output, which may be gone at any line: that neither stops a change nor takes it back."""

    lost: str | None = None
    aside: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    @contextlib.contextmanager
    def unless_gone(self) -> Iterator[None]:
        """A block that writes. A reader that has gone (`| head`) is no error, a full disk is one for the end.

        Source: the note on SIGPIPE in the documentation of Python's signal module.
        """
        try:
            with self.aside():
                yield
        except (OSError, ValueError) as error:
            if not isinstance(error, BrokenPipeError):
                self.lost = self.lost or getattr(error, "strerror", None) or str(error)
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_output = _Output()


def let_stand_aside(aside: Callable[[], contextlib.AbstractContextManager[None]] | None) -> None:
    """From now on print within `aside()`, which takes a line that moves out of the way; None: as it is."""
    _output.aside = aside or contextlib.nullcontext


def complain_wrapped(text: str, indent: str = "", first: str = "") -> None:
    """Print a paragraph on standard error, folded where that is a terminal, with `first` before it."""
    if not sys.stderr.isatty():
        complain(f"{first}{' '.join(text.split())}")
        return
    from nicpass.cli.render.folding import cells, fold  # late, as in `say_wrapped`

    for number, line in enumerate(fold(printable(" ".join(text.split())), max(20, terminal_width() - cells(first)))):
        complain(f"{indent if number else first}{line}")


def complain(text: str) -> None:
    """Print a line on standard error, escaped as what `say` prints; nothing can be done where that is gone too."""
    with contextlib.suppress(OSError, ValueError), _output.aside():
        sys.stderr.write(f"{printable(text)}\n")


def say_json(value: object) -> None:
    """Print `value` as one JSON document: the exact data, in characters that a terminal only shows."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    if not text.isascii() or chr(127) in text:
        shows = str.isprintable if _is_unicode(sys.stdout.encoding) else _is_printable_ascii
        text = "\n".join(line if shows(line) else _spell_for_json(line, shows) for line in text.split("\n"))
    say_as_it_is(f"{text}\n")


def _is_printable_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _spell_for_json(line: str, shows: Callable[[str], bool]) -> str:
    """`line` with every other character by its number: only strings hold such, and may spell any so (RFC 8259, 7)."""
    return "".join(char if shows(char) else _spell_unit_by_unit(char) for char in line)


def _spell_unit_by_unit(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


def _is_unicode(encoding: str | None) -> bool:
    return (encoding or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")


def say_command(command: str, indent: str) -> None:
    """Print shell lines whole, so that they can be pasted; none of them where one would not be shown as it is."""
    lines = command.rstrip("\n").split("\n") if command else []
    if all(map(_is_shown_as_it_is, lines)):
        for line in lines:
            say(f"{indent}{line}")
    else:
        say_wrapped(_("(the command holds characters that cannot be shown here; --json has it)"), indent=indent)


def _is_shown_as_it_is(line: str) -> bool:
    try:
        return line.isprintable() and bool(line.encode(sys.stdout.encoding or "utf-8") or not line)
    except UnicodeEncodeError:
        return False


def say_wrapped(text: str, *, indent: str = "", first: str | None = None) -> None:
    """Print a paragraph, folded at the terminal's width; in a pipe one line, for programs to find. `first` leads it."""
    lead = indent if first is None else first
    if not sys.stdout.isatty():
        say(f"{lead}{' '.join(text.split())}")
        return
    from nicpass.cli.render.folding import (  # late: hardly a run folds, and its pattern takes long to compile
        cells,
        fold,
    )

    for number, line in enumerate(fold(printable(" ".join(text.split())), max(20, terminal_width() - cells(lead)))):
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


def say_note(sentence: str) -> None:
    """Print what should be known and is no error, to stderr: it is no part of the result."""
    complain(f"nicpass: {printable(sentence)}")


def say_error(error: NicpassError, *, as_json: bool) -> None:
    """Print an error: sentence and hint to stderr; with --json all of it to stdout, where the result would be."""
    sentence, hint = well_formed(error.sentence), well_formed(error.hint)
    if as_json:
        fields = {"code": error.code, "exit_code": int(error.exit_code), "sentence": sentence}
        # As `documents.ErrorDocument` has it, which it would take long to load.
        say_json({"schema": ERROR_SCHEMA, "error": fields | {"hint": hint, "findings": error.findings}})
        return
    complain_wrapped(sentence, "  ", "nicpass: ")
    if hint:
        _complain_hint(hint)
    for number, finding in enumerate(error.findings):
        if finding.sentence not in sentence:
            complain_wrapped(_("also: {sentence}").format(sentence=finding.sentence), "    ", "  ")
            if finding.mend:
                complain_wrapped(_("mend: {mend}").format(mend=finding.mend), "    ", "    ")
        elif number == 0 and finding.mend and finding.mend not in hint:
            complain_wrapped(_("mend: {mend}").format(mend=finding.mend), "    ", "    ")
        _complain_command(finding.command)


def _complain_hint(hint: str) -> None:
    """After its first line, which is prose, a hint may have lines to paste: those are not folded."""
    first, *more = _("hint: {hint}").format(hint=hint).split("\n")
    complain_wrapped(first, "  ", "  ")
    for line in more:
        complain(line)


def _complain_command(command: str) -> None:
    """The shell lines that `check` prints for a finding, whole."""
    lines = command.rstrip("\n").split("\n") if command else []
    if all(line.isprintable() for line in lines):
        for line in lines:
            complain(f"      {line}")


def say_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    spare: Sequence[str] = (),
    whole: Sequence[str] = (),
    whole_words: Sequence[str] = (),
) -> None:
    """Print a table that folds long cells on a terminal and cuts nothing off in a pipe; no columns, no header.

    Of a table wider than the terminal, the columns in `spare` are left out, in that order, before a cell is folded; the
    columns in `whole` are never folded: what stands in them is to be copied. In those in `whole_words` no word is cut.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # rich itself heeds COLUMNS and the terminal; a pipe has no width, and its reader wants whole lines.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    drawn = io.StringIO()  # rich itself would fail where standard output is full
    console = Console(file=drawn, force_terminal=sys.stdout.isatty(), width=width)
    body = [tuple(map(printable, row)) for row in rows]
    places = _fit_columns([columns, *body] if columns else body, columns, spare, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    if whole_words and (over := _width_of(body, columns, places) - console.width) > 0:
        body = _fold_between_words(body, [columns.index(name) for name in whole_words], over)
    for place in places if columns else ():
        table.add_column(columns[place], overflow="fold", no_wrap=columns[place] in (*whole, *whole_words))
    for row in body:
        table.add_row(*(Text(row[place]) for place in places))
    console.print(table)
    for line in drawn.getvalue().rstrip("\n").split("\n"):
        say_as_it_is(f"{line.rstrip()}\n")  # the cells are escaped; what is not is how rich makes a heading bold


def _width_of(body: Sequence[Sequence[str]], columns: Sequence[str], places: Sequence[int]) -> int:
    from rich.cells import cell_len

    return sum(max(cell_len(line[place]) for line in (columns, *body)) + _GAP for place in places) - _GAP


def _fold_between_words(body: Sequence[tuple[str, ...]], places: Sequence[int], over: int) -> list[tuple[str, ...]]:
    """The rows with these columns folded by `over` cells, the widest first, none to less than its longest word.

    A short word is let stand before the longest, for a column of single words is hard to read.
    """
    from rich.cells import cell_len

    from nicpass.cli.render.folding import fold, longest_word

    rows = [list(row) for row in body]
    widths = {place: max((cell_len(row[place]) for row in rows), default=0) for place in places}
    for place in sorted(places, key=lambda place: -widths[place]):
        least = max((longest_word(row[place]) for row in rows), default=0) + _SHORT_WORD
        width = max(least, widths[place] - over)
        if width < widths[place]:
            over -= widths[place] - width
            for row in rows:
                row[place] = "\n".join(fold(row[place], width))
    return [tuple(row) for row in rows]


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
