# SPDX-License-Identifier: Apache-2.0
"""Programs that use a NIC beside the network stack: RDMA, its clock, XDP, DPDK, packet sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label, on_vfio
from nicpass.model.fact import known
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.activity import BoundSocket, FunctionDevice, Holder
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.holders")

_LISTENERS = frozenset(
    {"NetworkManager", "arping", "arpwatch", "avahi-autoipd", "connmand", "dhclient", "dhcpcd", "dumpcap", "ladvd"}
    | {"lldpad", "lldpd", "nm-dhcp-helper", "radvd", "systemd-network", "tcpdump", "tshark", "udhcpc", "wireshark"}
    | {"wickedd-auto4", "wickedd-dhcp4", "wickedd-dhcp6"}
)
"""As their processes are called (15 letters, proc_pid_comm(5)): they serve the interface, or only look on."""
_IN_USE = {"rdma": "RDMA_IN_USE", "ptp": "PTP_IN_USE"}


def check_holders(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    for device in index.devices.get(function.address, ()):
        yield from _check_device(function, device, index)
    yield from _check_vfio(function, index)
    for chain in index.chains(function) if index.is_occupied(function) else ():
        netdev = chain[-1].name
        if len(chain) == 1:
            yield from _check_xdp(function, netdev, index)
        sockets = index.packet_sockets.get(netdev, [])
        # What stands on it keeps it here by itself: there packets are no more than listened to.
        using = [socket for socket in sockets if len(chain) == 1 and socket.program not in _LISTENERS]
        if using:
            yield _socket_finding("AF_PACKET_IN_USE", function, netdev, using)
        if listening := [socket for socket in sockets if socket not in using]:
            yield _socket_finding("CAPTURED_BY", function, netdev, listening)


def _check_device(function: PciFunction, device: FunctionDevice, index: HostIndex) -> Iterator[Finding]:
    holders = [holder for node in device.nodes for holder in index.holders.get(node, ())]
    if device.kind == "rdma":
        source = f"/sys/class/infiniband/{device.name}"
        yield make_finding(
            "RDMA_DEVICE", function.address, ((source, function.address),), nic=label(function), name=device.name
        )
    if holders and device.kind in _IN_USE:
        yield _holder_finding(_IN_USE[device.kind], function, holders, name=device.name)
    elif holders and function.address not in index.owners:
        yield _holder_finding("HELD_BY_PROCESS", function, holders)


def _check_vfio(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Holders of the VFIO group: only since Linux 6.6 has a device its own file. A libvirt VM is told as its owner."""
    if not on_vfio(function) or not known(function.iommu_group) or function.address in index.owners:
        return
    if holders := index.holders.get(f"/dev/vfio/{function.iommu_group}"):
        yield _holder_finding("HELD_BY_PROCESS", function, holders)


def _check_xdp(function: PciFunction, netdev: str, index: HostIndex) -> Iterator[Finding]:
    if programs := index.links[netdev].xdp_programs:
        told = ", ".join(str(number) for number in programs if number) or "?"
        evidence = (("rtnetlink, IFLA_XDP", told),)
        yield make_finding(
            "XDP_ATTACHED",
            function.address,
            evidence,
            nic=label(function),
            programs=told,
            netdev=quote(netdev),
        )
    if sockets := index.xdp_sockets.get(netdev):
        yield _socket_finding("AF_XDP_IN_USE", function, netdev, sockets)


def _holder_finding(code: str, function: PciFunction, holders: Iterable[Holder], **facts: str) -> Finding:
    told = [*dict.fromkeys(f"{holder.program} ({holder.process})" for holder in holders)]
    evidence = tuple((f"/proc/{holder.process}/fd", holder.node) for holder in holders)
    processes = " ".join(dict.fromkeys(str(holder.process) for holder in holders))
    return make_finding(
        code, function.address, evidence, nic=label(function), programs=", ".join(told), processes=processes, **facts
    )


def _socket_finding(code: str, function: PciFunction, netdev: str, sockets: Iterable[BoundSocket]) -> Finding:
    told = dict.fromkeys(f"{s.program} ({s.process})" if s.process is not None else "?" for s in sockets)
    programs = ", ".join(told)
    return make_finding(
        code, function.address, ((f"sockets bound to {netdev}", programs),), nic=label(function), netdev=netdev,
        programs=programs,
    )  # fmt: skip
