# SPDX-License-Identifier: Apache-2.0
"""How the host depends on a NIC: what stands on its interfaces, and which addresses and routes that carries.

The walk goes up through every bond, team, bridge, VLAN and macvlan, however deep, and an answer names the
whole chain: `enp3s0f0 → bond0 → br0 → 10.0.0.5/24 → default via 10.0.0.1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import make_finding
from nicpass.checks.nics import kind_of, label, on_vfio
from nicpass.model.fact import known, value_or, why_unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.network import IpAddress, Link, Route
    from nicpass.model.pci import PciFunction

ARROW = " → "


def check_usage(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Everything by which the host would miss this NIC; the gravest first."""
    yield from _check_visible(function, index)
    chains = [chain for link in index.netdevs(function) for chain in walk_uppers(link, index)]
    yield from _check_routes(function, chains, index)
    yield from _check_addresses(function, chains, index)
    yield from _check_uppers(function, chains)
    yield from _check_vfs(function, index)


def walk_uppers(link: Link, index: HostIndex) -> list[list[Link]]:
    """The shortest chain from `link` to itself and to every interface that stands on it, however high.

    One chain an interface, not one a way: where VLANs of a bridge are ports of the next, the ways multiply.
    """
    chains, reached = [[link]], {link.name}
    for chain in chains:  # grows while it is walked
        for upper in index.uppers.get(chain[-1].name, ()):
            if upper.name not in reached:
                reached.add(upper.name)
                chains.append([*chain, upper])
    return chains


def summarize_usage(function: PciFunction, index: HostIndex) -> str:
    """A few words for a table: `default route`, `10.0.0.5/24`, `br0`; empty when the host does not use it."""
    chains = [chain for link in index.netdevs(function) for chain in walk_uppers(link, index)]
    tops = [chain[-1].name for chain in chains]
    routes = [route for top in tops for route in index.routes.get(top, ()) if _matters(route)]
    words = ["default route"] if any(route.destination == "default" for route in routes) else []
    words += [address.text for top in tops for address in index.addresses.get(top, ()) if not address.comes_with_link]
    words += [chain[-1].name for chain in chains if len(chain) > 1]
    return ", ".join(dict.fromkeys(words))


def _check_visible(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Unknown is in use: interfaces that cannot be seen, addresses that cannot be asked for."""
    nic, address = label(function), function.address
    unknown = why_unknown(function.netdevs) or why_unknown(function.driver)
    if not on_vfio(function) and known(function.driver):
        unknown = unknown or _why_network_unknown(index)
        if not unknown and len(index.netdevs(function)) < max(1, len(value_or(function.netdevs, ()))):
            evidence = ((f"/sys/bus/pci/devices/{address}/driver", function.driver),)
            yield make_finding("NETDEV_ELSEWHERE", address, evidence, nic=nic, driver=function.driver, address=address)
    if unknown:
        yield make_finding("USE_UNKNOWN", address, (("network", unknown),), nic=nic, reason=unknown)


def _why_network_unknown(index: HostIndex) -> str | None:
    network = index.host.network
    if network.addresses is None or network.routes is None:
        return "addresses and routes were not read"
    return why_unknown(network.addresses) or why_unknown(network.routes)


def _check_routes(function: PciFunction, chains: list[list[Link]], index: HostIndex) -> Iterator[Finding]:
    seen: set[str] = set()
    for chain in chains:
        for route in filter(_matters, index.routes.get(chain[-1].name, ())):
            code = "CARRIES_DEFAULT_ROUTE" if route.destination == "default" else "CARRIES_ROUTE"
            # The route that comes with an address says nothing that the address does not say.
            if route.protocol == "kernel" or (text := _chain_text(chain, route, index)) in seen:
                continue
            seen.add(text)
            evidence = (("rtnetlink, routes", describe_route(route)),)
            yield make_finding(code, function.address, evidence, nic=label(function), chain=text)


def _check_addresses(function: PciFunction, chains: list[list[Link]], index: HostIndex) -> Iterator[Finding]:
    for chain in chains:
        for address in index.addresses.get(chain[-1].name, ()):
            # The kernel gives every interface that is up a link-local address; it serves nobody by itself.
            if not address.comes_with_link:
                yield make_finding(
                    "HAS_ADDRESS",
                    function.address,
                    (("rtnetlink, addresses", f"{address.text} dev {address.netdev}"),),
                    nic=label(function),
                    chain=ARROW.join([*(link.name for link in chain), address.text]),
                )


def _check_uppers(function: PciFunction, chains: list[list[Link]]) -> Iterator[Finding]:
    for chain in chains:
        if len(chain) == 2:  # what stands above the second stands on it, not on the NIC
            upper = chain[1]
            yield make_finding(
                "HAS_UPPER",
                function.address,
                (("rtnetlink, links", f"{upper.name} ({upper.kind or 'interface'})"),),
                nic=label(function),
                netdev=chain[0].name,
                chain=ARROW.join([chain[0].name, f"{upper.name} ({upper.kind or 'interface'})"]),
            )


def _check_vfs(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    count = max(value_or(function.numvfs, 0), len(function.virtfns))
    if kind_of(function, index) == "pf" and count:
        address = function.address
        evidence = ((f"/sys/bus/pci/devices/{address}/sriov_numvfs", count),)
        yield make_finding("PF_HAS_VFS", address, evidence, nic=label(function), count=count, address=address)
    elif kind_of(function, index) != "vf" and (stray := index.stray_vfs.get((function.bridge, function.vendor_id))):
        address, vfs = function.address, ", ".join(stray)
        yield make_finding("VFS_NEARBY", address, (("drivers", vfs),), nic=label(function), vfs=vfs, address=address)


def _matters(route: Route) -> bool:
    """Not the kernel's own link-local and multicast routes, which come with every interface that is up."""
    return not (route.protocol == "kernel" and route.destination.startswith(("fe80:", "ff00:")))


def _chain_text(chain: list[Link], route: Route, index: HostIndex) -> str:
    words = [link.name for link in chain]
    used = _source_of(route, index)
    return ARROW.join([*words, *([used.text] if used else []), describe_route(route, with_netdev=False)])


def _source_of(route: Route, index: HostIndex) -> IpAddress | None:
    """The address from which traffic by this route leaves, as far as it is plain to see."""
    family = ":" if route.family == "inet6" else "."
    candidates = [a for a in index.addresses.get(route.netdev, ()) if family in a.address and not a.comes_with_link]
    exact = [address for address in candidates if address.address == route.source]
    return next(iter(exact or candidates), None)


def describe_route(route: Route, *, with_netdev: bool = True) -> str:
    """As `ip route` words it."""
    words = [route.destination]
    words += ["via", route.gateway] if route.gateway else []
    words += ["dev", route.netdev] if with_netdev else []
    words += ["table", str(route.table)] if route.table != 254 else []
    words += ["proto", route.protocol] if route.protocol not in ("kernel", "boot") else []
    words += ["metric", str(route.metric)] if route.metric is not None and route.protocol != "kernel" else []
    return " ".join(words)
