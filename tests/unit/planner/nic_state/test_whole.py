# SPDX-License-Identifier: Apache-2.0
"""Only what was seen of all of a NIC is put down (law 10): each thing that may come later is waited for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.network import LinkManager, VfSettings
from nicpass.model.plan import NicState
from nicpass.planner.nic_state.whole import is_passing_name, is_stub, why_hollow, why_not_whole
from tests.support.hosts import address, link

NIC = Address("0000:01:00.0")
MANAGER = LinkManager(netdev="eth1", manager="systemd-networkd", profile="lan")
VLAN = link("eth1.20", kind="vlan", lower="eth1")
GIVEN = address("eth1", "10.0.0.5/24")
STATE = NicState(
    address=NIC,
    driver="ixgbe",
    links=(link("eth1", permanent_mac="52:54:00:00:00:01", master="br0"), link("eth2")),
    addresses=(GIVEN,),
    vf=VfSettings(vf_index=0, mac="52:54:00:00:00:02"),
    uppers=(VLAN,),
    managers=(MANAGER,),
)
ETH1, ETH2 = STATE.links


def now(**change: Any) -> NicState:
    return msgspec.structs.replace(STATE, **change)


def first(**change: Any) -> tuple[Any, ...]:
    return (msgspec.structs.replace(ETH1, **change), ETH2)


def test_all_of_it_is_whole() -> None:
    assert why_not_whole(STATE, STATE) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"driver": None}, "it has no driver yet"),
        ({"driver": "vfio-pci"}, "it is on vfio-pci"),
        ({"links": (ETH1,)}, "it shows 1 of its 2 interfaces"),
        ({"links": first(name="rename7"), "managers": ()}, "rename7 is about to be named"),
        ({"links": first(permanent_mac=None)}, "the MAC that is burnt in cannot be seen"),
        ({"vf": None}, "its PF does not show it"),
        ({"managers": ()}, "its network manager has not got eth1 yet"),
        ({"links": first(up=False)}, "its network manager has not set eth1 up yet"),
        ({"links": first(master=None)}, "its network manager has not set eth1 up yet"),
        ({"uppers": ()}, "eth1.20 is not there yet"),
        ({"uppers": None}, "eth1.20 is not there yet"),
        ({"addresses": ()}, "eth1 has not been given its address yet"),
        ({"addresses": (address("eth2", "10.0.0.5/24"),)}, "eth1 has not been given its address yet"),
        ({"addresses": (address("eth1", "2001:db8::5/64"),)}, "eth1 has not been given its address yet"),
        ({"addresses": (address("eth1", "10.0.0.7/24", dynamic=True),)}, "eth1 has not been given its address yet"),
        (
            {"addresses": (msgspec.structs.replace(GIVEN, tentative=True),)},
            "whether 10.0.0.5/24 is free is being asked",
        ),
    ],
)
def test_each_thing_that_is_not_there_yet(change: dict[str, Any], reason: str) -> None:
    assert (why_not_whole(STATE, now(**change)) or "").startswith(reason)


@pytest.mark.parametrize(
    "change",
    [
        {"driver": "ice"},
        {"links": (ETH1, ETH2, link("eth3"))},
        {"links": first(master="br1")},
        {"links": first(permanent_mac="52:54:00:00:00:09")},
        {"links": (ETH1, msgspec.structs.replace(ETH2, up=False))},
        {"addresses": (address("eth1", "10.0.0.9/24"),)},
        {"addresses": (GIVEN, address("eth1", "10.0.0.9/24", tentative=True))},
        {"uppers": (VLAN, link("eth1.30", kind="vlan", lower="eth1"))},
    ],
)
def test_what_is_another_by_now_is_whole(change: dict[str, Any]) -> None:
    assert why_not_whole(STATE, now(**change)) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"driver": None}, {"driver": None}),
        ({"driver": "vfio-pci"}, {"driver": "vfio-pci"}),
        ({"links": first(permanent_mac=None)}, {"links": first(permanent_mac=None)}),
        ({"links": first(up=False)}, {"links": first(up=False)}),
        ({"links": first(master=None)}, {"links": first(master=None)}),
        ({"vf": None}, {"vf": None}),
        ({"uppers": None}, {"uppers": None}),
        ({"managers": ()}, {"links": first(up=False, master=None), "uppers": (), "addresses": (), "managers": ()}),
        ({"addresses": (address("eth1", "fe80::1/64", scope="link"),)}, {"addresses": ()}),
        ({"addresses": (address("eth1", "2001:db8::1/64", flags=("temporary",)),)}, {"addresses": ()}),
        ({"addresses": (msgspec.structs.replace(GIVEN, tentative=True),)},) * 2,
        ({"uppers": (link("v", lower="eth2"),)}, {"uppers": ()}),
    ],
)
def test_what_was_not_there_before_is_not_waited_for(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert why_not_whole(now(**before), now(**after)) is None


def test_a_lease_is_waited_for_without_a_manager() -> None:
    leased = msgspec.structs.replace(GIVEN, dynamic=True)
    before = now(addresses=(leased,), managers=())
    assert why_not_whole(before, now(addresses=(), managers=())) == "eth1 has not been given its address yet"
    another = msgspec.structs.replace(leased, address="10.0.0.9")
    assert why_not_whole(before, now(addresses=(another,), managers=())) is None


def test_an_upper_that_a_manager_has_is_waited_for_by_its_own_name() -> None:
    managed = now(managers=(msgspec.structs.replace(MANAGER, netdev="eth1.20"),), addresses=())
    assert why_not_whole(managed, msgspec.structs.replace(managed, uppers=())) == "eth1.20 is not there yet"


def test_under_another_name_it_is_the_same_interface() -> None:
    renamed = now(
        links=first(name="lan0"),
        managers=(msgspec.structs.replace(MANAGER, netdev="lan0"),),
        addresses=(msgspec.structs.replace(GIVEN, netdev="lan0"),),
    )
    assert why_not_whole(STATE, renamed) is None
    down = msgspec.structs.replace(renamed, links=first(name="lan0", up=False))
    assert why_not_whole(STATE, down) == "its network manager has not set lan0 up yet"


class TestHollow:
    """A record from the middle of a boot is none to go back to."""

    @pytest.mark.parametrize(
        ("change", "driver", "words"),
        [
            ({}, "ixgbe", None),
            ({"links": (ETH2, link("rename3"))}, "ixgbe", "gave it a name (rename3)"),
            ({"driver": None, "links": ()}, "ixgbe", "knows no driver of it, which has ixgbe now"),
            ({"driver": None, "links": ()}, "vfio-pci", None),
            ({"driver": None, "links": ()}, None, None),
            ({"driver": None, "links": ()}, Unknown("denied"), None),
        ],
    )
    def test_it(self, change: dict[str, Any], driver: Any, words: str | None) -> None:
        reason = why_hollow(now(**change), driver)
        assert reason is None if words is None else words in (reason or "")
        assert reason is None or str(NIC) in reason


@pytest.mark.parametrize(
    ("name", "passing"),
    [("rename7", True), ("rename12", True), ("rename", False), ("eth1", False), ("rename7a", False)],
)
def test_a_name_of_udevs_on_its_way(name: str, passing: bool) -> None:
    assert is_passing_name(name) is passing


@pytest.mark.parametrize(
    ("driver", "stub"),
    [
        ("vfio-pci", True),
        ("mlx5_vfio_pci", True),
        ("pci-stub", True),
        ("pciback", True),
        ("xen-pciback", True),
        ("uio_pci_generic", True),
        ("ixgbe", False),
        ("", False),
    ],
)
def test_drivers_that_only_keep_a_device(driver: str, stub: bool) -> None:
    assert is_stub(driver) is stub
