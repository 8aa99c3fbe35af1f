# SPDX-License-Identifier: Apache-2.0
"""Reads which network manager configures an interface, from the files in which the managers say so themselves.

Sources: NetworkManager, src/core/nm-config.c (`nm_config_device_state_write`) and the keyfile plugin's `[.nmmeta]`;
systemd, src/network/networkd-state-file.c (`link_save`); ifupdown, ifup(8), FILES. The file of a manager that has
ended stays behind; that it runs is seen by the control group of its unit (cgroups(7)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.network import IFUPDOWN, NETWORK_MANAGER, NETWORKD, LinkManager

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.network import Link, ManagerName

NM_DEVICES = "/run/NetworkManager/devices"
NM_PROFILES = "/run/NetworkManager/system-connections"
NETWORKD_LINKS = "/run/systemd/netif/links"
IFSTATE = "/run/network/ifstate"

_UNIT_FOLDERS = ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice")
"""Folders of units' control groups, in the unified hierarchy and in the older one that systemd keeps for itself."""
_UNITS: dict[ManagerName, str] = {
    NETWORK_MANAGER: "NetworkManager.service",
    NETWORKD: "systemd-networkd.service",
}
_LIMIT = 1 << 20  # bytes; such a file has a few hundred
_UNDECIDED = ("pending", "initialized")
_TRUE = ("true", "1")
"""How GLib's key files write a boolean; older ones wrote 1."""


def read_managers(files: Files, links: Iterable[Link]) -> tuple[LinkManager, ...]:
    """Each interface of a device with the manager that configures it; one that nobody manages is not among them.

    A manager that has the interface and does nothing to it (NetworkManager's disconnected or "connected
    (externally)", systemd-networkd's unmanaged) does not count.
    """
    wanted = [link.name for link in links if link.kind is None and link.name != "lo"]
    found = [*_read_ifupdown(files, wanted)]
    runs_nm, runs_networkd = _runs(files, NETWORK_MANAGER, NM_DEVICES), _runs(files, NETWORKD, NETWORKD_LINKS)
    for name in wanted if runs_nm or runs_networkd else ():
        index = files.read_int(f"/sys/class/net/{name}/ifindex")
        if isinstance(index, int):
            found += _named(name, NETWORK_MANAGER, _read_nm(files, index) if runs_nm else None)
            found += _named(name, NETWORKD, _read_networkd(files, index) if runs_networkd else None)
        elif isinstance(index, Unknown):
            found += _named(name, NETWORK_MANAGER if runs_nm else NETWORKD, index)
    return tuple(found)


def _named(netdev: str, manager: ManagerName, profile: Fact[str]) -> Iterator[LinkManager]:
    if profile is not None:
        yield LinkManager(netdev=netdev, manager=manager, profile=profile)


def _runs(files: Files, manager: ManagerName, folder: str) -> bool:
    """Whether a manager runs; without control groups (a capture, no systemd) its files are taken at their word."""
    if not files.exists(folder):
        return False
    slices = [path for path in _UNIT_FOLDERS if files.exists(path)]
    return not slices or any(files.exists(f"{path}/{_UNITS[manager]}") for path in slices)


def _read_lines(files: Files, path: str) -> Fact[list[str]]:
    content = files.read_bytes(path, _LIMIT)
    if not isinstance(content, bytes):
        return content
    return content.decode("utf-8", "backslashreplace").splitlines()


def _read_nm(files: Files, index: int) -> Fact[str]:
    """The UUID of the profile that is active; None where NetworkManager configures nothing."""
    path = f"{NM_DEVICES}/{index}"
    lines = _read_lines(files, path)
    if not isinstance(lines, list):
        return lines
    sections = parse_keyfile(lines)
    if lines and "device" not in sections:
        return Unknown(f"not NetworkManager's state of a device: {path}")
    device = sections.get("device", {})
    uuid = device.get("connection-uuid", "")
    if device.get("managed") not in _TRUE or not uuid:
        return None
    external = _is_external(files, uuid)
    return external if isinstance(external, Unknown) else None if external else uuid


def _is_external(files: Files, uuid: str) -> bool | Unknown:
    """Whether the profile is only NetworkManager's picture of what somebody else has configured."""
    names = files.list_directory(NM_PROFILES)
    if isinstance(names, Unknown):
        return names
    for name in names or ():
        lines = _read_lines(files, f"{NM_PROFILES}/{name}")
        if isinstance(lines, Unknown):
            return lines
        sections = parse_keyfile(lines or [])
        if sections.get("connection", {}).get("uuid") == uuid:
            # Before 1.26 there is no `external`; such a profile is made by NetworkManager and goes with the address.
            marks = sections.get(".nmmeta", {})
            made = marks.get("nm-generated") in _TRUE and marks.get("volatile") in _TRUE
            return marks.get("external") in _TRUE or made
    return False


def parse_keyfile(lines: Iterable[str]) -> dict[str, dict[str, str]]:
    """Sections of `key=value` (the Desktop Entry Specification's format, as GLib reads it); the last value counts."""
    sections: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in map(str.strip, lines):
        if line.startswith("[") and line.endswith("]"):
            section = sections.setdefault(line[1:-1], {})
        elif "=" in line and not line.startswith("#"):
            key, _equals, value = line.partition("=")
            section[key.strip()] = value.strip()
    return sections


def _read_networkd(files: Files, index: int) -> Fact[str]:
    """The .network file by which systemd-networkd configures the link; None where it leaves the link alone."""
    path = f"{NETWORKD_LINKS}/{index}"
    lines = _read_lines(files, path)
    if not isinstance(lines, list):
        return lines
    found = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    state, file = found.get("ADMIN_STATE"), found.get("NETWORK_FILE")
    if state is None:
        return Unknown(f"not systemd-networkd's state of a link: {path}")
    if state in _UNDECIDED and file is None:
        return Unknown(f"systemd-networkd has not decided about the link yet: {path}")
    return None if state == "unmanaged" else file


def _read_ifupdown(files: Files, names: Iterable[str]) -> Iterator[LinkManager]:
    """ifupdown's interfaces: /run/network/ifstate has a line `enp1s0=office` for what is up, also when it vanishes."""
    lines = _read_lines(files, IFSTATE)
    if lines is None:
        return
    stanzas: dict[str, str] | Unknown
    if isinstance(lines, Unknown):
        stanzas = lines
    elif all("=" in line for line in lines if line.strip()):
        stanzas = dict(line.strip().split("=", 1) for line in lines if line.strip())
    else:
        stanzas = Unknown(f"not ifupdown's list of what is up: {IFSTATE}")
    for name in names:
        if isinstance(stanzas, Unknown):
            yield LinkManager(netdev=name, manager=IFUPDOWN, profile=stanzas)
        elif known(stanzas.get(name)):
            yield LinkManager(netdev=name, manager=IFUPDOWN, profile=stanzas[name] or name)
