# SPDX-License-Identifier: Apache-2.0
"""What a NIC is to the host now, taken from what was read; and what the host has come to use since."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.model.address import Address
from nicpass.model.config_space import ConfigSpace
from nicpass.model.fact import Unknown
from nicpass.model.host import Host
from nicpass.model.network import IpAddress, Link, LinkManager, Route, VfSettings
from nicpass.model.pci import PciFunction
from nicpass.model.plan import NicState
from nicpass.planner.nic_state.compare import gained_since
from nicpass.planner.nic_state.observe import observe_state
from tests.support.hosts import address, link, network, route

NIC, VF = Address("0000:01:00.0"), Address("0000:01:10.1")
MAC, SERIAL = "52:54:00:00:00:01", "90-e2-ba-ff-ff-12-34-56"
CARD = PciFunction(
    address=NIC,
    class_code=0x020000,
    driver="igb",
    netdevs=("eth1",),
    totalvfs=4,
    numvfs=2,
    virtfns=(Address("0000:01:10.0"), VF),
    vendor_id=0x8086,
    device_id=0x10FB,
    subsystem_vendor_id=0x8086,
    subsystem_device_id=3,
    config=ConfigSpace(bytes_read=4096, serial_number=SERIAL),
)
MANAGER = LinkManager(netdev="eth1", manager="NetworkManager", profile="u")


def observe(*items: Link | IpAddress | Route, card: PciFunction = CARD, **net: Any) -> NicState:
    found = msgspec.structs.replace(network(*items), **net)
    index = HostIndex(Host(pci=(card,), network=found))
    return observe_state(card, index)


class TestIdentity:
    """By which a card is known again."""

    def test_of_a_card(self) -> None:
        identity = observe(link("eth1", permanent_mac=MAC)).identity
        assert identity is not None
        assert (identity.serial_number, identity.permanent_mac) == (SERIAL, MAC)
        assert (identity.vendor_id, identity.device_id) == (0x8086, 0x10FB)

    def test_without_a_mac(self) -> None:
        identity = observe(link("eth1")).identity
        assert identity is not None
        assert identity.permanent_mac is None

    def test_of_which_not_all_was_read(self) -> None:
        assert observe(link("eth1"), card=msgspec.structs.replace(CARD, config=Unknown("denied"))).identity is None

    def test_a_vf_has_none_and_is_what_its_pf_says_of_it(self) -> None:
        settings = tuple(VfSettings(vf_index=number, mac=f"52:54:00:00:00:1{number}") for number in range(2))
        vf = msgspec.structs.replace(CARD, address=VF, physfn=NIC, netdevs=("v1",), virtfns=(), numvfs=None)
        net = network(link("eth1", vfs=settings), link("v1"))
        state = observe_state(vf, HostIndex(Host(pci=(CARD, vf), network=net)))
        assert (state.identity, state.vf) == (None, settings[1])
        alone = observe_state(vf, HostIndex(Host(pci=(vf,), network=net)))
        assert alone.vf is None


class TestState:
    """Of its own interfaces and of the VLANs that go with it."""

    def test_all_of_it(self) -> None:
        vlan, on_it = link("eth1.20", kind="vlan", lower="eth1"), link("mv0", kind="macvlan", lower="eth1.20")
        bridge = link("br0", kind="bridge")
        own = link("eth1", master="br0")
        of_nic, of_vlan = address("eth1", "10.0.0.5/24"), address("eth1.20", "10.20.0.5/24")
        ways = (route("eth1"), route("eth1.20", "10.9.0.0/16"))
        others = (address("mv0", "10.21.0.5/24"), address("br0", "10.22.0.5/24"), route("br0", "10.8.0.0/16"))
        vlan_manager = msgspec.structs.replace(MANAGER, netdev="eth1.20")
        unsure = msgspec.structs.replace(MANAGER, profile=Unknown("denied"))
        state = observe(
            own, vlan, on_it, bridge, of_nic, of_vlan, *ways, *others, managers=(MANAGER, vlan_manager, unsure)
        )  # fmt: skip
        assert (state.address, state.driver, state.numvfs) == (NIC, "igb", 2)
        assert (state.links, state.uppers) == ((own,), (vlan, on_it))
        assert (state.addresses, state.routes) == ((of_nic, of_vlan), ways)
        assert state.managers == (MANAGER, vlan_manager)
        assert state.beside is not None

    def test_what_is_not_known_is_none(self) -> None:
        state = observe(
            link("eth1"), card=msgspec.structs.replace(CARD, driver=Unknown("x"), numvfs=Unknown("x"), virtfns=())
        )
        assert (state.driver, state.numvfs) == (None, None)


class TestGained:
    """What somebody has put there since, by hand."""

    BEFORE = NicState(address=NIC, driver="igb", addresses=(address("eth1", "10.0.0.5/24"),), routes=(route("eth1"),))

    def gained(self, *items: IpAddress | Route, before: NicState = BEFORE) -> tuple[str, ...]:
        net = network(*items)
        now = NicState(address=NIC, driver="igb", addresses=net.addresses, routes=net.routes)  # type: ignore[arg-type]
        return gained_since(before, now)

    def test_nothing(self) -> None:
        assert self.gained(address("eth1", "10.0.0.5/24"), route("eth1")) == ()
        assert self.gained() == ()

    @pytest.mark.parametrize(
        ("item", "told"),
        [
            (address("eth1", "10.0.0.6/24"), ("10.0.0.6/24",)),
            (address("eth1", "10.0.0.6/24", dynamic=True), ()),
            (address("eth1", "fe80::6/64", scope="link"), ()),
            (route("eth1", "10.9.0.0/16"), ("10.9.0.0/16 via 10.0.0.1 dev eth1",)),
            (route("eth1", "10.9.0.0/16", None, protocol="kernel"), ()),
        ],
    )
    def test_each(self, item: IpAddress | Route, told: tuple[str, ...]) -> None:
        assert self.gained(item) == told
        managed = msgspec.structs.replace(self.BEFORE, managers=(MANAGER,))
        assert self.gained(item, before=managed) == ()
        elsewhere = msgspec.structs.replace(self.BEFORE, managers=(msgspec.structs.replace(MANAGER, netdev="eth2"),))
        assert self.gained(item, before=elsewhere) == told
