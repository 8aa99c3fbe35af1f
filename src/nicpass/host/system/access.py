# SPDX-License-Identifier: Apache-2.0
"""Reads who on the host may reach what is given to VMs: VFIO's nodes, and how libvirt starts QEMU."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.host.system.vfio_nodes import read_vfio_nodes
from nicpass.model.access import Access
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

_QEMU_CONF = "/etc/libvirt/qemu.conf"
# virConfParse() of libvirt: `name = value`, where a value is a string in quotes of either kind, a number or a list.
_SETTING = r"(?m)^[ \t]*(user|security_driver)[ \t]*=[ \t]*(.*)$"
_STRING = r"\"([^\"\n]*)\"|'([^'\n]*)'"


def read_access(files: Files) -> Access:
    """Everything of `Access`; what cannot be read is Unknown there."""
    settings = _read_qemu_conf(files)
    user, drivers = settings if isinstance(settings, tuple) else (settings, settings)
    return Access(vfio_nodes=read_vfio_nodes(files), qemu_user=user, qemu_security_drivers=drivers)


def _read_qemu_conf(files: Files) -> tuple[Fact[str], Fact[tuple[str, ...]]] | Unknown | None:
    """(`user`, `security_driver`) of libvirt's qemu.conf, which is root's alone."""
    text = files.read_text(_QEMU_CONF)
    if not isinstance(text, str):
        return text
    values = {match[1]: _strings(match[2], text[match.start(2) :]) for match in re.finditer(_SETTING, text)}
    user: Fact[str] = None
    if "user" in values:
        user = values["user"][0] if values["user"] else Unknown(f"not a string: {_QEMU_CONF}: user")
    return user, values.get("security_driver")


def _strings(line: str, rest: str) -> tuple[str, ...]:
    """The strings of a setting: of one string, or of a list, which may go over several lines."""
    if line.startswith("["):
        line = re.sub(r"#.*", "", rest[: rest.find("]") + 1])
        return tuple(first or second for first, second in re.findall(_STRING, line))
    match = re.match(_STRING, line)
    return (match[1] or match[2] or "",) if match else ()
