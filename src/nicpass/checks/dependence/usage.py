# SPDX-License-Identifier: Apache-2.0
"""How the host depends on a NIC (law 3): what stands on its interfaces, and which addresses and routes that carries.

What is carried further, sessions and storage, and who else holds the device, stand in files of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.holders import check_holders
from nicpass.checks.dependence.intent import advise_intent, check_intent, command_for, intents_of
from nicpass.checks.dependence.sessions import check_sessions
from nicpass.checks.dependence.storage import check_storage
from nicpass.checks.dependence.unseen import check_shared_with_bmc, check_visible
from nicpass.checks.dependence.uppers import check_uppers
from nicpass.checks.dependence.vfs import check_vfs
from nicpass.checks.lookup.chains import chain_text
from nicpass.checks.lookup.nics import label
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.network import IpAddress, Link, Route, Rule
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.usage")


_DEFAULT_ROUTE = "default route"


def check_usage(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Everything by which the host would miss this NIC; the gravest first."""
    yield from check_visible(function, index)
    if index.is_occupied(function) or function.address in index.class_devices:
        yield from _check_carried(function, index)
    yield from check_intent(function, index)
    yield from check_holders(function, index)
    yield from check_vfs(function, index)
    yield from check_shared_with_bmc(function, index)


def _check_carried(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """What stands on the NIC's interfaces and goes by them."""
    carried = [*check_storage(function, index), *check_sessions(function, index)]
    configured = [
        *_check_routes(function, index),
        *_check_addresses(function, index),
        *_check_rules(function, index),
        *check_uppers(function, index),
    ]
    yield from carried
    if carried or _has_only_default_route(configured, function, index):
        # The line that takes an address or a route away would be the last one that its reader types here.
        configured = [msgspec.structs.replace(finding, command="") for finding in configured]
    yield from configured


def _has_only_default_route(findings: list[Finding], function: PciFunction, index: HostIndex) -> bool:
    """Whether no other NIC would carry the host's traffic to the world if this one did not."""
    if not any(finding.code == "CARRIES_DEFAULT_ROUTE" for finding in findings):
        return False
    own = {chain[-1].name for chain in index.chains(function)}
    kept = {route.family for route in index.default_routes if route.netdev not in own}
    return any(route.netdev in own and route.family not in kept for route in index.default_routes)


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the host uses a NIC."""

    kind: Literal["default_route", "address", "upper", "namespace"]
    """`upper`: an interface that stands on the NIC's; `namespace`: one that does so in another network namespace."""
    netdev: str
    """The interface that has the route or the address: the NIC's own, or one that stands on it."""
    value: str
    """The address, `10.0.0.5/24`, or the name of the upper interface; of the default route `default route`."""


def list_uses(function: PciFunction, index: HostIndex) -> tuple[Use, ...]:
    """The NIC's uses by the host: the default route, addresses, what stands on it; nothing when it does not use it."""
    if not index.is_occupied(function):
        return ()
    chains = index.chains(function)
    tops = [chain[-1].name for chain in chains]
    uses = [
        Use(kind="default_route", netdev=top, value=_DEFAULT_ROUTE)
        for top in tops
        if any(route.destination == "default" for route in index.routes.get(top, ()))
    ]
    uses += [
        Use(kind="address", netdev=top, value=address.text)
        for top in tops
        for address in index.addresses.get(top, ())
        if not address.comes_with_link
    ]
    uses += [Use(kind="upper", netdev=chain[-1].name, value=chain[-1].name) for chain in chains if len(chain) > 1]
    uses += [
        Use(kind="namespace", netdev=top, value=upper.netdev)
        for top in tops
        for upper in index.foreign_uppers.get(top, ())
    ]
    return tuple(dict.fromkeys(uses))


def summarize_usage(function: PciFunction, index: HostIndex) -> str:
    """The NIC's use in a few words: `default route`, `10.0.0.5/24`, `br0`; empty when the host does not use the NIC.

    Always in English, as JSON has it; `tell_usage` makes it fit for people.
    """
    return summarize_uses(list_uses(function, index))


def summarize_uses(uses: tuple[Use, ...]) -> str:
    return ", ".join(dict.fromkeys(use.value for use in uses))


def tell_usage(summary: str) -> str:
    """A summary in the language chosen. Only the default route is in words: no interface's name has a space."""
    return summary.replace(_DEFAULT_ROUTE, _("default route"), 1)


def _check_routes(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    seen: set[str] = set()
    for chain in index.chains(function):
        for route in index.routes.get(chain[-1].name, ()):
            # The route that comes with an address says nothing that the address does not say, or is any link's own.
            if route.protocol == "kernel" or (text := _route_chain(chain, route, index)) in seen:
                continue
            seen.add(text)
            yield make_finding(
                "CARRIES_DEFAULT_ROUTE" if route.destination == "default" else "CARRIES_ROUTE",
                function.address,
                (("rtnetlink, routes", describe_route(route)),),
                nic=label(function),
                chain=text,
                route=" ".join(quote(word) for word in _route_words(route)),
                family="-6 " if route.family == "inet6" else "",
            )


def _check_addresses(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    for chain in index.chains(function):
        for address in index.addresses.get(chain[-1].name, ()):
            # The kernel gives every interface that is up a link-local address; it serves nobody by itself.
            if not address.comes_with_link:
                finding = make_finding(
                    "HAS_ADDRESS",
                    function.address,
                    (("rtnetlink, addresses", f"{address.text} dev {address.netdev}"),),
                    nic=label(function),
                    chain=chain_text(chain, address.text),
                    text=quote(address.text),
                    netdev=quote(address.netdev),
                )
                yield _mend_for_good(finding, address.netdev, function, index)


def _mend_for_good(finding: Finding, netdev: str, function: PciFunction, index: HostIndex) -> Finding:
    """The finding with the mend that lasts, where a manager would put the address there again at the next boot."""
    coming = [i for i in intents_of(function, index) if i.purpose == "configure" and i.netdev == netdev]
    if not coming:
        return finding
    lasting = command_for(coming[0])
    return msgspec.structs.replace(
        finding,
        mend=f"{advise_intent(coming[0])} {finding.mend}",
        command=f"{lasting}\n{finding.command}" if lasting else "",
    )


def _check_rules(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    for chain in index.chains(function):
        for rule in index.rules.get(chain[-1].name, ()):
            words = _rule_words(rule)
            yield make_finding(
                "RULE_NAMES_NIC",
                function.address,
                (("rtnetlink, rules", " ".join(words)),),
                nic=label(function),
                chain=chain_text(chain),
                rule=" ".join(words),
                words=" ".join(quote(word) for word in words),
                family="-6 " if rule.family == "inet6" else "",
            )


def _route_chain(chain: list[Link], route: Route, index: HostIndex) -> str:
    used = _source_of(route, index)
    return chain_text(chain, used.text if used else "", describe_route(route, with_netdev=False))


def _source_of(route: Route, index: HostIndex) -> IpAddress | None:
    """The address from which traffic by this route leaves, as far as it is plain to see."""
    family = ":" if route.family == "inet6" else "."
    candidates = [a for a in index.addresses.get(route.netdev, ()) if family in a.address and not a.comes_with_link]
    exact = [address for address in candidates if address.address == route.source]
    return next(iter(exact or candidates), None)


def describe_route(route: Route, *, with_netdev: bool = True) -> str:
    """The route as `ip route` words it."""
    return " ".join(_route_words(route, with_netdev=with_netdev))


def _route_words(route: Route, *, with_netdev: bool = True) -> list[str]:
    words = [route.destination]
    words += ["via", route.gateway] if route.gateway else []
    words += ["dev", route.netdev] if with_netdev else []
    words += ["table", str(route.table)] if route.table != 254 else []
    words += ["proto", route.protocol] if route.protocol not in ("kernel", "boot") else []
    words += ["metric", str(route.metric)] if route.metric is not None and route.protocol != "kernel" else []
    return words


def describe_whole_route(route: Route) -> str:
    """The route with all of its fields, as `ip route` would take it."""
    words = _route_words(route)
    words += ["metric", str(route.metric)] if route.metric is not None and route.protocol == "kernel" else []
    words += ["from", route.from_prefix] if route.from_prefix else []
    words += ["src", route.source] if route.source else []
    words += ["scope", route.scope] if route.scope != "global" else []
    words += ["tos", hex(route.tos)] if route.tos else []
    words += ["realms", str(route.realm)] if route.realm else []
    words += ["pref", route.preference] if route.preference not in (None, "medium") else []
    words += ["weight", str(route.weight)] if route.weight is not None else []
    words += ["nhid", str(route.nexthop_id)] if route.nexthop_id is not None else []
    words += ["encap", str(route.encapsulation)] if route.encapsulation else []
    for metric in route.metrics:
        words += [metric.name, metric.value]
    return " ".join(words + (["onlink"] if route.onlink else []))


def _rule_words(rule: Rule) -> list[str]:
    """The words of the rule as `ip rule` takes them."""
    words = ["priority", str(rule.priority), "from", rule.source or "all"]
    words += ["to", rule.destination] if rule.destination else []
    words += ["fwmark", hex(rule.fwmark)] if rule.fwmark else []
    words += ["iif", rule.iif] if rule.iif else []
    words += ["oif", rule.oif] if rule.oif else []
    return words + (["table", str(rule.table)] if rule.table is not None else [])
