# SPDX-License-Identifier: Apache-2.0
"""Parts the text of a shell file into words and operators, as sh does before it understands anything.

Source: POSIX.1-2017, Shell Command Language, 2.2 (quoting) and 2.3 (token recognition).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLANKS = re.compile(r"(?:[ \t]|\\\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_OPERATOR = re.compile(r"\n|&&|\|\||;;|<<-?|>>|[;&|()<>]")
_PLAIN = re.compile(r"[^ \t\n\\'\"`$;&|()<>]+")


class Token(NamedTuple):
    """A word as it is written, quotes and all, or an operator."""

    text: str
    is_word: bool


class UnfinishedError(Exception):
    """The text ends within quotes or a substitution."""


def split_tokens(text: str) -> Iterator[Token]:
    """The tokens in order, without comments and blanks.

    Raises:
        UnfinishedError: the text ends within a token; the tokens before it were yielded.
    """
    place = 0
    while place < len(text):
        if found := _BLANKS.match(text, place) or _COMMENT.match(text, place):
            place = found.end()
        elif found := _OPERATOR.match(text, place):
            yield Token(found[0], is_word=False)
            place = found.end()
        else:
            end = _end_of_word(text, place)
            yield Token(text[place:end], is_word=True)
            place = end


def starts_anew_after(text: str) -> bool:
    """Whether a line added to `text` would be a line of its own, and not join the last one by a backslash."""
    end = "" if text.endswith("\n") or not text else "\n"
    tokens = list(split_tokens(f"{text}{end}probe"))
    return tokens[-1].text == "probe" and (len(tokens) == 1 or tokens[-2] == Token("\n", is_word=False))


def _end_of_word(text: str, place: int) -> int:
    while place < len(text):
        if found := _PLAIN.match(text, place):
            place = found.end()
        elif text[place] in "\\'\"`$":
            place = _end_of_quoted(text, place)
        else:
            break
    return place


def _end_of_quoted(text: str, place: int) -> int:
    match text[place]:
        case "\\":
            return place + 2
        case "'":
            return _find(text, "'", place + 1)
        case '"':
            return _end_of_double(text, place + 1)
        case "`":
            return _skip_to(text, "`", place + 1)
    opener = text[place + 1 : place + 2]
    if opener in ("(", "{"):
        return _end_of_nested(text, place + 1, opener, ")" if opener == "(" else "}")
    return place + 1


def _end_of_double(text: str, place: int) -> int:
    while place < len(text):
        char = text[place]
        if char == '"':
            return place + 1
        place = _end_of_quoted(text, place) if char in "\\`$" else place + 1
    raise UnfinishedError


def _end_of_nested(text: str, place: int, opener: str, closer: str) -> int:
    """The offset after the bracket that closes the one at `place`; quoted brackets do not count."""
    depth = 0
    while place < len(text):
        char = text[place]
        depth += (char == opener) - (char == closer)
        if depth == 0:
            return place + 1
        place = _end_of_quoted(text, place) if char in "\\'\"`" else place + 1
    raise UnfinishedError


def _skip_to(text: str, mark: str, place: int) -> int:
    while place < len(text) and text[place] != mark:
        place += 2 if text[place] == "\\" else 1
    return _find(text, mark, place)


def _find(text: str, mark: str, place: int) -> int:
    found = text.find(mark, place)
    if found < 0:
        raise UnfinishedError
    return found + 1
