# SPDX-License-Identifier: Apache-2.0
"""What the administrator has moved to another interface while the NIC was in a VM, by the real kernel."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pytest
from pyroute2 import IPRoute, NetlinkError

from nicpass.checks.lookup.index import HostIndex
from nicpass.engine import host_steps
from nicpass.engine.handler import wait_until
from nicpass.engine.host_steps import HostSteps
from nicpass.engine.nic.store import keep_nic_state, read_nic_state
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.host.network.netlink import dump_network
from nicpass.model.address import Address
from nicpass.model.errors import ExitCode, NeedsPersonError, StepError
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from nicpass.model.plan import GiveBackNic
from nicpass.planner.nic_state.observe import observe_state
from tests.support.namespaces import in_own_namespace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nicpass.model.plan import NicState

Run: TypeAlias = "Callable[[Callable[[Namespace], None]], None]"
NIC = Address("0000:01:00.0")
MAC = "52:54:00:00:00:01"
FUNCTION = PciFunction(address=NIC, driver="ixgbe", netdevs=("eth1",))


class Silent(Processes):
    """udevadm has nothing to settle here."""

    def __init__(self) -> None: ...

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        assert argv[0] == "udevadm"
        return Completed(0, "", "")


@dataclasses.dataclass
class Namespace:
    """A network of its own, in which `eth1` stands in for the NIC's interface; its files are a folder's."""

    kernel: Any
    steps: HostSteps

    def make(self, name: str, kind: str = "ifb", **more: object) -> int:
        try:
            self.kernel.link("add", ifname=name, kind=kind, **more)
        except NetlinkError as error:
            if error.code not in (95, 93):
                raise
            pytest.skip(f"this kernel makes no {kind}: {error}")
        return socket.if_nametoindex(name)

    def set(self, netdev: str, **settings: object) -> None:
        self.kernel.link("set", index=socket.if_nametoindex(netdev), **settings)

    def add(self, netdev: str, text: str) -> None:
        host, _, length = text.partition("/")
        self.kernel.addr("add", index=socket.if_nametoindex(netdev), address=host, prefixlen=int(length))

    def remove(self, netdev: str, text: str) -> None:
        host, _, length = text.partition("/")
        self.kernel.addr("del", index=socket.if_nametoindex(netdev), address=host, prefixlen=int(length))

    def route(self, netdev: str, dst: str, gateway: str | None = None, **more: object) -> None:
        given = {"gateway": gateway} if gateway else {}
        self.kernel.route("add", dst=dst, oif=socket.if_nametoindex(netdev), **given, **more)

    def state(self) -> NicState:
        return self.steps_state(self.steps.files, NIC)

    @staticmethod
    def steps_state(_files: Files, _address: Address) -> NicState:
        network = dump_network()
        names = tuple(link.name for link in network.links if link.alias == "the NIC")
        function = msgspec.structs.replace(FUNCTION, netdevs=names)
        return observe_state(function, HostIndex(Host(pci=(function,), network=network)))

    def leave(self) -> NicState:
        """The NIC's state as it leaves the host; its interface goes."""

        def is_settled() -> bool:
            addresses = self.state().addresses
            return any(a.comes_with_link for a in addresses) and not any(a.tentative for a in addresses)

        assert wait_until(is_settled, 20, 0.01)
        before = self.state()
        self.kernel.link("del", index=socket.if_nametoindex("eth1"))
        return before

    def come_back(self, name: str = "eth1") -> None:
        """Make the NIC's interface, as a driver does: with the card's MAC, and with nothing on it."""
        self.make(name, "veth", address=MAC, peer={"ifname": "far0", "address": "52:54:00:00:00:02"})
        self.set("far0", state="up")
        self.set(name, ifalias="the NIC")

    def give_back(self, before: NicState) -> str:
        """The sentences about what is not as it was; empty where all is."""
        try:
            self.steps.restore(before)
        except StepError as error:
            return error.sentence
        return ""

    def where(self, address: str) -> list[str]:
        network = dump_network()
        assert isinstance(network.addresses, tuple)
        return [a.netdev for a in network.addresses if a.address == address]

    def ways(self, destination: str) -> list[str]:
        network = dump_network()
        assert isinstance(network.routes, tuple)
        return [r.netdev for r in network.routes if r.destination == destination and r.family == "inet"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[Namespace], None]], None]:
    """Runs a test in a network namespace, with `eth1` up and `eth2` too."""
    monkeypatch.setattr(host_steps, "_SETTLE_SECONDS", 10)
    monkeypatch.setattr(host_steps, "_BIND_SECONDS", 0.01)
    monkeypatch.setattr(host_steps, "read_state", Namespace.steps_state)
    monkeypatch.setattr(host_steps, "read_network", lambda _files: dump_network())
    monkeypatch.setattr(host_steps, "read_function", lambda _files, _address: FUNCTION)

    def in_namespace(work: Callable[[Namespace], None]) -> None:
        def inside(_maker: object) -> None:
            with IPRoute() as kernel:
                here = Namespace(kernel, HostSteps(Files(str(tmp_path)), Silent()))
                here.make("eth2")
                here.come_back()
                for name in ("eth1", "eth2"):
                    here.set(name, state="up")
                work(here)

        in_own_namespace(inside)

    return in_namespace


def test_nothing_was_moved(run: Run) -> None:
    def work(here: Namespace) -> None:
        here.add("eth1", "10.0.0.5/24")
        here.route("eth1", "10.9.0.0/16", "10.0.0.1")
        before = here.leave()
        here.come_back()
        here.add("eth2", "10.0.0.6/24")  # an address of the same network elsewhere is in nobody's way
        assert here.give_back(before) == ""
        assert here.where("10.0.0.5") == ["eth1"]
        assert here.ways("10.9.0.0/16") == ["eth1"]

    run(work)


@pytest.mark.parametrize("text", ["10.0.0.5/24", "10.0.0.5/32", "2001:db8::5/64"])
def test_an_address_that_was_moved_stays_where_it_is(text: str, run: Run) -> None:
    """r14: it came to stand on two interfaces, with two connected routes."""

    def work(here: Namespace) -> None:
        own = text.replace("/32", "/24")
        here.add("eth1", own)
        here.add("eth1", "10.7.0.1/24")
        before = here.leave()
        here.add("eth2", text)
        here.come_back()
        assert here.give_back(before) == f"{own} is on eth2 by now."
        assert here.where(text.partition("/")[0]) == ["eth2"]
        assert here.where("10.7.0.1") == ["eth1"], "the rest is put back"

    run(work)


def test_what_needs_a_moved_address_stays_away_too(run: Run) -> None:
    def work(here: Namespace) -> None:
        here.add("eth1", "10.0.0.5/24")
        here.route("eth1", "10.9.0.0/16", "10.0.0.1")
        before = here.leave()
        here.add("eth2", "10.0.0.5/24")
        here.come_back()
        assert here.give_back(before) == "10.0.0.5/24 is on eth2 by now."
        assert here.ways("10.9.0.0/16") == []
        assert here.ways("10.0.0.0/24") == ["eth2"]

    run(work)


def test_an_address_that_was_on_both_is_put_back(run: Run) -> None:
    """Unnumbered links share the address of another interface."""

    def work(here: Namespace) -> None:
        here.add("eth2", "10.0.0.5/32")
        here.add("eth1", "10.0.0.5/32")
        before = here.leave()
        here.come_back()
        assert here.give_back(before) == ""
        assert sorted(here.where("10.0.0.5")) == ["eth1", "eth2"]

    run(work)


@pytest.mark.parametrize(("own", "other"), [(0, 0), (0, 100), (100, 0), (100, 100)])
def test_a_default_route_that_was_moved_stays_where_it_is(own: int, other: int, run: Run) -> None:
    def work(here: Namespace) -> None:
        here.add("eth1", "10.0.0.5/24")
        here.route("eth1", "default", "10.0.0.1", **({"priority": own} if own else {}))
        before = here.leave()
        here.add("eth2", "10.1.0.5/24")
        here.route("eth2", "default", "10.1.0.1", **({"priority": other} if other else {}))
        here.come_back()
        assert "goes by eth2 by now" in here.give_back(before)
        assert here.ways("default") == ["eth2"]
        assert here.where("10.0.0.5") == ["eth1"]

    run(work)


def test_a_default_route_beside_another_one_is_put_back(run: Run) -> None:
    def work(here: Namespace) -> None:
        here.add("eth2", "10.1.0.5/24")
        here.route("eth2", "default", "10.1.0.1", priority=100)
        here.add("eth1", "10.0.0.5/24")
        here.route("eth1", "default", "10.0.0.1")
        before = here.leave()
        here.come_back()
        assert here.give_back(before) == ""
        assert sorted(here.ways("default")) == ["eth1", "eth2"]

    run(work)


def test_a_way_that_goes_by_an_interface_that_is_down_is_no_way(run: Run) -> None:
    """An old record, which does not say what there was beside the NIC."""

    def work(here: Namespace) -> None:
        here.add("eth1", "10.0.0.5/24")
        here.route("eth1", "10.9.0.0/16", "10.0.0.1")
        before = msgspec.structs.replace(here.leave(), beside=None)
        here.add("eth2", "10.1.0.5/24")
        here.route("eth2", "10.9.0.0/16", "10.1.0.1")
        here.come_back()
        assert "10.9.0.0/16" in here.give_back(before)
        assert here.ways("10.9.0.0/16") == ["eth2"]
        here.set("eth2", state="down")
        assert here.give_back(before) == ""
        assert here.ways("10.9.0.0/16") == ["eth1"]

    run(work)


def test_a_name_that_another_interface_has_stays_there_and_gets_no_address_of_ours(run: Run) -> None:
    def work(here: Namespace) -> None:
        here.add("eth1", "10.0.0.5/24")
        before = here.leave()
        here.set("eth2", state="down")
        here.set("eth2", ifname="eth1")
        here.set("eth1", state="up")
        here.come_back("eth7")
        assert here.give_back(before) == "another interface is called eth1 by now."
        assert here.where("10.0.0.5") == ["eth7"]

    run(work)


def test_another_name_that_another_interface_has_stays_there(run: Run) -> None:
    def work(here: Namespace) -> None:
        index = socket.if_nametoindex("eth1")
        here.kernel.link("property_add", index=index, altname=["uplink", "wan"])
        before = here.leave()
        here.kernel.link("property_add", index=socket.if_nametoindex("eth2"), altname=["uplink"])
        here.come_back()
        assert here.give_back(before) == "the name uplink is eth2's by now."
        assert here.state().links[0].altnames == ("wan",), "the rest is put back"

    run(work)


def test_a_mac_that_another_interface_has_is_not_doubled(run: Run) -> None:
    def work(here: Namespace) -> None:
        here.set("eth1", address="52:54:00:00:00:77")
        before = here.leave()
        here.make("eth3", "veth", address="52:54:00:00:00:77", peer={"ifname": "far3"})
        here.come_back()
        assert here.give_back(before) == "the MAC 52:54:00:00:00:77 is eth3's by now."
        assert here.state().links[0].mac != "52:54:00:00:00:77"

    run(work)


@pytest.mark.parametrize("change", ["gone", "another", "both", "none"])
def test_the_place_in_a_bridge(change: str, run: Run) -> None:
    def work(here: Namespace) -> None:
        bridge = here.make("br0", "bridge")
        here.set("eth1", master=bridge)
        here.add("eth1", "10.0.0.5/24")
        if change == "both":
            here.set("eth2", master=bridge)
        before = here.leave()
        if change == "gone":
            here.kernel.link("del", index=bridge)
        elif change == "another":
            here.set("eth2", master=bridge)
        here.come_back()
        told = {"gone": "br0 is not there any more.", "another": "eth2 is a port of br0 by now."}.get(change, "")
        assert here.give_back(before) == told
        assert here.state().links[0].master == (None if told else "br0")
        assert here.where("10.0.0.5") == ["eth1"]

    run(work)


def test_a_vlan_that_stands_on_another_interface_gets_no_address_of_ours(run: Run) -> None:
    def work(here: Namespace) -> None:
        here.make("vlan20", "vlan", link=socket.if_nametoindex("eth1"), vlan_id=20)
        here.add("vlan20", "10.20.0.5/24")
        before = here.leave()
        here.make("vlan20", "vlan", link=socket.if_nametoindex("eth2"), vlan_id=20)
        here.add("vlan20", "10.20.0.9/24")
        here.come_back()
        assert here.give_back(before) == "vlan20 stands on eth2 by now."
        assert here.where("10.20.0.5") == []

    run(work)


def test_the_step_fails_with_what_was_moved_and_how_to_settle_it(run: Run) -> None:
    def work(here: Namespace) -> None:
        here.add("eth1", "10.0.0.5/24")
        before = here.leave()
        here.add("eth2", "10.0.0.5/24")
        here.come_back()
        keep_nic_state(here.steps.files, before)
        with pytest.raises(NeedsPersonError) as caught:
            here.steps.apply_give_back(GiveBackNic(address=NIC, state=before))
        assert caught.value.exit_code == ExitCode.NEEDS_PERSON
        assert "10.0.0.5/24 is on eth2 by now." in caught.value.sentence
        assert f"nicpass recover --abandon {NIC}" in caught.value.hint
        assert read_nic_state(here.steps.files, NIC) == before, "it is known still what the NIC was"
        here.remove("eth2", "10.0.0.5/24")
        here.steps.apply_give_back(GiveBackNic(address=NIC, state=before))
        assert read_nic_state(here.steps.files, NIC) is None

    run(work)
