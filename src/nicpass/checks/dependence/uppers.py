# SPDX-License-Identifier: Apache-2.0
"""Interfaces that stand on a NIC: bonds, bridges, VLANs and tunnels, and whether a bond would stay up without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.chains import chain_text, is_carried
from nicpass.checks.lookup.nics import label
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.activity import ForeignUpper
    from nicpass.model.finding import Finding
    from nicpass.model.network import Link
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.usage")

_REDUNDANT = frozenset({"bond", "team"})


def check_uppers(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    for chain in index.chains(function):
        if is_carried(chain):
            yield _tunnel_finding(function, chain)
        elif len(chain) == 2:  # an interface above the second stands on that one, not on the NIC
            yield _upper_finding(function, chain, index)
        if len(chain) == 2 and chain[1].kind in _REDUNDANT and chain[0].master == chain[1].name:
            yield _port_finding(function, chain, index)
        for upper in index.foreign_uppers.get(chain[-1].name, ()):
            yield _foreign_finding(function, chain, upper)


def _foreign_finding(function: PciFunction, chain: list[Link], upper: ForeignUpper) -> Finding:
    what = _place(upper)
    return make_finding(
        "HAS_UPPER",
        function.address,
        ((f"rtnetlink, links in {upper.namespace}", f"{upper.netdev} link {upper.lower}"),),
        nic=label(function),
        chain=chain_text(chain, what),
        undo=f"nsenter --net={quote(upper.namespace)} ip link delete {quote(upper.netdev)}",
    )


def _place(upper: ForeignUpper) -> str:
    facts = {
        "netdev": f"{upper.netdev} ({upper.kind or _('interface')})",
        "namespace": upper.namespace.removeprefix("/run/netns/"),
        "process": upper.process,
        "program": upper.program,
    }
    if upper.process is None:
        return _("{netdev} in the network namespace {namespace}").format(**facts)
    if upper.namespace.startswith("/proc/"):
        return _("{netdev} in the network namespace of {program} (process {process})").format(**facts)
    return _("{netdev} in the network namespace {namespace} of {program} (process {process})").format(**facts)


def _upper_finding(function: PciFunction, chain: list[Link], index: HostIndex) -> Finding:
    port, upper = chain
    if (port.name, upper.name) in index.redirected:
        return _redirect_finding(function, port, upper)
    what = f"{upper.name} ({upper.kind or _('interface')})"
    undo = f"ip link delete {quote(upper.name)}"
    if port.master == upper.name:
        undo = f"ip link set {quote(port.name)} nomaster"
        if upper.name == "ovs-system":
            undo = f"ovs-vsctl del-port {quote(port.name)}"
    return make_finding(
        "HAS_UPPER",
        function.address,
        (("rtnetlink, links", what),),
        nic=label(function),
        chain=chain_text(chain[:1], what),
        undo=undo,
    )


def _redirect_finding(function: PciFunction, port: Link, other: Link) -> Finding:
    """Both ends may have the filter."""
    names = [name for name in (port.name, other.name) if name != "?"]
    return make_finding(
        "HAS_UPPER",
        function.address,
        (("rtnetlink, filters of tc with mirred", f"{port.name}, {other.name}"),),
        nic=label(function),
        chain=chain_text([port], _("{netdev} (by a filter of tc)").format(netdev=other.name)),
        undo="\n".join(f"tc qdisc delete dev {quote(name)} clsact" for name in names),
    )


def _tunnel_finding(function: PciFunction, chain: list[Link]) -> Finding:
    tunnel = chain[-1]
    remotes = ", ".join(value_or(tunnel.tunnel_remotes, ()))
    what = f"{tunnel.name} ({tunnel.kind or _('tunnel')}{' ' + remotes if remotes else ''})"
    return make_finding(
        "CARRIES_TUNNEL",
        function.address,
        (("rtnetlink, links", f"{what} local {tunnel.tunnel_local or 'any'}"),),
        nic=label(function),
        chain=chain_text(chain[:-1], what),
        tunnel=quote(tunnel.name),
    )


def _port_finding(function: PciFunction, chain: list[Link], index: HostIndex) -> Finding:
    port, upper = chain
    others = [link for link in index.ports[upper.name] if link.name != port.name]
    alive = [link.name for link in others if link.up and link.carrier]
    evidence = tuple((f"rtnetlink, port {link.name}", "carrier" if link.carrier else "no carrier") for link in others)
    code = "BOND_STAYS_UP" if alive else "BOND_LAST_PORT"
    return make_finding(
        code,
        function.address,
        evidence or (("rtnetlink, ports", port.name),),
        nic=label(function),
        netdev=port.name,
        upper=upper.name,
        others=", ".join(alive),
    )
