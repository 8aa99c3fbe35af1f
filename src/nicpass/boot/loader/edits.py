# SPDX-License-Identifier: Apache-2.0
"""Files of others without comments, such as /etc/kernel/cmdline: nicpass's arguments go in, and come out byte for byte.

A record of nicpass's own holds the bytes of each edited file before and after. A file that is still as nicpass left it
gets back its old bytes; from one that others edited since, just nicpass's arguments are taken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.arguments.tokens import are_last, join_tokens, put_tokens_in, take_tokens_out
from nicpass.boot.loader.bls import is_entry
from nicpass.boot.text.changes import content_of, plan_file
from nicpass.model.errors import BadInputError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nicpass.model.boot import Boot
    from nicpass.model.file_image import FileChange

RECORD = "/var/lib/nicpass/boot-edits.json"
CMDLINE, VENDOR_CMDLINE = "/etc/kernel/cmdline", "/usr/lib/kernel/cmdline"
# What belongs into /etc/default/grub. Here the kernel would get it as one word that it does not know.
_GRUB_SYNTAX = re.compile(rb"(?<!\S)GRUB_\w+\+?=")
_COMMENT = re.compile(rb"^[ \t]*#", re.MULTILINE)
_NO_COMMENT = re.compile(rb"(?:^(?![ \t]*#)[^\n]*(?:\n|\Z))+", re.MULTILINE)
_OPTIONS = re.compile(rb"^options[ \t]+([^\n]*)$", re.MULTILINE)


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One edited file, as it was without nicpass's arguments (None: not there) and as nicpass left it."""

    path: str
    before: bytes | None
    after: bytes


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """The record of all edits in files of others, and the arguments that nicpass put there."""

    tokens: tuple[str, ...]
    edits: tuple[Edit, ...]
    made_kernelopts: bool = False
    """Whether the variable `kernelopts` was not in grubenv before."""


def read_edits(boot: Boot) -> Edits | None:
    """The record of an earlier run's edits; None where there are none.

    Raises:
        BadInputError: its record is damaged or cannot be read.
    """
    content = content_of(boot, RECORD)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Edits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(
            _("{path} is damaged: {error}.").format(path=RECORD, error=error),
            _("It says what nicpass has written into boot files. Put it back from a backup, or take those words out."),
        ) from None


def plan_edits(
    boot: Boot,
    tokens: Sequence[str],
    paths: Iterable[str],
    made: Mapping[str, bytes] | None = None,
    *,
    elsewhere: bool = False,
    made_kernelopts: bool = False,
) -> tuple[FileChange, ...]:
    """The changes that put `tokens` last in the files at `paths`, and in those `made` of these bytes; first the record.

    `elsewhere`: the tokens go into something that is no file too, so that they have to be recorded in any case;
    `made_kernelopts` is recorded of it.

    Raises:
        BadInputError: one of the files cannot be read, or is written for another program.
    """
    without = _contents_without_ours(boot)
    edits: list[Edit] = []
    for path in dict.fromkeys((*paths, *(made or {}))):
        before = without[path] if path in without else content_of(boot, path)
        start = before if before is not None else (made or {}).get(path)
        if start is not None:
            _refuse_grub_syntax(path, start)
            edits.append(Edit(path=path, before=before, after=with_tokens(path, start, tokens)))
    wanted = without | {edit.path: edit.after for edit in edits}
    is_ours = elsewhere or any(edit.before != edit.after for edit in edits)
    record = Edits(tokens=tuple(tokens), edits=tuple(edits), made_kernelopts=made_kernelopts)
    changes = plan_record(boot, record if is_ours else None)
    for path, content in wanted.items():
        changes += plan_file(boot, path, content)
    return changes


def plan_record(boot: Boot, edits: Edits | None) -> tuple[FileChange, ...]:
    """The change to the record; `edits` is None where an administrator had written all the arguments himself."""
    record = None if edits is None else msgspec.json.format(msgspec.json.encode(edits), indent=1) + b"\n"
    return plan_file(boot, RECORD, record, mode=0o600)


def plan_edits_removal(boot: Boot, others: Iterable[str] = ()) -> tuple[FileChange, ...]:
    """The changes that leave every file as it would be without nicpass; `others` may have been made out of edited ones.

    Raises:
        BadInputError: one of the files cannot be read.
    """
    edits = read_edits(boot)
    if edits is None:
        return ()
    wanted = _contents_without_ours(boot)
    for path in others:
        content = content_of(boot, path)
        if path not in wanted and content is not None:
            wanted[path] = without_tokens(path, content, edits.tokens)
    changes: tuple[FileChange, ...] = ()
    for path, content in wanted.items():
        changes += plan_file(boot, path, content)
    return changes + plan_file(boot, RECORD, None)


def arguments_of(path: str, content: bytes) -> str:
    """The kernel's arguments that the file at `path` holds."""
    words = b" ".join(content[start:end] for start, end in _places(path, content))
    return " ".join(words.decode("utf-8", "backslashreplace").split())


def with_tokens(path: str, content: bytes, tokens: Sequence[str]) -> bytes:
    """`content` with `tokens` as its last arguments; as it is where they are so already."""
    if are_last(arguments_of(path, content), tokens):
        return content
    if places := _places(path, content):
        start, end = places[-1]
        return content[:start] + put_tokens_in(content[start:end], tokens) + content[end:]
    glue = b"" if content.endswith(b"\n") or not content else b"\n"
    return content + glue + (b"options " if is_entry(path) else b"") + join_tokens(tokens).encode() + b"\n"


def without_tokens(path: str, content: bytes, tokens: Sequence[str]) -> bytes:
    """`content` without `tokens`, where these stand together."""
    for start, end in reversed(_places(path, content)):
        content = content[:start] + take_tokens_out(content[start:end], tokens) + content[end:]
    return content


def _places(path: str, content: bytes) -> list[tuple[int, int]]:
    """(start, end) of all arguments: after `options` in an entry of the Boot Loader Specification, else all lines.

    Comments are left out: mkinitcpio passes over lines that begin with #, and other readers give them to the kernel,
    where they do no harm; ours must not become part of one.
    """
    if is_entry(path):
        return [found.span(1) for found in _OPTIONS.finditer(content)]
    if not _COMMENT.search(content):
        return [(0, len(content))]
    return [found.span() for found in _NO_COMMENT.finditer(content) if found[0].strip()]


def _refuse_grub_syntax(path: str, content: bytes) -> None:
    found = None if is_entry(path) else _GRUB_SYNTAX.search(content)
    if found is not None:
        raise BadInputError(
            _("{path} has {word}, which is written for GRUB: the kernel's arguments stand there as they are.").format(
                path=path, word=found[0].decode()
            ),
            _("Write the words alone, all on one line, as /proc/cmdline has them, and run nicpass again."),
        )


def _contents_without_ours(boot: Boot) -> dict[str, bytes | None]:
    """Path to content without nicpass's arguments (None: no file), of each edited file that is still there."""
    edits = read_edits(boot)
    contents: dict[str, bytes | None] = {}
    for edit in edits.edits if edits is not None else ():
        now = content_of(boot, edit.path)
        if now == edit.after:
            contents[edit.path] = edit.before
        elif now is not None and edits is not None and edit.before != edit.after:
            contents[edit.path] = without_tokens(edit.path, now, edits.tokens)
    return contents
