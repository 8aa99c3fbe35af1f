# SPDX-License-Identifier: Apache-2.0
"""The language of everything that people read: English as written, or a gettext catalogue's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _(message: str) -> str:
    """`message` in the language chosen; as it is where there is no translation."""
    return _translate(message) if message else ""  # the empty message is a catalogue's own header


def use_translation(translate: Callable[[str], str]) -> None:
    """From now on `_` answers with `translate`, such as `gettext` of a catalogue."""
    global _translate  # noqa: PLW0603  one language a process, chosen once by the command line
    _translate = translate


def _as_written(message: str) -> str:
    return message


_translate: Callable[[str], str] = _as_written
