# SPDX-License-Identifier: Apache-2.0
"""Findings about a NIC's use that could not be learned, and interfaces that are elsewhere: unknown counts as in use."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.intent import why_intent_unknown
from nicpass.checks.lookup.nics import label, on_vfio
from nicpass.model.fact import Unknown, known, value_or, why_unknown
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.activity import ForeignNetdev
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.usage")

USERSPACE_DRIVERS = frozenset({"uio_pci_generic", "igb_uio"})
"""Drivers that hand the whole device to a program, as vfio-pci does; they make no interface."""


class _Unread(msgspec.Struct, frozen=True):
    """Why use is unknown: of what is read once for all NICs, each where it matters."""

    network: str | None
    uppers: tuple[str, ...]
    """What may stand on it unseen: in another network namespace, by a filter of tc, as a kind that is not known."""
    holders: str | None
    devices: str | None
    packet_sockets: str | None
    xdp_sockets: str | None


@lru_cache(maxsize=1)  # one host is asked about for each of its NICs
def _unread(index: HostIndex) -> _Unread:
    activity, network = index.host.activity, index.host.network
    return _Unread(
        network=_why_network_unknown(index),
        uppers=tuple(filter(None, (activity.foreign_unseen, why_unknown(network.redirects), *index.unfounded))),
        holders=why_unknown(activity.holders),
        devices=why_unknown(activity.devices),
        packet_sockets=why_unknown(activity.packet_sockets),
        xdp_sockets=why_unknown(activity.xdp_sockets),
    )


def check_visible(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Unknown use, which counts as in use: interfaces that cannot be seen, addresses that cannot be asked for."""
    netdevs, unread = index.netdevs(function), _unread(index)
    own = (function.netdevs, function.driver, function.numvfs)
    reasons: list[str | None] = [fact.unknown for fact in own if isinstance(fact, Unknown)]
    if not reasons and has_interface(function):
        reasons += [unread.network, *(unread.uppers if netdevs else ())]
        if not any(reasons) and len(netdevs) < max(1, len(value_or(function.netdevs, ()))):
            yield _elsewhere(function, index)
    reasons += [*_why_activity_unknown(function, index), *why_intent_unknown(function, index)]
    if any(reasons):
        told = [*dict.fromkeys(filter(None, reasons))]
        evidence = tuple(("not read", reason) for reason in told)
        yield make_finding("USE_UNKNOWN", function.address, evidence, nic=label(function), reason="; ".join(told))


def check_shared_with_bmc(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """NC-SI (DMTF DSP0222) joins a port with the management controller behind the host's back: it is not shown."""
    bmc = index.host.platform.bmc
    if known(bmc) and known(function.board_label) and not known(function.physfn):
        evidence = ((f"/sys/bus/pci/devices/{function.address}/label", function.board_label), ("BMC", bmc))
        yield make_finding("BMC_MAY_SHARE", function.address, evidence, nic=label(function), port=function.board_label)


def has_interface(function: PciFunction) -> bool:
    """Whether the function's driver is one that makes a network interface."""
    return known(function.driver) and not on_vfio(function) and function.driver not in USERSPACE_DRIVERS


def is_addressed(function: PciFunction, index: HostIndex) -> bool:
    """Whether IP can pass by the NIC: a route or an address, other than every interface has, stands on it."""
    for chain in index.chains(function) if index.is_occupied(function) else ():
        netdev = chain[-1].name
        if any(not address.comes_with_link for address in index.addresses.get(netdev, ())):
            return True
        if any(route.protocol != "kernel" for route in index.routes.get(netdev, ())):
            return True
    return False


def _elsewhere(function: PciFunction, index: HostIndex) -> Finding:
    found = index.foreign_netdevs.get(function.address, [])
    unknown = why_unknown(index.host.activity.foreign_netdevs)
    place = "; ".join(_place(netdev) for netdev in found)
    if not place and unknown:
        place = _("where it is could not be learned: {reason}").format(reason=unknown)
    undo = "".join(
        f"nsenter --net={quote(netdev.namespace)} ip link set dev {quote(netdev.netdev)} netns 1\n" for netdev in found
    )
    return make_finding(
        "NETDEV_ELSEWHERE",
        function.address,
        ((f"/sys/bus/pci/devices/{function.address}/driver", function.driver),),
        nic=label(function),
        driver=function.driver,
        place=place or _("no network namespace shows one either"),
        undo=undo.strip() or f"dmesg | grep {function.address}",
    )


def _place(netdev: ForeignNetdev) -> str:
    facts = {"netdev": netdev.netdev, "namespace": netdev.namespace, "program": netdev.program}
    if netdev.program:
        return _("it is {netdev} in the network namespace {namespace} of {program}").format(**facts)
    return _("it is {netdev} in the network namespace {namespace}").format(**facts)


def _why_network_unknown(index: HostIndex) -> str | None:
    network = index.host.network
    if network.addresses is None or network.routes is None:
        return _("addresses and routes were not read")
    return why_unknown(network.addresses) or why_unknown(network.routes) or why_unknown(network.rules)


def _why_activity_unknown(function: PciFunction, index: HostIndex) -> list[str | None]:
    """Why use is unknown: sessions, mounts and tunnels matter where IP passes; holders, where a device can be open."""
    unread, netdevs = _unread(index), index.netdevs(function)
    reasons: list[str | None] = []
    if is_addressed(function, index):
        activity = index.host.activity
        reasons += [why_unknown(activity.sessions), why_unknown(activity.storage), *index.unplaced_tunnels]
        reasons += _why_managers_unknown(function, index)
    if index.devices.get(function.address) or on_vfio(function):
        reasons.append(unread.holders)
    elif known(function.driver):
        reasons.append(unread.devices)
    if function.rdma == ():
        reasons.append(_("its RDMA device is in another network namespace"))
    if netdevs:
        reasons.append(unread.packet_sockets)
        if unread.xdp_sockets and any(link.xdp_programs for link in netdevs):
            reasons.append(unread.xdp_sockets)
    return reasons


def _why_managers_unknown(function: PciFunction, index: HostIndex) -> list[str | None]:
    """Why the managers of the NIC's interfaces are unknown: whose an address is decides who puts it back."""
    netdevs = index.netdevs(function)
    return [why_unknown(manager.profile) for link in netdevs for manager in index.managers.get(link.name, ())]
