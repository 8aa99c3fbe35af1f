# SPDX-License-Identifier: Apache-2.0
"""Which lines of the host's configuration give a NIC its driver, or its number of VFs, at every boot."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.model.fact import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.leftovers import BootLine
    from nicpass.model.pci import PciFunction

_CMDLINE = "/proc/cmdline"
_MODULE_COUNTS = r"(?:^|\s)(?:max_vfs|num_vfs)=(\d{1,5})(?:,\d+)*(?=\s|$)"
# `echo 4 > ..numvfs`, udev's `ATTR{..numvfs}="4"`, `class/net/../sriov_numvfs = 4`, tmpfiles' `w PATH - - - - 4`.
_COUNTS = (
    r"echo\s+[\"']?(\d{1,5})[\"']?\s*(?:>|\|).*sriov_numvfs",
    r"sriov_numvfs\}?\s*=\s*[\"']?(\d{1,5})",
    r"sriov_numvfs\s+(?:\S+\s+){4}(\d{1,5})",
)
_UDEV_TESTS = (
    r'\b(KERNELS?|DRIVERS?|NAME|ENV\{ID_NET_DRIVER\}|ENV\{INTERFACE\}|ENV\{PCI_SLOT_NAME\}|ATTR\{address\})=="([^"]*)"'
)
_ADDRESS = r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"


class CountSetting(msgspec.Struct, frozen=True):
    """A line that gives a PF its VFs at every boot; `vfs` is None where the line does not show it."""

    source: str
    text: str
    vfs: int | None


def find_counts(function: PciFunction, index: HostIndex) -> list[CountSetting]:
    """All settings of the number of VFs of `function`, each file once."""
    names = {link.name for link in index.netdevs(function)}
    intents = index.host.network.intents
    found = [
        CountSetting(each.source, each.text, each.count)
        for each in (intents.vf_counts if intents is not None else ())
        if each.netdev in names
    ]
    found += _by_module(function, index)
    for line in index.host.leftovers.boot_lines:
        if "sriov_numvfs" in line.text and _means(line, function, index):
            shown = next((hit for pattern in _COUNTS if (hit := re.search(pattern, line.text))), None)
            found.append(CountSetting(line.path, line.text, int(shown[1]) if shown else None))
    # A script takes the VFs away before it makes others.
    by_source: dict[str, CountSetting] = {}
    for setting in found:
        if setting.source not in by_source or not by_source[setting.source].vfs:
            by_source[setting.source] = setting
    return [*by_source.values()]


def _by_module(function: PciFunction, index: HostIndex) -> Iterator[CountSetting]:
    """By an option of the driver's module (`max_vfs` of igb and older ixgbe, `num_vfs` of mlx4_core and be2net)."""
    module = function.driver.replace("-", "_") if known(function.driver) else None
    for each in index.host.leftovers.directives if module is not None else ():
        hit = re.search(_MODULE_COUNTS, each.value) if (each.command, each.module) == ("options", module) else None
        if hit:
            yield CountSetting(each.path, each.text.strip(), int(hit[1]))
    cmdline = index.host.platform.cmdline
    arguments = parse_cmdline(cmdline) if isinstance(cmdline, str) else {}
    for name in ("max_vfs", "num_vfs"):
        for value in arguments.get(f"{module}.{name}", ()):
            if hit := re.match(r"\d{1,5}", value):
                yield CountSetting(_CMDLINE, f"{module}.{name}={value}", int(hit[0]))


def find_binders(function: PciFunction, index: HostIndex) -> list[tuple[str, str]]:
    """(File, line) by which a boot may give `function` its driver: `install` of vfio-pci, scripts, rules, driverctl."""
    left = index.host.leftovers
    found = [
        (each.path, each.text.strip())
        for each in left.directives
        if (each.command, each.module) == ("install", "vfio_pci") and not re.match(r"\S*/(?:false|true)$", each.value)
    ]
    found += [
        (line.path, line.text)
        for line in left.boot_lines
        if "sriov_numvfs" not in line.text and _means(line, function, index)
    ]
    found += [
        (rule.path, rule.text.strip())
        for rule in left.udev_rules
        if _passes(rule.text, _names_of(function, index))
        and (function.address in rule.text.lower() or not re.search(_ADDRESS, rule.text))
    ]
    found += [(each.path, each.driver) for each in left.driverctl if each.address == function.address]
    return [*dict.fromkeys(found)]


def _means(line: BootLine, function: PciFunction, index: HostIndex) -> bool:
    """Whether a line means the function: by what it names itself, else by what its file names; else perhaps."""
    names = _names_of(function, index)
    if not _passes(line.text, names):
        return False
    said = [word for word in line.devices if word in line.text.lower()] or line.devices
    return not said or any(word in names for word in said)


def _passes(rule: str, names: set[str]) -> bool:
    """Whether the tests of a udev rule that are understood here let a device of these names pass."""
    return all(
        any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns.split("|") for name in names)
        for _key, patterns in re.findall(_UDEV_TESTS, rule)
    )


def _names_of(function: PciFunction, index: HostIndex) -> set[str]:
    """All words, in small letters, by which a line may mean the function: address, driver, interfaces, MACs."""
    names = {str(function.address).lower()}
    if known(function.driver):
        names.add(function.driver.lower())
    for link in index.netdevs(function):
        names |= {word.lower() for word in (link.name, *link.altnames, link.mac, link.permanent_mac) if word}
    return names
