# SPDX-License-Identifier: Apache-2.0
"""What stands on what, where neither IFLA_MASTER nor IFLA_LINK tells: sysfs's `lower_*` and `upper_*`, and PPPoE.

netdev_upper_dev_link() in net/core/dev.c makes the links of sysfs for every kind of interface, also for kinds that
nobody here has heard of; both ends have one, in one network namespace. PPPoE calls it not: its sessions are listed
in /proc/net/pppoe (drivers/net/ppp/pppoe.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import known
from nicpass.model.network import Link, Network

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

CLASS_NET = "/sys/class/net"
_VIRTUAL = "/sys/devices/virtual/net"
_PPPOE = "/proc/net/pppoe"
_LOWER, _UPPER = "lower_", "upper_"


def add_lowers(files: Files, network: Network) -> Network:
    """The same network, each interface with what else it stands on."""
    links = {link.name: link for link in network.links}
    found: dict[str, set[str]] = {}
    for upper, lower in [*_in_sysfs(files, network.links), *_pppoe(files, network.links)]:
        # On the running machine sysfs may be that of another namespace, or an interface has just gone.
        is_there = (upper in links and lower in links) or not files.is_live
        if is_there and not _is_told(links.get(upper), links.get(lower), upper, lower):
            found.setdefault(upper, set()).add(lower)
    if not found:
        return network
    told = [_with(link, found.pop(link.name, set())) for link in network.links]
    told += [_with(Link(name=name), lowers) for name, lowers in sorted(found.items())]
    return msgspec.structs.replace(network, links=tuple(told))


def _with(link: Link, lowers: set[str]) -> Link:
    more = tuple(sorted(lowers - set(link.lowers)))
    return msgspec.structs.replace(link, lowers=(*link.lowers, *more)) if more else link


def _is_told(upper: Link | None, lower: Link | None, name: str, below: str) -> bool:
    return (upper is not None and below in (upper.lower, *upper.lowers)) or (lower is not None and lower.master == name)


def _in_sysfs(files: Files, links: tuple[Link, ...]) -> list[tuple[str, str]]:
    """(upper, lower) of all that is joined, by the links of either end."""
    found: list[tuple[str, str]] = []
    for link in _worth_a_look(files, links):
        names = files.list_directory(f"{CLASS_NET}/{link.name}")
        for name in names if known(names) else ():
            if name.startswith(_LOWER):
                found.append((link.name, name[6:]))
            elif name.startswith(_UPPER):
                found.append((name[6:], link.name))
    return found


def _worth_a_look(files: Files, links: tuple[Link, ...]) -> tuple[Link, ...]:
    """On the running machine the upper end of each pair, which is never a device's own interface with no kind.

    A capture may have the lower end alone; but where all interfaces are devices' own, none is an upper. To list the
    folders of a thousand for nothing takes a tenth of the time of reading the host.
    """
    if files.is_live:
        return tuple(link for link in links if link.kind is not None or link.parent_device is None)
    virtual = files.list_directory(_VIRTUAL)
    has_uppers = any(link.kind is not None for link in links) or bool(set(virtual if known(virtual) else ()) - {"lo"})
    return links if has_uppers else ()


def _pppoe(files: Files, links: tuple[Link, ...]) -> list[tuple[str, str]]:
    """Which of several connections goes by which session is not told, so each may go by each.

    Where there are more of them than sessions, some go by other ways: then nothing is claimed of any.
    """
    connections = [link.name for link in links if link.kind == "ppp"]
    text = files.read_text(_PPPOE) if connections else None
    # `Id Address Device`, as pppoe_seq_show() writes it
    rows = [line.split() for line in text.splitlines()[1:]] if isinstance(text, str) else []
    if len(rows) < len(connections) or any(len(row) != 3 for row in rows):
        return []
    return [(connection, row[2]) for connection in connections for row in rows]
