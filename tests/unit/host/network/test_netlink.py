# SPDX-License-Identifier: Apache-2.0
"""What netlink's messages become: messages that a library has encoded, bytes laid out by hand, and the kernel's own."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from nicpass.engine.nic.interface import _vf_guid
from nicpass.host.network.links import read_vfs
from nicpass.host.network.netlink import read_addresses, read_links
from nicpass.host.network.routes import Outlet, read_nexthops, read_routes, read_rules
from nicpass.host.network.rtnetlink import (
    Kind,
    MalformedError,
    collect_dump,
    dump,
    read_attributes,
    split_attributes,
    split_messages,
)
from nicpass.host.network.wireguard import read_endpoints
from nicpass.model.fact import Unknown
from nicpass.model.network import Link, Route, Rule, Setting, VfSettings
from tests.fuzz.netlink import SOURCES, fuzz, read_network

UNSUPPORTED = 0xFFFFFFFF
"""What a driver says of a switch that it does not have."""
NAMES = {7: "eth7", 8: "eth8"}


def encode(message: Any, attributes: list[tuple[str, Any]], **fields: int) -> bytes:
    """The body of a message, as the library lays it out."""
    message.update(fields)
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data[16:])


def attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def link_of(*attributes: tuple[str, Any], index: int = 7) -> Link:
    """The interface, beside two others of which it may speak."""
    others = [encode(ifinfmsg(), [("IFLA_IFNAME", f"eth{number}")], index=number) for number in (8, 9)]
    body = encode(ifinfmsg(), [("IFLA_IFNAME", "eth7"), *attributes], index=index, flags=0x1003)
    return read_links([body, *others])[0][0]


def vf_info(**switches: int) -> bytes:
    content = attribute(1, struct.pack("=I", 3) + bytes.fromhex("525400123456") + bytes(26))
    content += attribute(2, struct.pack("=III", 3, 20, 0))
    numbers = {"spoofchk": 4, "trust": 9}
    for name, value in switches.items():
        content += attribute(numbers[name], struct.pack("=II", 3, value))
    return attribute(1, content)


@pytest.mark.parametrize(("value", "meant"), [(0, False), (1, True), (UNSUPPORTED, None)])
def test_a_vf_and_its_switches(value: int, meant: bool | None) -> None:
    found = list(read_vfs(vf_info(spoofchk=value, trust=value)))
    assert found == [VfSettings(vf_index=3, mac="52:54:00:12:34:56", vlan=20, qos=0, spoofchk=meant, trust=meant)]


def test_a_vf_as_the_library_writes_it() -> None:
    attributes: list[object] = [("IFLA_VF_MAC", {"vf": 3, "mac": "52:54:00:12:34:56"})]
    attributes += [("IFLA_VF_VLAN", {"vf": 3, "vlan": 20, "qos": 0}), ("IFLA_VF_TRUST", {"vf": 3, "trust": 1})]
    found = link_of(("IFLA_VFINFO_LIST", {"attrs": [("IFLA_VF_INFO", {"attrs": attributes})]}))
    assert found.vfs == (VfSettings(vf_index=3, mac="52:54:00:12:34:56", vlan=20, qos=0, spoofchk=None, trust=True),)


def test_all_that_a_pf_enforces() -> None:
    vlan = {"vf": 3, "vlan": 20, "qos": 5, "proto": 0x88A8}
    attributes: list[object] = [
        ("IFLA_VF_MAC", {"vf": 3, "mac": "52:54:00:12:34:56"}),
        ("IFLA_VF_VLAN", {"vf": 3, "vlan": 20, "qos": 5}),
        ("IFLA_VF_VLAN_LIST", {"attrs": [("IFLA_VF_VLAN_INFO", vlan)]}),
        ("IFLA_VF_RATE", {"vf": 3, "min_tx_rate": 10, "max_tx_rate": 100}),
        ("IFLA_VF_LINK_STATE", {"vf": 3, "link_state": 2}),
        ("IFLA_VF_RSS_QUERY_EN", {"vf": 3, "rss_query_en": 1}),
        ("IFLA_VF_SPOOFCHK", {"vf": 3, "spoofchk": 0}),
    ]
    found = link_of(("IFLA_VFINFO_LIST", {"attrs": [("IFLA_VF_INFO", {"attrs": attributes})]}))
    assert found.vfs == (
        VfSettings(
            vf_index=3,
            mac="52:54:00:12:34:56",
            vlan=20,
            qos=5,
            vlan_protocol="802.1ad",
            spoofchk=False,
            link_state="disable",
            min_tx_rate=10,
            max_tx_rate=100,
            query_rss=True,
        ),
    )


def test_the_guids_of_an_infiniband_vf_are_read_as_they_are_written() -> None:
    """By the kernel's layout, and as the request of the library has it that `engine/nic/interface.py` makes."""
    node, port = "00:11:22:33:44:55:66:77", "88:99:aa:bb:cc:dd:ee:ff"
    attributes: list[object] = [
        ("IFLA_VF_MAC", {"vf": 3, "mac": "00:00:00:00:00:00"}),
        ("IFLA_VF_IB_NODE_GUID", {"vf": 3, "ib_node_guid": _vf_guid(node)}),
        ("IFLA_VF_IB_PORT_GUID", {"vf": 3, "ib_port_guid": _vf_guid(port)}),
    ]
    written = link_of(("IFLA_VFINFO_LIST", {"attrs": [("IFLA_VF_INFO", {"attrs": attributes})]}))
    content = attribute(1, struct.pack("=I", 3) + bytes(32))
    for kind, guid in ((10, node), (11, port)):
        content += attribute(kind, struct.pack("=IIQ", 3, 0, int(guid.replace(":", ""), 16)))
    (by_kernel,) = read_vfs(attribute(1, content))
    assert written.vfs == (by_kernel,)
    assert (by_kernel.node_guid, by_kernel.port_guid) == (node, port)


def test_a_driver_that_tells_no_switch() -> None:
    (found,) = read_vfs(vf_info())
    assert found.spoofchk is None
    assert found.trust is None


class TestLinks:
    """RTM_NEWLINK."""

    def test_the_plain_attributes(self) -> None:
        found = link_of(
            ("IFLA_ADDRESS", "52:54:00:00:00:07"),
            ("IFLA_MTU", 9000),
            ("IFLA_OPERSTATE", "DORMANT"),
            ("IFLA_CARRIER", 1),
            ("IFLA_MASTER", 8),
            ("IFLA_LINK", 9),
            ("IFLA_TXQLEN", 500),
            ("IFLA_IFALIAS", "to the switch"),
            ("IFLA_QDISC", "mq"),
        )
        assert found == Link(
            name="eth7",
            mac="52:54:00:00:00:07",
            mtu=9000,
            up=True,
            operstate="dormant",
            carrier=True,
            master="eth8",
            lower="eth9",
            txqueuelen=500,
            promisc=False,
            allmulticast=False,
            alias="to the switch",
            qdisc="mq",
        )

    def test_what_the_administrator_asked_the_interface_to_take(self) -> None:
        body = struct.pack("=BxHiII", 0, 1, 7, 0x300, 0) + attribute(3, b"eth7\0")
        (found,) = read_links([body])[0]
        assert (found.promisc, found.allmulticast) == (True, True)

    def test_a_vlan(self) -> None:
        data = [("IFLA_VLAN_ID", 20), ("IFLA_VLAN_PROTOCOL", 0x88A8)]
        info = [("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", {"attrs": data})]
        found = link_of(("IFLA_LINKINFO", {"attrs": info}))
        assert (found.kind, found.vlan_id, found.vlan_protocol) == ("vlan", 20, "802.1ad")

    def test_alternative_names(self) -> None:
        names = [("IFLA_ALT_IFNAME", "a-long-name"), ("IFLA_ALT_IFNAME", "another")]
        assert link_of(("IFLA_PROP_LIST", {"attrs": names})).altnames == ("a-long-name", "another")

    def test_a_link_in_another_namespace_is_not_ours(self) -> None:
        assert link_of(("IFLA_LINK", 9), ("IFLA_LINK_NETNSID", 0)).lower is None

    def test_an_interface_that_names_itself_stands_on_nothing(self) -> None:
        assert link_of(("IFLA_LINK", 7)).lower is None

    def test_the_device_that_it_belongs_to_and_its_own_mac(self) -> None:
        body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + attribute(3, b"eth7\0") + attribute(56, b"0000:01:00.0\0")
        found = read_links([body + attribute(54, bytes.fromhex("525400000070"))])[0][0]
        assert (found.parent_device, found.permanent_mac) == ("0000:01:00.0", "52:54:00:00:00:70")

    @pytest.mark.parametrize(
        ("content", "programs"),
        [
            (attribute(2, b"\0"), ()),
            (attribute(2, b"\1") + attribute(4, struct.pack("=I", 42)) + attribute(5, struct.pack("=I", 42)), (42,)),
            (attribute(2, b"\4") + attribute(5, struct.pack("=I", 9)) + attribute(7, struct.pack("=I", 4)), (4, 9)),
            (attribute(2, b"\2"), (0,)),
        ],
    )
    def test_xdp_programs(self, content: bytes, programs: tuple[int, ...]) -> None:
        body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + attribute(3, b"eth7\0") + attribute(0x8000 | 43, content)
        assert read_links([body])[0][0].xdp_programs == programs

    @pytest.mark.parametrize(
        ("kind", "data", "lower", "local", "remotes"),
        [
            (
                b"vxlan",
                attribute(2, socket.inet_aton("239.1.1.1")) + attribute(3, struct.pack("=I", 8)),
                "eth8",
                None,
                ("239.1.1.1",),
            ),
            (b"vxlan", attribute(17, socket.inet_pton(socket.AF_INET6, "fd00::1")), None, "fd00::1", ()),
            (b"geneve", attribute(2, socket.inet_aton("10.0.0.9")), None, None, ("10.0.0.9",)),
            (
                b"gretap",
                attribute(6, socket.inet_aton("10.0.0.5")) + attribute(7, socket.inet_aton("10.0.0.9")),
                None,
                "10.0.0.5",
                ("10.0.0.9",),
            ),
            (
                b"ipip",
                attribute(2, bytes(4)) + attribute(3, socket.inet_aton("10.0.0.9")),
                None,
                None,
                ("10.0.0.9",),
            ),
            (b"vti", attribute(5, socket.inet_aton("10.0.0.9")), None, None, ("10.0.0.9",)),
            (b"bridge", attribute(2, b"\1"), None, None, None),
        ],
    )
    def test_tunnels(
        self, kind: bytes, data: bytes, lower: str | None, local: str | None, remotes: tuple[str, ...] | None
    ) -> None:
        info = attribute(1, kind + b"\0") + attribute(2, data)
        body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + attribute(3, b"tun7\0") + attribute(18, info)
        other = struct.pack("=BxHiII", 0, 1, 8, 0, 0) + attribute(3, b"eth8\0")
        found = read_links([body, other])[0][0]
        assert (found.kind, found.lower) == (kind.decode(), lower)
        assert (found.tunnel_local, found.tunnel_remotes) == (local, remotes)

    def test_a_name_that_is_no_text_is_kept_escaped(self) -> None:
        body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + attribute(3, b"e\xff\0")
        assert read_links([body])[0][0].name == "e\\xff"


class TestAddresses:
    """RTM_NEWADDR."""

    def test_the_two_ends_of_a_point_to_point_address(self) -> None:
        attributes = [("IFA_ADDRESS", "192.0.2.2"), ("IFA_LOCAL", "192.0.2.1"), ("IFA_FLAGS", 0x80)]
        body = encode(ifaddrmsg(), attributes, family=2, prefixlen=32, flags=0x80, scope=0, index=7)
        (address,) = read_addresses([body], NAMES)
        assert (address.netdev, address.text, address.peer) == ("eth7", "192.0.2.1/32", "192.0.2.2")
        assert not address.dynamic

    def test_one_that_is_tentative_and_has_a_lifetime(self) -> None:
        attributes = [("IFA_ADDRESS", "fd00::7"), ("IFA_FLAGS", 0x40)]
        body = encode(ifaddrmsg(), attributes, family=10, prefixlen=64, flags=0x40, scope=253, index=9)
        (address,) = read_addresses([body], NAMES)
        assert (address.netdev, address.text, address.scope) == ("9", "fd00::7/64", "link")
        assert address.tentative
        assert address.dynamic

    @pytest.mark.parametrize(
        ("family", "flags", "words"),
        [
            (2, 0x80, ()),
            (2, 0x281, ("noprefixroute", "secondary")),
            (10, 0x181, ("mngtmpaddr", "temporary")),
            (10, 0x4B2, ("nodad", "home", "deprecated", "autojoin")),
        ],
    )
    def test_flags_and_metric(self, family: int, flags: int, words: tuple[str, ...]) -> None:
        content = socket.inet_aton("10.0.0.5") if family == 2 else socket.inet_pton(socket.AF_INET6, "fd00::5")
        body = struct.pack("=BBBBi", family, 24, flags & 0xFF, 0, 7) + attribute(1, content)
        body += attribute(8, struct.pack("=I", flags)) + attribute(9, struct.pack("=I", 50))
        (found,) = read_addresses([body], NAMES)
        assert (found.flags, found.metric) == (words, 50)


class TestRoutes:
    """RTM_NEWROUTE and RTM_NEWNEXTHOP."""

    HEAD: ClassVar[dict[str, int]] = {"family": 2, "table": 254, "proto": 4, "scope": 0, "type": 1}

    @staticmethod
    def read(*bodies: bytes, nexthops: tuple[bytes, ...] = ()) -> object:
        return read_routes(bodies, NAMES, lambda: list(nexthops))

    def test_a_plain_one(self) -> None:
        attributes = [("RTA_GATEWAY", "10.0.0.1"), ("RTA_OIF", 7), ("RTA_PRIORITY", 100), ("RTA_TABLE", 1000)]
        body = encode(rtmsg(), attributes, **{**self.HEAD, "table": 252})
        expected = Route(
            netdev="eth7",
            destination="default",
            table=1000,
            gateway="10.0.0.1",
            protocol="static",
            metric=100,
            onlink=False,
        )
        assert self.read(body) == (expected,)

    def test_what_few_have(self) -> None:
        metrics = [("RTAX_LOCK", 4), ("RTAX_MTU", 1400), ("RTAX_CC_ALGO", "bbr")]
        attributes = [("RTA_OIF", 7), ("RTA_METRICS", {"attrs": metrics}), ("RTA_FLOW", 5), ("RTA_ENCAP_TYPE", 1)]
        attributes += [("RTA_SRC", "fd00::"), ("RTA_PREF", 1)]
        head = {**self.HEAD, "family": 10, "src_len": 8, "tos": 0x10, "flags": 4}
        body = encode(rtmsg(), attributes, **head) + attribute(30, struct.pack("=I", 12))
        (found,) = read_routes([body], NAMES, list)  # type: ignore[misc]
        assert found == Route(
            netdev="eth7",
            destination="default",
            protocol="static",
            family="inet6",
            onlink=True,
            tos=0x10,
            from_prefix="fd00::/8",
            preference="high",
            realm=5,
            metrics=(Setting("lock", "4"), Setting("mtu", "1400"), Setting("congctl", "bbr")),
            nexthop_id=12,
            encapsulation=1,
        )

    def test_several_ways(self) -> None:
        hops = b"".join(
            struct.pack("=HBBi", 16, 4 * (index == 8), 2, index) + attribute(5, socket.inet_aton(f"10.0.{index}.1"))
            for index in (7, 8)
        )
        body = struct.pack("=8BI", 2, 16, 0, 0, 254, 4, 0, 1, 0)
        body += attribute(1, socket.inet_aton("10.9.0.0")) + attribute(9, hops)
        found = self.read(body)
        assert isinstance(found, tuple)
        assert [(route.netdev, route.gateway, route.multipath) for route in found] == [
            ("eth7", "10.0.7.1", True),
            ("eth8", "10.0.8.1", True),
        ]
        assert [(route.weight, route.onlink) for route in found] == [(3, False), (3, True)]

    def test_a_gateway_of_another_family(self) -> None:
        via = struct.pack("=H", 10) + socket.inet_pton(socket.AF_INET6, "fe80::1")
        body = (
            struct.pack("=8BI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + attribute(4, struct.pack("=I", 7)) + attribute(18, via)
        )
        found = self.read(body)
        assert isinstance(found, tuple)
        assert found[0].gateway == "fe80::1"

    @pytest.mark.parametrize("change", [{"type": 2}, {"type": 6}, {"table": 255}, {"family": 128}, {"flags": 0x200}])
    def test_what_is_nobodys_route_is_left_out(self, change: dict[str, int]) -> None:
        assert self.read(encode(rtmsg(), [("RTA_OIF", 7)], **{**self.HEAD, **change})) == ()

    NEXTHOPS = (
        bytes(8) + attribute(1, struct.pack("=I", 5)) + attribute(5, struct.pack("=I", 7)),
        bytes(8)
        + attribute(1, struct.pack("=I", 6))
        + attribute(5, struct.pack("=I", 8))
        + attribute(6, socket.inet_aton("10.0.8.1")),
        bytes(8) + attribute(1, struct.pack("=I", 9)) + attribute(2, struct.pack("=IBBHIBBH", 5, 0, 0, 0, 6, 0, 0, 0)),
        bytes(8) + attribute(1, struct.pack("=I", 4)) + attribute(4, b""),
    )

    def test_nexthop_objects(self) -> None:
        assert read_nexthops(self.NEXTHOPS) == {
            5: [Outlet(7, None)],
            6: [Outlet(8, "10.0.8.1")],
            9: [Outlet(7, None), Outlet(8, "10.0.8.1")],
            4: [],
        }

    def test_a_route_that_names_only_its_object_is_resolved(self) -> None:
        body = struct.pack("=8BI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + attribute(30, struct.pack("=I", 9))
        found = self.read(body, nexthops=self.NEXTHOPS)
        assert isinstance(found, tuple)
        assert [(route.netdev, route.gateway) for route in found] == [("eth7", None), ("eth8", "10.0.8.1")]

    def test_one_that_cannot_be_resolved_makes_the_routes_unknown(self) -> None:
        body = struct.pack("=8BI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + attribute(30, struct.pack("=I", 77))
        assert isinstance(self.read(body, nexthops=self.NEXTHOPS), Unknown)

        def refuse() -> list[bytes]:
            raise OSError(errno.EOPNOTSUPP, "not supported")

        assert isinstance(read_routes([body], NAMES, refuse), Unknown)

    def test_a_circle_of_groups_ends(self) -> None:
        group = bytes(8) + attribute(1, struct.pack("=I", 1)) + attribute(2, struct.pack("=IBBH", 1, 0, 0, 0))
        assert read_nexthops([group]) == {}

    def test_objects_are_not_asked_for_without_need(self) -> None:
        def never() -> list[bytes]:
            raise AssertionError("asked")

        body = encode(rtmsg(), [("RTA_OIF", 7), ("RTA_NH_ID", 5)], **self.HEAD)
        assert isinstance(read_routes([body], NAMES, never), tuple)


def test_rules() -> None:
    attributes = [("FRA_IIFNAME", "eth7"), ("FRA_SRC", "10.5.0.0"), ("FRA_PRIORITY", 99), ("FRA_FWMARK", 3)]
    body = encode(fibmsg(), [*attributes, ("FRA_TABLE", 300)], family=2, src_len=16, table=0, action=1)
    goto = encode(fibmsg(), [("FRA_OIFNAME", "eth8")], family=10, action=2)
    multicast = encode(fibmsg(), [], family=128, action=1)
    assert list(read_rules([body, goto, multicast])) == [
        Rule(priority=99, iif="eth7", source="10.5.0.0/16", fwmark=3, table=300),
        Rule(family="inet6", oif="eth8"),
    ]


def test_the_endpoints_of_wireguard() -> None:
    inet = struct.pack("=HH4s8x", socket.AF_INET, 51820, socket.inet_aton("192.0.2.9"))
    inet6 = struct.pack("=HHI16sI", socket.AF_INET6, 51820, 0, socket.inet_pton(socket.AF_INET6, "2001:db8::9"), 0)
    peers = [attribute(0, attribute(4, inet)), attribute(0, attribute(4, inet6)), attribute(0, attribute(1, bytes(32)))]
    assert list(read_endpoints([bytes(4) + attribute(8, b"".join(peers)), bytes(4)])) == ["192.0.2.9", "2001:db8::9"]


class TestFrames:
    """A dump's frame: its end, its errno, and lengths that lie."""

    @staticmethod
    def message(kind: int, body: bytes = b"", flags: int = 2) -> bytes:
        return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body

    def collect(self, *datagrams: bytes) -> tuple[list[bytes], bool]:
        return collect_dump(iter(datagrams).__next__, 4)

    def test_several_datagrams_up_to_the_end(self) -> None:
        done = self.message(3, bytes(4))
        assert self.collect(self.message(16, b"aaaa"), self.message(16, b"bbbb") + done) == ([b"aaaa", b"bbbb"], False)

    def test_the_end_carries_an_errno(self) -> None:
        with pytest.raises(OSError, match="allocate memory"):
            self.collect(self.message(16, b"aaaa"), self.message(3, struct.pack("=i", -errno.ENOMEM)))

    @pytest.mark.parametrize("code", [5, -5000, -(2**31), 2**31 - 1])
    def test_an_errno_that_is_none_is_an_error_all_the_same(self, code: int) -> None:
        with pytest.raises(OSError, match=r"."):
            self.collect(self.message(3, struct.pack("=i", code)))

    def test_an_interruption_is_told(self) -> None:
        assert self.collect(self.message(16, b"aaaa", flags=0x12) + self.message(3, bytes(4)))[1]
        assert self.collect(self.message(16, b"aaaa") + self.message(3, bytes(4), flags=0x12))[1]

    @pytest.mark.parametrize(
        "data",
        [b"", struct.pack("=IHHII", 0, 16, 0, 0, 0), struct.pack("=IHHII", 900, 16, 0, 0, 0), message(16, b"a")],
    )
    def test_a_length_that_lies_is_an_error(self, data: bytes) -> None:
        with pytest.raises(OSError, match="not a netlink message"):
            self.collect(data, self.message(3, bytes(4)))

    @pytest.mark.parametrize("data", [b"\0\0\1\0", b"\xff\xff\1\0", b"\3\0\1\0"])
    def test_an_attributes_length_that_lies_is_an_error(self, data: bytes) -> None:
        with pytest.raises(OSError, match="not a netlink message"):
            read_attributes(data)
        with pytest.raises(OSError, match="not a netlink message"):
            list(split_attributes(data))

    @given(st.binary(max_size=200))
    def test_bytes_of_any_kind_are_messages_or_an_error(self, data: bytes) -> None:
        for read in (
            lambda: list(split_messages(data)),
            lambda: read_links([data]),
            lambda: read_addresses([data], NAMES),
            lambda: read_routes([data], NAMES, lambda: [data]),
            lambda: list(read_rules([data])),
            lambda: list(read_endpoints([data])),
        ):
            with contextlib.suppress(MalformedError):
                read()


def test_a_dump_is_what_the_whole_library_says() -> None:
    from nicpass.host.network.netlink import dump_network

    ours = dump_network()
    from pyroute2 import IPRoute

    with IPRoute() as kernel:
        assert [link.name for link in ours.links] == [m.get_attr("IFLA_IFNAME") for m in kernel.link("dump")]
        assert isinstance(ours.addresses, tuple)
        assert len(ours.addresses) == len(list(kernel.get_addr()))
        assert isinstance(ours.rules, tuple)
        assert len(ours.rules) == len(list(kernel.get_rules(family=2))) + len(list(kernel.get_rules(family=10)))


def test_what_the_kernel_refuses_is_its_own_errno() -> None:
    with pytest.raises(OSError, match="not supported"):
        dump(Kind(request=255, body=bytes(16), fixed=16))


class TestFuzzer:
    """`python -m tests.fuzz netlink` reaches what it is to try."""

    def test_the_sound_dumps_are_read_to_the_end(self) -> None:
        found = read_network("links", SOURCES["links"][1])
        assert [link.name for link in found.links] == ["eth1", "v7", "br0", "vx0"]
        assert (found.links[0].xdp_programs, len(found.links[0].vfs)) == ((42,), 1)
        assert isinstance(found.routes, tuple)
        assert (len(found.routes), found.rules) == (4, (Rule(priority=9, iif="eth1", table=254),))

    def test_some_hundred_mutated_ones(self) -> None:
        assert fuzz(300, 7) == 300
