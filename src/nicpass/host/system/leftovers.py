# SPDX-License-Identifier: Apache-2.0
"""Reads what earlier hands left: modprobe.d, driverctl, udev rules, and the same on the kernel's command line.

Sources: modprobe.d(5), udev(7), driverctl(8), kernel-parameters.txt (`module_blacklist=`), kmod(8).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.host.system.claims import read_claims
from nicpass.model.address import parse_address
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.leftovers import BootLine, Directive, DriverctlOverride, Leftovers, ModuleAlias, UdevRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.pci import PciFunction

CMDLINE = "/proc/cmdline"
MODPROBE_FOLDERS = tuple(f"{place}/modprobe.d" for place in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
"""Folders by priority: of two files with one name the first is read, the other is not."""
UDEV_FOLDERS = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d")
"""Folders where administrators put udev rules; those of packages are in /usr/lib."""
DRIVERCTL_FOLDER = "/etc/driverctl.d"

_BLACKLISTS = ("module_blacklist", "modprobe.blacklist")
_IDS = "vfio_pci.ids"
_COMMANDS = ("options", "blacklist", "install")
_GIVES_TO_VFIO = r"driver_override|vfio[-_]pci"
_NETWORK_ALIAS = r"bc(?:02|\*)"
_NETWORK_CLASS = 0x02


def read_leftovers(files: Files, cmdline: Fact[str], kernel: Fact[str], functions: Iterable[PciFunction]) -> Leftovers:
    """All of `Leftovers`. `functions` tell whether it matters which devices a blacklisted module is for."""
    unread: list[str] = []
    boot_lines: list[BootLine] = []
    directives = (*_read_modprobe(files, unread), *parse_cmdline_directives(cmdline))
    lacking = any(_lacks_driver(function) for function in functions)
    return Leftovers(
        directives=directives,
        loaded_ids=files.read_attribute("/sys/module/vfio_pci/parameters/ids"),
        driverctl=tuple(_read_driverctl(files, unread)),
        udev_rules=tuple(_read_udev(files, unread, boot_lines)),
        boot_lines=(*boot_lines, *(_read_scripts(files, unread) if _may_matter(functions) else ())),
        claims=read_claims(files, unread),
        blacklisted_aliases=_read_aliases(files, kernel, directives) if lacking else (),
        unread=tuple(unread),
    )


def _lacks_driver(function: PciFunction) -> bool:
    """Whether a network controller has no driver, or one of VFIO's: the driver it could have is worth a look."""
    is_network = known(function.class_code) and function.class_code >> 16 == _NETWORK_CLASS
    return is_network and (not known(function.driver) or "vfio" in function.driver)


def parse_modprobe(path: str, text: str) -> Iterator[Directive]:
    """modprobe.d's lines that matter here. A backslash at the end joins lines; a # at the beginning is a comment."""
    logical = ""
    for line in (*text.split("\n"), ""):
        if line.endswith("\\"):
            logical += f"{line}\n"
            continue
        logical, whole = "", logical + line
        words = whole.replace("\\\n", " ").split(None, 2)
        if len(words) >= 2 and words[0] in _COMMANDS:
            yield Directive(
                path=path,
                text=whole.removesuffix("\n"),
                command=words[0],
                module=words[1].replace("-", "_"),
                value=words[2].strip() if len(words) > 2 else "",
            )


def parse_cmdline_directives(cmdline: Fact[str]) -> tuple[Directive, ...]:
    """The kernel's arguments that have the effect of a line in modprobe.d."""
    if not isinstance(cmdline, str):
        return ()
    arguments = parse_cmdline(cmdline)
    found = [
        Directive(path=CMDLINE, text=f"{name}={value}", command="blacklist", module=module.replace("-", "_"))
        for name in _BLACKLISTS
        for value in arguments.get(name, ())
        for module in value.split(",")
        if module
    ]
    for value in arguments.get(_IDS, ()):
        ids = f"ids={value}"
        found.append(Directive(path=CMDLINE, text=f"vfio-pci.{ids}", command="options", module="vfio_pci", value=ids))
    return tuple(found)


def _read_modprobe(files: Files, unread: list[str]) -> Iterator[Directive]:
    seen: set[str] = set()
    for folder in MODPROBE_FOLDERS:
        for name in _list(files, folder, ".conf", unread):
            if name not in seen:
                seen.add(name)
                yield from parse_modprobe(f"{folder}/{name}", _read(files, f"{folder}/{name}", unread))


def _may_matter(functions: Iterable[PciFunction]) -> bool:
    """Whether a boot may give a NIC to VFIO or make VFs: else no script is worth a look."""
    return any(_lacks_driver(each) or (known(each.totalvfs) and each.totalvfs > 0) for each in functions)


def _read_scripts(files: Files, unread: list[str]) -> Iterator[BootLine]:
    from nicpass.host.system.boot_scripts import read_boot_lines  # late: most hosts have no NIC that it is about

    return read_boot_lines(files, unread)


def _read_udev(files: Files, unread: list[str], counts: list[BootLine]) -> Iterator[UdevRule]:
    """The rules that give devices to VFIO; those that make VFs go to `counts`."""
    for folder in UDEV_FOLDERS:
        for name in _list(files, folder, ".rules", unread):
            for line in _read(files, f"{folder}/{name}", unread).split("\n"):
                if line.lstrip().startswith("#"):
                    continue
                if "sriov_numvfs" in line:
                    counts.append(BootLine(path=f"{folder}/{name}", text=line.strip()))
                elif re.search(_GIVES_TO_VFIO, line):
                    yield UdevRule(path=f"{folder}/{name}", text=line)


def _read_driverctl(files: Files, unread: list[str]) -> Iterator[DriverctlOverride]:
    for name in _list(files, DRIVERCTL_FOLDER, "", unread):
        address = parse_address(name.removeprefix("pci-"))
        if address is not None:
            path = f"{DRIVERCTL_FOLDER}/{name}"
            yield DriverctlOverride(path=path, address=address, driver=_read(files, path, unread))


def _list(files: Files, folder: str, suffix: str, unread: list[str]) -> list[str]:
    names = files.list_directory(folder)
    if isinstance(names, Unknown):
        unread.append(names.unknown)
    return sorted(name for name in (names if known(names) else ()) if name.endswith(suffix))


def _read(files: Files, path: str, unread: list[str]) -> str:
    """The text of a file; of one that has gone or cannot be read, nothing."""
    text = files.read_text(path)
    if isinstance(text, Unknown):
        unread.append(text.unknown)
    return text if isinstance(text, str) else ""


def _read_aliases(files: Files, kernel: Fact[str], directives: tuple[Directive, ...]) -> tuple[ModuleAlias, ...]:
    """The PCI aliases, of a network controller's class, of the modules that are kept from loading."""
    modules = {each.module for each in directives if each.command in ("blacklist", "install")}
    if not modules or not isinstance(kernel, str):
        return ()
    text = files.read_text(f"/lib/modules/{kernel}/modules.alias")
    found = []
    for line in text.splitlines() if isinstance(text, str) else ():
        if line.startswith("alias pci:"):
            pattern, _, module = line[6:].partition(" ")
            if module in modules and re.search(_NETWORK_ALIAS, pattern):
                found.append(ModuleAlias(pattern=pattern, module=module))
    return tuple(found)
