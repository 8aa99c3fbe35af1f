# SPDX-License-Identifier: Apache-2.0
"""The word that somebody most likely meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIKE = 0.6
"""How like two words have to be, from 0 to 1; as difflib itself has it."""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that is most like `word`, whatever its letters' case; None where none is like it."""
    from difflib import get_close_matches  # late: only a word that nobody knows needs it

    folded = {candidate.casefold(): candidate for candidate in candidates}
    found = get_close_matches(word.casefold(), folded, n=1, cutoff=_LIKE)
    return folded[found[0]] if found else None


def did_you_mean(word: str, candidates: Iterable[str], otherwise: str = "") -> str:
    """A hint with the word that was most likely meant, and what else there is to say."""
    near = nearest(word, candidates)
    if near is None:
        return otherwise
    question = _("Did you mean {word}?").format(word=printable(near))
    return f"{question} {otherwise}".strip()
