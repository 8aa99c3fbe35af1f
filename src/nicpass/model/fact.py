# SPDX-License-Identifier: Apache-2.0
"""Three answers, not two: a value, "there is none", and "could not be learned"."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard, TypeVar

import msgspec

T = TypeVar("T")


class Unknown(msgspec.Struct, frozen=True):
    """Why something could not be learned; in JSON `{"unknown": "permission denied: /sys/..."}`."""

    unknown: str


Fact: TypeAlias = T | Unknown | None
"""A value; None when the system says that there is none; Unknown when it could not be asked."""


def known(fact: Fact[T]) -> TypeGuard[T]:
    """True when `fact` is a value: neither absent nor unknown."""
    return fact is not None and not isinstance(fact, Unknown)


def value_or(fact: Fact[T], default: T) -> T:
    """The value, or `default` where it is absent or unknown. Never for a decision about safety."""
    return fact if known(fact) else default


def why_unknown(fact: object) -> str | None:
    """The reason of an Unknown; None for every other answer."""
    return fact.unknown if isinstance(fact, Unknown) else None
