# SPDX-License-Identifier: Apache-2.0
"""Each finding that the lab can provoke is provoked on a real kernel, reported, and mended by its own advice.

What is done is data, in `provocations/`; `docs/findings.md` is made from the same. Provocations of one scene are
checked together; one that leaves the host changed costs the next a new host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cache import Cache
from lab.shape import INTEL, SHAPES
from tests.lab.provocations import PROVOCATIONS, MendedBy, Provocation
from tests.lab.scenes import Stagehand, find, is_mended

pytestmark = pytest.mark.lab

_SHAPES = list(SHAPES)


@pytest.fixture(scope="module")
def stagehand(cache: Cache, wheel: Path) -> Iterator[Stagehand]:
    stagehand = Stagehand(cache, wheel)
    yield stagehand
    stagehand.discard()


def _marks_of(shape: str, *, full: bool = False) -> list[pytest.MarkDecorator]:
    """What needs another host than the usual one has it booted first, and is for the long run."""
    return [pytest.mark.full] if full or shape != INTEL.name else []


def _in_order(provocations: list[Provocation]) -> list[Any]:
    """Shape by shape, scene by scene, and last what spoils a host."""
    places = list(dict.fromkeys(provocation.place for provocation in provocations))
    ordered = sorted(provocations, key=lambda p: (_SHAPES.index(p.shape), p.spoils, places.index(p.place)))
    return [
        pytest.param(p, id=f"{p.code}-{p.shape}-{p.nic or 'host'}", marks=_marks_of(p.shape, full=p.full))
        for p in ordered
    ]


@pytest.mark.parametrize("provocation", _in_order(list(PROVOCATIONS)))
def test_provoked_reported_and_mended(stagehand: Stagehand, provocation: Provocation) -> None:
    scene = stagehand.play(tuple(p for p in PROVOCATIONS if p.place == provocation.place))
    if provocation in scene.errors:
        raise scene.errors[provocation]
    if provocation.provoke or provocation.guest:
        assert find(scene.before, provocation) is None, "reported before it was provoked"
    finding = find(scene.provoked, provocation)
    same = [f["sentence"] for f in scene.provoked if f["code"] == provocation.code]
    others = sorted({f["code"] for f in scene.provoked if f["subject"] == provocation.nic})
    assert finding is not None, f"not reported; with this code: {same}; of this subject: {others}"
    pieces = [f"{evidence['source']}: {evidence['value']}" for evidence in finding["evidence"]]
    assert any(re.search(provocation.evidence, piece) for piece in pieces), pieces
    assert finding["meaning"]
    _was_mended(finding, provocation)
    if is_mended(provocation):
        assert find(scene.mended, provocation) is None, "still reported after its mend"
    assert scene.after == scene.before, "something was left behind on the host"


def _was_mended(finding: dict[str, Any], provocation: Provocation) -> None:
    """What mends it is what the finding says."""
    match provocation.mended_by:
        case MendedBy.COMMAND:
            assert finding["command"]
        case MendedBy.ADVICE | MendedBy.BOOT | MendedBy.ROOT:
            assert finding["mend"] or finding["command"]


_ELSEWHERE = [p for p in PROVOCATIONS if p.mended_by in (MendedBy.BOOT, MendedBy.ROOT)]


@pytest.mark.parametrize("provocation", _in_order(_ELSEWHERE))
def test_gone_where_its_advice_was_followed(stagehand: Stagehand, provocation: Provocation) -> None:
    sound = stagehand.baseline((provocation.sound_shape, provocation.arguments, "root"))
    assert provocation.code not in {finding["code"] for finding in sound}


@pytest.mark.parametrize(
    "shape",
    [pytest.param(n, marks=_marks_of(n)) for n in _SHAPES if n in {p.shape for p in PROVOCATIONS}],
)
def test_the_text_says_what_json_says(stagehand: Stagehand, shape: str) -> None:
    findings = stagehand.baseline((shape, (), "root"))
    text = " ".join(stagehand.lend(shape).execute(["env", "COLUMNS=500", "nicpass", "check", "-v"]).stdout.split())
    for finding in findings:
        assert finding["code"] in text
        assert " ".join(finding["sentence"].split()) in text
