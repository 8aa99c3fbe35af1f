# SPDX-License-Identifier: Apache-2.0
"""docs/findings.md is what the provocations say, and they leave no code out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.shape import SHAPES
from nicpass.checks.catalogue.whole import CATALOGUE
from tests.lab.findings_table import render_table
from tests.lab.provocations import PROVOCATIONS, UNIT_ONLY, MendedBy, Provocation

PAGE = Path(__file__).parents[3] / "docs" / "findings.md"
PROVOKED = {provocation.code for provocation in PROVOCATIONS}


def test_every_code_is_provoked_or_excused() -> None:
    assert sorted(CATALOGUE.keys() - PROVOKED - UNIT_ONLY.keys()) == []


def test_no_code_is_provoked_that_does_not_exist() -> None:
    assert sorted((PROVOKED | UNIT_ONLY.keys()) - CATALOGUE.keys()) == []


def test_no_code_is_both_provoked_and_excused() -> None:
    assert sorted(PROVOKED & UNIT_ONLY.keys()) == []


def test_the_page_is_current() -> None:
    made = render_table(CATALOGUE, PROVOCATIONS, UNIT_ONLY)
    assert PAGE.read_text() == made, "python -m tests.lab.findings_table > docs/findings.md"


def test_the_page_has_a_row_for_every_code() -> None:
    rows = re.findall(r"^\| ([A-Z0-9_]+) \|", PAGE.read_text(), re.MULTILINE)
    assert rows == list(CATALOGUE)


@pytest.mark.parametrize("provocation", PROVOCATIONS, ids=lambda provocation: f"{provocation.code}-{provocation.shape}")
def test_a_provocation_can_be_played(provocation: Provocation) -> None:
    assert provocation.shape in SHAPES
    assert provocation.sound_shape in SHAPES
    re.compile(provocation.sees)
    re.compile(provocation.evidence)
    if provocation.mended_by is MendedBy.COMMAND:
        assert CATALOGUE[provocation.code].command, "it is said to be mended by a command that it does not have"
    assert not (provocation.spoils and provocation.scene), "a scene that spoils its host is played alone"


def test_a_scene_is_all_full_or_not_at_all() -> None:
    kinds: dict[object, set[bool]] = {}
    for provocation in PROVOCATIONS:
        kinds.setdefault(provocation.place, set()).add(provocation.full)
    assert [place for place, full in kinds.items() if len(full) > 1] == []
