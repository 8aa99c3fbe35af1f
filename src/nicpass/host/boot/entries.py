# SPDX-License-Identifier: Apache-2.0
"""Reads entries of the Boot Loader Specification, and which of them systemd-boot or GRUB's blscfg takes.

Sources: UAPI.1; systemd's src/boot/boot.c (config_select_default_entry); loader.conf(5).
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.boot.loader import grub, systemd_boot
from nicpass.boot.loader.bls import ENTRIES_FOLDER, BlsEntry, parse_entry, sort_as_grub, sort_as_systemd_boot
from nicpass.boot.loader.grub_menu import Variables
from nicpass.host.boot.efi_variables import VARIABLES
from nicpass.host.boot.file import list_names, read_boot_file
from nicpass.host.system.mounts import read_mounts
from nicpass.model.fact import Fact, Unknown, known

if TYPE_CHECKING:
    from nicpass.host.boot.efi_variables import Firmware
    from nicpass.host.doors.files import Files
    from nicpass.model.boot import BootEntry, BootFile

PARTITIONS = ("/efi", "/boot", "/boot/efi")
"""Folders where the EFI system partition and the extended boot partition are mounted, as bootctl(1) looks for them."""
_MOST_ENTRIES = 500
_FIRST_SORTED_VERSION = 250
"""systemd-boot before 250 sorts otherwise, and takes the last."""
_NO_VARIABLES = Variables({}, {})
_TRIALS = (f"{systemd_boot.TRIAL_ENTRY}.conf", f"{grub.TRIAL_ENTRY}.conf")


class Entries(NamedTuple):
    """All boot entries that were found, and the files of those that are this installation's."""

    found: tuple[BlsEntry, ...]
    files: tuple[BootFile, ...]
    unread: Unknown | None = None
    """Why there may be more entries, or others."""


class Chosen(NamedTuple):
    """The entries as a loader shows them, and which of them it boots."""

    entries: Fact[tuple[BootEntry, ...]]
    default_entry: Fact[str]
    one_shot: Fact[str]
    why_not_try: str


def read_entries(files: Files, partitions: tuple[str, ...] = PARTITIONS) -> Entries:
    """Every boot entry below the mount points `partitions`."""
    machine_id = files.read_text("/etc/machine-id")
    found: list[BlsEntry] = []
    own: list[BootFile] = []
    unread: Unknown | None = None
    for partition in partitions:
        folder = f"{partition}/{ENTRIES_FOLDER}"
        names = files.list_directory(folder)
        unread = unread or (names if isinstance(names, Unknown) else None)
        for name in sorted(names)[:_MOST_ENTRIES] if known(names) else ():
            if not name.endswith(".conf") or name.startswith((".", "auto-")):
                continue
            file = read_boot_file(files, f"{folder}/{name}")
            if file is not None and isinstance(file.content, bytes):
                entry = parse_entry(file.path, file.content)
                found += [entry] if entry is not None else []
                if entry is not None and (name in _TRIALS or entry.machine_id in (None, machine_id)):
                    own.append(file)
            elif file is not None and isinstance(file.content, Unknown):
                unread = unread or file.content
    return Entries(tuple(found), tuple(own), unread)


def choose_as_systemd_boot(files: Files, entries: Entries, firmware: Firmware, programs: tuple[str, ...]) -> Chosen:
    """The entries that systemd-boot shows, and which of them it boots."""
    if entries.unread is not None:
        return Chosen(entries.unread, entries.unread, entries.unread, entries.unread.unknown)
    ordered = sort_as_systemd_boot(entries.found)
    default = _default_of_systemd_boot(files, ordered, firmware)
    one_shot = firmware.one_shot if not known(firmware.one_shot) else _match(firmware.one_shot, ordered)
    return Chosen(
        entries=_with_text_of_default(ordered, default),
        default_entry=default,
        one_shot=one_shot,
        why_not_try=_why_not_try(files, firmware, default, programs),
    )


def choose_as_grub(
    entries: Entries, environment: Fact[dict[str, str]], why_not_writable: str, variables: Variables = _NO_VARIABLES
) -> Chosen:
    """The entries that GRUB's blscfg shows, whose default is named in grubenv; `variables` are grub.cfg's."""
    if entries.unread is not None or isinstance(environment, Unknown):
        unknown = entries.unread or (environment if isinstance(environment, Unknown) else Unknown(""))
        return Chosen(unknown, unknown, unknown, unknown.unknown)
    values = environment or {}
    ordered = [_filled_in(entry, values, variables) for entry in sort_as_grub(entries.found)]
    saved, once = values.get("saved_entry", ""), values.get("next_entry", "")
    default = _named(saved, ordered)
    by_name = default is not None and default == saved and default != grub.TRIAL_ENTRY
    why = "" if by_name else "the default entry is not named in grubenv, and a new one could take its place"
    return Chosen(
        entries=_with_text_of_default(ordered, default),
        default_entry=default,
        one_shot=_named(once, ordered) if once else None,
        why_not_try=why or why_not_writable,
    )


def _default_of_systemd_boot(files: Files, ordered: list[BlsEntry], firmware: Firmware) -> Fact[str]:
    chosen = firmware.default if firmware.default is not None else _default_of_config(files)
    if isinstance(chosen, Unknown):
        return chosen
    if chosen == "@saved":
        chosen = firmware.last
    if isinstance(chosen, Unknown):
        return chosen
    found = _match(chosen, ordered) if chosen else None
    is_exact = found is not None and chosen is not None and chosen.lower() == f"{found}.conf".lower()
    if not is_exact and (image := _unified_image(files)) is not None:
        return Unknown(f"a unified image may come first: {image}")
    return found if found is not None else next((entry.entry.identity for entry in ordered), None)


def _default_of_config(files: Files) -> Fact[str]:
    for partition in PARTITIONS:
        text = files.read_text(f"{partition}/loader/loader.conf")
        if isinstance(text, Unknown):
            return text
        if text is not None:
            said = re.findall(r"^default[ \t]+(\S+)", text, re.MULTILINE)
            return said[-1] if said else None
    return None


def _unified_image(files: Files) -> str | None:
    for partition in PARTITIONS:
        for name in list_names(files, f"{partition}/EFI/Linux"):
            if name.lower().endswith(".efi"):
                return f"{partition}/EFI/Linux/{name}"
    return None


def _match(pattern: str, ordered: list[BlsEntry]) -> str | None:
    """The identity of the first entry that a name or pattern means; case does not matter there."""
    names = ((entry.entry.identity, f"{entry.entry.identity}.conf".lower()) for entry in ordered)
    return next((identity for identity, name in names if fnmatch.fnmatchcase(name, pattern.lower())), None)


def _named(name: str, ordered: list[BlsEntry]) -> str | None:
    """The identity of the entry that GRUB finds for `name`: by number, id or title; else the first."""
    if name.isascii() and name.isdigit() and int(name[:9]) < len(ordered):
        return ordered[int(name[:9])].entry.identity
    found = (entry.entry.identity for entry in ordered if name in (entry.entry.identity, entry.entry.title))
    return next(found, next((entry.entry.identity for entry in ordered), None))


def _filled_in(entry: BlsEntry, values: dict[str, str], variables: Variables) -> BlsEntry:
    """`entry` with `$kernelopts` and the like filled in as GRUB does: from grubenv, or by what grub.cfg sets.

    A variable that is nowhere is empty to GRUB; one of which only GRUB knows the value stays as it is written.
    """

    def fill(found: re.Match[str]) -> str:
        value = variables.value_of(found[1], values)
        return found[0] if isinstance(value, Unknown) else value or ""

    arguments = " ".join(re.sub(r"\$(\w+)", fill, entry.entry.arguments).split())
    return entry._replace(entry=msgspec.structs.replace(entry.entry, arguments=arguments))


def _with_text_of_default(ordered: list[BlsEntry], default: Fact[str]) -> tuple[BootEntry, ...]:
    """The entries, with the text of the default entry alone: only of that one can a copy be wanted."""
    entries = (entry.entry for entry in ordered)
    return tuple(e if e.identity == default else msgspec.structs.replace(e, text="") for e in entries)


def _why_not_try(files: Files, firmware: Firmware, default: Fact[str], programs: tuple[str, ...]) -> str:
    version = re.match(r"systemd-boot (\d{1,6})", firmware.loader) if known(firmware.loader) else None
    if version is None or int(version[1]) < _FIRST_SORTED_VERSION:
        return f"systemd-boot is older than {_FIRST_SORTED_VERSION}, or its version is not known"
    if not known(default):
        return default.unknown if isinstance(default, Unknown) else "there is no entry"
    if "bootctl" not in programs:
        return "not installed: bootctl"
    mounts = read_mounts(files)
    mount = next((m for m in mounts if m.path == VARIABLES), None) if isinstance(mounts, tuple) else None
    if mount is None or "ro" in mount.options.split(","):
        return f"not mounted for writing: {VARIABLES}"
    return ""
