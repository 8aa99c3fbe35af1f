# SPDX-License-Identifier: Apache-2.0
"""Records that nobody answers to any more: only what is certainly gone is one, and its card is looked for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.checks.host.orphans import Orphan, find_orphans, is_another_card, why_card_gone
from nicpass.checks.lookup.index import HostIndex
from nicpass.model.address import Address
from nicpass.model.boot import DeviceIdentity
from nicpass.model.config_space import ConfigSpace
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.fact import Unknown
from nicpass.model.given import GivenLink, GivenNic
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from tests.support.hosts import link, network

NIC, OTHER = Address("0000:01:00.0"), Address("0000:02:00.0")
PF = Address("0000:03:00.0")
MAC, ANOTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
SERIAL, OTHER_SERIAL = "90-e2-ba-ff-ff-12-34-56", "90-e2-ba-ff-ff-12-34-57"
IDS = {"vendor_id": 0x8086, "device_id": 0x10FB, "subsystem_vendor_id": 0x8086, "subsystem_device_id": 3}
DEVICE = DomainDevice(address=NIC, element="hostdev", managed=True)


def card(where: Address = NIC, netdev: str | None = "eth1", serial: str | None = None, **more: Any) -> PciFunction:
    netdevs = (netdev,) if netdev else ()
    config = ConfigSpace(bytes_read=4096, serial_number=serial)
    fields = {"class_code": 0x020000, "driver": "ixgbe", "config": config, **IDS, **more}
    return PciFunction(address=where, netdevs=netdevs, **fields)


def identity(serial: str | None = None, **more: Any) -> DeviceIdentity:
    return DeviceIdentity(slots=("pci0000:01", "00.0"), serial_number=serial, **{**IDS, **more})


def with_id(name: str) -> DeviceIdentity:
    """With another one than the card has."""
    return msgspec.structs.replace(identity(), **{name: 7})


def without(name: str, fact: Unknown | None) -> PciFunction:
    return msgspec.structs.replace(card(), **{name: fact})


def given(mac: str | None = MAC, **more: Any) -> GivenNic:
    links = (GivenLink(name="eth1", permanent_mac=mac),)
    return msgspec.structs.replace(GivenNic(address=NIC, vm="web", uuid="1", links=links), **more)


def host(*pci: PciFunction, macs: dict[str, str] | None = None, **more: Any) -> Host:
    net = network(*(link(name, permanent_mac=mac) for name, mac in (macs or {}).items()))
    return msgspec.structs.replace(Host(pci=pci, network=net), **more)


def gone(record: GivenNic, where: Host) -> str | None:
    return why_card_gone(record, HostIndex(where))


def orphans_of(where: Host, record: GivenNic) -> tuple[Orphan, ...]:
    return find_orphans(HostIndex(msgspec.structs.replace(where, given=(record,))))


class TestVm:
    """Of a card that is there."""

    HERE = host(card(), macs={"eth1": MAC}, domains=())

    def orphans(self, domains: Any, **more: Any) -> list[tuple[str, str, bool]]:
        found = orphans_of(msgspec.structs.replace(self.HERE, domains=domains), given(**more))
        return [(orphan.reason, orphan.command, orphan.nic_is_here) for orphan in found]

    @pytest.mark.parametrize("uuid", [(), ("2",)])
    def test_one_that_is_gone(self, uuid: tuple[str, ...]) -> None:
        """One of the same name with another UUID is another one."""
        domains = tuple(Domain(name="web", uuid=each, config_devices=(DEVICE,)) for each in uuid)
        assert self.orphans(domains) == [("the VM web is gone", "nicpass detach web 0000:01:00.0", True)]

    def test_one_that_does_not_have_it(self) -> None:
        (found,) = self.orphans((Domain(name="renamed", uuid="1"),))
        assert found[0] == "the VM renamed does not have it any more"

    @pytest.mark.parametrize("field", ["config_devices", "live_devices"])
    def test_one_that_has_it(self, field: str) -> None:
        domain = msgspec.structs.replace(Domain(name="web", uuid="1"), **{field: (DEVICE,)})
        assert self.orphans((domain,)) == []

    @pytest.mark.parametrize("domains", [None, Unknown("no answer")])
    def test_while_nobody_tells_none_is_gone(self, domains: Any) -> None:
        assert self.orphans(domains) == []

    def test_a_record_without_owner_is_nobodys_orphan(self) -> None:
        assert self.orphans((), vm="", uuid="") == []

    def test_a_name_with_a_blank_is_quoted(self) -> None:
        (found,) = self.orphans((), vm="my web")
        assert found[1] == "nicpass detach 'my web' 0000:01:00.0"

    def test_the_vm_and_the_address_are_named(self) -> None:
        (found,) = orphans_of(self.HERE, given())
        assert found.nic == given()

    def test_of_a_card_that_is_gone_too_the_card_is_told(self) -> None:
        (found,) = orphans_of(host(domains=()), given())
        assert found.reason == "there is no 0000:01:00.0 on this host any more"
        assert not found.nic_is_here


class TestCard:
    """Certainly gone, and where it is now."""

    def test_it_is_there(self) -> None:
        assert gone(given(), host(card(), macs={"eth1": MAC})) is None

    def test_a_bus_that_was_not_listed_in_full_hides_none(self) -> None:
        assert gone(given(), host(pci_unread="permission denied")) is None

    def test_it_has_moved(self) -> None:
        moved = host(card(OTHER), macs={"eth1": MAC})
        assert gone(given(), moved) == "there is no 0000:01:00.0 on this host any more; its card is at 0000:02:00.0"

    def test_another_stands_in_its_place_and_it_has_moved(self) -> None:
        both = host(card(), card(OTHER, "eth2"), macs={"eth1": ANOTHER, "eth2": MAC})
        assert gone(given(), both) == "another card stands at 0000:01:00.0 now; its card is at 0000:02:00.0"

    def test_a_card_without_a_mac_is_not_found_by_it(self) -> None:
        nameless = host(card(OTHER, None), card(PF, "eth2"), macs={"eth2": ANOTHER})
        assert gone(given(), nameless) == "there is no 0000:01:00.0 on this host any more"

    def test_two_that_could_be_it_are_none(self) -> None:
        two = host(card(OTHER, "eth2"), card(PF, "eth3"), macs={"eth2": MAC, "eth3": MAC})
        assert "its card" not in (gone(given(), two) or "")

    def test_a_vf_has_the_mac_only_for_a_while(self) -> None:
        vf = card(OTHER, "eth2", physfn=PF, device_id=0x10ED)
        pf = card(PF, "eth3", virtfns=(OTHER,))
        assert "its card" not in (gone(given(), host(vf, pf, macs={"eth2": MAC})) or "")

    def test_by_its_serial_number_while_no_driver_shows_a_mac(self) -> None:
        record = given(None, identity=identity(SERIAL))
        assert (gone(record, host(card(OTHER, None, SERIAL))) or "").endswith("; its card is at 0000:02:00.0")
        assert "its card" not in (gone(record, host(card(OTHER, None, OTHER_SERIAL))) or "")
        assert "its card" not in (gone(record, host(card(OTHER, None, SERIAL), card(PF, None, SERIAL))) or "")

    def test_the_mac_goes_before_the_serial_number(self) -> None:
        record = given(identity=identity(SERIAL))
        where = host(card(OTHER, None, SERIAL), card(PF, "eth3"), macs={"eth3": MAC})
        assert (gone(record, where) or "").endswith("; its card is at 0000:03:00.0")

    def test_without_mac_and_serial_number_it_cannot_be_found(self) -> None:
        for record in (given(None), given(None, identity=identity())):
            where = host(card(OTHER, "eth1"), macs={})
            assert gone(record, where) == "there is no 0000:01:00.0 on this host any more"

    def test_a_vf_is_not_looked_for(self) -> None:
        record = given(vf_index=0, identity=identity(SERIAL))
        assert "its card" not in (gone(record, host(card(OTHER, "eth1", SERIAL), macs={"eth1": MAC})) or "")


class TestAnotherCard:
    """By the MAC where both show one, else by the ids, else by the serial number."""

    @pytest.mark.parametrize(
        ("record", "there", "mac", "another"),
        [
            (given(), card(), MAC, False),
            (given(), card(), ANOTHER, True),
            (given(identity=identity(SERIAL)), card(serial=OTHER_SERIAL), MAC, False),
            (given(), card(), None, False),
            (given(None), card(), ANOTHER, False),
            (given(identity=identity()), card(), None, False),
            (given(identity=identity(SERIAL)), card(serial=SERIAL), None, False),
            (given(identity=identity(SERIAL)), card(serial=OTHER_SERIAL), None, True),
            (given(identity=identity(SERIAL)), card(serial=None), None, False),
            (given(identity=identity()), card(serial=OTHER_SERIAL), None, False),
            (given(identity=identity(SERIAL)), card(config=Unknown("denied")), None, False),
            (given(identity=identity(SERIAL)), card(config=None), None, False),
            *((given(identity=with_id(name)), card(), None, True) for name in IDS),
            *((given(identity=with_id(name)), without(name, Unknown("denied")), None, False) for name in IDS),
            *((given(identity=with_id(name)), without(name, None), None, False) for name in IDS),
        ],
    )
    def test_it(self, record: GivenNic, there: PciFunction, mac: str | None, another: bool) -> None:
        where = host(there, macs={"eth1": mac} if mac is not None else {})
        assert is_another_card(record, HostIndex(where)) is another

    @pytest.mark.parametrize(("was_vf", "is_vf"), [(False, False), (False, True), (True, False), (True, True)])
    def test_a_vf_is_told_from_what_is_none_by_that_alone(self, was_vf: bool, is_vf: bool) -> None:
        there = card(physfn=PF, device_id=0x10ED) if is_vf else card()
        where = host(there, card(PF, "eth3", virtfns=(NIC,) if is_vf else ()), macs={"eth1": ANOTHER if is_vf else MAC})
        assert is_another_card(given(vf_index=0 if was_vf else None), HostIndex(where)) is (was_vf != is_vf)
