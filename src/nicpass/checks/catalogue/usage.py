# SPDX-License-Identifier: Apache-2.0
"""Codes about what the host would lose with a NIC."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "CARRIES_DEFAULT_ROUTE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries the host's default route: {chain}.",
        meaning="Without it the host, and whoever administers it from afar, loses the network.",
        mend="Move the default route to another NIC first, or give away a VF of this one.",
    ),
    "CARRIES_ROUTE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries a route of the host: {chain}.",
        meaning="What the host reaches by that route it would no longer reach.",
        mend="Remove the route, or give away another NIC; --allow CARRIES_ROUTE if it may go.",
    ),
    "HAS_ADDRESS": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries an address of the host: {chain}.",
        meaning="Whoever talks to the host by that address would be cut off.",
        mend="Remove the address, or give away another NIC; --allow HAS_ADDRESS if it may go.",
    ),
    "HAS_UPPER": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is part of another interface: {chain}.",
        meaning="A bond, team, bridge, VLAN or macvlan of the host stands on it and would lose it.",
        mend="Take it out first: ip link set {netdev} nomaster, or delete what stands on it.",
    ),
    "USE_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="What the host uses {nic} for could not be learned: {reason}.",
        meaning="Unknown counts as in use: the NIC might carry the network of the host.",
    ),
    "NETDEV_ELSEWHERE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is on its network driver {driver} and shows no interface here.",
        meaning="Its interface is in another network namespace (a container's?), or the driver failed to make one.",
        mend="Look for it: lsns -t net; dmesg | grep {address}",
    ),
    "PF_HAS_VFS": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} has {count} VFs, which would vanish with it.",
        meaning="A PF is not given away while it has VFs: somebody may be using them.",
        mend="Give away one of its VFs instead, or remove them: nicpass vf remove {address}",
    ),
    "VFS_NEARBY": Entry(
        severity=Severity.WARNING,
        sentence="{nic} may be the PF of VFs beside it that show no PF: {vfs}.",
        meaning="They are bound to a driver of VFs. If they are its own, they vanish with it.",
        mend="ls -l /sys/bus/pci/devices/{address}/virtfn*",
    ),
    "OWNED_BY_VM": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} belongs to the VM {owners} already.",
        meaning="It stands in that VM's definition, running or not.",
        mend="nicpass detach {owner} {address}",
    ),
}
