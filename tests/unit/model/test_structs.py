# SPDX-License-Identifier: Apache-2.0
"""The model goes to JSON and back unchanged; what is not of the model is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.read import load_snapshot
from nicpass.model.errors import BadInputError
from nicpass.model.fact import Fact, Unknown, known, value_or, why_unknown
from nicpass.model.finding import Finding, Severity, worst
from nicpass.model.host import Host
from nicpass.model.inverse import invert_step
from nicpass.model.plan import NicStep, Plan, StartWindow, Step, StepBase
from tests.support.strategies import values_of


def _descendants(kind: type[StepBase]) -> list[type[StepBase]]:
    return [found for child in kind.__subclasses__() for found in (child, *_descendants(child))]


STEPS = [kind for kind in _descendants(StepBase) if kind.__struct_config__.tag is not None]


@given(values_of(Host))
def test_a_snapshot_round_trips(host: Host) -> None:
    assert load_snapshot("host.json", msgspec.json.encode(host)) == host


@given(values_of(Plan))
def test_a_plan_round_trips(plan: Plan) -> None:
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@pytest.mark.parametrize(
    ("fact", "text"), [(5, b"5"), (None, b"null"), (Unknown("permission denied"), b'{"unknown":"permission denied"}')]
)
def test_the_three_answers_stay_apart_in_json(fact: Fact[int], text: bytes) -> None:
    assert msgspec.json.encode(fact) == text
    assert msgspec.json.decode(text, type=int | Unknown | None) == fact


@pytest.mark.parametrize(
    ("fact", "is_known", "value", "reason"),
    [(0, True, 0, None), (5, True, 5, None), (None, False, 9, None), (Unknown("why"), False, 9, "why")],
)
def test_only_a_value_is_known(fact: Fact[int], is_known: bool, value: int, reason: str | None) -> None:
    assert known(fact) is is_known
    assert value_or(fact, 9) == value
    assert why_unknown(fact) == reason


# The way back from the time to confirm leads to the timer before it, and from there to none.
@pytest.mark.parametrize("kind", [kind for kind in STEPS if kind is not StartWindow], ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_undoing_the_undoing_is_the_step(kind: type[Step], data: st.DataObject) -> None:
    # After a boot, with the card gone, whoever started it, by force: that says how it is undone, not what.
    manners = {"after_boot", "again", "for_all", "forced", "gone", "keeps", "unattended"}
    manner = dict.fromkeys(manners & set(kind.__struct_fields__), False)
    step: Step = msgspec.structs.replace(data.draw(values_of(kind)), **manner)
    back = invert_step(invert_step(step))
    if "again" in manners & set(kind.__struct_fields__):  # an undoing is a step that gives again, and says so
        back = msgspec.structs.replace(back, again=False)
    assert back == step
    if isinstance(step, NicStep):
        assert getattr(invert_step(step), "address", None) == step.address


def test_every_step_of_the_model_has_an_inverse() -> None:
    assert set(STEPS) == set(Step.__args__)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"schema": "nicpass.host/2", "pci": []}',
        b'{"schema": "nicpass.host/1", "pci": [{"address": 5}]}',
        b'{"schema": "nicpass.host/1", "pci": [',
        b"\xff\xfe",
        pytest.param(b'{"schema": "nicpass.host/1", "later": ' + b"[" * 100_000, id="deep"),
        None,
        Unknown("permission denied: host.json"),
    ],
)
def test_what_is_no_snapshot_is_refused_with_a_hint(content: bytes | Unknown | None) -> None:
    with pytest.raises(BadInputError) as caught:
        load_snapshot("host.json", content)
    assert "host.json" in caught.value.sentence
    assert caught.value.hint


def test_severities_are_ordered() -> None:
    assert [s for s in Severity if s.blocks] == [Severity.REBOOT, Severity.UNSAFE, Severity.IMPOSSIBLE]
    findings = tuple(Finding(code=s, severity=s, sentence="") for s in Severity)
    assert worst(findings) == Severity.IMPOSSIBLE
    assert worst(findings[:2]) == Severity.WARNING
    assert worst(()) is None
