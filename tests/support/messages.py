# SPDX-License-Identifier: Apache-2.0
"""Collects every sentence that people read, and keeps the translations in step: `python -m tests.support.messages`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from nicpass import __version__
from nicpass.checks.catalogue.whole import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "nicpass"
LANGUAGES = ("zh_CN",)
ENTRY_TEXTS = ("sentence", "meaning", "background", "mend")
_HEADER = "# Simplified Chinese for nicpass.\n# SPDX-License-Identifier: Apache-2.0\n#"
# argparse marks its own words with _() too. These are the ones that our command line can show.
ARGPARSE_WORDS = (
    "usage: ",
    "options",
    "positional arguments",
    "show this help message and exit",
    "show program's version number and exit",
    "the following arguments are required: %s",
    "unrecognized arguments: %s",
    "invalid %(type)s value: %(value)r",
    "invalid choice: %(value)r (choose from %(choices)s)",
    "not allowed with argument %s",
    "ambiguous option: %(option)s could match %(matches)s",
    "expected one argument",
    "argument %(argument_name)s: %(message)s",
    "ignored explicit argument %r",
)


def collect_messages() -> Catalog:
    """Every sentence: those in `_()`, the texts of all codes, and argparse's words."""
    template = Catalog(project="nicpass", charset="utf-8")
    for name, _line, message, comments, _context in extract_from_dir(PACKAGE, keywords={"_": None}):
        template.add(message, locations=[(f"src/nicpass/{name}", 0)], auto_comments=comments)
    for code, entry in CATALOGUE.items():
        for field in ENTRY_TEXTS:
            if text := getattr(entry, field):
                template.add(text, auto_comments=[f"{code}, {field}"])
    for message in ARGPARSE_WORDS:
        template.add(message, auto_comments=["argparse"])
    return template


def _new_catalogue(language: str) -> Catalog:
    return Catalog(
        locale=language,
        header_comment=_HEADER,
        project="nicpass",
        version=__version__,
        msgid_bugs_address="nicpass",
        last_translator="nicpass",
        language_team="nicpass",
        revision_date=datetime(2026, 11, 23, tzinfo=UTC),
        charset="utf-8",
        fuzzy=False,
    )


def path_of(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "nicpass.po"


def read_translation(language: str) -> Catalog:
    path = path_of(language)
    if not path.exists():
        return _new_catalogue(language)
    with path.open("rb") as lines:
        return read_po(lines, locale=language)


def update(language: str) -> None:
    """Update a translation: new sentences come in, gone ones go; one that changed is to be translated anew."""
    catalogue = read_translation(language)
    template = collect_messages()
    template.creation_date = catalogue.creation_date  # the file is to change only where a sentence does
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    path = path_of(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        write_po(target, catalogue, width=120, omit_header=False, sort_output=True, include_lineno=False)


if __name__ == "__main__":
    for each in LANGUAGES:
        update(each)
        missing = [message.id for message in read_translation(each) if message.id and not message.string]
        print(f"{path_of(each).relative_to(ROOT)}: {len(missing)} to translate")
