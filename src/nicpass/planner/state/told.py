# SPDX-License-Identifier: Apache-2.0
"""Errors that say where in the file their cause stands."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nicpass.model.errors import BadInputError, NicpassError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.planner.state.text import Key, StateFile


@contextlib.contextmanager
def told_where(file: StateFile, key: Key) -> Iterator[None]:
    """Have every error of the block say where in the file its cause stands."""
    try:
        yield
    except NicpassError as error:
        raise told_at(file, key, error) from error


def told_at(file: StateFile, key: Key, error: NicpassError) -> NicpassError:
    """The same error, whose sentence begins with the place."""
    sentence = _("{where}: {what}").format(where=file.where(key), what=error.sentence)
    return type(error)(sentence, error.hint, findings=error.findings)


def refuse_same(file: StateFile, seen: dict[str, Key], which: str, key: Key, name: str) -> None:
    """Keep in `seen` where `which` is named; raises BadInputError where it was named before."""
    if which in seen:
        raise BadInputError(
            _("{name} is there already, at {where}.").format(name=name, where=file.where(seen[which])),
            _("Name it once, with all that is to be said of it."),
        )
    seen[which] = key
