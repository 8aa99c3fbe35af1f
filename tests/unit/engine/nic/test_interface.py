# SPDX-License-Identifier: Apache-2.0
"""What an interface has is read, taken away, written and read again, by the real kernel in a namespace of its own."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pyroute2 import IPRoute, NetlinkError

from nicpass.engine.attempts import Attempts
from nicpass.engine.handler import wait_until
from nicpass.engine.nic import give_back
from nicpass.engine.nic.interface import Interface, vf_changes
from nicpass.host.doors.files import Files
from nicpass.host.network.link_settings import sysctl_path, with_settings
from nicpass.host.network.netlink import dump_network
from nicpass.model.address import Address
from nicpass.model.errors import StepError
from nicpass.model.fact import Fact, value_or
from nicpass.model.network import Link, LinkSettings, Setting, VfSettings
from nicpass.model.plan import NicState
from nicpass.planner.nic_state.compare import differences
from tests.support.namespaces import in_own_namespace

ADDR_GEN_NONE = Setting("ipv6/conf/addr_gen_mode", "1")
NIC = Address("0000:01:00.0")


class ProcOnly(Files):
    """/proc/sys/net is that of the thread's own namespace; /sys is this machine's still."""

    def list_directory(self, path: str) -> Fact[tuple[str, ...]]:
        return None if path.startswith("/sys/") else super().list_directory(path)


FILES = ProcOnly()


@dataclasses.dataclass
class Port:
    """One end of a veth: what stands in for a NIC."""

    kernel: Any
    name: str = "nic0"

    def make(self) -> None:
        """As a driver makes its interface: with nothing on it."""
        try:
            self.kernel.link(
                "add", ifname=self.name, kind="veth", peer={"ifname": "far0"}, num_tx_queues=4, num_rx_queues=4
            )
        except NetlinkError as error:
            pytest.skip(f"this kernel makes no veth: {error}")
        self.set("far0", state="up")

    def remake(self) -> None:
        """It leaves, and all that was on it; and is back."""
        self.kernel.link("del", index=socket.if_nametoindex(self.name))
        self.make()

    def set(self, netdev: str = "nic0", **settings: object) -> None:
        self.kernel.link("set", index=socket.if_nametoindex(netdev), **settings)

    def state(self) -> NicState:
        """As `read_state` reads it, of an interface that no PCI function has."""
        network = with_settings(dump_network(), FILES, (self.name,))
        uppers = tuple(link for link in network.links if link.lower == self.name and link.kind == "vlan")
        names = {self.name, *(upper.name for upper in uppers)}
        return NicState(
            address=NIC,
            driver="veth",
            links=tuple(link for link in network.links if link.name == self.name),
            addresses=tuple(a for a in value_or(network.addresses, ()) if a.netdev in names),
            routes=tuple(r for r in value_or(network.routes, ()) if r.netdev in names),
            uppers=uppers,
        )

    def settled(self) -> NicState:
        """Once IPv6 has made its address, which it does when it hears of the carrier."""
        assert wait_until(lambda: _has_own_address(self.state()), 20, 0.01)
        return _settled(self.state())

    def is_as(self, before: NicState) -> bool:
        """Whether it comes to be so; as `HostSteps` does, with sysctls once more for what a carrier has undone."""

        def look() -> bool:
            if not differences(before, _settled(self.state())):
                return True
            give_back.restore_sysctls(FILES, before)
            return False

        return wait_until(look, 20, 0.01)

    def restore(self, state: NicState) -> None:
        """As `HostSteps` does."""
        attempts = Attempts()
        give_back.restore_link(FILES, Interface, state.links[0], self.state().links[0], attempts)
        give_back.restore_driver(Interface, state.links[0], self.state().links[0], attempts)
        give_back.restore_uppers(Interface, state, self.state(), attempts)
        give_back.restore_addresses(Interface, state, self.state, attempts)
        give_back.restore_routes(Interface, state, self.state(), attempts)
        attempts.raise_refusals()

    def add_address(self, text: str, **more: object) -> None:
        host, _, length = text.partition("/")
        index = socket.if_nametoindex(self.name)
        self.kernel.addr("add", index=index, address=host, prefixlen=int(length), **more)

    def sysctl(self, name: str) -> str:
        found = FILES.read_text(sysctl_path(self.name, name))
        assert isinstance(found, str)
        return found

    def write_sysctl(self, name: str, value: str) -> None:
        FILES.write_kernel(sysctl_path(self.name, name), value)


def with_port(work: Callable[[Port], None]) -> None:
    def run(_maker: object) -> None:
        with IPRoute() as kernel:
            port = Port(kernel)
            port.make()
            work(port)

    in_own_namespace(run)


def there_and_back(arrange: Callable[[Port], None]) -> None:
    """Arrange, record, let it leave and come back bare, restore, compare. Doing it twice is once."""

    def work(port: Port) -> None:
        port.set(state="up")
        arrange(port)
        before = port.settled()
        assert port.is_as(before)
        port.remake()
        assert differences(before, _settled(port.state())), "what was arranged was not lost, or is not compared"
        for _ in range(2):
            port.restore(before)
            assert port.is_as(before), differences(before, _settled(port.state()))

    with_port(work)


def _fields(before: NicState, port: Port) -> list[str]:
    return [field.field for field in differences(before, _settled(port.state()))]


def _has_own_address(state: NicState) -> bool:
    (link,) = state.links
    makes_none = link.settings is not None and ADDR_GEN_NONE in value_or(link.settings.sysctls, ())
    return not link.up or makes_none or any(address.comes_with_link for address in state.addresses)


def _settled(state: NicState) -> NicState:
    """Without what a test would have to wait for: duplicate address detection."""
    addresses = tuple(msgspec.structs.replace(address, tentative=False) for address in state.addresses)
    return msgspec.structs.replace(state, addresses=addresses)


class TestThereAndBack:
    """Law 4, a field at a time."""

    def test_an_address_as_a_manager_writes_it(self) -> None:
        def arrange(port: Port) -> None:
            port.add_address("10.0.0.5/24", flags=0x200, broadcast="10.0.0.255", rt_priority=77, label="nic0:1")
            port.add_address("fd00::5/64", flags=0x202)
            index = socket.if_nametoindex("nic0")
            port.kernel.route("add", dst="10.0.0.0/24", oif=index, proto=4, priority=100, scope=253)

        there_and_back(arrange)

    def test_the_first_and_the_second_of_a_network(self) -> None:
        def arrange(port: Port) -> None:
            for text in ("10.0.0.9/24", "10.0.0.5/24", "10.0.1.1/24"):
                port.add_address(text)

        there_and_back(arrange)

    def test_one_that_is_no_source(self) -> None:
        def arrange(port: Port) -> None:
            port.add_address("fd00::6/64", preferred=0, valid=0xFFFFFFFF, flags=0x2)
            assert "deprecated" in str(port.state().addresses)

        there_and_back(arrange)

    def test_a_link_local_address_that_somebody_chose(self) -> None:
        """The kernel makes its own again, and not this one."""
        there_and_back(lambda port: port.add_address("fe80::1/64", flags=0x2, scope=253))

    def test_a_link_local_address_from_before_it_was_switched_off(self) -> None:
        there_and_back(lambda port: port.write_sysctl("ipv6/conf/addr_gen_mode", "1"))

    def test_a_point_to_point_address(self) -> None:
        there_and_back(lambda port: port.add_address("10.9.0.2/32", local="10.9.0.1"))

    def test_routes_with_all_that_they_have(self) -> None:
        def arrange(port: Port) -> None:
            index = socket.if_nametoindex("nic0")
            port.add_address("10.0.0.5/24")
            port.add_address("fd00::5/64", flags=0x2)
            add = port.kernel.route
            add("add", dst="default", gateway="192.0.2.1", oif=index, flags=4, proto=4)
            add("add", dst="10.8.0.0/16", gateway="10.0.0.1", oif=index, proto=186, prefsrc="10.0.0.5", tos=0x10)
            add(
                "add", dst="10.7.0.0/16", gateway="10.0.0.1", oif=index, metrics={"mtu": 1400, "lock": 4, "initcwnd": 7}
            )
            add("add", dst="10.6.0.0/16", oif=index, scope=253, table=1000, priority=50)
            via = {"family": socket.AF_INET6, "addr": "fd00::1"}
            add("add", dst="10.5.0.0/16", oif=index, via=via, family=socket.AF_INET)
            add("add", dst="fd01::/64", gateway="fd00::1", oif=index, pref=1, priority=10, family=socket.AF_INET6)

        there_and_back(arrange)

    def test_settings_of_the_link(self) -> None:
        def arrange(port: Port) -> None:
            port.set(state="down")
            port.set(mtu=1400, address="52:54:00:00:00:05", txqlen=77, ifalias="to the switch")
            port.set(state="up")
            port.set(flags=0x300, change=0x300)
            port.kernel.link("property_add", index=socket.if_nametoindex("nic0"), altname=["a-long-name", "other"])

        there_and_back(arrange)

    def test_one_that_was_down(self) -> None:
        there_and_back(lambda port: port.set(state="down"))

    def test_sysctls(self) -> None:
        changed = {
            "ipv4/conf/rp_filter": "2",
            "ipv4/conf/forwarding": "1",
            "ipv6/conf/accept_ra": "0",
            "ipv6/conf/mtu": "1300",
            "ipv6/conf/addr_gen_mode": "1",
            "ipv4/neigh/base_reachable_time_ms": "12000",
            "ipv6/neigh/gc_stale_time": "99",
        }

        def arrange(port: Port) -> None:
            for name, value in changed.items():
                port.write_sysctl(name, value)

        def work(port: Port) -> None:
            port.set(state="up")
            arrange(port)
            before = port.settled()
            port.remake()
            assert port.sysctl("ipv4/conf/rp_filter") != "2"
            port.set("far0", state="down")
            port.restore(before)
            port.set("far0", state="up")
            # With the first carrier the kernel has IPv6 follow the link's MTU once more.
            assert wait_until(lambda: port.sysctl("ipv6/conf/mtu") == "1500", 20, 0.01)
            assert port.is_as(before)
            assert {name: port.sysctl(name) for name in changed} == changed

        with_port(work)
        there_and_back(arrange)

    def test_the_secret_of_stable_addresses_and_so_the_address(self) -> None:
        """Unset it cannot be read, and is not recorded; set, it makes the same link-local address again."""

        def work(port: Port) -> None:
            assert "stable_secret" not in str(port.state().links[0].settings)
            port.set(address="52:54:00:00:00:05")
            port.write_sysctl("ipv6/conf/stable_secret", "fd00::1234")
            port.set(state="up")
            before = port.settled()
            assert any(address.comes_with_link for address in before.addresses)
            port.remake()
            port.restore(before)
            assert port.is_as(before)

        with_port(work)

    def test_queues_and_offloads(self) -> None:
        def arrange(port: Port) -> None:
            with Interface("nic0") as interface:
                interface.set_driver("channels", (Setting("rx", "2"), Setting("tx", "3")))
                interface.set_driver("features", (Setting("rx-gro", "off"), Setting("tx-generic-segmentation", "off")))
            settings = port.state().links[0].settings
            assert settings is not None
            assert {Setting("rx", "2"), Setting("tx", "3")} <= set(value_or(settings.channels, ()))
            assert Setting("tx-generic-segmentation", "off") in value_or(settings.features, ())

        there_and_back(arrange)

    def test_a_port_of_a_bridge(self) -> None:
        def arrange(port: Port) -> None:
            port.kernel.link("add", ifname="br0", kind="bridge")
            port.set(master=socket.if_nametoindex("br0"))

        there_and_back(arrange)

    def test_another_name(self) -> None:
        def work(port: Port) -> None:
            port.set(state="up")
            port.add_address("10.0.0.5/24")
            before = port.settled()
            port.remake()
            port.set(state="down")
            port.set(ifname="eth77")
            attempts = Attempts()
            now = next(link for link in dump_network().links if link.name == "eth77")
            give_back.restore_link(FILES, Interface, before.links[0], now, attempts)
            give_back.restore_addresses(Interface, before, port.state, attempts)
            attempts.raise_refusals()
            assert port.is_as(before), differences(before, _settled(port.state()))

        with_port(work)

    def test_a_vlan_that_stood_on_it(self) -> None:
        def arrange(port: Port) -> None:
            index = socket.if_nametoindex("nic0")
            try:
                port.kernel.link("add", ifname="nic0.20", kind="vlan", link=index, vlan_id=20)
            except NetlinkError as error:
                pytest.skip(f"this kernel makes no VLANs: {error}")
            port.set("nic0.20", state="up", mtu=1400)
            upper = socket.if_nametoindex("nic0.20")
            port.kernel.addr("add", index=upper, address="10.20.0.1", prefixlen=24)

        there_and_back(arrange)


class TestWhatIsThereOtherwise:
    """What came to be on the interface before it was restored."""

    def test_an_address_with_other_flags_is_written_anew(self) -> None:
        def work(port: Port) -> None:
            port.set(state="up")
            port.add_address("10.0.0.5/24", flags=0x200)
            before = port.settled()
            port.remake()
            port.set(state="up")
            port.add_address("10.0.0.5/24")
            port.restore(before)
            assert port.is_as(before), differences(before, _settled(port.state()))

        with_port(work)

    def test_its_own_route_is_replaced(self) -> None:
        def work(port: Port) -> None:
            port.set(state="up")
            port.add_address("10.0.0.5/24")
            index = socket.if_nametoindex("nic0")
            port.kernel.route("add", dst="default", gateway="10.0.0.1", oif=index)
            before = port.settled()
            port.kernel.route("replace", dst="default", gateway="10.0.0.2", oif=index)
            port.restore(before)
            assert port.is_as(before), differences(before, _settled(port.state()))

        with_port(work)

    def test_that_of_another_interface_stays(self) -> None:
        """While it was away, the host has found another way out."""

        def work(port: Port) -> None:
            port.set(state="up")
            port.add_address("10.0.0.5/24")
            port.kernel.route("add", dst="default", gateway="10.0.0.1", oif=socket.if_nametoindex("nic0"))
            before = port.settled()
            port.remake()
            far = socket.if_nametoindex("far0")
            port.kernel.addr("add", index=far, address="10.1.0.5", prefixlen=24)
            port.set(state="up")
            port.kernel.route("add", dst="default", gateway="10.1.0.1", oif=far)
            with pytest.raises(StepError, match="another interface has such a route by now"):
                port.restore(before)
            assert wait_until(lambda: _fields(before, port) == ["routes"], 20, 0.01)
            routes = value_or(dump_network().routes, ())
            assert [(r.netdev, r.gateway) for r in routes if r.destination == "default"] == [("far0", "10.1.0.1")]

        with_port(work)


def test_one_refusal_does_not_keep_the_rest() -> None:
    def work(port: Port) -> None:
        port.set(state="up")
        port.add_address("10.0.0.5/24")
        before = port.settled()
        (old,) = before.links
        impossible = msgspec.structs.replace(old, mtu=99999999, txqueuelen=55)
        port.remake()
        with pytest.raises(StepError, match="99999999"):
            port.restore(msgspec.structs.replace(before, links=(impossible,)))
        now = port.state()
        assert (now.links[0].txqueuelen, now.links[0].up) == (55, True)
        assert wait_until(lambda: port.settled().addresses == before.addresses, 20, 0.01)

    with_port(work)


VF = VfSettings(
    vf_index=2,
    mac="52:54:00:00:00:02",
    vlan=20,
    qos=3,
    vlan_protocol="802.1Q",
    spoofchk=True,
    trust=False,
    link_state="auto",
    min_tx_rate=0,
    max_tx_rate=100,
    query_rss=False,
)


@pytest.mark.parametrize(
    ("change", "request_"),
    [
        ({}, []),
        ({"mac": "52:54:00:00:00:03"}, [{"mac": "52:54:00:00:00:02"}]),
        ({"vlan": 0}, [{"vlan": {"vlan": 20, "qos": 3}}]),
        ({"qos": 0}, [{"vlan": {"vlan": 20, "qos": 3}}]),
        ({"spoofchk": False, "trust": True}, [{"spoofchk": 1}, {"trust": 0}]),
        ({"link_state": "disable"}, [{"link_state": 0}]),
        ({"max_tx_rate": 0}, [{"rate": {"min_tx_rate": 0, "max_tx_rate": 100}}]),
        ({"query_rss": True}, [{"rss_query_en": 0}]),
    ],
)
def test_of_a_vf_what_differs_only(change: dict[str, object], request_: list[object]) -> None:
    assert list(vf_changes(VF, msgspec.structs.replace(VF, **change))) == request_


def test_a_vlan_of_another_protocol_and_what_no_record_knew() -> None:
    outer = msgspec.structs.replace(VF, vlan_protocol="802.1ad")
    assert list(vf_changes(outer, VF)) == [{"vlan": [{"vlan": 20, "qos": 3, "proto": 0x88A8}]}]
    bare = VfSettings(vf_index=2, mac=VF.mac, vlan=20, qos=3)
    assert list(vf_changes(bare, VF)) == []


def test_what_the_library_makes_of_a_vf() -> None:
    """Its own request decodes to what was asked for, and the kernel refuses it for the interface's sake alone."""

    def work(port: Port) -> None:
        with Interface("nic0") as interface, pytest.raises(StepError, match="not supported"):
            interface.set_vf(VF, VfSettings(vf_index=2, mac="00:00:00:00:00:00"))

    with_port(work)


def test_settings_that_cannot_be_asked_are_none_or_unknown_and_no_mistake() -> None:
    def work(port: Port) -> None:
        link = next(link for link in port.state().links if link.name == "nic0")
        assert link.settings is not None
        assert (link.settings.rings, link.settings.port, link.settings.port_vlans) == (None, None, None)
        gone = with_settings(msgspec.structs.replace(dump_network(), links=(Link(name="gone"),)), FILES, ("gone",))
        assert gone.links[0].settings is None or gone.links[0].settings == LinkSettings()

    with_port(work)
