# SPDX-License-Identifier: Apache-2.0
"""Reads which devices another manager of devices has for its own: Proxmox VE's VMs and mappings, the SR-IOV operator.

Sources: qemu-server, PVE/QemuServer/PCI.pm (`hostpciN`), and pve-guest-common, PVE/Mapping/PCI.pm (mapping/pci.cfg);
sriov-network-operator, pkg/utils/store.go (/etc/sriov-operator/pci/ADDRESS) and its api/v1 (`numVfs`).
Of Incus and LXD nothing is read: what a running instance has, its process holds open or its namespace contains.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.address import parse_address
from nicpass.model.fact import Unknown, known
from nicpass.model.leftovers import PROXMOX, SRIOV_OPERATOR, Claim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files

PROXMOX_VMS = "/etc/pve/qemu-server"
PROXMOX_MAPPINGS = "/etc/pve/mapping/pci.cfg"
PROXMOX_NODE = "/etc/pve/local"
"""A link to this node's own folder, `nodes/NAME`."""
OPERATOR_FOLDER = "/etc/sriov-operator/pci"

_HOSTPCI = r"(hostpci\d+):\s*(\S+)"
_SLOT = r"(?i)(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})"
_LIMIT = 1 << 20  # bytes; such a file has a few kilobytes


class _Pf(msgspec.Struct):
    """The field of the operator's record of a PF that matters here."""

    numVfs: int = 0  # noqa: N815 - its own name


def read_claims(files: Files, unread: list[str]) -> tuple[Claim, ...]:
    """All claims of other managers; why a file could not be read is added to `unread`."""
    return (*_read_proxmox_vms(files, unread), *_read_mappings(files, unread), *_read_operator(files, unread))


def _read(files: Files, path: str, unread: list[str]) -> str:
    content = files.read_bytes(path, _LIMIT)
    if isinstance(content, Unknown):
        unread.append(content.unknown)
    return content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else ""


def _list(files: Files, folder: str, unread: list[str]) -> list[str]:
    names = files.list_directory(folder)
    if isinstance(names, Unknown):
        unread.append(names.unknown)
    return sorted(names) if known(names) else []


def parse_devices(text: str) -> Iterator[str]:
    """Devices in `01:00.0;0000:02:00` as Proxmox writes it: functions, and slots that stand for all their functions."""
    for word in text.split(";"):
        if address := parse_address(word):
            yield address
        elif found := re.fullmatch(_SLOT, word):
            yield f"{found[1] or '0000'}:{found[2]}:{found[3]}".lower()


def _properties(text: str) -> dict[str, str]:
    """The properties in `0000:01:00,pcie=1` by key: the first word may go without its key, `host`."""
    pairs = (word.partition("=") for word in text.split(","))
    return {key if equals else "host": value if equals else key for key, equals, value in pairs}


def _read_proxmox_vms(files: Files, unread: list[str]) -> Iterator[Claim]:
    """The claims of VMs, which stand before the first section: the sections are snapshots and pending changes."""
    for name in _list(files, PROXMOX_VMS, unread):
        number, dot, _ = name.rpartition(".conf")
        path = f"{PROXMOX_VMS}/{name}"
        for line in _read(files, path, unread).splitlines() if dot and number.isdecimal() else ():
            if line.startswith("["):
                break
            if found := re.match(_HOSTPCI, line):
                for device in parse_devices(_properties(found[2]).get("host", "")):
                    yield Claim(manager=PROXMOX, device=device, path=path, holder=number, entry=found[1])


def _read_mappings(files: Files, unread: list[str]) -> Iterator[Claim]:
    """The claims by this node's mappings; a cluster has one file for all of its nodes."""
    local = files.read_link(PROXMOX_NODE)
    node = posixpath.basename(local) if isinstance(local, str) else None
    name = ""
    for line in _read(files, PROXMOX_MAPPINGS, unread).splitlines():
        if line and not line[0].isspace():
            name = line.strip().removeprefix("pci:").strip()
        elif line.split()[:1] == ["map"]:
            values = _properties(line.split(None, 1)[1].strip() if len(line.split(None, 1)) > 1 else "")
            if node in (None, values.get("node")):
                for device in parse_devices(values.get("path", "")):
                    yield Claim(manager=PROXMOX, device=device, path=PROXMOX_MAPPINGS, holder=name)


def _read_operator(files: Files, unread: list[str]) -> Iterator[Claim]:
    """The claims of the SR-IOV operator; a record that cannot be understood claims its PF too."""
    for name in _list(files, OPERATOR_FOLDER, unread):
        address = parse_address(name)
        if address is None:
            continue
        path = f"{OPERATOR_FOLDER}/{name}"
        content = files.read_bytes(path, _LIMIT)
        count: int | None = None
        if isinstance(content, bytes):
            try:
                count = msgspec.json.decode(content, type=_Pf).numVfs
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                unread.append(f"not a PF's record: {path}")
        elif isinstance(content, Unknown):
            unread.append(content.unknown)
        if content is not None and count != 0:
            yield Claim(manager=SRIOV_OPERATOR, device=address, path=path, holder=address)
