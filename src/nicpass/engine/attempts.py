# SPDX-License-Identifier: Apache-2.0
"""Doing all that can be done: one thing that the kernel refuses does not keep the rest from being put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.errors import NicpassError, StepError

if TYPE_CHECKING:
    from types import TracebackType


class Attempts:
    """`with attempts:` keeps the error by which a block was refused, and lets the next block be tried."""

    def __init__(self) -> None:
        self.refusals: list[NicpassError | OSError] = []

    def __enter__(self) -> Attempts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, (NicpassError, OSError)):
            self.refusals.append(error)
            return True
        return False

    def raise_refusals(self) -> None:
        """Raises StepError with the sentences of all refusals; nothing when there was none."""
        if self.refusals:
            sentences = dict.fromkeys(map(sentence_of, self.refusals))
            raise StepError(" ".join(sentences)) from self.refusals[0]


def sentence_of(error: NicpassError | OSError) -> str:
    """What was refused, as a sentence for people."""
    if isinstance(error, NicpassError):
        return error.sentence
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror or error}."
