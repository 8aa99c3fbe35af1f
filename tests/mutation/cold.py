# SPDX-License-Identifier: Apache-2.0
"""Mutants of what runs when a module is loaded: constants, defaults. Each has a process that loads all anew.

The tests for one are those that run a function, anywhere, in which the constant's or the argument's name stands.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.mutation.judge import Trial, Verdict, judge
from tests.mutation.mutants import ROOT, Mutant, code_of
from tests.mutation.warm import SOURCE, Covered

PRELOADED = ("hypothesis", "jsonschema", "lxml.etree", "msgspec", "pyroute2", "rich.table")
START_SECONDS = 20.0


def judge_cold(mutant: Mutant, covered: Covered, arguments: list[str]) -> Verdict:
    names = _tests_of(mutant, covered)
    seconds = START_SECONDS + sum(covered.seconds[name] for name in names)
    trials = [Trial(mutant.path, seconds, lambda: _fails(names, arguments))] if names else []
    return judge(mutant.key, trials, lambda folder: _prepare(mutant, folder))


def preload() -> None:
    """Load what every test needs and no mutant changes."""
    for name in PRELOADED:
        importlib.import_module(name)
    assert not any(name.split(".")[0] == "nicpass" for name in sys.modules)


def _prepare(mutant: Mutant, folder: str) -> None:
    sys.meta_path.insert(0, _Finder(mutant, code_of(mutant)))


def _fails(names: list[str], arguments: list[str]) -> bool:
    return pytest.main([*arguments, "-x", *names]) not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}


class _Finder(importlib.abc.MetaPathFinder):
    """Loads one module from other code."""

    def __init__(self, mutant: Mutant, code: CodeType) -> None:
        self.path = str(ROOT / mutant.path)
        self.name = ".".join(Path(self.path).relative_to(SOURCE.parent).with_suffix("").parts)
        self.code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=_Loader(fullname, self.path, self.code)
        )


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def _tests_of(mutant: Mutant, covered: Covered) -> list[str]:
    names = _names_of(mutant)
    found = {
        test
        for name in names
        for path, lines in _functions_with().get(name, ())
        for test in covered.tests_of(path, lines)
    }
    return sorted(found, key=lambda name: covered.seconds[name])


def _names_of(mutant: Mutant) -> set[str]:
    """What the statement around a mutant binds; for a default, its function."""
    tree = ast.parse((ROOT / mutant.path).read_bytes())
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _holds(node, mutant.line)]
    statement = max(around, key=lambda node: (node.lineno, node.col_offset))
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    bound = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return bound or {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _holds(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


@functools.cache
def _functions_with() -> dict[str, list[tuple[str, tuple[int, int]]]]:
    """A name to the functions in which it stands: file, first and last line of the body."""
    found: dict[str, list[tuple[str, tuple[int, int]]]] = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef):
                place = str(path.relative_to(ROOT)), (node.body[0].lineno, node.end_lineno or node.lineno)
                for name in {node.name, *_names_in(node)}:
                    found[name].append(place)
    return dict(found)


def _names_in(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
