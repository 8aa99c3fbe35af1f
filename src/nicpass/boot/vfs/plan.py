# SPDX-License-Identifier: Apache-2.0
"""Plans which files make VFs last. A plan is for all PFs of a host; with none, all its files go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicpass.boot.text.own_files import change_files, keep_damaged
from nicpass.boot.vfs.declaration import parse_declaration, render_declaration
from nicpass.boot.vfs.units import PATH_UNIT, service_unit, udev_rules
from nicpass.model.boot import BootChange, Generator
from nicpass.model.declared_vfs import FOLDER, path_of
from nicpass.model.file_image import Folder, RegularFile, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.boot.text.own_files import Images
    from nicpass.model.declared_vfs import DeclaredVfs
    from nicpass.model.file_image import FileImage

HOME: Final = "/etc/nicpass"
SERVICE: Final = "/etc/systemd/system/nicpass-vfs.service"
PATH: Final = "/etc/systemd/system/nicpass-vfs.path"
RULES: Final = "/etc/udev/rules.d/71-nicpass-vfs.rules"
_WANTS = "/etc/systemd/system/multi-user.target.wants"
ENABLED: Final = f"{_WANTS}/nicpass-vfs.service"
WATCHED: Final = f"{_WANTS}/nicpass-vfs.path"
_LINKS = {ENABLED: SERVICE, WATCHED: PATH}

_FOLDERS = ("/etc/systemd", "/etc/systemd/system", _WANTS, "/etc/udev", "/etc/udev/rules.d")
"""Folders of others; some hosts lack the one or the other, and its files are above all in /usr/lib."""

PLACES: Final = (HOME, FOLDER, SERVICE, PATH, *_FOLDERS, RULES, *_LINKS)
"""Every path that a plan may write besides the files of the PFs."""

_RELOAD_SYSTEMD = Generator(argv=("systemctl", "daemon-reload"))
_RELOAD_UDEV = Generator(argv=("udevadm", "control", "--reload"))
_WATCH = ("systemctl", "start", "nicpass-vfs.path")
_WATCH_NO_MORE = ("systemctl", "stop", "nicpass-vfs.path")


def plan_declarations(now: Images, declared: Iterable[DeclaredVfs], python: str, package: str) -> BootChange:
    """The change to a host on which just these VFs last; empty where it is so.

    `now` is what stands at `PLACES` and in the folder of the declarations; `python` and `package` are where this
    nicpass is installed.
    """
    wanted = sorted(declared, key=lambda one: one.address)
    files = change_files(now, _desired(wanted, now, python, package), _is_ours)
    paths = {change.path for change in files}
    generators: list[Generator] = []
    if paths & {SERVICE, PATH}:
        generators.append(_RELOAD_SYSTEMD)
    if RULES in paths:
        generators.append(_RELOAD_UDEV)
    if PATH in paths:
        start, stop = (_WATCH, _WATCH_NO_MORE) if wanted else (_WATCH_NO_MORE, _WATCH)
        generators.append(Generator(argv=start, back=stop))
    return BootChange(files=files, generators=_in_order(generators, starts=bool(wanted)))


def _in_order(generators: list[Generator], *, starts: bool) -> tuple[Generator, ...]:
    """What watches is started after systemd has read its file; the way back, a reload comes before the start too."""
    return tuple(generators) if starts else tuple(reversed(generators))


def _desired(wanted: list[DeclaredVfs], now: Images, python: str, package: str) -> dict[str, FileImage]:
    """Path to the image that shall stand there, in the order of writing."""
    if not wanted:
        return {}
    return {
        **{path: Folder(0o755) for path in (HOME, FOLDER, *_FOLDERS)},
        **keep_damaged(now, FOLDER, parse_declaration),
        **{path_of(one): render_declaration(one) for one in wanted},
        SERVICE: RegularFile(service_unit(python, package).encode()),
        PATH: RegularFile(PATH_UNIT.encode()),
        **{link: SymbolicLink(unit) for link, unit in _LINKS.items()},
        RULES: RegularFile(udev_rules(wanted).encode()),
    }


def _is_ours(path: str) -> bool:
    """Whether a plan may remove `path`; a home that others have files in stays, as folders that are not empty do."""
    return (path in PLACES and "nicpass" in path) or path.startswith(f"{FOLDER}/")
