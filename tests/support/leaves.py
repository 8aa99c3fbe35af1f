# SPDX-License-Identifier: Apache-2.0
"""Every field of a struct that holds free text, found by its type: a new field is met at once."""

from __future__ import annotations

import functools
import typing
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


def fields_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return dict(_hints(kind))


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def holds(hint: Any, wanted: Callable[[Any], bool]) -> bool:
    """Whether a field's type has such a part; structs in it have fields of their own."""
    if typing.get_origin(hint) is typing.Annotated or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        return False
    return wanted(hint) or any(holds(part, wanted) for part in typing.get_args(hint))


def is_free_text(hint: Any) -> bool:
    """Whether a field's type is text without a pattern, of whatever content."""
    return hint is str


def structs_in(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """All kinds of structs that a value of this type may hold, each once."""
    seen: dict[type[msgspec.Struct], None] = {}

    def walk(part: Any) -> None:
        for inner in typing.get_args(part):
            walk(inner)
        if (more := getattr(part, "kind", None)) is not None and not isinstance(part, type):
            walk(more)
        if isinstance(part, type) and issubclass(part, msgspec.Struct) and part not in seen:
            seen[part] = None
            for hint in fields_of(part).values():
                walk(hint)

    walk(kind)
    yield from seen


def change_text(value: T, change: Callable[[str, str], str]) -> T:
    """`value` with every free text in it changed; `change` is told the struct's and the field's name, `Link.name`."""
    return cast("T", _change(value, None, "", change))


def _change(value: Any, hint: Any, place: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, msgspec.Struct):
        kind = type(value)
        hints = fields_of(kind)
        new = {n: _change(getattr(value, n), hints[n], f"{kind.__name__}.{n}", change) for n in kind.__struct_fields__}
        return msgspec.structs.replace(value, **new)
    if isinstance(value, tuple | frozenset):
        return type(value)(_change(item, hint, place, change) for item in value)
    if type(value) is str and _holds_text(hint):
        return change(value, place)
    return value


@functools.cache
def _holds_text(hint: Any) -> bool:
    return holds(hint, is_free_text)
