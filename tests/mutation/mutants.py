# SPDX-License-Identifier: Apache-2.0
"""The mutants of a file: one change each, with where it is, and the code that it makes."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType

from tests.mutation.operators import changes_of

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "src/nicpass/checks/dependence",
    "src/nicpass/engine",
    "src/nicpass/planner",
    "src/nicpass/hypervisor/libvirt/hook.py",
    "src/nicpass/cli/hook.py",
)
_TEXTS = frozenset({"_", "ngettext", "mark"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Step = tuple[str, int | None]
"""A field of a node, and the place in it where it is a list."""


@dataclass(frozen=True)
class Mutant:
    path: str
    """From the root of the repository."""
    function: str
    """Its outermost function or method, as Python names it; empty for what runs when the module is loaded."""
    line: int
    lines: tuple[int, int]
    """First and last line of the statement, or of its head: who runs one of these, runs the mutant."""
    before: str
    after: str
    way: tuple[Step, ...]
    """The way to the node from the module's tree."""
    choice: int
    """Which of the node's changes."""
    inside: bool
    """Whether it is in a function's body, and not in what runs when the module is loaded."""
    again: int = 0
    """How many like it come before it in the same function."""

    @property
    def key(self) -> str:
        """Its name, which outlives a change elsewhere in the file."""
        again = f" #{self.again + 1}" if self.again else ""
        return f"{self.path}: {self.function or '(module)'}: {self.before} -> {self.after}{again}"

    @property
    def number(self) -> int:
        """A number that is as good as drawn by lot, and the same each time."""
        return int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:4])

    @property
    def room(self) -> str:
        return next(room for room in ROOMS if self.path.startswith(room))


def files_of(rooms: tuple[str, ...]) -> list[Path]:
    found = [
        path for room in rooms for path in ([ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"))
    ]
    return sorted(path for path in found if path.name != "__init__.py")


def mutants_of(path: Path) -> list[Mutant]:
    tree = ast.parse(path.read_bytes())
    name = str(path.relative_to(ROOT))
    original = compile(tree, str(path), "exec", dont_inherit=True)
    seen: Counter[str] = Counter()
    found: list[Mutant] = []
    for place in list(_walk(tree, _Place((), "", (1, 1), inside=False))):
        for choice, (before, after) in enumerate(_texts(place.node)):
            line = getattr(place.node, "lineno", place.lines[0])
            mutant = Mutant(name, place.function, line, place.lines, before, after, place.way, choice, place.inside)
            code = _code_of(mutant, tree)
            if code is None or code == original:
                continue
            found.append(replace(mutant, again=seen[mutant.key]))
            seen[mutant.key] += 1
    return found


def code_of(mutant: Mutant) -> CodeType:
    """The module's code with this change.

    Raises:
        SyntaxError: the file is another one by now.
    """
    code = _code_of(mutant, ast.parse((ROOT / mutant.path).read_bytes()))
    if code is None:
        raise SyntaxError(mutant.key)
    return code


def _code_of(mutant: Mutant, tree: ast.Module) -> CodeType | None:
    """The code with the change, None where Python does not take it; the tree is afterwards as it was."""
    parent: ast.AST = tree
    for name, place in mutant.way[:-1]:
        parent = _get(parent, name, place)
    name, place = mutant.way[-1]
    node = _get(parent, name, place)
    other = list(changes_of(node))[mutant.choice]
    if isinstance(node, ast.expr | ast.stmt):
        ast.copy_location(other, node)
    _put(parent, name, place, ast.fix_missing_locations(other))
    try:
        return compile(tree, str(ROOT / mutant.path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, TypeError):
        return None
    finally:
        _put(parent, name, place, node)


def _get(parent: ast.AST, name: str, place: int | None) -> ast.AST:
    child = getattr(parent, name)
    found = child if place is None else child[place]
    assert isinstance(found, ast.AST)
    return found


def _put(parent: ast.AST, name: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[place] = node


@dataclass(frozen=True)
class _Place:
    way: tuple[Step, ...]
    function: str
    lines: tuple[int, int]
    inside: bool
    """Whether it is inside of a function's body."""
    node: ast.AST = ast.Pass()  # noqa: RUF009


def _walk(node: ast.AST, around: _Place) -> Iterator[_Place]:
    here = replace(around, node=node)
    if isinstance(node, ast.stmt):
        here = replace(here, lines=_lines(node))
    if around.way:
        yield here
    for name, place, child in _children(node):
        inner = replace(here, way=(*around.way, (name, place)))
        if not here.inside and isinstance(node, ast.ClassDef | ast.FunctionDef) and name == "body":
            inner = _entered(inner, node)
        yield from _walk(child, inner)


def _entered(place: _Place, node: ast.ClassDef | ast.FunctionDef) -> _Place:
    name = f"{place.function}.{node.name}" if place.function else node.name
    return replace(place, function=name, inside=isinstance(node, ast.FunctionDef))


def _lines(node: ast.stmt) -> tuple[int, int]:
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return node.lineno, max(node.lineno, body[0].lineno - 1)
    return node.lineno, node.end_lineno or node.lineno


def _children(node: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    """What is in a node, without what never runs, what only names a type, and what is said to people."""
    for name, value in ast.iter_fields(node):
        if _is_left_alone(node, name):
            continue
        if isinstance(value, ast.AST):
            yield name, None, value
        elif isinstance(value, list):
            for place, child in enumerate(value):
                if isinstance(child, ast.AST) and not _never_runs(child):
                    yield name, place, child


def _is_left_alone(node: ast.AST, name: str) -> bool:
    said = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TEXTS
    typed = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast"
    declared = name in {"annotation", "returns", "decorator_list", "bases"}
    of_class = isinstance(node, ast.ClassDef) and name == "keywords"
    return said or typed or declared or of_class


def _never_runs(node: ast.AST) -> bool:
    typing = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return typing or text or isinstance(node, ast.Import | ast.ImportFrom)


def _texts(node: ast.AST) -> Iterator[tuple[str, str]]:
    for other in changes_of(node):
        before, after = _text(node), _text(other)
        first, second = before.splitlines()[0], after.splitlines()[0]
        if first == second:
            first, second = (" ".join(text.split()) for text in (before, after))
        yield first.strip(), second.strip()


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node)) or "(nothing)"
