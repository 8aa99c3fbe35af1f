# SPDX-License-Identifier: Apache-2.0
"""What another interface has by now is left to it and told; all else of the NIC is put back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.network import IpAddress, Link, LinkManager, Network, Route, VfSettings
from nicpass.model.plan import Beside, NicState
from nicpass.planner.nic_state.elsewhere import Reachable, find_reachable
from nicpass.planner.nic_state.observe import observe_beside
from tests.support.hosts import address, link, network, route

NIC = Address("0000:01:00.0")
MAC, OTHER_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
ETH1 = link("eth1", mac=MAC)
HERE = address("eth1", "10.0.0.5/24")
DEFAULT = route("eth1")
STATE = NicState(address=NIC, driver="ixgbe", links=(ETH1,))
NOW = NicState(address=NIC, driver="ixgbe", links=(link("eth1", mac=OTHER_MAC),))
NOTHING = Beside(addresses=(), routes=(), ports=())
MANAGER = LinkManager(netdev="eth1", manager="systemd-networkd", profile="lan")


def was(**change: Any) -> NicState:
    return msgspec.structs.replace(STATE, **change)


def find(before: NicState, *others: Link | IpAddress | Route, now: NicState = NOW) -> Reachable:
    """With these things on the host beside the NIC."""
    return find_reachable(before, now, network(*now.links, *now.addresses, *now.routes, *others))


def linked(**change: Any) -> Link:
    return msgspec.structs.replace(ETH1, **change)


def at_present(**change: Any) -> NicState:
    return msgspec.structs.replace(NOW, **change)


def test_where_nothing_was_moved_all_of_it_is_put_back() -> None:
    before = was(
        links=(linked(altnames=("a", "b"), master="br0"),),
        addresses=(HERE,),
        routes=(DEFAULT, route("eth1", "10.9.0.0/16", "10.0.0.7")),
        uppers=(link("eth1.20", kind="vlan", lower="eth1"),),
        managers=(MANAGER,),
        vf=VfSettings(vf_index=0, mac=MAC),
    )
    assert find(before, link("br0", kind="bridge"), link("eth2")) == Reachable(before)


class TestNames:
    """A name is one interface's."""

    def test_a_name_that_another_has(self) -> None:
        before = was(addresses=(HERE,), routes=(DEFAULT,), managers=())
        found = find(before, link("eth1", mac="52:54:00:00:00:09"), now=at_present(links=(link("eth7"),)))
        assert found.moved == ("another interface is called eth1 by now",)
        assert [each.name for each in found.state.links] == ["eth7"]
        assert [address.netdev for address in found.state.addresses] == ["eth7"]
        assert [route.netdev for route in found.state.routes] == ["eth7"]

    def test_a_name_that_another_answers_to(self) -> None:
        found = find(STATE, link("eth2", altnames=("eth1",)), now=at_present(links=(link("eth7"),)))
        assert found.moved == ("the name eth1 is eth2's by now",)
        assert found.state.links[0].name == "eth7"

    def test_another_name_of_it(self) -> None:
        before = was(links=(linked(altnames=("a", "b", "c")),))
        now = at_present(links=(link("eth1", altnames=("c",)),))
        found = find(before, link("eth2", altnames=("b", "c")), now=now)
        assert found.moved == ("the name b is eth2's by now",)
        assert found.state.links[0].altnames == ("a", "c")

    def test_a_name_that_nobody_has_is_given_again(self) -> None:
        found = find(STATE, link("eth2"), now=at_present(links=(link("eth7"),)))
        assert found == Reachable(STATE)

    def test_what_a_manager_would_do_by_the_others_name_is_not_asked_for(self) -> None:
        before = was(addresses=(HERE,), routes=(DEFAULT,), managers=(MANAGER,))
        found = find(before, link("eth1"), now=at_present(links=(link("eth7"),)))
        assert (found.state.managers, found.state.addresses, found.state.routes) == ((), (), ())

    def test_an_interface_that_is_not_there_yet_stays_as_it_was(self) -> None:
        before = was(links=(ETH1, link("eth2", mac="52:54:00:00:00:07")))
        assert find(before, link("eth3")).state.links == before.links


class TestMac:
    """It is not doubled, but for those that have it for a reason."""

    def test_one_that_another_has(self) -> None:
        found = find(STATE, link("eth2", mac=MAC))
        assert found.moved == (f"the MAC {MAC} is eth2's by now",)
        assert found.state.links[0].mac == OTHER_MAC

    @pytest.mark.parametrize("mac", [None, "00:00:00:00:00:00"])
    def test_none_is_nobodys(self, mac: str | None) -> None:
        found = find(was(links=(linked(mac=mac),)), link("eth2", mac=mac))
        assert (found.moved, found.state.links[0].mac) == ((), mac)

    def test_one_that_it_has_is_its_own(self) -> None:
        now = at_present(links=(ETH1,))
        assert find(STATE, link("eth2", mac=MAC), now=now) == Reachable(STATE)

    @pytest.mark.parametrize(
        "kin",
        [
            (link("bond0", kind="bond", mac=MAC),),
            (link("eth2", master="bond0", mac=MAC), link("bond0", kind="bond", mac=MAC)),
            (link("bond0.20", kind="vlan", lower="bond0", mac=MAC), link("bond0", kind="bond", mac=MAC)),
            (link("br0", kind="bridge", mac=MAC), link("bond0", kind="bond", master="br0", mac=MAC)),
        ],
        ids=["its bond", "another port", "a VLAN listed before its bond", "the bridge above"],
    )
    def test_its_kin_may_have_it(self, kin: tuple[Link, ...]) -> None:
        found = find(was(links=(linked(master="bond0"),)), *kin)
        assert [word for word in found.moved if "MAC" in word] == []
        assert found.state.links[0].mac == MAC

    def test_who_is_no_kin_may_not(self) -> None:
        bond = link("bond0", kind="bond", mac=OTHER_MAC)
        found = find(was(links=(linked(master="bond0"),)), bond, link("eth2", master="bond1", mac=MAC))
        assert f"the MAC {MAC} is eth2's by now" in found.moved


class TestPlace:
    """In a bridge or a bond."""

    BRIDGE = link("br0", kind="bridge")
    PORT = was(links=(linked(master="br0"),))

    def master(self, found: Reachable) -> str | None:
        return found.state.links[0].master

    def test_it_is_free(self) -> None:
        assert self.master(find(self.PORT, self.BRIDGE)) == "br0"

    def test_it_was_in_none(self) -> None:
        found = find(STATE, now=at_present(links=(link("eth1", mac=MAC, master="br9"),)))
        assert (self.master(found), found.moved) == (None, ())

    def test_it_is_in_it(self) -> None:
        found = find(self.PORT, link("br0"), link("eth2", master="br0"), now=at_present(links=self.PORT.links))
        assert (self.master(found), found.moved) == ("br0", ())

    def test_it_is_in_another(self) -> None:
        found = find(self.PORT, self.BRIDGE, now=at_present(links=(link("eth1", mac=MAC, master="br9"),)))
        assert (self.master(found), found.moved) == ("br9", ("eth1 is a port of br9 by now",))

    def test_the_bridge_is_gone(self) -> None:
        found = find(self.PORT)
        assert (self.master(found), found.moved) == (None, ("br0 is not there any more",))

    def test_another_port_took_its_place(self) -> None:
        found = find(self.PORT, self.BRIDGE, link("eth2", master="br0"))
        assert (self.master(found), found.moved) == (None, ("eth2 is a port of br0 by now",))

    def test_a_port_that_was_beside_it_takes_nothing(self) -> None:
        before = msgspec.structs.replace(self.PORT, beside=msgspec.structs.replace(NOTHING, ports=("eth2",)))
        assert find(before, self.BRIDGE, link("eth2", master="br0")).moved == ()
        found = find(before, self.BRIDGE, link("eth2", master="br0"), link("eth3", master="br0"))
        assert found.moved == ("eth3 is a port of br0 by now",)

    @pytest.mark.parametrize("kind", ["tun", "veth"])
    def test_a_guests_port_takes_nothing(self, kind: str) -> None:
        assert find(self.PORT, self.BRIDGE, link("vnet0", kind=kind, master="br0")).moved == ()


class TestUppers:
    """By their names."""

    VLAN = link("eth1.20", kind="vlan", lower="eth1")
    ON_IT = link("mv0", kind="macvlan", lower="eth1.20")
    BEFORE = was(
        uppers=(VLAN, ON_IT),
        addresses=(HERE, address("eth1.20", "10.20.0.5/24"), address("mv0", "10.21.0.5/24")),
        routes=(route("eth1.20", "10.22.0.0/16"),),
    )

    def test_one_that_another_has_and_what_stands_on_it(self) -> None:
        found = find(self.BEFORE, link("eth1.20", kind="vlan", lower="eth2"))
        assert found.moved == ("eth1.20 stands on eth2 by now",)
        assert found.state.uppers == ()
        assert found.state.addresses == (HERE,)
        assert found.state.routes == ()

    @pytest.mark.parametrize(
        ("other", "words"),
        [(link("eth1.20", kind="dummy"), "eth1.20 stands on dummy by now"), (link("eth1.20"), "stands on eth1.20")],
    )
    def test_what_it_is_instead(self, other: Link, words: str) -> None:
        assert words in find(self.BEFORE, other).moved[0]

    def test_a_manager_is_not_asked_for_one_that_is_lost(self) -> None:
        before = msgspec.structs.replace(
            self.BEFORE, managers=(MANAGER, msgspec.structs.replace(MANAGER, netdev="eth1.20"))
        )
        assert find(before, link("eth1.20", lower="eth2")).state.managers == (MANAGER,)

    def test_they_stand_on_what_the_nic_is_called_now(self) -> None:
        found = find(self.BEFORE, link("eth1", mac="52:54:00:00:00:09"), now=at_present(links=(link("eth7"),)))
        assert [(u.name, u.lower) for u in found.state.uppers or ()] == [("eth1.20", "eth7"), ("mv0", "eth1.20")]

    def test_those_that_were_not_recorded_stay_so(self) -> None:
        assert find(was(uppers=None)).state.uppers is None

    def test_one_that_is_there_is_the_nics_own(self) -> None:
        found = find(self.BEFORE, now=at_present(uppers=(self.VLAN,)))
        assert (found.state.uppers, found.moved) == ((self.VLAN, self.ON_IT), ())


class TestAddresses:
    """An address answers from one place."""

    BEFORE = was(addresses=(HERE, address("eth1", "10.0.0.6/24")))

    def addresses(self, *others: Link | IpAddress, before: NicState = BEFORE, now: NicState = NOW) -> Any:
        found = find(before, link("eth2"), *others, now=now)
        return [a.text for a in found.state.addresses], found.moved

    def test_one_that_is_elsewhere(self) -> None:
        assert self.addresses(address("eth2", "10.0.0.5/32")) == (
            ["10.0.0.6/24"],
            ("10.0.0.5/24 is on eth2 by now",),
        )

    def test_one_that_was_on_both(self) -> None:
        beside = msgspec.structs.replace(NOTHING, addresses=(address("eth2", "10.0.0.5/32"),))
        before = msgspec.structs.replace(self.BEFORE, beside=beside)
        assert self.addresses(address("eth2", "10.0.0.5/32"), before=before) == (["10.0.0.5/24", "10.0.0.6/24"], ())
        assert self.addresses(link("eth3"), address("eth3", "10.0.0.5/32"), before=before)[1] == (
            "10.0.0.5/24 is on eth3 by now",
        )

    def test_one_that_it_has_is_its_own(self) -> None:
        now = at_present(addresses=(HERE,))
        assert self.addresses(address("eth2", "10.0.0.5/24"), now=now) == (["10.0.0.5/24", "10.0.0.6/24"], ())

    def test_one_that_it_has_otherwise_stays_so(self) -> None:
        now = at_present(addresses=(address("eth1", "10.0.0.5/16"),))
        assert self.addresses(address("eth2", "10.0.0.5/24"), now=now) == (
            ["10.0.0.6/24", "10.0.0.5/16"],
            ("10.0.0.5/24 is on eth2 by now",),
        )

    def test_one_of_a_managers_is_the_managers_affair(self) -> None:
        before = msgspec.structs.replace(self.BEFORE, managers=(MANAGER,))
        assert self.addresses(address("eth2", "10.0.0.5/24"), before=before)[1] == ()

    @pytest.mark.parametrize(("text", "moved"), [("fe80::5/64", False), ("169.254.0.5/16", True), ("fd00::5/64", True)])
    def test_each_link_has_its_own_of_ipv6(self, text: str, moved: bool) -> None:
        before = was(addresses=(address("eth1", text),))
        assert bool(self.addresses(address("eth2", text), before=before)[1]) is moved

    def test_those_that_cannot_be_read_are_taken_for_none(self) -> None:
        unread = msgspec.structs.replace(network(ETH1), addresses=Unknown("denied"), routes=Unknown("denied"))
        before = msgspec.structs.replace(self.BEFORE, routes=(DEFAULT,))
        assert find_reachable(before, NOW, unread) == Reachable(before)


class TestRoutes:
    """The host's packets go one way."""

    ETH2 = link("eth2")

    def moved(self, own: Route, *others: Route | Link, beside: Beside | None = None, now: NicState = NOW) -> bool:
        found = find(was(routes=(own,), beside=beside), self.ETH2, *others, now=now)
        assert len(found.state.routes) == 1 - len(found.moved)
        return bool(found.moved)

    def test_it_is_told_with_who_has_it(self) -> None:
        found = find(was(routes=(DEFAULT,)), self.ETH2, route("eth2", gateway="10.1.0.1"))
        assert found.moved == ("the route default via 10.0.0.1 dev eth1 goes by eth2 by now",)

    @pytest.mark.parametrize(
        ("other", "moved"),
        [
            ({}, True),
            ({"destination": "10.8.0.0/16"}, False),
            ({"table": 100}, False),
            ({"tos": 4}, False),
            ({"family": "inet6"}, False),
            ({"metric": 5}, False),
            ({"metric": 0}, True),
            ({"gateway": None}, True),
        ],
    )
    def test_one_of_the_same_key(self, other: dict[str, Any], moved: bool) -> None:
        own = route("eth1", "10.9.0.0/16")
        assert self.moved(own, route("eth2", **{"destination": "10.9.0.0/16", **other})) is moved

    @pytest.mark.parametrize(
        ("own", "other", "beside", "moved"),
        [
            (100, 100, None, True),
            (0, 100, None, True),
            (100, 0, None, False),
            (None, 100, None, True),
            (100, None, None, False),
            (100, 0, NOTHING, True),
            (0, 100, NOTHING, True),
        ],
    )
    def test_another_default_route(self, own: Any, other: Any, beside: Any, moved: bool) -> None:
        assert self.moved(route("eth1", metric=own), route("eth2", metric=other), beside=beside) is moved

    def test_one_that_was_beside_it(self) -> None:
        other = route("eth2", metric=50)
        beside = msgspec.structs.replace(NOTHING, routes=(other,))
        assert not self.moved(DEFAULT, other, beside=beside)
        assert self.moved(DEFAULT, msgspec.structs.replace(other, metric=51), beside=beside)
        assert self.moved(DEFAULT, link("eth3"), msgspec.structs.replace(other, netdev="eth3"), beside=beside)

    def test_by_an_interface_that_is_down_it_goes_nowhere(self) -> None:
        assert not self.moved(DEFAULT, link("eth3", up=False), route("eth3"))

    def test_one_that_it_has_is_its_own(self) -> None:
        assert not self.moved(DEFAULT, route("eth2"), now=at_present(routes=(DEFAULT,)))
        of_another_table = msgspec.structs.replace(DEFAULT, table=9)
        assert self.moved(DEFAULT, route("eth2"), now=at_present(routes=(of_another_table,)))

    def test_one_of_the_kernels_comes_with_its_address(self) -> None:
        own = route("eth1", "10.0.0.0/24", None, protocol="kernel")
        assert not self.moved(own, msgspec.structs.replace(own, netdev="eth2"))

    def test_one_of_a_managers_is_the_managers_affair(self) -> None:
        found = find(was(routes=(DEFAULT,), managers=(MANAGER,)), self.ETH2, route("eth2"))
        assert (found.state.routes, found.moved) == ((DEFAULT,), ())

    @pytest.mark.parametrize(
        ("own", "stays"),
        [
            (route("eth1", "10.9.0.0/16", "10.0.0.7"), False),
            (route("eth1", "10.9.0.0/16", "10.20.0.7"), True),
            (route("eth1", "10.9.0.0/16", "10.0.0.7", onlink=True), True),
            (route("eth1", "10.9.0.0/16", "10.1.0.7"), True),
            (route("eth1", "10.9.0.0/16", None), True),
            (route("eth1", "10.9.0.0/16", None, source="10.0.0.5"), False),
            (route("eth1", "10.9.0.0/16", None, source="10.20.0.5"), True),
            (route("eth1", "10.0.0.0/24", None, protocol="kernel"), False),
            (route("eth1", "10.0.0.5", None, protocol="kernel"), False),
            (route("eth1", "10.20.0.0/24", None, protocol="kernel"), True),
            (route("eth1", "10.77.0.0/24", None, protocol="kernel"), True),
            (route("eth1", "default", None, protocol="kernel"), True),
            (route("eth1.20", "10.9.0.0/16", "10.0.0.7"), True),
        ],
    )
    def test_what_needs_an_address_that_was_moved_goes_too(self, own: Route, stays: bool) -> None:
        before = was(addresses=(HERE, address("eth1", "10.20.0.5/24")), routes=(own,))
        found = find(before, self.ETH2, address("eth2", "10.0.0.5/24"))
        assert bool(found.state.routes) is stays

    @pytest.mark.parametrize("own", [route("eth1", "10.9.0.0/16", "10.0.0.7"), route("eth1", "10.0.0.0/24", None)])
    def test_what_another_address_reaches_too_stays(self, own: Route) -> None:
        before = was(addresses=(HERE, address("eth1", "10.0.0.6/24")), routes=(own,))
        assert find(before, self.ETH2, address("eth2", "10.0.0.5/24")).state.routes == (own,)

    def test_the_network_of_another_address_stays(self) -> None:
        own = route("eth1", "10.0.0.0/24", None, protocol="kernel")
        before = was(addresses=(HERE, address("eth1", "10.0.0.6/24")), routes=(own,))
        assert find(before, self.ETH2, address("eth2", "10.0.0.5/24")).state.routes == (own,)


class TestVf:
    """The MAC that its PF shall give it."""

    VF = VfSettings(vf_index=0, mac=MAC, vlan=20)
    IS_SO = VfSettings(vf_index=0, mac=OTHER_MAC)
    BEFORE = was(vf=VF, links=(linked(mac=None),))
    PRESENT = at_present(vf=IS_SO)

    def mac(self, *others: Link, before: NicState = BEFORE, now: NicState = PRESENT) -> str | None:
        found = find(before, *others, now=now)
        assert bool(found.moved) == (found.state.vf is not None and before.vf != found.state.vf)
        return found.state.vf.mac if found.state.vf is not None else None

    def test_it_is_free(self) -> None:
        assert self.mac(link("eth2")) == MAC

    def test_another_interface_has_it(self) -> None:
        found = find(self.BEFORE, link("eth2", mac=MAC), now=self.PRESENT)
        assert found.moved == (f"the MAC {MAC} is eth2's by now",)
        assert found.state.vf == msgspec.structs.replace(self.VF, mac=OTHER_MAC)

    def test_another_vf_has_it(self) -> None:
        assert self.mac(link("pf", vfs=(msgspec.structs.replace(self.VF, vf_index=1),))) == OTHER_MAC

    def test_its_own_entry_at_the_pf_is_no_other(self) -> None:
        assert self.mac(link("pf", vfs=(self.VF,))) == MAC

    def test_its_own_interface_is_no_other(self) -> None:
        assert self.mac(link("eth1", mac=MAC), now=at_present(vf=self.IS_SO, links=())) == MAC

    @pytest.mark.parametrize("mac", ["00:00:00:00:00:00", OTHER_MAC])
    def test_none_or_the_present_one_takes_nothing(self, mac: str) -> None:
        before = was(vf=msgspec.structs.replace(self.VF, mac=mac), links=(linked(mac=None),))
        assert self.mac(link("eth2", mac=mac), before=before) == mac

    def test_what_is_no_vf_has_none(self) -> None:
        assert self.mac(before=was(vf=None, links=())) is None
        assert self.mac(link("eth2", mac=MAC), now=at_present(vf=None)) == MAC


class TestBeside:
    """What is noted when a NIC leaves."""

    BEFORE = was(links=(linked(master="br0"),), addresses=(HERE,), routes=(route("eth1", "10.9.0.0/16"),))

    def observe(self, *others: Link | IpAddress | Route) -> Beside:
        return observe_beside(self.BEFORE, network(*self.BEFORE.links, HERE, *self.BEFORE.routes, *others))

    def test_nothing(self) -> None:
        assert self.observe(link("eth2"), address("eth2", "10.0.0.6/24"), route("eth2", "10.8.0.0/16")) == NOTHING

    def test_addresses_ports_and_ways_that_others_have_too(self) -> None:
        same, way = address("eth2", "10.0.0.5/32"), route("eth2", "10.9.0.0/16", metric=7)
        assert self.observe(link("eth2", master="br0"), link("eth3", master="br1"), same, way) == Beside(
            addresses=(same,), routes=(way,), ports=("eth2",)
        )

    @pytest.mark.parametrize("family", ["inet", "inet6"])
    def test_default_routes_are_noted_in_any_case(self, family: str) -> None:
        other = route("eth2", family=family)
        assert self.observe(other).routes == (other,)

    def test_the_kernels_own_are_not(self) -> None:
        assert self.observe(route("eth2", "10.9.0.0/16", None, protocol="kernel")).routes == ()

    def test_a_way_of_the_other_family_is_another(self) -> None:
        assert self.observe(route("eth2", "10.9.0.0/16", family="inet6")).routes == ()

    def test_what_stands_on_no_bridge_has_no_ports_beside_it(self) -> None:
        assert observe_beside(STATE, network(ETH1, link("eth2"))).ports == ()

    def test_what_cannot_be_read_is_noted_as_nothing(self) -> None:
        unread: Network = msgspec.structs.replace(network(ETH1), addresses=Unknown("x"), routes=Unknown("x"))
        assert observe_beside(self.BEFORE, unread) == NOTHING
