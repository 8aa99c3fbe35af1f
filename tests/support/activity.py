# SPDX-License-Identifier: Apache-2.0
"""The files of /proc, /run and /sys that tell what goes on at a host, as the kernel and systemd write them."""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from tests.support.trees import IDLE_ACTIVITY, Tree


class Parts(NamedTuple):
    """Files and links to add to a tree."""

    files: dict[str, str]
    links: dict[str, str]


def having(tree: Tree, *parts: Parts) -> Tree:
    """The tree with these parts added; a part of a table of sockets is lines, which are appended."""
    files, links = dict(tree.files), dict(tree.links)
    for part in parts:
        for path, text in part.files.items():
            head = files.get(path) or IDLE_ACTIVITY.get(path, "")
            assert isinstance(head, str)
            files[path] = head + text if path in IDLE_ACTIVITY and path != "/proc/1/comm" else text
        links.update(part.links)
    return tree.but(files=files, links=links)


def tcp(local: str, peer: str, inode: int, state: str = "01") -> Parts:
    """A line of /proc/net/tcp: `tcp("10.0.0.5:22", "10.0.0.9:51000", 7)`; `0A` listens."""
    (own, own_port), (far, far_port) = _split(local), _split(peer)
    name = "tcp6" if ":" in own else "tcp"
    line = f"   0: {_hex(own)}:{own_port:04X} {_hex(far)}:{far_port:04X} {state} 00000000:00000000 00:00000000 00000000"
    return Parts({f"/proc/net/{name}": f"{line}     0        0 {inode} 1 0000000000000000 20 4 30 10 -1\n"}, {})


def process(number: int, program: str, *targets: str, parent: int = 1, cgroup: str = "") -> Parts:
    """A process with these files open: `/dev/ptp0`, `socket:[7]`."""
    files = {
        f"/proc/{number}/comm": f"{program}\n",
        f"/proc/{number}/stat": f"{number} ({program}) S {parent} {number} {number} 0 -1 4194560\n",
        f"/proc/{number}/cgroup": f"0::{cgroup}\n",
    }
    return Parts(files, {f"/proc/{number}/fd/{descriptor}": target for descriptor, target in enumerate(targets)})


def logind(name: str, leader: int, host: str = "10.0.0.9", user: str = "ada", **more: str) -> Parts:
    """A session of systemd-logind's from another machine."""
    fields = {"UID": "1000", "USER": user, "ACTIVE": "1", "STATE": "active", "REMOTE": "1", "LEADER": str(leader)}
    fields |= {"REMOTE_HOST": host, "SERVICE": "sshd", "TTY": "pts/0", **more}
    text = "# This is private data. Do not parse.\n" + "".join(f"{key}={value}\n" for key, value in fields.items())
    return Parts({f"/run/systemd/sessions/{name}": text}, {})


def mount(kind: str, source: str, path: str, options: str = "rw", device: str = "0:50") -> Parts:
    """A line of mountinfo."""
    return Parts(
        {"/proc/self/mountinfo": f"90 22 {device} / {path} rw,relatime shared:9 - {kind} {source} {options}\n"}, {}
    )


def swap(path: str) -> Parts:
    return Parts({"/proc/swaps": f"{path}                               partition\t1048572\t\t0\t\t-2\n"}, {})


def packet(index: int, inode: int) -> Parts:
    """A packet socket bound to the interface with this index."""
    return Parts({"/proc/net/packet": f"0000000000000000 3      2    88cc   {index}     1 0      0      {inode}\n"}, {})


def sysfs(kind: str, name: str, address: str, **attributes: str) -> Parts:
    """An entry of a class that lies below a PCI function."""
    home = f"/sys/devices/pci0000:00/0000:00:01.0/{address}/{kind}/{name}"
    files = {f"{home}/{key}": f"{value}\n" for key, value in attributes.items()}
    return Parts(files or {f"{home}/uevent": ""}, {f"/sys/class/{kind}/{name}": f"../..{home[4:]}"})


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _hex(text: str) -> str:
    data = ipaddress.ip_address(text).packed
    words = struct.unpack(f"={len(data) // 4}I", data)
    return "".join(f"{word:08X}" for word in words)
