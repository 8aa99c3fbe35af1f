# SPDX-License-Identifier: Apache-2.0
"""The kernel arguments that are ours, as they are written into files of others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.model.errors import BadInputError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:=[A-Za-z0-9_.,:/@+-]*)?")
TRIAL_TOKENS = ("panic=30",)
"""A kernel that panics restarts by itself after so many seconds (kernel-parameters.txt), and boots the old entry."""


def join_tokens(tokens: Iterable[str]) -> str:
    """Parted by blanks. None of them needs quotes in a shell, in GRUB's script or in the kernel.

    Raises:
        BadInputError: one of them would.
    """
    found = list(tokens)
    for token in found:
        if not _TOKEN.fullmatch(token):
            raise BadInputError(_("{token} cannot be given to the kernel by nicpass.").format(token=repr(token)))
    return " ".join(found)


def with_tokens(arguments: str, tokens: Iterable[str]) -> str:
    """`arguments` with ours after them; those that stood at their end already are not written twice."""
    ours = join_tokens(tokens)
    kept = without_end(arguments.rstrip(), ours)
    return f"{kept} {ours}".strip() if ours else arguments


def without_end(arguments: str, ours: str) -> str:
    """`arguments` without `ours` at their end."""
    if not ours or arguments == ours:
        return "" if ours else arguments
    return arguments.removesuffix(f" {ours}")


def ends_with(arguments: str, tokens: Iterable[str]) -> bool:
    """Whether ours are the last ones."""
    ours = join_tokens(tokens)
    return not ours or f" {' '.join(arguments.split())}".endswith(f" {ours}")
