# SPDX-License-Identifier: Apache-2.0
"""The requests that go to the kernel, each in its order: no more is written than differs, and no refusal ends it."""

from __future__ import annotations

import errno
import socket
from typing import Any, ClassVar

import msgspec
import pytest
from pyroute2 import NetlinkError

from nicpass.engine.nic import interface as interface_module
from nicpass.engine.nic.interface import Interface
from nicpass.host.network import ethtool
from nicpass.model.errors import NotSupportedError, StepError
from nicpass.model.fact import Unknown
from nicpass.model.network import IpAddress, Route, Setting, VfSettings
from tests.support.hosts import address, link, route

INDEX = {"eth1": 7, "eth9": 7, "br0": 3}
MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
ETH1 = link("eth1", mac=MAC)


class Kernel:
    """Notes each request, and refuses those of which one word is named."""

    def __init__(self, *refused: str) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.refused = refused
        self.code = 22
        self.closed = False

    def __getattr__(self, kind: str) -> Any:
        def request(verb: str, **words: Any) -> None:
            if set(self.refused) & {verb, *words}:
                raise NetlinkError(self.code, "Invalid argument")
            self.asked.append((kind, verb, words))

        return request

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _indices(monkeypatch: pytest.MonkeyPatch) -> None:
    def index_of(name: str) -> int:
        if name not in INDEX:
            raise OSError(19, "No such device")
        return INDEX[name]

    monkeypatch.setattr(socket, "if_nametoindex", index_of)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def sets(kernel: Kernel) -> list[dict[str, Any]]:
    """What was set of the interface itself, without its index."""
    assert all(words["index"] == 7 for kind, _verb, words in kernel.asked if kind == "link")
    return [{k: v for k, v in words.items() if k != "index"} for kind, verb, words in kernel.asked if verb == "set"]


class TestLink:
    """Down only where it must be, and at the end as it was."""

    def restore(self, kernel: Kernel, was: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
        present = msgspec.structs.replace(ETH1, **now)
        Interface(present.name, kernel).restore(msgspec.structs.replace(ETH1, **was), present)
        return sets(kernel)

    @pytest.mark.parametrize(
        ("was", "now", "requests"),
        [
            ({}, {}, []),
            ({}, {"name": "eth9"}, [{"state": "down"}, {"ifname": "eth1"}]),
            ({}, {"mac": OTHER}, [{"state": "down"}, {"address": MAC}]),
            ({"mac": None}, {"mac": OTHER}, []),
            ({"master": "br0"}, {}, [{"state": "down"}, {"master": 3}]),
            ({"master": "br0"}, {"master": "br0"}, []),
            ({}, {"master": "br0"}, []),
            ({"mtu": 9000}, {}, [{"mtu": 9000}]),
            ({"mtu": None}, {}, []),
            ({"txqueuelen": 500}, {"txqueuelen": 1000}, [{"txqlen": 500}]),
            ({}, {"txqueuelen": 1000}, []),
            ({"alias": "up"}, {"alias": "x"}, [{"ifalias": "up"}]),
            ({}, {"alias": "x"}, []),
            ({"promisc": True}, {"promisc": False}, [{"flags": 0x100, "change": 0x100}]),
            ({"promisc": False}, {"promisc": True}, [{"flags": 0, "change": 0x100}]),
            ({"allmulticast": True}, {"allmulticast": False}, [{"flags": 0x200, "change": 0x200}]),
            ({}, {"allmulticast": True}, []),
        ],
    )
    def test_what_differs_is_set(
        self, was: dict[str, Any], now: dict[str, Any], requests: list[dict[str, Any]], kernel: Kernel
    ) -> None:
        assert self.restore(kernel, was, now) == [*requests, {"state": "up"}]

    def test_one_that_was_down(self, kernel: Kernel) -> None:
        assert self.restore(kernel, {"up": False}, {}) == [{"state": "down"}]

    def test_all_in_an_order_that_the_kernel_takes(self, kernel: Kernel) -> None:
        found = self.restore(kernel, {"mtu": 9000, "master": "br0"}, {"name": "eth9", "mac": OTHER})
        order = [next(iter(each)) for each in found]
        assert order == ["state", "ifname", "mtu", "address", "master", "state"]

    def test_its_other_names(self, kernel: Kernel) -> None:
        present = msgspec.structs.replace(ETH1, altnames=("b", "x", "eth1"))
        Interface("eth1", kernel).restore(msgspec.structs.replace(ETH1, altnames=("a", "b")), present)
        names = [(kind, verb, words["altname"]) for kind, verb, words in kernel.asked if "altname" in words]
        assert names == [("link", "property_del", ["x"]), ("link", "property_add", ["a"])]

    @pytest.mark.parametrize("refused", ["ifname", "mtu", "address", "master", "altname"])
    def test_one_that_is_refused_keeps_no_other_back(self, refused: str) -> None:
        kernel = Kernel(refused)
        was = msgspec.structs.replace(ETH1, mtu=9000, master="br0", altnames=("a",))
        now = msgspec.structs.replace(ETH1, name="eth9", mac=OTHER)
        writer = Interface("eth9", kernel)
        with pytest.raises(StepError, match=r"The kernel does not take .* on eth[19]: Invalid argument\.$"):
            writer.restore(was, now)
        done = {word for each in sets(kernel) for word in each}
        assert done == {"state", "ifname", "mtu", "address", "master"} - {refused}
        assert sets(kernel)[-1] == {"state": "up"}
        assert writer.name == ("eth9" if refused == "ifname" else "eth1")

    def test_a_bridge_that_has_gone_is_told(self, kernel: Kernel) -> None:
        with pytest.raises(StepError, match=r"The interface br9 has gone\."):
            self.restore(kernel, {"master": "br9"}, {})
        assert sets(kernel)[-1] == {"state": "up"}

    def test_the_socket_is_closed(self, kernel: Kernel) -> None:
        with Interface("eth1", kernel):
            assert not kernel.closed
        assert kernel.closed

    @pytest.mark.parametrize(("protocol", "more"), [("802.1ad", {"vlan_protocol": 0x88A8}), (None, {})])
    def test_a_vlan(self, protocol: str | None, more: dict[str, int], kernel: Kernel) -> None:
        vlan = link("eth1.20", kind="vlan", lower="eth1", vlan_id=20, vlan_protocol=protocol)
        Interface("eth1", kernel).add_vlan(vlan)
        assert kernel.asked == [
            ("link", "add", {"ifname": "eth1.20", "kind": "vlan", "link": 7, "vlan_id": 20, **more})
        ]


class TestAddresses:
    """With all that they had."""

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({}, {"address": "10.0.0.5", "scope": 0}),
            ({"scope": "link"}, {"address": "10.0.0.5", "scope": 253}),
            ({"scope": "200"}, {"address": "10.0.0.5", "scope": 200}),
            ({"peer": "10.0.0.9"}, {"address": "10.0.0.9", "local": "10.0.0.5", "scope": 0}),
            ({"broadcast": "10.0.0.255"}, {"address": "10.0.0.5", "scope": 0, "broadcast": "10.0.0.255"}),
            ({"label": "eth1:1"}, {"address": "10.0.0.5", "scope": 0, "label": "eth1:1"}),
            ({"metric": 9}, {"address": "10.0.0.5", "scope": 0, "rt_priority": 9}),
            ({"flags": ()}, {"address": "10.0.0.5", "scope": 0}),
            ({"flags": ("noprefixroute",)}, {"address": "10.0.0.5", "scope": 0, "flags": 0x200}),
            (
                {"flags": ("deprecated", "noprefixroute")},
                {"address": "10.0.0.5", "scope": 0, "flags": 0x200, "preferred": 0, "valid": 0xFFFFFFFF},
            ),
        ],
    )
    def test_added(self, more: dict[str, Any], words: dict[str, Any], kernel: Kernel) -> None:
        Interface("eth1", kernel).add_address(address("eth1", "10.0.0.5/24", **more))
        assert kernel.asked == [("addr", "replace", {"index": 7, "prefixlen": 24, **words})]

    @pytest.mark.parametrize(
        ("peer", "words"), [(None, {"address": "10.0.0.5"}), ("10.0.0.9", {"address": "10.0.0.9", "local": "10.0.0.5"})]
    )
    def test_removed(self, peer: str | None, words: dict[str, str], kernel: Kernel) -> None:
        Interface("eth1", kernel).remove_address(address("eth1", "10.0.0.5/24", peer=peer))
        assert kernel.asked == [("addr", "delete", {"index": 7, "prefixlen": 24, **words})]

    def test_one_that_is_refused_is_named(self) -> None:
        one: IpAddress = address("eth1", "10.0.0.5/24")
        with pytest.raises(StepError, match=r"does not take the address 10\.0\.0\.5/24 on eth1"):
            Interface("eth1", Kernel("replace")).add_address(one)
        with pytest.raises(StepError, match=r"does not take that the address 10\.0\.0\.5/24 goes on eth1"):
            Interface("eth1", Kernel("delete")).remove_address(one)

    def test_of_an_interface_that_has_gone(self, kernel: Kernel) -> None:
        with pytest.raises(StepError, match=r"The interface eth4 has gone\."):
            Interface("eth4", kernel).add_address(address("eth4", "10.0.0.5/24"))


class TestRoutes:
    """With all that they had."""

    BASE: ClassVar = {"dst": "10.9.0.0/16", "family": socket.AF_INET, "oif": 7, "table": 254, "proto": 3, "scope": 0}

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({}, {}),
            ({"gateway": "10.0.0.1"}, {"gateway": "10.0.0.1"}),
            ({"gateway": "fe80::1"}, {"via": {"family": socket.AF_INET6, "addr": "fe80::1"}}),
            ({"gateway": "fe80::1", "family": "inet6"}, {"gateway": "fe80::1", "family": socket.AF_INET6}),
            ({"metric": 5}, {"priority": 5}),
            ({"metric": 0}, {"priority": 0}),
            ({"source": "10.0.0.5"}, {"prefsrc": "10.0.0.5"}),
            ({"tos": 16}, {"tos": 16}),
            ({"realm": 3}, {"flow": 3}),
            ({"from_prefix": "10.8.0.0/16"}, {"src": "10.8.0.0/16"}),
            ({"onlink": True}, {"flags": 4}),
            ({"onlink": False}, {}),
            ({"preference": "high"}, {"pref": 1}),
            ({"table": 100}, {"table": 100}),
            ({"protocol": "static"}, {"proto": 4}),
            ({"protocol": "99"}, {"proto": 99}),
            ({"protocol": "odd"}, {"proto": 0}),
            ({"scope": "link"}, {"scope": 253}),
            ({"metrics": (Setting("mtu", "1300"), Setting("odd", "x"))}, {"metrics": {"mtu": 1300}}),
            ({"metrics": (Setting("congctl", "bbr"),)}, {"metrics": {"cc_algo": "bbr"}}),
        ],
    )
    def test_it(self, more: dict[str, Any], words: dict[str, Any], kernel: Kernel) -> None:
        own: Route = msgspec.structs.replace(route("eth1", "10.9.0.0/16", None), **more)
        writer = Interface("eth1", kernel)
        writer.add_route(own)
        writer.replace_route(own)
        assert kernel.asked == [("route", verb, {**self.BASE, **words}) for verb in ("add", "replace")]

    def test_one_that_another_interface_has_stays_there(self) -> None:
        kernel = Kernel("add")
        kernel.code = 17
        with pytest.raises(StepError, match=r"the route 10\.9\.0\.0/16 on eth1: another interface has such a route"):
            Interface("eth1", kernel).add_route(route("eth1", "10.9.0.0/16"))

    def test_what_is_there_already_of_another_kind_is_a_refusal_as_any(self) -> None:
        kernel = Kernel("replace")
        kernel.code = 17
        with pytest.raises(StepError, match="Invalid argument"):
            Interface("eth1", kernel).add_address(address("eth1", "10.0.0.5/24"))


class TestVfs:
    """Only what differs, each by itself."""

    VF = VfSettings(vf_index=2, mac=MAC)

    @pytest.mark.parametrize(
        ("was", "now", "requests"),
        [
            ({}, {}, []),
            ({"mac": MAC}, {"mac": OTHER}, [{"mac": MAC}]),
            ({"vlan": 20}, {}, [{"vlan": {"vlan": 20, "qos": 0}}]),
            ({"vlan": 20, "qos": 3}, {"vlan": 20}, [{"vlan": {"vlan": 20, "qos": 3}}]),
            ({"vlan": 20, "qos": 0}, {"vlan": 20}, []),
            (
                {"vlan": 20, "vlan_protocol": "802.1ad"},
                {"vlan": 20, "vlan_protocol": "802.1Q"},
                [{"vlan": [{"vlan": 20, "qos": 0, "proto": 0x88A8}]}],
            ),
            ({"vlan": 20}, {"vlan": 20, "vlan_protocol": "802.1Q"}, []),
            ({"vlan": 20, "vlan_protocol": "802.1Q"}, {}, [{"vlan": {"vlan": 20, "qos": 0}}]),
            ({"spoofchk": True}, {"spoofchk": False}, [{"spoofchk": 1}]),
            ({"spoofchk": False}, {"spoofchk": True}, [{"spoofchk": 0}]),
            ({}, {"spoofchk": True}, []),
            ({"trust": True}, {}, [{"trust": 1}]),
            ({"query_rss": False}, {"query_rss": True}, [{"rss_query_en": 0}]),
            ({"link_state": "disable"}, {"link_state": "auto"}, [{"link_state": 2}]),
            ({"link_state": "odd"}, {"link_state": "auto"}, []),
            ({}, {"link_state": "auto"}, []),
            ({"min_tx_rate": 5, "max_tx_rate": 9}, {}, [{"rate": {"min_tx_rate": 5, "max_tx_rate": 9}}]),
            ({"max_tx_rate": 9}, {"max_tx_rate": 8}, [{"rate": {"min_tx_rate": 0, "max_tx_rate": 9}}]),
            ({"min_tx_rate": 5}, {"min_tx_rate": 6}, [{"rate": {"min_tx_rate": 5, "max_tx_rate": 0}}]),
            ({}, {"min_tx_rate": 5, "max_tx_rate": 9}, []),
        ],
    )
    def test_it(self, was: dict[str, Any], now: dict[str, Any], requests: list[dict[str, Any]], kernel: Kernel) -> None:
        wanted, present = (msgspec.structs.replace(self.VF, **each) for each in (was, now))
        Interface("eth1", kernel).set_vf(wanted, present)
        assert sets(kernel) == [{"vf": {"vf": 2, **each}} for each in requests]

    @pytest.mark.parametrize(
        ("was", "setting", "words"),
        [
            ({"mac": OTHER}, "mac", f"vf 2 mac {OTHER}"),
            ({"vlan": 20}, "vlan", "vf 2 vlan 20 qos 0"),
            ({"vlan": 20, "qos": 3}, "qos", "vf 2 vlan 20 qos 3"),
            ({"vlan": 20, "vlan_protocol": "802.1ad"}, "vlan_protocol", "vf 2 vlan 20 qos 0 proto 34984"),
            ({"max_tx_rate": 9}, "max_tx_rate", "vf 2 min_tx_rate 0 max_tx_rate 9"),
            ({"min_tx_rate": 5, "max_tx_rate": 9}, "min_tx_rate", "vf 2 min_tx_rate 5 max_tx_rate 9"),
            ({"query_rss": True}, "query_rss", "vf 2 rss_query_en 1"),
            ({"node_guid": "00:11:22:33:44:55:66:77"}, "node_guid", "vf 2 ib_node_guid 00:11:22:33:44:55:66:77"),
        ],
    )
    def test_what_the_driver_does_not_know_is_told_by_the_setting(
        self, was: dict[str, Any], setting: str, words: str
    ) -> None:
        kernel = Kernel("vf")
        kernel.code = errno.EOPNOTSUPP
        with pytest.raises(NotSupportedError, match=f"does not take {words} on eth1") as caught:
            Interface("eth1", kernel).set_vf(msgspec.structs.replace(self.VF, **was), self.VF)
        assert caught.value.settings == (setting,)

    def test_another_refusal_is_not_that_the_driver_does_not_know_it(self) -> None:
        with pytest.raises(StepError) as caught:
            Interface("eth1", Kernel("vf")).set_vf(msgspec.structs.replace(self.VF, vlan=7), self.VF)
        assert not isinstance(caught.value, NotSupportedError)


class TestPortVlans:
    """Exactly those that it had."""

    def restore(self, kernel: Kernel, now: Any, monkeypatch: pytest.MonkeyPatch, *wanted: Setting) -> list[Any]:
        monkeypatch.setattr(interface_module, "read_port_vlans", lambda _name: now)
        Interface("eth1", kernel).restore_port_vlans(wanted)
        return [(verb, words["vlan_info"]) for kind, verb, words in kernel.asked if kind == "vlan_filter"]

    NOW = (Setting("1", "pvid untagged"), Setting("20", ""), Setting("30", "untagged"))

    def test_what_differs(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
        wanted = (Setting("20", "pvid untagged"), Setting("30", "untagged"), Setting("40", ""))
        assert self.restore(kernel, self.NOW, monkeypatch, *wanted) == [
            ("del", {"vid": 1}),
            ("add", {"vid": 20, "flags": 6}),
            ("add", {"vid": 40, "flags": 0}),
        ]

    def test_where_they_cannot_be_read_all_are_given(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.restore(kernel, Unknown("denied"), monkeypatch, Setting("20", "")) == [
            ("add", {"vid": 20, "flags": 0})
        ]

    @pytest.mark.parametrize("refused", ["del", "add"])
    def test_one_that_is_refused_keeps_no_other_back(self, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
        kernel = Kernel(refused)
        with pytest.raises(StepError, match=r"The kernel does not take VLAN (1|40) on eth1"):
            self.restore(kernel, self.NOW[:1], monkeypatch, Setting("40", ""))
        assert [verb for _kind, verb, _words in kernel.asked] == ["add" if refused == "del" else "del"]


class TestDriver:
    """By ioctl; what it does not take is told with the values."""

    WANTED = (Setting("rx", "512"), Setting("tx", "256"))

    @pytest.mark.parametrize("error", [OSError(95, "Operation not supported"), ValueError("Operation not supported")])
    def test_a_group_that_is_refused(self, error: Exception, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(ethtool, "write_group", fail)
        monkeypatch.setattr(ethtool, "write_features", fail)
        for group in ("rings", "features"):
            words = rf"does not take {group} \(rx 512, tx 256\) on eth1: Operation not supported\."
            with pytest.raises(StepError, match=words):
                Interface("eth1", kernel).set_driver(group, self.WANTED)

    def test_each_by_its_own_request(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[object, ...]] = []
        monkeypatch.setattr(ethtool, "write_group", lambda *words: asked.append(words))
        monkeypatch.setattr(ethtool, "write_features", lambda *words: asked.append(words))
        writer = Interface("eth1", kernel)
        for group in interface_module.DRIVER_SETTINGS:
            writer.set_driver(group, self.WANTED)
        assert asked == [
            ("eth1", ethtool.CHANNELS, self.WANTED),
            ("eth1", ethtool.RINGS, self.WANTED),
            ("eth1", ethtool.COALESCING, self.WANTED),
            ("eth1", ethtool.PAUSE, self.WANTED),
            ("eth1", self.WANTED),
        ]
