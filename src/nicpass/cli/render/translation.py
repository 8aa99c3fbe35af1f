# SPDX-License-Identifier: Apache-2.0
"""Chooses the language of a run: `--lang`, else the environment as gettext(3) reads it, else English."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from nicpass.model.language import use_translation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LANGUAGES = ("en", "zh")
DOMAIN = "nicpass"
CATALOGUES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "locale")

FOLDERS = {"zh": "zh_CN"}
"""Language to the folder of its catalogue."""
_SAMPLES = {"zh": "直通"}


def choose_language(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """The run's language, `en` or `zh`. Any other, also behind `--lang`, is English here; the parser refuses it later.

    Source: gettext(3): LANGUAGE is a list and goes first, unless the locale is C; then LC_ALL, LC_MESSAGES, LANG.
    """
    for place, word in enumerate(argv):
        if word == "--lang":
            return _known(argv[place + 1 : place + 2])
        if word.startswith("--lang="):
            return _known([word.partition("=")[2]])
    locale = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "C")
    if locale.partition(".")[0] in ("C", "POSIX"):
        return "en"
    return _known([*filter(None, environment.get("LANGUAGE", "").split(":")), locale])


def speak(language: str, encoding: str = "utf-8") -> None:
    """From now on print all that people read in `language`; in English where it has no catalogue or no letters."""
    if language not in FOLDERS or not _can_write(language, encoding):
        return
    import gettext  # late: English, which needs no catalogue, is to start quickly

    found = gettext.translation(DOMAIN, CATALOGUES, [FOLDERS[language]], fallback=True)
    use_translation(found.gettext)


def _can_write(language: str, encoding: str) -> bool:
    """Whether a terminal of this encoding has the language's letters: Latin-1 has no Chinese ones."""
    try:
        _SAMPLES[language].encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _known(wishes: Sequence[str]) -> str:
    """The first wished language that nicpass speaks, else `en`; `zh_CN.UTF-8` is `zh`."""
    spoken = (wish.partition(".")[0].partition("_")[0].lower() for wish in wishes)
    return next((language for language in spoken if language in LANGUAGES), "en")
