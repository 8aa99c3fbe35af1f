# SPDX-License-Identifier: Apache-2.0
"""The whole state of a simulated host: every file, link and folder of its tree, and which VMs run with what."""

from __future__ import annotations

import os
import stat
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nicpass.model.network import Network

if TYPE_CHECKING:
    from pathlib import Path

Raw: TypeAlias = dict[str, tuple[str, bytes, int]]
"""Path below the host's folder to (kind, content, mode)."""

_KNOWN_BY_ITSELF = ("kernel.json", "hooks-known")
"""Files not to compare: what was to come by itself has come; which hooks libvirtd has found is its own affair."""
_OWN = ("root/var/lib/nicpass/journal", "root/run/nicpass")
"""Folders not to compare: nicpass's records of what it did, and files that last only until the next boot."""


def read_raw(base: Path) -> Raw:
    """Everything below the host's folder, as it is."""
    found: Raw = {}
    _walk(str(base), "", found)
    return found


def _walk(base: str, below: str, found: Raw) -> None:
    with os.scandir(f"{base}/{below}") as entries:
        for entry in entries:
            path = f"{below}{entry.name}"
            if entry.is_symlink():
                found[path] = ("link", os.readlink(entry.path).encode(), 0)
            elif entry.is_dir():
                found[path] = ("folder", b"", 0)
                _walk(base, f"{path}/", found)
            else:
                with open(entry.path, "rb") as stream:  # noqa: PTH123
                    found[path] = ("file", stream.read(), stat.S_IMODE(os.fstat(stream.fileno()).st_mode))


def put_back(base: Path, wanted: Raw) -> None:
    """Make the host what `read_raw` found; touches only what differs."""
    present = read_raw(base)
    for path in sorted(present, reverse=True):
        if wanted.get(path) != present[path]:
            (base / path).rmdir() if present[path][0] == "folder" else (base / path).unlink()
    for path in sorted(wanted):
        if present.get(path) == wanted[path]:
            continue
        kind, content, mode = wanted[path]
        if kind == "folder":
            (base / path).mkdir()
        elif kind == "link":
            (base / path).symlink_to(content.decode())
        else:
            (base / path).write_bytes(content)
            (base / path).chmod(mode)


def compare_form(raw: Raw) -> dict[str, str]:
    """The part of a state that two states of a host must have in common to be the same; path to content.

    Left out is what is no state of the host: the journal, indices of interfaces, the order in netlink's tables,
    libvirt's indentation and order of devices, and empty folders of nicpass's own.
    """
    found: dict[str, str] = {}
    for path, (kind, content, mode) in raw.items():
        if path.startswith(_OWN) or path in _KNOWN_BY_ITSELF or path.endswith("/ifindex"):
            continue
        if kind == "folder":
            if not path.startswith(("root/var/lib/nicpass", "root/run/")):
                found[path] = kind
        elif path == "root/netlink.json":
            found[path] = _network_text(content)
        elif path.startswith("root/etc/libvirt/qemu/") and path.endswith(".xml") and kind == "file":
            found[path] = _definition_text(content.decode())
        elif path.endswith("/uevent") and "/net/" in path:
            found[path] = content.decode().split("\n")[0]
        elif path not in ("libvirt.json", "systemd.json") or content != b"{}":
            found[path] = f"{kind} {mode:o} {content!r}"
    return found


def list_differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The lines in which two states differ, for whoever reads a failed test."""
    found: list[str] = []
    for path in sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path)):
        lines = [set(state.get(path, "absent").splitlines()) for state in (one, other)]
        found += [f"{path}: {line[:700]}" for line in sorted(lines[0] - lines[1])]
        found += [f"{path}: not {line[:700]}" for line in sorted(lines[1] - lines[0])]
    return found


def _network_text(content: bytes) -> str:
    network = msgspec.json.decode(content, type=Network)
    items = (*network.links, *(network.addresses or ()), *(network.routes or ()))  # type: ignore[misc]
    return "\n".join(sorted(str(item) for item in items))


def _definition_text(text: str) -> str:
    root = ET.fromstring(text)  # noqa: S314
    devices = root.find("devices")
    if devices is not None:
        devices[:] = sorted(devices, key=lambda device: ET.canonicalize(ET.tostring(device), strip_text=True))
    return ET.canonicalize(ET.tostring(root), strip_text=True)
