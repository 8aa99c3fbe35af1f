# SPDX-License-Identifier: Apache-2.0
"""Mutated dumps of rtnetlink: taken apart, put together to a network, and walked; one that lies is an error."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import msgspec

from nicpass.checks.dependence.usage import check_usage
from nicpass.checks.lookup.index import HostIndex
from nicpass.host.network.netlink import read_addresses, read_links
from nicpass.host.network.routes import read_routes, read_rules
from nicpass.host.network.rtnetlink import ADDRESSES, LINKS, NEXTHOPS, ROUTES, RULES, Kind, collect_dump
from nicpass.host.network.wireguard import read_endpoints
from nicpass.model.address import Address
from nicpass.model.host import Host
from nicpass.model.network import Network
from nicpass.model.pci import PciFunction
from tests.fuzz.bound import HangError, rearm, watching
from tests.fuzz.mutate import mutate

JSON_EVERY = 16


def attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def number(value: int) -> bytes:
    return struct.pack("=I", value)


def link(index: int, name: bytes, kind: bytes, data: bytes = b"", *more: bytes) -> bytes:
    info = attribute(1, kind + b"\0") + attribute(2, data)
    body = struct.pack("=BxHiII", 0, 1, index, 0x1003, 0) + attribute(3, name + b"\0") + attribute(18, info)
    return message(16, body + b"".join(more))


_IPV4, _PEER = socket.inet_aton("10.0.0.5"), socket.inet_aton("10.0.0.9")
_VF = attribute(1, number(0) + bytes(36)) + attribute(2, number(0) + number(7) + bytes(4))
_XDP = attribute(2, b"\1") + attribute(4, number(42))
_HOP = struct.pack("=HBBi", 16, 0, 0, 2) + attribute(5, _PEER)
_DONE = message(3, bytes(4))
SOURCES: dict[str, tuple[Kind, bytes]] = {
    "links": (
        LINKS,
        link(2, b"eth1", b"dummy", b"", attribute(1, bytes(6)), attribute(22, attribute(1, _VF)), attribute(43, _XDP))
        + link(3, b"v7", b"vlan", b"", attribute(5, number(2)), attribute(10, number(4)))
        + link(4, b"br0", b"bridge", b"", attribute(52, attribute(53, b"long\0")))
        + link(5, b"vx0", b"vxlan", attribute(2, _PEER) + attribute(3, number(2)) + attribute(4, _IPV4))
        + _DONE,
    ),
    "addresses": (
        ADDRESSES,
        message(20, struct.pack("=BBBBi", 2, 24, 0x80, 0, 2) + attribute(1, _IPV4) + attribute(2, _IPV4)) + _DONE,
    ),
    "routes": (
        ROUTES,
        message(24, struct.pack("=8BI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + attribute(5, _PEER) + attribute(4, number(2)))
        + message(24, struct.pack("=8BI", 2, 24, 0, 0, 254, 4, 0, 1, 0) + attribute(1, _IPV4) + attribute(9, _HOP * 2))
        + message(24, struct.pack("=8BI", 2, 24, 0, 0, 254, 4, 0, 1, 0) + attribute(30, number(9)))
        + _DONE,
    ),
    "nexthops": (
        NEXTHOPS,
        message(104, bytes(8) + attribute(1, number(5)) + attribute(5, number(2)) + attribute(6, _PEER))
        + message(104, bytes(8) + attribute(1, number(9)) + attribute(2, struct.pack("=IBBH", 5, 0, 0, 0)))
        + _DONE,
    ),
    "rules": (
        RULES,
        message(
            32, struct.pack("=8BI", 2, 0, 0, 0, 254, 0, 0, 1, 0) + attribute(3, b"eth1\0") + attribute(6, number(9))
        )
        + _DONE,
    ),
}
"""Each dump of one host, as one datagram."""

_NIC = PciFunction(address=Address("0000:01:00.0"), class_code=0x020000, driver="igb", netdevs=("eth1",))


def fuzz(count: int, seed: int) -> int:
    """Try `count` hosts of which one dump is mutated; the same seed tries the same ones.

    Raises:
        AssertionError: one of them crashed or hung the decoder or the walk; it has the dump in it.
    """
    rng = random.Random(seed)  # noqa: S311  the same inputs again are what it is for
    others = [data for _, data in SOURCES.values()]
    with watching():
        for turn in range(count):
            name = rng.choice(list(SOURCES))
            data = mutate(SOURCES[name][1], others, rng)
            rearm()
            try_dump(name, data, with_json=turn % JSON_EVERY == 0)
    return count


def try_dump(name: str, data: bytes, *, with_json: bool = True) -> None:
    """Read a host of which this one dump is `data`, and walk it.

    Raises:
        AssertionError: a crash, a hang, or an answer that does not hold.
    """
    try:
        # What the kernel says is taken, or refused as a whole.
        with contextlib.suppress(OSError):
            network = read_network(name, data)
            host = Host(pci=(_NIC,), network=network)
            for finding in check_usage(_NIC, HostIndex(host)):
                assert "\n" not in finding.sentence
            if with_json:
                assert msgspec.json.decode(msgspec.json.encode(host), type=Host) == host
    except HangError:
        raise AssertionError(f"hangs: {name}: {data.hex()}") from None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}: {name}: {data.hex()}") from error


def read_network(name: str, data: bytes) -> Network:
    """The network of which one dump is `data`, and the others are sound.

    Raises:
        OSError: the dump was refused.
    """
    bodies = {
        kind: collect_dump(iter((data if kind == name else whole, _DONE)).__next__, what.fixed)[0]
        for kind, (what, whole) in SOURCES.items()
    }
    with contextlib.suppress(OSError):
        list(read_endpoints([bytes(4) + attribute(8, attribute(0, attribute(4, data))), data]))
    links, names = read_links(bodies["links"])
    return Network(
        links=links,
        addresses=read_addresses(bodies["addresses"], names),
        routes=read_routes(bodies["routes"], names, lambda: bodies["nexthops"]),
        rules=tuple(read_rules(bodies["rules"])),
    )
