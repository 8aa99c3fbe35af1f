# SPDX-License-Identifier: Apache-2.0
"""Reads boot bindings and what the last boot made of them."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING

from nicpass.host.boot.own_folder import read_folder
from nicpass.model.binding import FOLDER, REPORTS, SUFFIX, BootBindings, BuiltinDriver, DamagedFile
from nicpass.model.fact import Fact, known
from nicpass.model.pci import IDS, modalias_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files
    from nicpass.model.binding import BindingReport
    from nicpass.model.boot import BootBinding
    from nicpass.model.pci import PciFunction

_NETWORK_CLASS = 0x02
_KIND = attrgetter("driver", *IDS)
"""By what functions are alike that one answer is for."""
# Strings `module.key=value`, each with a NUL behind it (Documentation/kbuild/kbuild.rst, modules.builtin.modinfo).
# Aliases of one vendor's devices only: a module that serves a whole class is no NIC's own driver.
_BUILTIN_ALIAS = rb"([^\0.]+)\.alias=(pci:v0000[^\0]*)"


def read_boot_bindings(files: Files, kernel: Fact[str], functions: Iterable[PciFunction]) -> BootBindings:
    """The boot bindings, the last boot's reports on them, damaged files of both, and NICs whose driver is built in."""
    damaged: list[DamagedFile] = []
    bindings = read_folder(files, FOLDER, SUFFIX, _parse_binding, damaged)
    reports = read_folder(files, REPORTS, "", _parse_report, damaged)
    return BootBindings(
        bindings=() if bindings is None else bindings,
        reports=reports,
        damaged=tuple(damaged),
        builtin_drivers=tuple(_find_builtin(files, kernel, functions)),
    )


def _parse_binding(name: str, content: bytes) -> BootBinding | DamagedFile:
    from nicpass.boot.binding.boot_d import parse_binding  # late: many a host has none

    return parse_binding(name, content)


def _parse_report(name: str, content: bytes) -> BindingReport | DamagedFile:
    from nicpass.boot.binding.boot_d import parse_report  # late: many a host has none

    return parse_report(name, content)


def _find_builtin(files: Files, kernel: Fact[str], functions: Iterable[PciFunction]) -> Iterable[BuiltinDriver]:
    """NICs whose driver is built in, by the driver that a NIC has, or by built-in aliases where it has none."""
    nics = [f for f in functions if known(f.class_code) and f.class_code >> 16 == _NETWORK_CLASS]
    listing = files.read_text(f"/lib/modules/{kernel}/modules.builtin") if nics and isinstance(kernel, str) else None
    if not isinstance(listing, str):
        return
    import fnmatch  # late: with the kernel's list at hand alone

    builtin = {line.rpartition("/")[2].removesuffix(".ko").replace("-", "_") for line in listing.splitlines()}
    content = files.read_bytes(f"/lib/modules/{kernel}/modules.builtin.modinfo")
    text = content if isinstance(content, bytes) else b""
    aliases = [
        (pattern.decode("latin-1"), name.decode("latin-1")) for name, pattern in re.findall(_BUILTIN_ALIAS, text)
    ]
    modules: dict[tuple[object, ...], str] = {}  # a thousand NICs are of a few kinds
    for function in nics:
        kind = _KIND(function)
        if kind not in modules:
            module = function.driver.replace("-", "_") if known(function.driver) else ""
            if module not in builtin or module.endswith("vfio_pci"):
                alias = modalias_of(function) or ""
                module = next((name for pattern, name in aliases if fnmatch.fnmatchcase(alias, pattern)), "")
            modules[kind] = module.replace("-", "_")
        if modules[kind]:
            yield BuiltinDriver(address=function.address, module=modules[kind])
