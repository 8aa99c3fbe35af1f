# SPDX-License-Identifier: Apache-2.0
"""Doing all that can be done: one thing that the kernel refuses does not keep the rest from being put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.errors import NicpassError, NotSupportedError, StepError

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
        """Raises StepError with the sentences of all refusals; nothing when there was none.

        It is a NotSupportedError where VFs' settings were among them that the driver does not know.
        """
        if self.refusals:
            sentences = dict.fromkeys(map(sentence_of, self.refusals))
            settings = [name for each in self.refusals if isinstance(each, NotSupportedError) for name in each.settings]
            if settings:
                raise NotSupportedError(" ".join(sentences), settings=tuple(settings)) from self.refusals[0]
            raise StepError(" ".join(sentences)) from self.refusals[0]


def sentence_of(error: NicpassError | OSError) -> str:
    """What was refused, as a sentence for people."""
    if isinstance(error, NicpassError):
        return error.sentence
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror or error}."
