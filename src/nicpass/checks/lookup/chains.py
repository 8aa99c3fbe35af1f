# SPDX-License-Identifier: Apache-2.0
"""The chains that stand on an interface: bonds, bridges, VLANs, tunnels, however deep, and how a sentence names them.

The walk goes up through every bond, team, bridge, VLAN and macvlan, through a bridge's veth ports to their other
ends, and into tunnels whose packets leave by what was reached; an answer names the whole chain:
`enp3s0f0 → bond0 → br0 → 10.0.0.5/24 → default via 10.0.0.1`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nicpass.model.fact import known, why_unknown
from nicpass.model.language import _
from nicpass.model.network import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nicpass.checks.lookup.routing import RoutingTables
    from nicpass.model.network import IpAddress, Redirect

ARROW = " → "
OVS = "openvswitch"
_SWITCHES = frozenset({"bridge", OVS})
_ALONE = frozenset(
    {"bond", "bridge", "dummy", "ifb", "netdevsim", "netkit", "nlmon", OVS, "team", "tun", "vcan", "veth", "vrf"}
    | {"bareudp", "batadv", "can", "gtp", "ovpn", "ovpn-dco", "vsockmon", "vxcan", "wwan"}
    # These name what is below them (IFLA_LINK); without it, that is in another network namespace, or there is none.
    | {"amt", "dsa", "ipoib", "ipvlan", "ipvtap", "lowpan", "macsec", "macvlan", "macvtap", "rmnet", "virt_wifi"}
    | {"vlan", "vti", "vti6", "xfrm"}
)
"""Kinds that need nothing below, whose ports name them as their master, or which tell what is below."""


def walk_uppers(link: Link, uppers: Mapping[str, Sequence[Link]]) -> list[list[Link]]:
    """The shortest chain from `link` to itself and to every interface that stands on it, however high.

    `uppers` leads from an interface to the interfaces that stand right on it.
    One chain an interface, not one a way: where VLANs of a bridge are ports of the next, the ways multiply.
    """
    chains, reached = [[link]], {link.name}
    for chain in chains:  # grows while it is walked
        for upper in uppers.get(chain[-1].name, ()):
            if upper.name not in reached:
                reached.add(upper.name)
                chains.append([*chain, upper])
    return chains


def find_uppers(links: Mapping[str, Link]) -> dict[str, list[Link]]:
    """Interface to the interfaces that stand on it by the kernel's own links.

    These are its master, the VLANs and macvlans that name it as lower; of a bridge its veth ports, whose other end has
    the address; of Open vSwitch's datapath (`ovs-system`, the master of all its ports) every internal port, since
    the kernel does not tell which bridge of it a port belongs to.
    """
    standing: dict[str, list[Link]] = defaultdict(list)
    datapaths: set[str] = set()
    for link in links.values():
        for name in (*([link.lower] if link.lower is not None else ()), *link.lowers):
            standing[name].append(link)
        if link.master is None:
            continue
        # A master that is not shown may just have gone, or the capture lacks it: its port is in use all the same.
        master = links.get(link.master) or Link(name=link.master)
        standing[link.name].append(master)
        if master.kind in _SWITCHES and link.kind == "veth":
            standing[master.name].append(link)
        if master.kind == OVS:
            datapaths.add(master.name)
    internal = [link for link in links.values() if link.kind == OVS and link.name not in datapaths]
    for datapath in datapaths:
        standing[datapath] += internal
    return standing


def add_redirects(
    standing: dict[str, list[Link]], links: Mapping[str, Link], redirects: Iterable[Redirect]
) -> set[tuple[str, str]]:
    """Let both ends of each of tc's filters stand on each other: without either, packets are lost that somebody sent.

    The pairs that stand on each other by nothing else.
    """
    added: set[tuple[str, str]] = set()
    for redirect in redirects:
        for below, above in ((redirect.netdev, redirect.target), (redirect.target, redirect.netdev)):
            if all(link.name != above for link in standing[below]):
                standing[below].append(links.get(above) or Link(name=above))
                added.add((below, above))
    return added


def why_unfounded(link: Link, ports: Mapping[str, Sequence[Link]]) -> str | None:
    """Why it is not known on what an interface stands, where its kind is none that stands alone."""
    if link.kind is None or link.kind in _ALONE or link.parent_device is not None or link.tunnel_remotes is not None:
        return None
    if link.lower is not None or link.lowers or link.name in ports:
        return None
    return _("on which interface {name} ({kind}) stands is not known").format(name=link.name, kind=link.kind)


def add_tunnels(
    standing: dict[str, list[Link]],
    links: Mapping[str, Link],
    tables: RoutingTables,
    places: Mapping[str, list[IpAddress]],
) -> None:
    """Let every tunnel stand on the interfaces by which its packets leave, and on the interface of its own address.

    `places` leads from the text of an address to the interfaces that have it.
    """
    for link in links.values():
        if link.tunnel_remotes is None:
            continue
        remotes = link.tunnel_remotes if known(link.tunnel_remotes) else ()
        below = {route.netdev for remote in remotes for route in tables.best(remote)}
        below |= {address.netdev for address in places.get(link.tunnel_local or "", ())}
        for name in sorted(below - {link.name, link.lower}):
            standing[name].append(link)


def is_carried(chain: list[Link]) -> bool:
    """Whether the chain's last interface is a tunnel that stands on the one before by its packets alone."""
    if len(chain) < 2 or chain[-1].tunnel_remotes is None:
        return False
    below, top = chain[-2], chain[-1]
    return top.lower != below.name and below.master != top.name


def address_on(link: Link, wanted: str | None, addresses: Mapping[str, Sequence[IpAddress]]) -> str:
    """The address of the interface by which something is reached, `10.0.0.5/24`: the one wanted, or its first.

    `addresses` leads from an interface to its own addresses.
    """
    own = [address for address in addresses.get(link.name, ()) if not address.comes_with_link]
    exact = [address for address in addresses.get(link.name, ()) if address.address == wanted]
    return next((address.text for address in (exact or own)), "")


def why_unplaced(link: Link) -> str | None:
    """Why it cannot be told by which NIC a tunnel goes; None where it can, and for what is no tunnel."""
    unknown = why_unknown(link.tunnel_remotes)
    if unknown is None and link.kind == "vxlan" and not (link.tunnel_remotes or link.lower or link.tunnel_local):
        unknown = _("it names no other end")  # its forwarding table does, or a controller
    if unknown is None:
        return None
    return _("by which NIC the tunnel {tunnel} goes is not known: {reason}").format(tunnel=link.name, reason=unknown)


def chain_text(chain: list[Link], *more: str) -> str:
    """The chain in words, `eth1 → bond0 → br0`, then the words in `more`; empty words are left out."""
    return ARROW.join(word for word in (*(link.name for link in chain), *more) if word)
