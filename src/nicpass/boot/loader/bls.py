# SPDX-License-Identifier: Apache-2.0
"""Entries of the Boot Loader Specification, type #1: a text file each, sorted by names and versions.

Sources: UAPI.1 Boot Loader Specification; UAPI.10 Version Format Specification; how systemd-boot sorts entries and
which one it takes is in systemd's src/boot/boot.c; GRUB's blscfg sorts by the file names alone.
"""

from __future__ import annotations

import functools
import itertools
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from nicpass.boot.arguments.tokens import TRIAL_TOKENS, join_tokens
from nicpass.boot.text.changes import plan_file
from nicpass.model.boot import BootEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nicpass.model.boot import Boot
    from nicpass.model.file_image import FileChange

ENTRIES_FOLDER = "loader/entries"
_LINE = re.compile(r"^([a-zA-Z][\w-]*)[ \t]+(.*?)[ \t\r]*$", re.MULTILINE)
_TRIES = re.compile(r"\+(\d+)(?:-\d+)?$")
_RELEASE = re.compile(r"\d+\.\d+\S*")
_SEGMENT = re.compile(r"(?P<mark>[~^.-]?)(?:(?P<digits>\d+)|(?P<letters>[A-Za-z]*))", re.ASCII)
_NO_SEPARATOR = re.compile(r"[^A-Za-z0-9~^.-]+")
_REPLACED = ("sort-key", "machine-id", "version", "title", "options")
"""Keys of lines that a copied entry has otherwise, or not at all: some sort an entry, or make it the distribution's."""


class BlsEntry(NamedTuple):
    """A boot entry, with the values by which loaders sort it."""

    entry: BootEntry
    machine_id: str | None
    sort_key: str | None
    version: str
    has_tries_left: bool


def is_entry(path: str) -> bool:
    """Whether the file at `path` is an entry of the Boot Loader Specification."""
    return posixpath.dirname(path).endswith(f"/{ENTRIES_FOLDER}") and path.endswith(".conf")


def parse_entry(path: str, content: bytes) -> BlsEntry | None:
    """The entry that a file holds; None where it boots no Linux kernel. Several `options` lines are joined."""
    text = content.decode("utf-8", "backslashreplace")
    lines = _LINE.findall(text)
    values = dict(reversed(lines))
    if "linux" not in values:
        return None
    name = posixpath.basename(path).removesuffix(".conf")
    tries = _TRIES.search(name)
    release = _RELEASE.fullmatch(values.get("version", "")) or _RELEASE.search(posixpath.basename(values["linux"]))
    identity = name[: tries.start()] if tries else name
    entry = BootEntry(
        identity=identity,
        title=values.get("title", identity),
        kernel=release[0] if release else None,
        arguments=written_arguments(text),
        source=path,
        text=text,
    )
    return BlsEntry(
        entry=entry,
        machine_id=values.get("machine-id"),
        sort_key=values.get("sort-key"),
        version=values.get("version", ""),
        has_tries_left=tries is None or int(tries[1][:9]) > 0,
    )


def written_arguments(text: str) -> str:
    """The arguments as an entry's lines have them, all its `options` joined, with the loader's variables in them."""
    return " ".join(" ".join(value for key, value in _LINE.findall(text) if key == "options").split())


def sort_as_systemd_boot(entries: Iterable[BlsEntry]) -> list[BlsEntry]:
    """Entries in the order of systemd-boot's menu (250 and later), whose first is booted if nothing else is said."""
    return sorted(entries, key=functools.cmp_to_key(_compare))


def sort_as_grub(entries: Iterable[BlsEntry]) -> list[BlsEntry]:
    """The entries in the order of GRUB's menu: by the names of their files, the newest first."""
    by_name = functools.cmp_to_key(compare_versions)
    return sorted(entries, key=lambda entry: by_name(entry.entry.identity), reverse=True)


def own_entries(boot: Boot, trial: str) -> tuple[str, ...]:
    """The paths of this installation's entries, which the reader has chosen, without the trial entry's."""
    return tuple(file.path for file in boot.files if is_entry(file.path) and _name(file.path) != f"{trial}.conf")


def plan_trial_entry(boot: Boot, entry: BootEntry, tokens: Sequence[str], trial: str) -> tuple[FileChange, ...]:
    """The change that makes a copy of `entry`, with `tokens`, that no distribution's tool takes for its own.

    Variables of the loader (`$kernelopts`) stay as the entry has them: whatever the loader makes of them there, it
    makes of them here. Filled in by us, one that was overlooked would be a boot without `root=`.
    """
    kept = [line for line in entry.text.splitlines() if not line.startswith(_REPLACED)]
    arguments = f"{written_arguments(entry.text)} {join_tokens((*tokens, *TRIAL_TOKENS))}"
    text = "".join(f"{line}\n" for line in (f"title {entry.title} (nicpass)", f"options {arguments}", *kept))
    source = boot.file(entry.source)
    path = posixpath.join(posixpath.dirname(entry.source), f"{trial}.conf")
    return plan_file(boot, path, text.encode(), mode=source.mode if source is not None else 0o644)


def plan_trial_entry_removal(boot: Boot, trial: str) -> tuple[FileChange, ...]:
    """The changes that remove the trial entry, wherever it stands."""
    paths = (file.path for file in boot.files if _name(file.path) == f"{trial}.conf")
    return tuple(change for path in paths for change in plan_file(boot, path, None))


def compare_versions(one: str, other: str) -> int:
    """Less than 0 where version `one` is older, more where newer: UAPI.10, as strverscmp_improved() of systemd does it.

    Digits are newer than letters, and a segment with a mark before it is older than one without: `~` first, then `-`,
    `^`, `.`.
    """
    for a, b in itertools.zip_longest(_segments(one), _segments(other), fillvalue=_END):
        if a != b:
            return -1 if a < b else 1
    return 0


class _Segment(NamedTuple):
    mark: int
    is_number: bool
    length: int
    """Digits of a number: the longer number is the greater."""
    text: str


_MARKS = {"~": 0, "": 5, "-": 2, "^": 3, ".": 4}
_END = _Segment(1, is_number=False, length=0, text="")
"""The end of a version: the longer of two versions is newer, but for `~`."""


def _segments(text: str) -> list[_Segment]:
    found: list[_Segment] = []
    for part in _NO_SEPARATOR.split(text):
        for segment in _SEGMENT.finditer(part):
            if segment[0]:
                digits = (segment["digits"] or "").lstrip("0")
                is_number = segment["digits"] is not None
                found.append(
                    _Segment(_MARKS[segment["mark"]], is_number, len(digits), digits or segment["letters"] or "")
                )
    return found


def _compare(one: BlsEntry, other: BlsEntry) -> int:
    if one.has_tries_left != other.has_tries_left:
        return -1 if one.has_tries_left else 1
    if (one.sort_key is None) != (other.sort_key is None):
        return 1 if one.sort_key is None else -1
    if one.sort_key is not None:
        mine, theirs = (one.sort_key, one.machine_id or ""), (other.sort_key or "", other.machine_id or "")
        if mine != theirs:
            return -1 if mine < theirs else 1
        if newer := compare_versions(other.version, one.version):
            return newer
    return compare_versions(other.entry.identity, one.entry.identity)


def _name(path: str) -> str:
    return posixpath.basename(path)
