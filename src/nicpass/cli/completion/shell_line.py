# SPDX-License-Identifier: Apache-2.0
"""A line of a shell that is being typed: its words so far, and a word to be put into it.

bash takes a candidate as text of its line and so needs it quoted; and of a word with a `:` in it, as a PCI address has,
it wants only what comes behind the last one (COMP_WORDBREAKS, bash(1)). zsh is given quoted words too (`compadd -Q`);
fish quotes by itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nicpass.model.text import quote

_QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*"|\$'(?:\\.|[^'\\])*'"""
_PIECE = re.compile(rf"\s+|{_QUOTED}|" + r"""'[^']*|"(?:\\.|[^"\\])*|\$'(?:\\.|[^'\\])*|\\.|.""", re.DOTALL)
_PLAIN = re.compile(r"[\w@%+=:,./-]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Line(NamedTuple):
    """A line up to the cursor."""

    words: tuple[str, ...]
    """The words before the one at the cursor, without quotes."""
    current: str
    """The word at the cursor, as far as it is typed, without quotes; empty at the begin of a new one."""
    raw: str = ""
    """The same as it stands there."""
    quote: str = ""
    """The quote that is open at the cursor."""


def split_line(text: str) -> Line:
    """The words of a line of bash. What only a running shell knows, such as `$x`, is text here."""
    words: list[str] = []
    word, raw, open_quote = "", -1, ""
    for found in _PIECE.finditer(text):
        piece = found[0]
        if piece.isspace():
            words += [word] if raw >= 0 else []
            word, raw, open_quote = "", -1, ""
            continue
        raw = found.start() if raw < 0 else raw
        mark = _quote_of(piece)
        open_quote = "" if re.fullmatch(_QUOTED, piece, re.DOTALL) else mark
        word += _meaning(piece.removeprefix(mark).removesuffix("" if open_quote else mark[-1:]), mark)
    return Line(tuple(words), word, text[raw:] if raw >= 0 else "", open_quote)


def _quote_of(piece: str) -> str:
    return next((each for each in ("$'", "'", '"') if piece.startswith(each)), "")


def _meaning(inside: str, mark: str) -> str:
    """What a piece of a word means, without its quotes and backslashes."""
    if mark == "'":
        return inside
    means = _ESCAPES if mark == "$'" else {}
    return re.sub(r"\\(.)", lambda found: means.get(found[1], found[1]), inside, flags=re.DOTALL)


def bash_word(candidate: str, line: Line, breaks: str) -> str | None:
    """The candidate as bash is to insert it; None for one that cannot follow the quote that is open."""
    if line.quote:
        inside = line.quote == "'" and "'" not in candidate
        inside = inside or (line.quote == '"' and not re.search(r'["\\$`!]', candidate))
        return candidate if inside and candidate.isprintable() else None
    if not candidate.isprintable():
        return quote(candidate)
    text = "".join(char if _PLAIN.match(char) else f"\\{char}" for char in candidate)
    behind = max((line.raw.rfind(char) for char in breaks if char in ":="), default=-1)
    before = line.raw[: behind + 1]
    return text.removeprefix(before)
