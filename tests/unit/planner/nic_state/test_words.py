# SPDX-License-Identifier: Apache-2.0
"""A NIC's state in the words of the report: what a person reads of a difference, and shell lines of a plan."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.network import Link, LinkManager, LinkSettings, Setting, VfSettings
from nicpass.model.plan import NicState
from nicpass.planner.nic_state.compare import compare_states
from nicpass.planner.nic_state.words import (
    describe_address,
    describe_addresses,
    describe_link_state,
    describe_routes,
    describe_upper,
    describe_vf,
)
from tests.support.hosts import address, link, route

NIC = Address("0000:01:00.0")
ETH1 = link("eth1", mac="52:54:00:00:00:01")


def told(before: Link, after: Link | None) -> dict[str, tuple[str, str]]:
    """Every field of a NIC with this interface."""
    states = [
        NicState(address=NIC, driver="igb", links=(each,) if each is not None else ()) for each in (before, after)
    ]
    return {field.field: (field.before, field.after) for field in compare_states(*states)}


def settings_told(before: LinkSettings, after: LinkSettings | None) -> dict[str, tuple[str, str]]:
    was, now = (msgspec.structs.replace(ETH1, settings=settings) for settings in (before, after))
    plain = told(ETH1, ETH1)
    return {field: values for field, values in told(was, now).items() if field not in plain}


class TestAddresses:
    """As `ip address` words it."""

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({}, "10.0.0.5/24"),
            ({"peer": "10.0.0.9"}, "10.0.0.5/24 peer 10.0.0.9"),
            ({"broadcast": "10.0.0.255"}, "10.0.0.5/24 brd 10.0.0.255"),
            ({"label": "eth1:1"}, "10.0.0.5/24 label eth1:1"),
            ({"label": "eth1"}, "10.0.0.5/24"),
            ({"scope": "host"}, "10.0.0.5/24 scope host"),
            ({"metric": 7}, "10.0.0.5/24 metric 7"),
            ({"flags": ("noprefixroute", "secondary")}, "10.0.0.5/24 noprefixroute secondary"),
            ({"flags": ("deprecated",)}, "10.0.0.5/24 deprecated"),
            ({"flags": ("deprecated", "secondary"), "dynamic": True}, "10.0.0.5/24 secondary"),
            ({"tentative": True}, "10.0.0.5/24 (tentative)"),
        ],
    )
    def test_one(self, more: dict[str, Any], words: str) -> None:
        assert describe_address(address("eth1", "10.0.0.5/24", **more)) == words

    def test_without_flags_where_a_record_did_not_know_them(self) -> None:
        one = address("eth1", "10.0.0.5/24", metric=7, flags=("noprefixroute",), scope="host")
        assert describe_address(one, flags=False) == "10.0.0.5/24 scope host"
        old = (address("eth1", "10.0.0.5/24"),)
        assert describe_addresses((one,), old, frozenset()) == "10.0.0.5/24 scope host"
        assert describe_addresses((one,), (one,), frozenset()).endswith("metric 7 noprefixroute")
        assert describe_addresses((one,), (one, *old), frozenset()) == "10.0.0.5/24 scope host"

    def test_an_uppers_has_its_name_before_it(self) -> None:
        both = (address("eth1", "10.0.0.5/24"), address("eth1.20", "10.0.0.4/24"))
        assert describe_addresses(both, both, frozenset({"eth1"})) == "10.0.0.5/24, eth1.20 10.0.0.4/24"

    def test_none_and_one_that_is_never_the_same(self) -> None:
        assert describe_addresses((), (), frozenset()) == "none"
        assert describe_addresses((address("eth1", "fd00::1/64", flags=("temporary",)),), (), frozenset()) == "none"


class TestRoutes:
    """Those of a record that did not know all their fields are compared by the ones that it knew."""

    FULL = route("eth1", "10.9.0.0/16", None, onlink=True, tos=16, weight=2, realm=3, nexthop_id=4, encapsulation=5,
                 from_prefix="10.8.0.0/16", preference="low", metrics=(Setting("mtu", "1300"),))  # fmt: skip

    def test_by_all_fields(self) -> None:
        assert describe_routes((self.FULL,), (self.FULL,)).endswith("encap 5 mtu 1300 onlink")

    def test_by_those_that_were_known(self) -> None:
        old = route("eth1", "10.9.0.0/16", None)
        assert describe_routes((self.FULL,), (old,)) == "10.9.0.0/16 dev eth1"
        assert describe_routes((self.FULL,), (self.FULL, old)) == "10.9.0.0/16 dev eth1"

    def test_sorted(self) -> None:
        some = (route("eth1", "10.9.0.0/16", None), route("eth1", "10.8.0.0/16", None))
        assert describe_routes(some, some) == "10.8.0.0/16 dev eth1, 10.9.0.0/16 dev eth1"
        assert describe_routes((), some) == "none"


class TestVf:
    """Only what the record knew, and no MAC that its driver chooses."""

    BARE = VfSettings(vf_index=0, mac="52:54:00:00:00:01")

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({}, "VLAN none"),
            ({"vlan": 20}, "VLAN 20"),
            ({"vlan": 20, "qos": 3}, "VLAN 20, qos 3"),
            ({"qos": 3, "vlan_protocol": "802.1ad"}, "VLAN none"),
            ({"vlan": 20, "vlan_protocol": "802.1ad"}, "VLAN 20, 802.1ad"),
            ({"spoofchk": True}, "VLAN none, spoofchk on"),
            ({"trust": False}, "VLAN none, trust off"),
            ({"query_rss": True}, "VLAN none, query_rss on"),
            ({"link_state": "auto"}, "VLAN none, link auto"),
            ({"min_tx_rate": 0, "max_tx_rate": 100}, "VLAN none, rate 0 to 100"),
            ({"min_tx_rate": 7, "max_tx_rate": 0}, "VLAN none, rate 7 to any"),
        ],
    )
    def test_it(self, more: dict[str, Any], words: str) -> None:
        vf = msgspec.structs.replace(self.BARE, **more)
        assert describe_vf(vf, vf) == f"MAC 52:54:00:00:00:01, {words}"
        if words != "VLAN 20":
            assert describe_vf(vf, self.BARE) == f"MAC 52:54:00:00:00:01, VLAN {vf.vlan or 'none'}"

    def test_where_none_was_given_any_will_do(self) -> None:
        free = msgspec.structs.replace(self.BARE, mac="00:00:00:00:00:00")
        assert describe_vf(self.BARE, free) == "MAC any, VLAN none"
        assert describe_vf(None, self.BARE) == "unknown"


class TestLink:
    """Its fields."""

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"up": False}, "down"),
            ({}, "up, carrier"),
            ({"carrier": False}, "up, no carrier"),
            ({"carrier": None}, "up, no carrier"),
        ],
    )
    def test_state(self, more: dict[str, Any], words: str) -> None:
        assert describe_link_state(link("eth1", **more)) == words

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"kind": "vlan", "vlan_id": 20, "vlan_protocol": "802.1Q"}, "vlan 20 802.1Q on eth1"),
            ({"kind": "macvlan"}, "macvlan on eth1"),
            ({}, "interface on eth1"),
            ({"up": False}, "interface on eth1"),
        ],
    )
    def test_what_stands_on_it(self, more: dict[str, Any], words: str) -> None:
        upper = link("u", mac="52:54:00:00:00:02", lower="eth1", **more)
        state = "up" if upper.up else "down"
        assert describe_upper(upper) == f"u ({words}, MAC 52:54:00:00:00:02, MTU 1500, {state})"

    def test_all_that_was_recorded(self) -> None:
        full = msgspec.structs.replace(
            ETH1, master="br0", altnames=("b", "a"), permanent_mac="52:54:00:00:00:09", txqueuelen=7, promisc=True,
            allmulticast=False, alias="up", qdisc="mq", xdp_programs=(4,),
        )  # fmt: skip
        bare = link("eth2", mac=None, up=False)
        assert told(full, bare) == {
            "driver": ("igb", "igb"),
            "name": ("eth1", "eth2"),
            "MAC": ("52:54:00:00:00:01", "none"),
            "MTU": ("1500", "1500"),
            "link": ("up, carrier", "down"),
            "master": ("br0", "none"),
            "permanent MAC": ("52:54:00:00:00:09", "none"),
            "other names": ("a, b", "none"),
            "txqueuelen": ("7", "none"),
            "promisc": ("on", "none"),
            "allmulticast": ("off", "none"),
            "alias": ("up", "none"),
            "qdisc": ("mq", "none"),
            "XDP": ("attached", "none"),
            "addresses": ("none", "none"),
            "routes": ("none", "none"),
        }

    def test_what_was_not_recorded_is_not_compared(self) -> None:
        fields = ("driver", "name", "MAC", "MTU", "link", "master", "other names", "addresses", "routes")
        assert tuple(told(ETH1, ETH1)) == fields

    def test_one_that_is_gone(self) -> None:
        assert told(ETH1, None)["name"] == ("eth1", "none")

    def test_managers_by_name(self) -> None:
        was = NicState(
            address=NIC, driver=None, managers=(LinkManager(netdev="eth1", manager="systemd-networkd", profile="a"),)
        )
        now = NicState(address=NIC, driver=None, numvfs=2)
        found = {field.field: (field.before, field.after) for field in compare_states(was, now)}
        assert found["manager"] == ("eth1 by systemd-networkd", "none")
        assert found["driver"] == ("none", "none")
        assert "VFs" not in found
        assert {field.field: field.after for field in compare_states(now, was)}["VFs"] == "0"


class TestSettings:
    """One line for all of a group that are equal, and one for each that is not."""

    SOME = tuple(Setting(f"s{number}", str(number)) for number in range(3))

    def test_equal_ones_by_their_values_without_those_that_are_nought(self) -> None:
        rings = LinkSettings(rings=self.SOME)
        assert settings_told(rings, rings) == {"rings": ("s1 1, s2 2", "s1 1, s2 2")}

    def test_equal_ones_that_are_all_nought(self) -> None:
        pause = LinkSettings(pause=(Setting("rx", "0"),))
        assert settings_told(pause, pause) == {"pause": ("none", "none")}

    @pytest.mark.parametrize(("count", "words"), [(8, "s1 1, "), (9, "9 values")])
    def test_many_are_counted(self, count: int, words: str) -> None:
        many = LinkSettings(features=tuple(Setting(f"s{number}", str(number)) for number in range(count)))
        assert settings_told(many, many)["offloads"][0].startswith(words)

    def test_one_that_differs_and_one_that_is_gone(self) -> None:
        was = LinkSettings(sysctls=(*self.SOME, Setting("empty", "")))
        now = LinkSettings(sysctls=(self.SOME[0], Setting("s1", "9"), Setting("empty", "1"), Setting("new", "1")))
        assert settings_told(was, now) == {
            "sysctls s1": ("1", "9"),
            "sysctls s2": ("2", "none"),
            "sysctls empty": ("none", "1"),
        }

    @pytest.mark.parametrize("now", [None, LinkSettings(), LinkSettings(rings=Unknown("denied"))])
    def test_what_cannot_be_read_any_more_differs(self, now: LinkSettings | None) -> None:
        assert settings_told(LinkSettings(rings=self.SOME[1:]), now) == {
            "rings s1": ("1", "none"),
            "rings s2": ("2", "none"),
        }

    @pytest.mark.parametrize(
        ("group", "word"),
        [
            ("rings", "rings"),
            ("channels", "channels"),
            ("coalescing", "coalescing"),
            ("pause", "pause"),
            ("features", "offloads"),
            ("sysctls", "sysctls"),
            ("port", "bridge port"),
            ("port_vlans", "bridge VLANs"),
        ],
    )
    def test_each_group(self, group: str, word: str) -> None:
        was = msgspec.structs.replace(LinkSettings(), **{group: self.SOME[:2]})
        now = msgspec.structs.replace(LinkSettings(), **{group: self.SOME[:1]})
        assert settings_told(was, now) == {f"{word} s1": ("1", "none")}
        assert settings_told(LinkSettings(), was) == {}
