# SPDX-License-Identifier: Apache-2.0
"""Facts about a host have three answers, not two: a value, "there is none", and "could not be learned"."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard, TypeVar

import msgspec

T = TypeVar("T")


class Unknown(msgspec.Struct, frozen=True):
    """Why something could not be learned; in JSON `{"unknown": "permission denied: /sys/..."}`."""

    unknown: str


Fact: TypeAlias = T | Unknown | None
"""One fact: a value; None when the system says that there is none; Unknown when it could not be asked."""


def known(fact: Fact[T]) -> TypeGuard[T]:
    """True when `fact` is a value: neither absent nor unknown."""
    return fact is not None and not isinstance(fact, Unknown)


def value_or(fact: Fact[T], default: T) -> T:
    """The value of `fact`, or `default` where it is absent or unknown. Never for a decision about safety."""
    return fact if known(fact) else default


def why_unknown(fact: object) -> str | None:
    """The reason of an Unknown; None for every other answer."""
    return fact.unknown if isinstance(fact, Unknown) else None


class StructFact(msgspec.Struct, frozen=True):
    """Marks a field that is a Fact of a struct: `Annotated[Any, StructFact(Dmar)]` where the program runs.

    msgspec tells at most one struct in a union from the rest, and Unknown is one already. So such a field is
    anything to msgspec, and its owner calls `settle_struct_facts` from `__post_init__`.
    """

    kind: type[msgspec.Struct]


def settle_struct_facts(owner: msgspec.Struct, **kinds: type[msgspec.Struct]) -> None:
    """Give each named field of `owner`, which may come from JSON, its type: the struct, Unknown or None.

    Raises:
        msgspec.ValidationError: a field is none of these.
    """
    for name, kind in kinds.items():
        value = getattr(owner, name)
        if value is not None and not isinstance(value, (Unknown, kind)):
            chosen = Unknown if isinstance(value, dict) and value.keys() == {"unknown"} else kind
            msgspec.structs.force_setattr(owner, name, msgspec.convert(value, chosen))
