# SPDX-License-Identifier: Apache-2.0
"""What may be changed in a piece of code: each operator yields what stands in the place of one node.

They are hard on what these rooms do: an act that is left out, a condition turned round or shortened, an error that is
not caught, an element that is missing. Sentences for people are left alone, for a catalogue's test has them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
Operator = Callable[[ast.AST], Iterator[ast.AST]]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_TWINS = {"any": "all", "all": "any", "min": "max", "max": "min"}


def changes_of(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that may stand in the place of the node; the node itself is left as it is."""
    for operator in OPERATORS:
        yield from operator(node)


def _leave_out(node: ast.AST) -> Iterator[ast.AST]:
    """A call for its effect, a `yield`, a value that is stored in an object, an error that is raised, a jump."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    stored = isinstance(node, ast.Assign) and any(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets)
    acts = isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Break | ast.Continue | ast.Delete)
    if stored or (acts and not text):
        yield ast.Pass()


def _turn_round(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Compare):
        yield _with(node, test=_not(node.test))
    elif isinstance(node, ast.comprehension):
        for place, condition in enumerate(node.ifs):
            if not isinstance(condition, ast.Compare):
                yield _with(node, ifs=_replaced(node.ifs, place, _not(condition)))
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.BoolOp):
        yield ast.Return(_not(node.value))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand


def _always(node: ast.AST) -> Iterator[ast.AST]:
    """A comprehension that lets all through, a loop that is never gone through."""
    if isinstance(node, ast.comprehension):
        for place in range(len(node.ifs)):
            yield _with(node, ifs=_without(node.ifs, place))
    elif isinstance(node, ast.For):
        yield _with(node, iter=ast.Tuple([], ast.Load()))


def _compare(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for place, comparison in enumerate(node.ops):
            for other in _COMPARISONS[type(comparison)]:
                yield _with(node, ops=_replaced(node.ops, place, other()))


def _reckon(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        yield _with(node, op=_ARITHMETIC[type(node.op)]())


def _shorten(node: ast.AST) -> Iterator[ast.AST]:
    """`a and b` becomes `a or b`, `a`, `b`."""
    if not isinstance(node, ast.BoolOp):
        return
    yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for place in range(len(node.values)):
        rest = _without(node.values, place)
        yield rest[0] if len(rest) == 1 else _with(node, values=rest)


def _element(node: ast.AST) -> Iterator[ast.AST]:
    """An element, a pair or a named argument is missing."""
    read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    if isinstance(node, ast.Tuple | ast.List | ast.Set) and read:
        for place in range(len(node.elts)):
            rest = _without(node.elts, place)
            yield _with(node, elts=rest) if rest or not isinstance(node, ast.Set) else _call("set")
    elif isinstance(node, ast.Dict):
        for place in range(len(node.keys)):
            yield _with(node, keys=_without(node.keys, place), values=_without(node.values, place))
    elif isinstance(node, ast.Call):
        for place in range(len(node.keywords)):
            yield _with(node, keywords=_without(node.keywords, place))


def _constant(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, float):  # a time limit; one that is a little longer is none that a test could tell
        yield ast.Constant(0.0 if value else 1.0)
    elif isinstance(value, str) and " " not in value:  # what has a blank is words for people
        yield ast.Constant("XX" + value)
    elif isinstance(value, bytes):
        yield ast.Constant(b"XX" + value)


def _nothing(node: ast.AST) -> Iterator[ast.AST]:
    """A function that answers nothing."""
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))


def _twin(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TWINS:
        yield _with(node, func=ast.Name(_TWINS[node.func.id], ast.Load()))


def _not_caught(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.ExceptHandler):
        yield _with(node, body=[ast.Raise()])


def _not_held(node: ast.AST) -> Iterator[ast.AST]:
    """A `with` without one of its parts: a lock that is not taken, an error that is not collected."""
    if not isinstance(node, ast.With):
        return
    for place, item in enumerate(node.items):
        if item.optional_vars is None:
            rest = _without(node.items, place)
            yield _with(node, items=rest) if rest else ast.If(ast.Constant(1), node.body, [])


OPERATORS: tuple[Operator, ...] = (
    _leave_out,
    _turn_round,
    _always,
    _compare,
    _reckon,
    _shorten,
    _element,
    _constant,
    _nothing,
    _twin,
    _not_caught,
    _not_held,
)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of the node, not of what is in it, with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _call(name: str) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), [], [])


def _not(node: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), node)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _without(items: list[T], place: int) -> list[T]:
    return items[:place] + items[place + 1 :]


def _replaced(items: list[T], place: int, item: T) -> list[T]:
    return [*items[:place], item, *items[place + 1 :]]
