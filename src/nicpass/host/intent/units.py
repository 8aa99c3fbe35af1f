# SPDX-License-Identifier: Apache-2.0
"""systemd's units that name a NIC: what waits for it to be online, or is started for it by name.

Sources: systemd-networkd-wait-online.service(8), systemd.device(5), systemd-escape(1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.host.intent.unit_file import parse_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.intent.nic import Nic
    from nicpass.host.intent.reading import Reading

SYSTEMD = "systemd"
_WAIT = "systemd-networkd-wait-online"
_OWN = ("/etc/systemd/system", "/run/systemd/system")
"""Where administrators and generators put theirs; units of packages name no NIC of this host."""
_CONFIGURE = r"\b(?:dhclient|dhcpcd|udhcpc|ifup)\b|\bip(?: -\S+)* a(?:ddr|ddress)? (?:add|replace)\b"
_KEYS = ("ExecStart", "Wants", "Requires", "BindsTo", "Requisite")


def read_intents(reading: Reading) -> None:
    lines = [*_read_lines(reading)]
    for nic in reading.nics if lines or reading.enabled else ():
        if reading.enabled:
            _tell_enabled(reading, nic)
        for path, key, value in lines:
            if key == "ExecStart" and any(nic.is_meant(word) for word in _awaited(value)):
                reading.add(nic, SYSTEMD, "wait", path, f"{key}={value}")
            elif key == "ExecStart" and any(nic.is_meant(word) for word in _configured(value)):
                reading.add(nic, SYSTEMD, "configure", path, f"{key}={value}")
            elif key != "ExecStart" and set(value.split()) & _devices(nic):
                reading.add(nic, SYSTEMD, "wait", path, f"{key}={value}")


def _read_lines(reading: Reading) -> Iterator[tuple[str, str, str]]:
    """(File, key, value) of units and their drop-ins that stand in the administrator's folders."""
    for folder in _OWN:
        for name in reading.names(folder):
            inner = name.endswith(".d")
            names = [f"{name}/{each}" for each in reading.names(f"{folder}/{name}")] if inner else [name]
            paths = [f"{folder}/{each}" for each in names if each.endswith((".conf", ".service", ".target", ".mount"))]
            for path, text in reading.texts(path for path in paths if not _is_link(reading, path)):
                yield from ((path, a.key, a.value) for a in parse_unit(text) if a.key in _KEYS)


def _is_link(reading: Reading, path: str) -> bool:
    """A link is how a unit is enabled, called otherwise or masked; what it leads to is a package's."""
    return isinstance(reading.files.read_link(path), str)


def _awaited(command: str) -> list[str]:
    """The interfaces that a wait-online names: `--interface=eth1:carrier`, `-i eth1`."""
    if _WAIT not in command:
        return []
    return [word.strip("\"'") for word in re.findall(r"(?:--interface[= ]|-i\s*)([^\s:]+)", command)]


def _configured(command: str) -> list[str]:
    """The words of a line that gives an interface an address: `dhclient eth1`, `ip address add .. dev eth1`."""
    return command.split() if re.search(_CONFIGURE, command) else []


def _tell_enabled(reading: Reading, nic: Nic) -> None:
    """Instances and device units among what a boot starts: `dhcpcd@eth1.service`, `sys-subsystem-net-devices-..`."""
    for name in sorted(nic.names):
        for unit in reading.instances.get(escape(name), ()):
            waits = unit.startswith((_WAIT, "ifupdown-wait-online", "NetworkManager-wait-online"))
            reading.add(nic, SYSTEMD, "wait" if waits else "configure", reading.enabled[unit], unit)
    for unit in _devices(nic) & reading.enabled.keys():
        reading.add(nic, SYSTEMD, "wait", reading.enabled[unit], unit)


def _devices(nic: Nic) -> set[str]:
    return {f"sys-subsystem-net-devices-{escape(name)}.device" for name in nic.names}


def escape(name: str) -> str:
    """As systemd-escape(1): what is not a letter, a digit, `:`, `_` or `.` becomes `\\x2d`."""
    safe = "".join(
        c if c.isascii() and (c.isalnum() or c in ":_.") else "".join(f"\\x{b:02x}" for b in c.encode()) for c in name
    )
    return f"\\x2e{safe[1:]}" if safe.startswith(".") else safe
