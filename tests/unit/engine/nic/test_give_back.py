# SPDX-License-Identifier: Apache-2.0
"""What is written, in which order, and what is not written, when a NIC is given back."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nicpass.engine.attempts import Attempts
from nicpass.engine.nic import give_back
from nicpass.host.doors.files import Files
from nicpass.host.network.link_settings import port_path, sysctl_path
from nicpass.model.address import Address
from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.network import NO_MAC, IpAddress, Link, LinkSettings, Setting, VfSettings
from nicpass.model.plan import NicState
from tests.support.hosts import address, link, route

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NIC = Address("0000:01:00.0")
S = Setting


class Kernel(Files):
    """Takes what is written to it, and writes down that it did."""

    def __init__(self, root: Path, *, is_live: bool = True) -> None:
        super().__init__(str(root))
        self._live = is_live
        self.did: list[tuple[Any, ...]] = []
        self.refuses: set[str] = set()

    @property
    def is_live(self) -> bool:
        return self._live

    def put(self, path: str, value: str) -> None:
        self.write_atomic(path, f"{value}\n".encode())

    def write_kernel(self, path: str, value: str) -> None:
        name = path.rsplit("/", 1)[-1]
        self.did.append((name, value))
        if name in self.refuses:
            raise OSError(errno.EINVAL, "Invalid argument", path)
        self.put(path, value)

    def open(self, name: str) -> Any:
        return Interface(self, name)


class Interface:
    """The writer of one interface, which remembers."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel, self.name = kernel, name

    def __enter__(self) -> Interface:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, call: str) -> Callable[..., None]:
        def act(*given: Any) -> None:
            self.kernel.did.append((call, self.name, *given))
            if call == "restore":
                self.name = given[0].name
            if call in self.kernel.refuses:
                raise StepError(f"No {call}.")

        return act


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def state(*links: Link, **more: Any) -> NicState:
    return NicState(address=NIC, driver="ixgbe", links=links, **more)


def calls(kernel: Kernel, *names: str) -> list[tuple[Any, ...]]:
    return [each for each in kernel.did if each[0] in names]


class TestLink:
    """One interface and its settings."""

    def restore(self, kernel: Kernel, before: LinkSettings | None, now: LinkSettings | None) -> Attempts:
        attempts = Attempts()
        wanted, is_so = link("eth1", settings=before), link("eth7", settings=now)
        give_back.restore_link(kernel, kernel.open, wanted, is_so, attempts)
        return attempts

    def test_without_settings_the_link_alone(self, kernel: Kernel) -> None:
        self.restore(kernel, None, LinkSettings(rings=(S("rx", "1"),)))
        assert [each[:2] for each in kernel.did] == [("restore", "eth7")]

    def test_sysctls_come_before_the_link_is_up_and_again_when_the_mtu_has_changed_them(self, kernel: Kernel) -> None:
        for netdev in ("eth1", "eth7"):
            kernel.put(sysctl_path(netdev, "ipv6/conf/mtu"), "1500")
        self.restore(kernel, LinkSettings(sysctls=(S("ipv6/conf/mtu", "1300"),)), None)
        assert [each[:2] for each in kernel.did] == [("mtu", "1300"), ("restore", "eth7"), ("mtu", "1300")]
        assert kernel.read_text(sysctl_path("eth1", "ipv6/conf/mtu")) == "1300", "under its new name"

    def test_the_secret_is_written_first_and_what_it_changes_is_read_anew(self, kernel: Kernel) -> None:
        mode, secret = "ipv6/conf/addr_gen_mode", "ipv6/conf/stable_secret"
        kernel.put(sysctl_path("eth7", mode), "2")
        kernel.put(sysctl_path("eth7", secret), "fd00::1")
        settings = LinkSettings(sysctls=(S(mode, "2"), S(secret, "fd00::2")))

        class Changed(Kernel):
            def write_kernel(self, path: str, value: str) -> None:
                super().write_kernel(path, value)
                if path.endswith("stable_secret"):
                    self.put(sysctl_path("eth7", mode), "3")

        changed = Changed(kernel.root)  # type: ignore[arg-type]
        give_back._write_sysctls(changed, "eth7", settings, Attempts())
        assert changed.did == [("stable_secret", "fd00::2"), ("addr_gen_mode", "2")]

    def test_a_secret_that_is_so_is_not_written(self, kernel: Kernel) -> None:
        kernel.put(sysctl_path("eth7", "ipv6/conf/stable_secret"), "fd00::1")
        give_back._write_sysctls(
            kernel, "eth7", LinkSettings(sysctls=(S("ipv6/conf/stable_secret", "fd00::1"),)), Attempts()
        )
        assert kernel.did == []

    def test_a_sysctl_and_a_secret_that_are_refused_keep_nothing_back(self, kernel: Kernel) -> None:
        names = ("ipv6/conf/stable_secret", "ipv4/conf/rp_filter", "ipv4/conf/forwarding")
        for name in names:
            kernel.put(sysctl_path("eth7", name), "0")
        kernel.refuses = {"stable_secret", "rp_filter"}
        attempts = Attempts()
        settings = LinkSettings(sysctls=tuple(S(name, "1") for name in names))
        give_back._write_sysctls(kernel, "eth7", settings, attempts)
        assert ("forwarding", "1") in kernel.did
        assert len(attempts.refusals) >= 2

    def test_the_port_of_a_bridge_is_put_back_once_it_is_one(self, kernel: Kernel) -> None:
        for name, value in (("hairpin_mode", "0"), ("path_cost", "2"), ("priority", "32"), ("learning", "1")):
            kernel.put(port_path("eth1", name), value)
        wanted = (S("hairpin_mode", "1"), S("path_cost", "100"), S("priority", "32"), S("learning", "0"), S("new", "1"))
        vlans = (S("20", "pvid"),)
        kernel.refuses = {"hairpin_mode"}
        attempts = self.restore(kernel, LinkSettings(port=wanted, port_vlans=vlans), None)
        assert [each[:2] for each in kernel.did] == [
            ("restore", "eth7"),
            ("hairpin_mode", "1"),
            ("learning", "0"),
            ("restore_port_vlans", "eth1"),
        ], "the kernel reckons path_cost; what is so or is not there is not written; a refusal keeps nothing back"
        assert kernel.did[-1][2] == vlans
        assert len(attempts.refusals) == 1

    @pytest.mark.parametrize("unknown", [None, Unknown("not read")])
    def test_a_port_of_which_nothing_is_recorded_stays(self, unknown: Any, kernel: Kernel) -> None:
        kernel.put(port_path("eth1", "learning"), "1")
        self.restore(kernel, LinkSettings(port=unknown, port_vlans=unknown), None)
        assert [each[0] for each in kernel.did] == ["restore"]

    def test_a_capture_has_no_bridge_to_ask(self, tmp_path: Path) -> None:
        kernel = Kernel(tmp_path, is_live=False)
        self.restore(kernel, LinkSettings(port_vlans=(S("20", "pvid"),)), None)
        assert [each[0] for each in kernel.did] == ["restore"]

    def test_vlans_that_are_refused_are_told(self, kernel: Kernel) -> None:
        kernel.refuses = {"restore_port_vlans"}
        attempts = self.restore(kernel, LinkSettings(port_vlans=(S("20", "pvid"),)), None)
        assert [str(each) for each in attempts.refusals] == ["No restore_port_vlans."]

    def test_what_the_driver_keeps_is_tried_while_the_link_is_down(self, kernel: Kernel) -> None:
        """What it refuses then is no refusal yet; a group that cannot be read, or has not the setting, is let be."""
        kernel.refuses = {"set_driver"}
        before = LinkSettings(
            rings=(S("rx", "9"), S("tx", "5"), S("jumbo", "1")), pause=(S("rx", "on"),), channels=(S("rx", "4"),)
        )
        now = LinkSettings(rings=(S("rx", "5"), S("tx", "5")), pause=Unknown("no"), channels=(S("rx", "1"),))
        attempts = self.restore(kernel, before, now)
        assert [(each[0], *each[2:]) for each in kernel.did[:-1]] == [
            ("set_driver", "channels", (S("rx", "4"),)),
            ("set_driver", "rings", (S("rx", "9"),)),
        ]
        assert kernel.did[-1][0] == "restore"
        assert attempts.refusals == []
        give_back.restore_driver(kernel.open, link("eth1", settings=before), link("eth1", settings=now), attempts)
        assert len(attempts.refusals) == 2, "now it is told"

    @pytest.mark.parametrize(("before", "now"), [(None, LinkSettings()), (LinkSettings(rings=(S("rx", "9"),)), None)])
    def test_a_driver_of_which_one_side_is_not_known_is_let_be(
        self, before: LinkSettings | None, now: LinkSettings | None, kernel: Kernel
    ) -> None:
        give_back.restore_driver(kernel.open, link("eth1", settings=before), link("eth1", settings=now), Attempts())
        assert kernel.did == []

    def test_a_link_that_is_refused_keeps_its_settings_from_nothing(self, kernel: Kernel) -> None:
        kernel.put(port_path("eth7", "learning"), "1")
        kernel.refuses = {"restore"}
        attempts = Attempts()
        wanted = link("eth7", settings=LinkSettings(port=(S("learning", "0"),)))
        give_back.restore_link(kernel, kernel.open, wanted, link("eth7"), attempts)
        assert calls(kernel, "learning") == [("learning", "0")]
        assert len(attempts.refusals) == 1


class TestUppers:
    """VLANs went with the NIC, and come back; of others nothing is known."""

    VLAN = link("eth1.20", kind="vlan", lower="eth1", vlan_id=20, vlan_protocol="802.1Q", mtu=1400)

    def test_a_vlan_that_went_is_made_and_gets_its_settings(self, kernel: Kernel) -> None:
        """It is new, so it has none of them, neither its other names nor its place in a bridge."""
        vlan = msgspec.structs.replace(self.VLAN, altnames=("lan20",), master="br0")
        give_back.restore_uppers(kernel.open, state(uppers=(vlan,)), state(uppers=()), Attempts())
        made, restored = kernel.did
        assert made == ("add_vlan", "eth1", vlan)
        bare = msgspec.structs.replace(vlan, mac=None, mtu=None, up=False, master=None, altnames=())
        assert restored == ("restore", "eth1.20", vlan, bare)

    def test_one_that_is_there_is_not_made(self, kernel: Kernel) -> None:
        now = msgspec.structs.replace(self.VLAN, mtu=1500)
        give_back.restore_uppers(kernel.open, state(uppers=(self.VLAN,)), state(uppers=(now,)), Attempts())
        assert kernel.did == [("restore", "eth1.20", self.VLAN, now)]

    @pytest.mark.parametrize("change", [{"kind": "macvlan"}, {"lower": None}, {"vlan_id": None}])
    def test_what_is_no_whole_vlan_is_not_made(self, change: dict[str, Any], kernel: Kernel) -> None:
        upper = msgspec.structs.replace(self.VLAN, **change)
        give_back.restore_uppers(kernel.open, state(uppers=(upper, self.VLAN)), state(uppers=None), Attempts())
        assert calls(kernel, "add_vlan") == [("add_vlan", "eth1", self.VLAN)]

    def test_one_that_is_refused_does_not_keep_the_next_back(self, kernel: Kernel) -> None:
        other = msgspec.structs.replace(self.VLAN, name="eth1.30", vlan_id=30)
        kernel.refuses = {"add_vlan"}
        attempts = Attempts()
        give_back.restore_uppers(kernel.open, state(uppers=(self.VLAN, other)), state(uppers=()), attempts)
        assert len(attempts.refusals) == 2
        assert calls(kernel, "restore") == []

    def test_a_record_without_them(self, kernel: Kernel) -> None:
        give_back.restore_uppers(kernel.open, state(uppers=None), state(uppers=(self.VLAN,)), Attempts())
        assert kernel.did == []


def restore_addresses(kernel: Kernel, before: NicState, *now: NicState) -> Attempts:
    attempts, reads = Attempts(), list(now)
    give_back.restore_addresses(kernel.open, before, lambda: reads.pop(0), attempts)
    kernel.did.append(("left", len(reads)))
    return attempts


def test_an_address_on_another_interface_of_the_nic_is_not_this_one(kernel: Kernel) -> None:
    before = state(addresses=(address("eth1", "10.0.0.5/24"),))
    restore_addresses(kernel, before, state(addresses=(address("eth2", "10.0.0.5/24"),)))
    assert changes(kernel) == [("add_address", "eth1", "10.0.0.5/24")]


def test_routes_are_compared_by_what_every_record_of_them_knew(kernel: Kernel) -> None:
    whole, old = route("eth1", "10.8.0.0/16", onlink=False, tos=4), route("eth1", "10.9.0.0/16")
    now = (msgspec.structs.replace(whole, weight=3), msgspec.structs.replace(old, weight=3))
    give_back.restore_routes(kernel.open, state(routes=(whole, old)), state(routes=now), Attempts())
    assert kernel.did == []


def changes(kernel: Kernel) -> list[tuple[str, str, str]]:
    return [(each[0], each[1], each[2].text) for each in calls(kernel, "add_address", "remove_address")]


class TestAddresses:
    """Those that are missing or differ, in their order."""

    def test_only_what_is_missing_is_added_and_the_host_is_read_once(self, kernel: Kernel) -> None:
        own = [address("eth1", text) for text in ("10.0.0.5/24", "10.0.0.6/24", "10.0.0.7/24")]
        vlan = address("eth1.20", "10.20.0.5/24")
        restore_addresses(kernel, state(addresses=(*own, vlan)), state(addresses=(own[1],)))
        assert changes(kernel) == [
            ("add_address", "eth1", "10.0.0.5/24"),
            ("add_address", "eth1", "10.0.0.7/24"),
            ("add_address", "eth1.20", "10.20.0.5/24"),
        ]

    def test_one_that_differs_goes_first_and_what_went_with_it_comes_again(self, kernel: Kernel) -> None:
        """With the first address of a network the kernel takes its secondary ones."""
        first, second = address("eth1", "10.0.0.5/24", metric=7, flags=()), address("eth1", "10.0.0.6/24", flags=())
        differs = msgspec.structs.replace(first, metric=9)
        restore_addresses(
            kernel, state(addresses=(first, second)), state(addresses=(differs, second)), state(addresses=())
        )
        assert changes(kernel) == [
            ("remove_address", "eth1", "10.0.0.5/24"),
            ("add_address", "eth1", "10.0.0.5/24"),
            ("add_address", "eth1", "10.0.0.6/24"),
        ]
        assert kernel.did[-1] == ("left", 0), "it was read anew"

    @pytest.mark.parametrize(
        "change", [{"netdev": "eth1.20"}, {"address": "10.0.0.9"}, {"prefix_length": 25}, {"peer": "10.0.0.8"}]
    )
    def test_another_address_is_in_nobodys_way(self, change: dict[str, Any], kernel: Kernel) -> None:
        own = address("eth1", "10.0.0.5/24", metric=7, flags=())
        other = msgspec.structs.replace(own, metric=9, **change)
        restore_addresses(kernel, state(addresses=(own,)), state(addresses=(other,)))
        assert changes(kernel) == [("add_address", "eth1", "10.0.0.5/24")]

    def test_what_is_tentative_still_is_there(self, kernel: Kernel) -> None:
        own = address("eth1", "2001:db8::5/64", flags=())
        for before, now in ((False, True), (True, False)):
            wanted, is_so = (msgspec.structs.replace(own, tentative=t) for t in (before, now))
            restore_addresses(kernel, state(addresses=(wanted,)), state(addresses=(is_so,)))
        assert changes(kernel) == []

    def test_flags_that_a_record_does_not_know_are_not_compared(self, kernel: Kernel) -> None:
        own, now = address("eth1", "10.0.0.5/24"), address("eth1", "10.0.0.5/24", flags=("noprefixroute",), metric=9)
        restore_addresses(kernel, state(addresses=(own,)), state(addresses=(now,)))
        assert changes(kernel) == []
        known = msgspec.structs.replace(own, flags=())
        restore_addresses(kernel, state(addresses=(known,)), state(addresses=(now,)), state())
        assert [each[0] for each in changes(kernel)] == ["remove_address", "add_address"]

    @pytest.mark.parametrize("refused", ["add_address", "remove_address"])
    def test_one_that_is_refused_does_not_keep_the_next_back(self, refused: str, kernel: Kernel) -> None:
        own = tuple(address("eth1", text, metric=1, flags=()) for text in ("10.0.0.5/24", "10.0.0.6/24"))
        differ = tuple(msgspec.structs.replace(each, metric=2) for each in own)
        kernel.refuses = {refused}
        attempts = restore_addresses(kernel, state(addresses=own), state(addresses=differ), state())
        assert len(changes(kernel)) == 4
        assert len(attempts.refusals) == 2

    @pytest.mark.parametrize(
        ("more", "written"),
        [({}, True), ({"dynamic": True}, False), ({"flags": ("temporary",)}, False), ({"flags": ()}, True)],
    )
    def test_what_a_lease_or_a_router_gave_is_not_written(
        self, more: dict[str, Any], written: bool, kernel: Kernel
    ) -> None:
        restore_addresses(kernel, state(addresses=(address("eth1", "2001:db8::5/64", **more),)), state())
        assert bool(changes(kernel)) is written

    MAC = "52:54:00:00:00:05"
    OF_MAC = "fe80::5054:ff:fe00:5/64"

    @pytest.mark.parametrize(
        ("text", "mode", "mac", "written"),
        [
            (OF_MAC, "0", MAC, False),
            ("fe80::1/64", "0", MAC, True),
            ("fe80::1/64", "1", MAC, True),
            (OF_MAC, "1", MAC, True),
            ("fe80::1/64", "2", MAC, False),
            ("fe80::1/64", None, MAC, False),
            ("fe80::1/64", "0", None, False),
            ("fe80::1/64", "1", None, True),
            ("fe80::1/64", "0", "80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01", True),
        ],
    )
    def test_a_link_local_address_is_written_where_the_kernel_does_not_make_it(
        self, text: str, mode: str | None, mac: str | None, written: bool, kernel: Kernel
    ) -> None:
        sysctls = (S("ipv6/conf/mtu", "1"), S("ipv6/conf/addr_gen_mode", mode)) if mode is not None else ()
        own = link("eth1", mac=mac, settings=LinkSettings(sysctls=sysctls))
        local = address("eth1", text, scope="link")
        restore_addresses(kernel, state(link("eth0"), own, addresses=(local,)), state())
        assert bool(changes(kernel)) is written

    def test_one_of_a_link_without_settings_is_the_kernels(self, kernel: Kernel) -> None:
        local = IpAddress(netdev="eth1", address="fe80::1", prefix_length=64, scope="link")
        for links in ((), (link("eth1"),)):
            restore_addresses(kernel, state(*links, addresses=(local,)), state())
        assert changes(kernel) == []


class TestRoutes:
    """Those that are missing; a gateway after what reaches it."""

    def restore(self, kernel: Kernel, before: tuple[Any, ...], now: tuple[Any, ...] = ()) -> Attempts:
        attempts = Attempts()
        give_back.restore_routes(kernel.open, state(routes=before), state(routes=now), attempts)
        return attempts

    def did(self, kernel: Kernel) -> list[tuple[str, str, str]]:
        return [(each[0], each[1], each[2].destination) for each in kernel.did]

    def test_a_gateway_comes_after_the_route_that_reaches_it(self, kernel: Kernel) -> None:
        near, far = route("eth1.20", "10.1.0.0/16", None), route("eth1", "10.2.0.0/16", "10.1.0.1")
        self.restore(kernel, (far, near))
        assert self.did(kernel) == [("add_route", "eth1.20", "10.1.0.0/16"), ("add_route", "eth1", "10.2.0.0/16")]

    def test_what_is_there_is_not_written(self, kernel: Kernel) -> None:
        self.restore(kernel, (route("eth1"),), (route("eth1"),))
        assert kernel.did == []

    def test_one_that_is_there_otherwise_is_written_in_its_place(self, kernel: Kernel) -> None:
        own = route("eth1", gateway="10.0.0.1", metric=None, tos=None)
        self.restore(kernel, (own,), (route("eth1", gateway="10.0.0.2", metric=0, tos=0),))
        assert self.did(kernel) == [("replace_route", "eth1", "default")]

    @pytest.mark.parametrize(
        "change",
        [{"netdev": "eth1.20"}, {"family": "inet6"}, {"table": 5}, {"destination": "x"}, {"metric": 1}, {"tos": 16}],
    )
    def test_one_with_another_key_stays_beside_it(self, change: dict[str, Any], kernel: Kernel) -> None:
        other = msgspec.structs.replace(route("eth1", gateway="10.0.0.2"), **change)
        self.restore(kernel, (route("eth1"),), (other,))
        assert self.did(kernel) == [("add_route", "eth1", "default")]

    @pytest.mark.parametrize(
        "more", [{"protocol": "kernel"}, {"protocol": "ra"}, {"protocol": "dhcp"}, {"multipath": True}]
    )
    def test_what_follows_something_else_is_not_written(self, more: dict[str, Any], kernel: Kernel) -> None:
        self.restore(kernel, (route("eth1", **more), route("eth1", "10.1.0.0/16", protocol="static")))
        assert self.did(kernel) == [("add_route", "eth1", "10.1.0.0/16")]

    def test_fields_that_a_record_did_not_know_are_not_compared(self, kernel: Kernel) -> None:
        now = route("eth1", onlink=False, realm=7)
        self.restore(kernel, (route("eth1"),), (now,))
        assert kernel.did == []
        self.restore(kernel, (route("eth1", onlink=False),), (now,))
        assert self.did(kernel) == [("replace_route", "eth1", "default")]

    def test_one_that_is_refused_does_not_keep_the_next_back(self, kernel: Kernel) -> None:
        kernel.refuses = {"add_route"}
        attempts = self.restore(kernel, (route("eth1"), route("eth1", "10.1.0.0/16")))
        assert len(kernel.did) == len(attempts.refusals) == 2


class TestVfs:
    """What a PF enforces on its VFs."""

    OWN = VfSettings(vf_index=0, mac="52:54:00:00:00:01", vlan=20)

    def restore(
        self, kernel: Kernel, wanted: tuple[VfSettings, ...], now: tuple[VfSettings, ...], own_mac: str | None = None
    ) -> tuple[tuple[int, ...], Attempts]:
        attempts = Attempts()
        pf = state(link("pf0", vfs=now), link("pf1"))
        return give_back.restore_vfs(pf, wanted, kernel.open, attempts, own_mac), attempts

    def test_only_what_differs_is_set_by_the_pfs_first_interface(self, kernel: Kernel) -> None:
        other = VfSettings(vf_index=1, mac="52:54:00:00:00:02")
        vlan = msgspec.structs.replace(other, vlan=7)
        lost = msgspec.structs.replace(self.OWN, mac="52:54:00:00:00:09")
        third = VfSettings(vf_index=2, mac=NO_MAC)
        written, _ = self.restore(kernel, (self.OWN, other, third), (lost, vlan, third))
        assert written == (0,), "the MAC of the second is as it was"
        assert kernel.did == [("set_vf", "pf0", self.OWN, lost), ("set_vf", "pf0", other, vlan)]

    def test_a_vf_that_is_not_there_is_not_set(self, kernel: Kernel) -> None:
        assert self.restore(kernel, (self.OWN,), ())[0] == ()
        assert kernel.did == []

    @pytest.mark.parametrize(
        ("own_mac", "written"),
        [(None, "52:54:00:00:00:07"), ("52:54:00:00:00:07", "52:54:00:00:00:07"), ("52:54:00:00:00:08", NO_MAC)],
    )
    def test_one_without_a_mac_keeps_the_one_that_its_driver_chose(
        self, own_mac: str | None, written: str, kernel: Kernel
    ) -> None:
        wanted = VfSettings(vf_index=0, mac=NO_MAC, vlan=20)
        now = VfSettings(vf_index=0, mac="52:54:00:00:00:07")
        self.restore(kernel, (wanted,), (now,), own_mac)
        assert kernel.did[0][2] == msgspec.structs.replace(wanted, mac=written)

    def test_a_pf_without_an_interface(self, kernel: Kernel) -> None:
        assert give_back.restore_vfs(state(), (), kernel.open, Attempts()) == ()
        with pytest.raises(StepError, match=f"The PF {NIC} shows no interface"):
            give_back.restore_vfs(state(), (self.OWN,), kernel.open, Attempts())

    def test_a_refusal_keeps_no_other_vf_back_and_its_driver_still_asks(self, kernel: Kernel) -> None:
        kernel.refuses = {"set_vf"}
        other = VfSettings(vf_index=1, mac="52:54:00:00:00:02")
        now = tuple(VfSettings(vf_index=index, mac="52:54:00:00:00:09") for index in (0, 1))
        written, attempts = self.restore(kernel, (self.OWN, other), now)
        assert written == (0, 1)
        assert len(attempts.refusals) == 2
