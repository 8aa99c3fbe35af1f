# SPDX-License-Identifier: Apache-2.0
"""Folds a paragraph to the width of a terminal, Chinese too."""

from __future__ import annotations

import re
from unicodedata import east_asian_width

# A Chinese character, or a word with the space behind it; each with the brackets and closing punctuation around it.
_BREAKABLE = re.compile(r"[（《“]*(?:[\u3400-\u9fff]|[^\s\u3000-\u9fff\uff00-\uffef“”]+|\S)[，。；：、！？）》”]*\s*")


def cells(text: str) -> int:
    """How many cells of a terminal `text` takes: a Chinese character two (Unicode, UAX 11)."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def longest_word(text: str) -> int:
    """The cells of the longest part that `fold` would not break."""
    return max((cells(word.rstrip()) for word in _BREAKABLE.findall(text)), default=0)


def fold(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces and between Chinese characters, which need none.

    A line does not begin with closing punctuation (W3C, Requirements for Chinese Text Layout, 3.1.3). A word that
    cannot be broken, such as a path, stays whole.
    """
    lines, line, used = [], "", 0
    for word in _BREAKABLE.findall(" ".join(text.split())):
        wide = cells(word.rstrip())
        if line and used + wide > width:
            lines.append(line.rstrip())
            line, used = "", 0
        line += word
        used += wide + len(word) - len(word.rstrip())
    return [*lines, line.rstrip()] if line else lines
