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
"""In a trial boot a kernel that panics restarts after so many seconds (kernel-parameters.txt), with the old entry."""


def join_tokens(tokens: Iterable[str]) -> str:
    """The tokens, parted by blanks. None of them needs quotes in a shell, in GRUB's script or in the kernel.

    Raises:
        BadInputError: a token would need quotes.
    """
    found = list(tokens)
    for token in found:
        if not _TOKEN.fullmatch(token):
            raise BadInputError(_("{token} cannot be given to the kernel by nicpass.").format(token=repr(token)))
    return " ".join(found)


def are_last(arguments: str, tokens: Iterable[str]) -> bool:
    """Whether each of `tokens` is among `arguments`, and no later argument of its name says otherwise."""
    last = {word.partition("=")[0]: word for word in arguments.split()}
    return all(last.get(token.partition("=")[0]) == token for token in tokens)


def put_tokens_in(line: bytes, tokens: Iterable[str]) -> bytes:
    """`line` with `tokens` as its last words; the white space that ends it stays."""
    body = line.rstrip()
    return body + (b" " if body else b"") + join_tokens(tokens).encode() + line[len(body) :]


def take_tokens_out(line: bytes, tokens: Iterable[str]) -> bytes:
    """`line` without `tokens`, where these stand together; all else as it is."""
    ours = re.escape(join_tokens(tokens).encode())
    found = list(re.finditer(rb"(?<!\S)" + ours + rb"(?!\S)", line)) if ours else []
    if not found:
        return line
    start = found[-1].start()
    return line[: start - (line[start - 1 : start] == b" ")] + line[found[-1].end() :]
