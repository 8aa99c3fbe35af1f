# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.lab.findings_table > docs/findings.md`: every code, how the lab provokes it and what mends it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping

from nicpass.checks.catalogue.entry import Entry
from nicpass.checks.catalogue.whole import CATALOGUE
from tests.lab.provocations import PROVOCATIONS, UNIT_ONLY, Provocation

_HEAD = """<!-- Made by `python -m tests.lab.findings_table`; a unit test holds it to be current. -->

# Findings, and how each is tested

A row a code, as `nicpass explain` lists them. Each is provoked on an emulated host with a real kernel
(`tests/lab/test_findings.py`), reported, and, where something mends it, mended by its own advice and seen to be gone.
What the lab cannot have is tested on captures and trees (`tests/unit`), and the row says why. Words in capitals are
filled in by the check. Severities: info, warning, reboot (possible after one), unsafe (refused: the host would lose
something that it uses), impossible (not on this host as it is).

| code | severity | what it says | provoked in the lab by | mended by |
|---|---|---|---|---|
"""
_PLACEHOLDER = re.compile(r"{(\w+)}")


def render_table(
    catalogue: Mapping[str, Entry], provocations: Iterable[Provocation], unit_only: Mapping[str, str]
) -> str:
    """The whole page. A code that is neither provoked nor excused has a row that says so."""
    by_code: dict[str, list[Provocation]] = {code: [] for code in catalogue}
    for provocation in provocations:
        by_code[provocation.code].append(provocation)
    rows = (_render_row(code, entry, by_code[code], unit_only.get(code)) for code, entry in catalogue.items())
    return _HEAD + "".join(rows)


def _render_row(code: str, entry: Entry, provocations: list[Provocation], excuse: str | None) -> str:
    sentence = _PLACEHOLDER.sub(lambda field: field[1].upper(), entry.sentence)
    how = "; or ".join(_unique(_describe(provocation) for provocation in provocations))
    mended_by = "; or ".join(_unique(str(provocation.mended_by) for provocation in provocations))
    if not provocations:
        how, mended_by = f"unit test only: {excuse or 'not yet provoked'}", ""
    cells = (code, entry.severity, sentence, how, mended_by)
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |\n"


def _describe(provocation: Provocation) -> str:
    return f"{provocation.how} (`make test-full`)" if provocation.full else provocation.how


def _unique(words: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(words))


if __name__ == "__main__":
    sys.stdout.write(render_table(CATALOGUE, PROVOCATIONS, UNIT_ONLY))
