# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for every type of `model`, made from the types themselves: a new field is tested at once."""

from __future__ import annotations

import enum
import functools
import types
import typing
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from hypothesis import strategies as st

from nicpass.model.address import Address
from nicpass.model.fact import StructFact, Unknown

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

ADDRESSES: SearchStrategy[Address] = st.builds(
    lambda domain, bus, slot, function: Address(f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"),
    st.integers(0, 0x1FFFF),
    st.integers(0, 255),
    st.integers(0, 31),
    st.integers(0, 7),
)
MACS: SearchStrategy[str] = st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":"))
# MACs of a single station: neither a group address nor all zeros.
STATION_MACS = MACS.filter(lambda mac: not int(mac[:2], 16) & 1 and mac != "00:00:00:00:00:00")
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def values_of(kind: type[T]) -> SearchStrategy[T]:
    """Any value of `kind`, which is a msgspec struct or the type of a field in one."""
    return cast("SearchStrategy[T]", _values_of(cast("Hashable", kind)))


def _values_of_class(kind: Any) -> SearchStrategy[Any]:
    if issubclass(kind, enum.Enum):
        return st.sampled_from(list(kind))
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: _values_of(hints[name]) for name in kind.__struct_fields__})


@functools.cache
def _values_of(kind: Any) -> SearchStrategy[Any]:
    if kind is Address:
        return ADDRESSES
    kind = getattr(kind, "__supertype__", kind)  # of a typing.NewType
    plain: dict[Any, SearchStrategy[Any]] = {
        str: _TEXT,
        bytes: st.binary(max_size=20),
        int: st.integers(-(2**31), 2**31),
        float: st.floats(0, 2**31),
        bool: st.booleans(),
        type(None): st.none(),
    }
    if kind in plain:
        return plain[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum | msgspec.Struct):
        return _values_of_class(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _values_of_annotated(*arguments)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([_values_of(argument) for argument in arguments])
    if origin in (frozenset, dict):
        several = st.frozensets if origin is frozenset else st.dictionaries
        return several(*map(_values_of, arguments), max_size=2)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(_values_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(_values_of(argument) for argument in arguments))
    raise TypeError(f"no strategy for {kind}")


def _values_of_annotated(_kind: Any, mark: Any) -> SearchStrategy[Any]:
    """Values of an Annotated type: text of a pattern, or a Fact of a struct, which msgspec cannot be told plainly."""
    if isinstance(mark, StructFact):
        kind: Any = mark.kind  # old versions of msgspec tell mypy that a class of theirs has no hash
        return st.one_of(st.none(), _values_of(Unknown), _values_of(kind))
    if mark.pattern is None:
        return st.integers(mark.ge or 0, mark.le)
    return st.from_regex(mark.pattern, fullmatch=True)
