# SPDX-License-Identifier: Apache-2.0
"""Reading a network of a thousand interfaces and walking it, against iproute2's bare dump of the same things.

The network lies in a namespace of its own, which only root may make; it is gone afterwards.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.measure import Result
from nicpass.model.address import Address

if TYPE_CHECKING:
    from nicpass.model.host import Host
    from nicpass.model.network import Network

WALK_TARGET = 1.3
_NAMESPACE = f"nicpass-bench-{os.getpid()}"
DUMP = (
    ["ip", "-d", "-j", "link"],
    ["ip", "-j", "addr"],
    ["ip", "-j", "-4", "route", "show", "table", "all"],
    ["ip", "-j", "-6", "route", "show", "table", "all"],
    ["ip", "-j", "-4", "rule"],
    ["ip", "-j", "-6", "rule"],
)

# Runs in the namespace: nicpass and iproute2 in turn, to feel the same noise. Prints the seconds of each, and counts.
_TIMER = """
import json, subprocess, sys, time
from bench.namespace import DUMP, read_and_walk
runs, times = int(sys.argv[1]), {"ours": [], "theirs": []}
for number in range(runs + 1):
    begin = time.perf_counter()
    seen = read_and_walk()
    middle = time.perf_counter()
    for command in DUMP:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    end = time.perf_counter()
    if number:
        times["ours"].append(middle - begin)
        times["theirs"].append(end - middle)
json.dump({**times, "seen": seen}, sys.stdout)
"""


def bench_namespace(runs: int) -> list[Result]:
    """The ratio of the medians of one run; an empty list without root, who alone may make a namespace."""
    if os.geteuid() != 0:
        print("not root: the dump of 1,000 interfaces, which wants a network namespace, is left out")
        return []
    subprocess.run(["ip", "netns", "add", _NAMESPACE], check=True)
    try:
        _fill()
        command = ["ip", "netns", "exec", _NAMESPACE, sys.executable, "-c", _TIMER, str(runs)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    finally:
        subprocess.run(["ip", "netns", "delete", _NAMESPACE], check=True)
    ours, theirs = statistics.median(told["ours"]), statistics.median(told["theirs"])
    links, nics, findings = told["seen"]
    name = f"read and walk : ip -d -j link, addr, route, rule; {links} interfaces, {nics} NICs, {findings} findings"
    return [Result(name, ours, theirs, ours / theirs, WALK_TARGET, runs)]


def read_and_walk() -> tuple[int, int, int]:
    """(interfaces, NICs, findings) of the namespace; an interface that stands on no other is taken for a NIC's."""
    from nicpass.checks.dependence.usage import check_usage
    from nicpass.checks.lookup.index import HostIndex
    from nicpass.host.network.netlink import dump_network

    network = dump_network()
    host = _as_host(network)
    index = HostIndex(host)
    found = [finding for function in host.pci for finding in check_usage(function, index)]
    return len(network.links), len(host.pci), len(found)


def _as_host(network: Network) -> Host:
    from nicpass.model.activity import Activity
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

    ports = [link.name for link in network.links if link.kind in ("dummy", "ifb")]
    pci = tuple(
        PciFunction(
            address=Address(f"{number >> 8:04x}:{number & 255:02x}:00.0"),
            class_code=0x020000,
            driver="igb",
            netdevs=(name,),
        )
        for number, name in enumerate(ports)
    )
    nothing = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=())
    return Host(pci=pci, network=network, activity=nothing)


def _fill() -> None:
    """Make 500 NICs: a part has VLANs, a part is in bridges with veths beside, each of the rest has an address."""
    nic = "dummy" if _has("dummy") else "ifb"
    upper = "type vlan id 7" if _has("vlan", "link", "lo", "id", "7") else "type macvlan"
    lines = ["link set lo up"]
    for number in range(500):
        lines += [f"link add nic{number} type {nic}", f"link set nic{number} up"]
    for number in range(100):
        lines += [f"link add br{number} type bridge", f"link add ve{number} type veth peer name in{number}"]
        lines += [f"link set {port}{number} master br{number}" for port in ("nic", "ve")]
        lines += [f"link set {each}{number} up" for each in ("br", "ve", "in")]
        lines.append(f"addr add 10.1.{number}.1/24 dev in{number}")
    for number in range(100, 299):
        lines += [f"link add link nic{number} name up{number} {upper}", f"link set up{number} up"]
    lines += [f"addr add 10.2.{number - 100}.1/24 dev nic{number}" for number in range(100, 350)]
    lines += [f"addr add 10.3.{number - 100}.1/24 dev up{number}" for number in range(100, 299)]
    lines += [f"route add 172.16.{number - 100}.0/24 via 10.2.{number - 100}.9" for number in range(100, 350)]
    lines += ["route add default via 10.2.0.9", "rule add iif nic100 lookup 300"]
    lines += ["rule add from 10.2.0.0/24 lookup 300", "route add default via 10.2.1.9 table 300"]
    batch = ["ip", "-n", _NAMESPACE, "-batch", "-"]
    subprocess.run(batch, input="\n".join(lines), text=True, check=True, stdout=subprocess.DEVNULL)
    time.sleep(2)  # addresses stop being tentative, and the kernel is idle again


def _has(kind: str, *more: str) -> bool:
    """Whether this kernel makes interfaces of that kind."""
    add = ["ip", "-n", _NAMESPACE, "link", "add", *more[:2], "name", "probe", "type", kind, *more[2:]]
    if subprocess.run(add, capture_output=True, check=False).returncode != 0:
        return False
    subprocess.run(["ip", "-n", _NAMESPACE, "link", "delete", "probe"], check=True)
    return True
