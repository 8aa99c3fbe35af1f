# SPDX-License-Identifier: Apache-2.0
"""Reads what GRUB boots by: grub.cfg, custom.cfg, grubenv, and whether GRUB can write there by itself.

Source: GRUB manual, "The GRUB environment block": GRUB writes grubenv only where the file's blocks are the disk's
own, so not on LVM or RAID, nor on btrfs or ZFS.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from nicpass.boot.loader.grub import DEFAULTS, DEFAULTS_FOLDER, TRIAL_ENTRY
from nicpass.boot.loader.grub_menu import (
    Menu,
    Variables,
    entries_of,
    find_default,
    find_entry,
    join_menus,
    parse_environment,
    parse_menu,
    parse_variables,
)
from nicpass.host.boot.file import list_names, read_boot_file
from nicpass.host.system.mounts import read_mounts
from nicpass.model.boot import BootEntry, BootFile, GeneratedFile
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.boot.loader.grub_menu import MenuItem
    from nicpass.host.doors.files import Files

_LARGEST = 1 << 20  # bytes of a grub.cfg; one with 100 kernels has 300 kB
_FOLDERS = ("/boot/grub", "/boot/grub2")
_ESP_FOLDER = "/boot/efi/EFI"
_PASSWORD = re.compile(rb"^[ \t]*password(?:_pbkdf2)?[ \t]", re.MULTILINE)
_WRITABLE_KINDS = frozenset({"ext2", "ext3", "ext4", "xfs", "vfat"})


class GrubConfig(NamedTuple):
    """The menu and the settings that GRUB's own files hold."""

    path: str
    generated: GeneratedFile
    entries: Fact[tuple[BootEntry, ...]]
    default_entry: Fact[str]
    one_shot: Fact[str]
    why_not_try: str
    """Why no entry can be tried once; empty where one can."""
    has_bls: bool
    custom: BootFile | None
    environment: Fact[dict[str, str]] = None
    variables: Variables = Variables({}, {})
    """What grub.cfg sets; looked for only where it has entries of the Boot Loader Specification."""


def find_grub_config(files: Files) -> str | None:
    """The path of the grub.cfg that holds the menu; None where there is none.

    On UEFI, Red Hat's GRUB 2.02 had it on the EFI system partition, where the grub.cfg of others is a stub.
    """
    for folder in _FOLDERS:
        path = f"{folder}/grub.cfg"
        if not files.exists(path):
            continue
        return path
    for vendor in sorted(list_names(files, _ESP_FOLDER)):
        path = f"{_ESP_FOLDER}/{vendor}/grub.cfg"
        content = files.read_bytes(path, _LARGEST)
        if isinstance(content, bytes) and re.search(rb"^[ \t]*menuentry ", content, re.MULTILINE):
            return path
    return None


def read_grub_config(files: Files, path: str, programs: tuple[str, ...]) -> GrubConfig:
    """The configuration that the menu at `path` and the files beside it hold; passwords stay where they are."""
    content = files.read_bytes(path, _LARGEST + 1)
    folder = posixpath.dirname(path)
    custom = _without_password(read_boot_file(files, f"{folder}/custom.cfg"))
    environment = parse_environment(files.read_bytes(f"{folder}/grubenv", 4096))
    if isinstance(content, bytes) and len(content) > _LARGEST:
        content = Unknown(f"larger than {_LARGEST >> 20} MiB: {path}")
    if not isinstance(content, bytes):
        entries = content or Unknown(f"absent: {path}")
        generated = GeneratedFile(path=path)
        return GrubConfig(path, generated, entries, entries, entries, entries.unknown, has_bls=False, custom=custom)
    text = content.decode("utf-8", "backslashreplace")
    has_bls = re.search(r"^[ \t]*(?:insmod )?blscfg\b", text, re.MULTILINE) is not None
    items = _read_items(text, path, custom)
    default = items if isinstance(items, Unknown) else find_default(text, items, environment)
    return GrubConfig(
        path=path,
        generated=GeneratedFile(path=path, before=hashlib.sha256(content).hexdigest()),
        entries=items if isinstance(items, Unknown) else _without_text(entries_of(items), default),
        default_entry=default,
        one_shot=_one_shot(environment, items),
        why_not_try=_why_not_try(files, text, folder, items, default, custom) or _why_no_program(programs),
        has_bls=has_bls,
        custom=custom,
        environment=environment,
        variables=parse_variables(text) if has_bls else Variables({}, {}),
    )


def read_defaults(files: Files, *, reads_grub_d: bool) -> Iterator[BootFile]:
    """/etc/default/grub and, where grub-mkconfig reads them, the files of /etc/default/grub.d that end with `.cfg`."""
    folder = list_names(files, DEFAULTS_FOLDER) if reads_grub_d else ()
    paths = [DEFAULTS, *(f"{DEFAULTS_FOLDER}/{name}" for name in sorted(folder) if name.endswith(".cfg"))]
    return (file for path in paths if (file := read_boot_file(files, path)) is not None)


def _read_items(text: str, path: str, custom: BootFile | None) -> tuple[MenuItem, ...] | Unknown:
    menu = parse_menu(text, path)
    if isinstance(menu, Unknown) or custom is None:
        return menu if isinstance(menu, Unknown) else menu.items
    if isinstance(custom.content, bytes):
        more = parse_menu(custom.content.decode("utf-8", "backslashreplace"), custom.path)
        return more if isinstance(more, Unknown) else join_menus(menu, more)
    # A custom.cfg that cannot be read may hold a password; its entries come after those that are generated.
    return join_menus(menu, Menu(()))


def _one_shot(environment: Fact[dict[str, str]], items: tuple[MenuItem, ...] | Unknown) -> Fact[str]:
    if isinstance(environment, Unknown) or not (name := (environment or {}).get("next_entry")):
        return environment if isinstance(environment, Unknown) else None
    if isinstance(items, Unknown):
        return items
    return name if name == TRIAL_ENTRY else find_entry(name, items)


def _why_not_try(
    files: Files,
    text: str,
    folder: str,
    items: tuple[MenuItem, ...] | Unknown,
    default: Fact[str],
    custom: BootFile | None,
) -> str:
    if isinstance(items, Unknown) or isinstance(default, Unknown):
        return items.unknown if isinstance(items, Unknown) else default.unknown if isinstance(default, Unknown) else ""
    if default is None or not any(entry.identity == default for entry in entries_of(items) if entry.arguments):
        return "the entry that boots by default starts no Linux kernel"
    if "${next_entry}" not in text or "/custom.cfg" not in text:
        return "grub.cfg asks for no entry to be booted once, or for no custom.cfg"
    if custom is not None and isinstance(custom.content, Unknown):
        return custom.content.unknown
    return _why_not_writable(files, f"{folder}/grubenv")


def why_not_once(files: Files, config: GrubConfig, programs: tuple[str, ...]) -> str:
    """Why GRUB could not boot an entry of the Boot Loader Specification once; empty where it can."""
    content = files.read_bytes(config.path, _LARGEST)
    if not isinstance(content, bytes) or b"${next_entry}" not in content:
        return "grub.cfg asks for no entry to be booted once"
    return _why_not_writable(files, f"{posixpath.dirname(config.path)}/grubenv") or _why_no_program(programs)


def _why_no_program(programs: tuple[str, ...]) -> str:
    for name in ("reboot", "editenv"):
        if not {f"grub-{name}", f"grub2-{name}"} & set(programs):
            return f"not installed: grub-{name}"
    return ""


def _why_not_writable(files: Files, path: str) -> str:
    """Why GRUB could not write to the file at `path` before any kernel runs; empty where it can."""
    link = files.read_link(path)
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) if isinstance(link, str) else path
    mounts = read_mounts(files)
    if not isinstance(mounts, tuple):
        return mounts.unknown if mounts is not None else "no mounts"
    above = [mount for mount in mounts if mount.path == "/" or f"{place}/".startswith(f"{mount.path}/")]
    if not above:
        return f"not mounted: {place}"
    mount = max(reversed(above), key=lambda mount: len(mount.path))
    if mount.kind not in _WRITABLE_KINDS:
        return f"GRUB cannot write to {mount.kind}: {mount.path}"
    device = files.read_link(f"/sys/dev/block/{mount.device}")
    if not isinstance(device, str):
        return device.unknown if device is not None else f"absent: /sys/dev/block/{mount.device}"
    return _why_not_plain(files, mount.device, device)


def _why_not_plain(files: Files, number: str, device: str) -> str:
    if "/virtual/block/" not in device:
        return ""
    mapping = files.read_attribute(f"/sys/dev/block/{number}/dm/uuid")
    if isinstance(mapping, str) and re.fullmatch(r"(?:part\d+-)?mpath-.*", mapping):
        return ""
    return f"GRUB cannot write to a disk made of others (LVM, RAID, encrypted): {posixpath.basename(device)}"


def _without_password(file: BootFile | None) -> BootFile | None:
    if file is None or not isinstance(file.content, bytes) or not _PASSWORD.search(file.content):
        return file
    return BootFile(path=file.path, content=Unknown(f"holds a password: {file.path}"), mode=file.mode)


def _without_text(entries: tuple[BootEntry, ...], default: Fact[str]) -> tuple[BootEntry, ...]:
    """The entries, with the text of the default entry alone: only of that one can a copy be wanted."""
    return tuple(
        entry
        if entry.identity == default
        else BootEntry(
            identity=entry.identity,
            title=entry.title,
            kernel=entry.kernel,
            arguments=entry.arguments,
            source=entry.source,
        )
        for entry in entries
    )
