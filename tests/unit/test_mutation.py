# SPDX-License-Identifier: Apache-2.0
"""The mutation tester itself: what it changes, that its list of equals is about code that is there."""

from __future__ import annotations

import ast

import pytest

from nicpass.hypervisor.libvirt.hook import OutOfTimeError
from tests.mutation.judge import Verdict
from tests.mutation.mutants import ROOMS, ROOT, Mutant, files_of, mutants_of
from tests.mutation.operators import changes_of
from tests.mutation.report import equivalents, report, stale
from tests.mutation.warm import _Memory


def changes(text: str) -> set[str]:
    """Every text that one change makes of a statement."""
    (statement,) = ast.parse(text).body
    found = {ast.unparse(ast.fix_missing_locations(other)) for other in changes_of(statement)}
    for name, value in ast.iter_fields(statement):
        if isinstance(value, ast.expr):
            for other in changes_of(value):
                setattr(statement, name, other)
                found.add(ast.unparse(ast.fix_missing_locations(statement)))
            setattr(statement, name, value)
    return found


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("told.add(words)", {"pass"}),
        ("raise StepError(x)", {"pass"}),
        ("x.y = 1", {"pass", "x.y = 2"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a and b", {"x = a or b", "x = b", "x = a"}),
        ("x = not a", {"x = a"}),
        ("x = (a, b)", {"x = (b,)", "x = (a,)"}),
        ("x = {a}", {"x = set()"}),
        ("x = f(a, b=c)", {"x = f(a)"}),
        ("x = any(a)", {"x = all(a)"}),
        ("x = 'word'", {"x = 'XXword'"}),
        ("x = 'words for people'", set()),
        ("x = 20.0", {"x = 0.0"}),
        ("x = None", set()),
        ("return a", {"return None"}),
        ("for x in y:\n    f()", {"for x in ():\n    f()"}),
        ("with a, b as c:\n    f()", {"with b as c:\n    f()"}),
    ],
)
def test_what_is_made_of_a_statement(text: str, made: set[str]) -> None:
    assert changes(text) == made


def test_each_has_a_name_of_its_own_and_changes_what_runs() -> None:
    mutants = mutants_of(ROOT / "src/nicpass/engine/nic/give_back.py")
    assert len({mutant.key for mutant in mutants}) == len(mutants) > 200
    texts = [f"{mutant.before} {mutant.after}" for mutant in mutants]
    assert not any("import" in text or "TYPE_CHECKING" in text for text in texts)
    functions = {mutant.function for mutant in mutants if mutant.inside}
    assert {"_write_port", "restore_uppers"} <= functions


def test_what_is_called_equal_is_there() -> None:
    files = {key.partition(":")[0] for key in equivalents()}
    mutants = [
        mutant for path in files_of(ROOMS) if str(path.relative_to(ROOT)) in files for mutant in mutants_of(path)
    ]
    assert stale(mutants, ROOMS) == []
    assert all(len(reason) > 20 for reason in equivalents().values())


def test_the_report_counts_what_was_judged() -> None:
    mutants = mutants_of(ROOT / "src/nicpass/engine/nic/take.py")[:3]
    outcomes = ("killed", "hung", "lived")
    verdicts = {m.key: Verdict(m.key, outcome) for m, outcome in zip(mutants, outcomes, strict=True)}  # type: ignore[arg-type]
    lines = list(report([*mutants, _other(mutants[0])], verdicts))
    assert [line for line in lines if line.startswith("lived")] == [f"lived     {mutants[2].line:4} {mutants[2].key}"]
    (total,) = [line for line in lines if line.startswith("all ")]
    assert "2 of     3 noticed   66.7 %" in total


def test_a_method_that_does_not_ask_its_class_any_more_is_put_in_place() -> None:
    """`super()` needs a cell, which a function keeps for life."""
    (mutant,) = (
        mutant
        for mutant in mutants_of(ROOT / "src/nicpass/hypervisor/libvirt/hook.py")
        if mutant.function == "OutOfTimeError.__init__" and mutant.after == "pass"
    )
    before = OutOfTimeError.__init__.__code__
    assert str(OutOfTimeError())
    try:
        _Memory.read().put_in_place(mutant)
        assert str(OutOfTimeError()) == ""
    finally:
        OutOfTimeError.__init__.__code__ = before


def _other(mutant: Mutant) -> Mutant:
    """One that nobody has judged."""
    return Mutant("src/nicpass/engine/x.py", "f", 1, (1, 1), "a", "b", mutant.way, 0, inside=True)
