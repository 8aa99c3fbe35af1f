# SPDX-License-Identifier: Apache-2.0
"""Shell patterns, as fnmatch(3) without flags understands them: `en*`, `eth[0-3]`, `?`, `\\*`."""

from __future__ import annotations

import functools
import re


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches. A pattern that is a plain word costs a comparison."""
    if not any(mark in pattern for mark in "*?[\\"):
        return pattern == text
    return _compile(pattern).fullmatch(text) is not None


@functools.lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    made, place = "", 0
    while place < len(pattern):
        mark = pattern[place]
        place += 1
        if mark == "*":
            made += ".*"
        elif mark == "?":
            made += "."
        elif mark == "[" and (found := _read_bracket(pattern, place)) is not None:
            made += found[0]
            place = found[1]
        elif mark == "\\" and place < len(pattern):
            made += re.escape(pattern[place])
            place += 1
        else:
            # A backslash at the end matches nothing: glibc and POSIX leave no text that it could mean.
            made += re.escape(mark) if mark != "\\" else r"(?!)"
    return re.compile(made, re.DOTALL)


_CLASSES = {
    "digit": "0-9",
    "alpha": "A-Za-z",
    "alnum": "0-9A-Za-z",
    "lower": "a-z",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
}


def _read_bracket(pattern: str, place: int) -> tuple[str, int] | None:
    """The expression that begins after `[`, as one of `re`, and where it ends; None where it does not end."""
    inverted = pattern[place : place + 1] in ("!", "^")
    place += inverted
    parts: list[str] = []
    first = True
    while place < len(pattern) and (first or pattern[place] != "]"):
        first = False
        if (found := re.compile(r"\[:(\w+):\]").match(pattern, place)) and found[1] in _CLASSES:
            parts.append(_CLASSES[found[1]])
            place = found.end()
            continue
        low, place = _read_one(pattern, place)
        high = low
        if pattern[place : place + 1] == "-" and pattern[place + 1 : place + 2] not in ("", "]"):
            high, place = _read_one(pattern, place + 1)
        if low <= high:  # a range that runs backwards holds nothing
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
    if place >= len(pattern):
        return None
    inner = "".join(parts)
    if not inner:
        return ("." if inverted else "(?!)"), place + 1
    return f"[{'^' if inverted else ''}{inner}]", place + 1


def _read_one(pattern: str, place: int) -> tuple[str, int]:
    if pattern[place] == "\\" and place + 1 < len(pattern):
        place += 1
    return pattern[place], place + 1
