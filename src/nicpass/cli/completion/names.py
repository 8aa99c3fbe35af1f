# SPDX-License-Identifier: Apache-2.0
"""The names of NICs, VMs and changes, as far as a Tab may take to find them: by listing folders, without any rights.

No snapshot is made of the host, nothing is written, and what may not be read is left out. libvirt is asked only where
its folder of definitions may not be read, as by one who is not root, and has a quarter of a second (law 12).
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
from typing import TYPE_CHECKING

from nicpass.model.fact import Unknown, value_or
from nicpass.model.text import quote, vm_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files

_PCI = "/sys/bus/pci/devices"
_DEFINITIONS = "/etc/libvirt/qemu"
_RUNNING = "/run/libvirt/qemu"
_NICS = "/var/lib/nicpass/nics"
_CHANGES = "/var/lib/nicpass/journal"
_LIBVIRT_SECONDS = 0.25
_NETWORK = "0x02"
"""The base class of network controllers, as `class` in sysfs begins."""
_MOST_CHANGES = 50


def nic_names(files: Files, typed: str = "") -> Iterator[tuple[str, str]]:
    """(Name, what it is) of each NIC: its interface, or its address where it has none or one is being typed."""
    for address in sorted(_names(files, _PCI)):
        folder = f"{_PCI}/{address}"
        if not _text(files, f"{folder}/class").startswith(_NETWORK):
            continue
        netdevs = sorted(_names(files, f"{folder}/net"))
        yield from ((name, address) for name in netdevs)
        if not netdevs or (typed and address.startswith(typed)):
            yield address, ", ".join(netdevs) or _driver(files, folder)
    yield from _given_names(files)


def pf_names(files: Files, typed: str = "") -> Iterator[tuple[str, str]]:
    """Those of the NICs that can make VFs."""
    for name, about in nic_names(files, typed):
        address = about if re.fullmatch(r"[0-9a-f]{4,}:.*", about) else name
        if _text(files, f"{_PCI}/{address}/sriov_totalvfs") not in ("", "0"):
            yield name, about


def vm_names(files: Files) -> Iterator[tuple[str, str]]:
    """(Name, or UUID where the name might be misread, name) of each VM."""
    definitions = _list(files, _DEFINITIONS)
    if definitions is None:
        found = _ask_libvirt() if files.is_live else {}
    else:
        paths = [f"{_DEFINITIONS}/{name}" for name in definitions]
        paths += [f"{_RUNNING}/{name}" for name in _names(files, _RUNNING)]
        found = {posixpath.basename(path)[:-4]: path for path in paths if path.endswith(".xml")}
    for name, where in sorted(found.items()):
        word = name
        if vm_word(name, None) != vm_word(name, _ANY_UUID):  # it might be misread
            word = where if definitions is None else _uuid(files, where)
        if word:
            yield word, "" if word == name else quote(name)


_ANY_UUID = "00000000-0000-0000-0000-000000000000"


def change_names(files: Files) -> Iterator[tuple[str, str]]:
    """The last changes, the newest first."""
    names = sorted((name for name in _names(files, _CHANGES) if name.endswith(".jsonl")), reverse=True)
    yield from ((name.removesuffix(".jsonl"), "") for name in names[:_MOST_CHANGES])


def group_names(files: Files) -> Iterator[tuple[str, str]]:
    """The groups of /etc/group; those of a directory service are not asked for, it may hang."""
    for line in _text(files, "/etc/group").splitlines():
        yield line.partition(":")[0], ""


def _given_names(files: Files) -> Iterator[tuple[str, str]]:
    """The names that NICs had on the host which VMs have now; only root may read them."""
    for name in sorted(_names(files, _NICS)):
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            state = json.loads(_text(files, f"{_NICS}/{name}"))["state"]
            yield from ((str(link["name"]), str(state["address"])) for link in state.get("links", ()))


def _ask_libvirt() -> dict[str, str]:
    """Name to UUID of the VMs that the daemon tells of; none where it does not, or not in time."""
    from nicpass.engine.bounded import ask  # late: mostly the folder is enough

    try:
        return ask(_libvirt_names, _LIBVIRT_SECONDS, "libvirt")
    except Exception:  # whatever it is, a Tab is no place to tell of it
        return {}


def _libvirt_names() -> dict[str, str]:
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.openReadOnly("qemu:///system")
    return {domain.name(): domain.UUIDString() for domain in connection.listAllDomains()}


def _uuid(files: Files, path: str) -> str:
    found = re.search(r"<uuid>([0-9a-f-]{36})</uuid>", _text(files, path))
    return found[1] if found is not None else ""


def _driver(files: Files, folder: str) -> str:
    return posixpath.basename(value_or(files.read_link(f"{folder}/driver"), None) or "")


def _names(files: Files, folder: str) -> tuple[str, ...]:
    return _list(files, folder) or ()


def _list(files: Files, folder: str) -> tuple[str, ...] | None:
    """The names in a folder; None where they may not be read. A folder that is not there has none."""
    names = files.list_directory(folder)
    return None if isinstance(names, Unknown) else names or ()


def _text(files: Files, path: str) -> str:
    """A file's text; empty where it cannot be read."""
    return value_or(files.read_text(path), None) or ""
