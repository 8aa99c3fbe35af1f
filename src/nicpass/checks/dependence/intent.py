# SPDX-License-Identifier: Apache-2.0
"""Intent is use (law 9): what a manager, a boot file or a unit says a NIC is for, before anything has come of it.

It stands in the way only where it is not told by what has come of it already: on a NIC that has an address (or carries
one on what stands on it) HAS_ADDRESS stands in the way, on one that is part of the named interface HAS_UPPER does.
There it is a note, which says where the address comes from; nobody has to allow the same thing twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.network import IFUPDOWN, NETWORK_MANAGER, NETWORKD
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.network import Intent
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.intent")

_CODES = {
    "configure": "TO_BE_CONFIGURED",
    "port": "TO_BE_PART",
    "parent": "TO_BE_PART",
    "wait": "WAITED_FOR",
    "unclear": "NAMED_UNCLEARLY",
}
_CLIENTS = frozenset({"dhclient", "dhcpcd", "udhcpc", "wickedd-dhcp4", "wickedd-dhcp6"})
"""Programs that listen to an interface's packets to get an address for it, as their processes are called."""


def check_intent(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    intents = intents_of(function, index)
    for intent in intents:
        told = _is_told(function, intent, index)
        yield make_finding(
            "CONFIGURED_BY" if told else _CODES[intent.purpose],
            function.address,
            ((intent.source, intent.text),),
            nic=label(function),
            manager=intent.manager,
            source=intent.source,
            text=intent.text,
            target=intent.target or _("an interface that it does not name"),
            advice="" if told else advise_intent(intent),
            undo="" if told else command_for(intent),
        )
    if index.packet_sockets and not any(intent.purpose == "configure" for intent in intents):
        yield from _check_clients(function, index)


def _check_clients(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Somebody has started a DHCP client by hand, which has no answer yet; no file tells of it."""
    if _has_address(function, index):
        return
    for link in index.netdevs(function):
        clients = {s.process: s.program for s in index.packet_sockets.get(link.name, ()) if s.program in _CLIENTS}
        for process, program in clients.items():
            text = f"{program} ({process}) {link.name}"
            yield make_finding(
                "TO_BE_CONFIGURED",
                function.address,
                (("/proc/net/packet", text),),
                nic=label(function),
                manager=program,
                source="/proc/net/packet",
                text=text,
                advice=_("End {program} (process {process}).").format(program=program, process=process),
                undo=f"kill {process}",
            )


def intents_of(function: PciFunction, index: HostIndex) -> list[Intent]:
    """Those of all its interfaces; of a capture also those that only sysfs shows."""
    names = function.netdevs
    return [intent for name in (names if known(names) else ()) for intent in index.intents.get(name, ())]


def why_intent_unknown(function: PciFunction, index: HostIndex) -> list[str]:
    """Why there may be more intents for it than were found; only what has an interface can be meant."""
    if not index.netdevs(function):
        return []
    intents = index.host.network.intents
    if intents is None:
        return [_("what network managers are to do with it was not read")]
    return list(intents.unread)


def _is_told(function: PciFunction, intent: Intent, index: HostIndex) -> bool:
    """Whether another finding stands in the way for what has come of this already."""
    if intent.purpose in ("port", "parent"):
        uppers = {chain[1].name for chain in index.chains(function) if len(chain) > 1}
        return intent.target in uppers if intent.target is not None else bool(uppers)
    return _has_address(function, index)


def _has_address(function: PciFunction, index: HostIndex) -> bool:
    chains = index.chains(function)
    found = (address for chain in chains for address in index.addresses.get(chain[-1].name, ()))
    return any(not address.comes_with_link for address in found)


def advise_intent(intent: Intent) -> str:
    """Which line of which file to change; where a pattern means many, what takes this one out."""
    facts = {"netdev": intent.netdev, "source": intent.source, "text": intent.text}
    if intent.manager == NETWORKD:
        advice = _(
            "Let systemd-networkd leave {netdev} alone by a file that comes before {source} and has Unmanaged=yes."
        )
    elif intent.manager == NETWORK_MANAGER:
        advice = _("Let NetworkManager leave {netdev} alone (unmanaged-devices), or delete the profile in {source}.")
    elif intent.manager == "netplan":
        advice = _("Take {netdev} out of {source} ({text}), then: netplan apply.")
    elif intent.manager == IFUPDOWN:
        advice = _('Take {netdev} out of the line "{text}" in {source}.')
    elif intent.manager == "initscripts":
        advice = _("Set ONBOOT=no in {source}, and take out of it what makes {netdev} a part of something ({text}).")
    elif intent.manager == "wicked":
        advice = _("Set STARTMODE=off in {source}, or take {netdev} out of it ({text}).")
    elif intent.manager == "dhcpcd":
        advice = _("Name {netdev} in a line denyinterfaces of /etc/dhcpcd.conf, then: systemctl restart dhcpcd.")
    elif intent.manager == "kernel":
        advice = _("Take {text} off the kernel's command line ({source}).")
    elif intent.manager == "initramfs":
        advice = _("Take {text} out of {source}, then have the initramfs made anew.")
    else:
        advice = _('Take {netdev} out of "{text}" in {source}, then: systemctl daemon-reload.')
    return advice.format(**facts)


def command_for(intent: Intent) -> str:
    """For the two managers that can be told so by a file of its own, which sorts before all others."""
    if intent.manager == NETWORKD:
        path = f"/etc/systemd/network/00-{intent.netdev}-unmanaged.network"
        return (
            f"printf '%s\\n' '[Match]' {quote(f'Name={intent.netdev}')} '[Link]' Unmanaged=yes >{quote(path)}\n"
            "networkctl reload"
        )
    if intent.manager == NETWORK_MANAGER:
        path = f"/etc/NetworkManager/conf.d/zz-{intent.netdev}-unmanaged.conf"
        line = f"unmanaged-devices+=interface-name:={intent.netdev}"
        return f"printf '%s\\n' '[keyfile]' {quote(line)} >{quote(path)}\nnmcli general reload"
    return ""
