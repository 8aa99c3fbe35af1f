# SPDX-License-Identifier: Apache-2.0
"""Law 10: a VM that is started while the host comes up takes no good record with it; the NIC is waited for, bounded."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.engine.nic import arrival
from nicpass.engine.nic.store import BOOT_ID, KeptNic, keep_nic
from nicpass.hypervisor.libvirt import hook as hook_module
from nicpass.model.errors import StepError
from nicpass.model.network import LinkManager
from nicpass.model.plan import NicState
from tests.support.guarded import BOOT, NIC, OWNER, VM, Host, host_with
from tests.support.hosts import address, link, network, nic, pf_with_vfs, ready_host
from tests.support.trees import Tree, Vm, domain_xml, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nicpass.model.network import IpAddress, Link, Route

MAC = "00:1b:21:00:00:05"
ETH1 = link("eth1", permanent_mac=MAC)
LEASE = address("eth1", "192.0.2.9/24", dynamic=True)
PROFILE = LinkManager(netdev="eth1", manager="systemd-networkd", profile="/etc/systemd/network/eth1.network")
ATTACHED = NicState(
    address=NIC, driver="ixgbe", links=(ETH1,), addresses=(address("eth1", "10.0.0.5/24"), LEASE), managers=(PROFILE,)
)
BY_HAND = msgspec.structs.replace(ATTACHED, addresses=(address("eth1", "10.0.0.5/24"),), managers=())
RUNS = {"/run/udev/control": ""}
DONE = "S:x\nI:7654321\nE:ID_BUS=pci\n"


def as_it_boots(*items: Link | IpAddress | Route, driver: str | None = "ixgbe", names: tuple[str, ...] = ()) -> Tree:
    """The NIC in the middle of a boot, with these interfaces."""
    return ready_host(nic(NIC, *names, driver=driver), net=network(*items), vms=(VM,), files={BOOT_ID: f"{BOOT}\n"})


def but(tree: Tree, **files: str) -> Tree:
    return tree.but(files={**tree.files, **files})


def with_udev(tree: Tree, entry: str | None, **more: str) -> Tree:
    """With an entry of udev's for the first interface, whose index is 2."""
    entries = {"/run/udev/data/n2": entry} if entry is not None else {}
    return tree.but(files={**tree.files, **RUNS, **entries, **more})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_module, "_PATIENCE", 0)
    monkeypatch.setattr(arrival, "BOOT_SECONDS", 0)


def start(root: Path, tree: Tree, state: NicState = ATTACHED) -> tuple[Host, tuple[str, ...]]:
    """A start of the VM that was given the NIC in an earlier boot, when it was `state`; and what was told of it."""
    host = Host(root, tree)
    allow = frozenset({"HAS_ADDRESS", "CARRIES_ROUTE", "USE_UNKNOWN", "NETDEV_ELSEWHERE"})
    keep_nic(
        host.files, KeptNic(state=state, owner=msgspec.structs.replace(OWNER, allow=allow), away="an earlier boot")
    )
    return host, host.hook.prepare(domain_xml(VM))


PARTS: dict[str, Tree] = {
    "its driver has not probed": as_it_boots(driver=None),
    "its driver has made no interface": as_it_boots(),
    "it is in another namespace": as_it_boots(names=()),
    "a stub has it": as_it_boots(driver="pci-stub"),
    "udev is naming it": as_it_boots(link("rename3"), names=("rename3",)),
    "udev has not seen it": with_udev(as_it_boots(ETH1, names=("eth1",)), None),
    "udev has only begun": with_udev(as_it_boots(ETH1, names=("eth1",)), "E:ID_BUS=pci\n"),
    "udev gives it another name": with_udev(as_it_boots(ETH1, names=("eth1",)), f"{DONE}E:ID_RENAMING=1\n"),
    "events wait, and it has another name": with_udev(
        as_it_boots(link("eth0", permanent_mac=MAC), names=("eth0",)), DONE, **{"/run/udev/queue": ""}
    ),
    "its own MAC cannot be seen": as_it_boots(link("eth1"), names=("eth1",)),
}


@pytest.mark.parametrize("tree", PARTS.values(), ids=PARTS)
def test_a_part_of_it_takes_no_good_records_place(tree: Tree, tmp_path: Path) -> None:
    host, told = start(tmp_path, tree, BY_HAND)
    kept = host.kept()
    assert (kept.state, kept.renewed) == (BY_HAND, False)
    assert kept.away == BOOT, "it leaves all the same, and is owed"
    assert len(told) == 1
    assert NIC in told[0]


def test_what_is_whole_is_put_down_anew(tmp_path: Path) -> None:
    used = address("eth1", "10.0.0.6/24")
    host, told = start(tmp_path, with_udev(as_it_boots(ETH1, used, names=("eth1",)), DONE), BY_HAND)
    assert (host.kept().state.addresses, host.kept().renewed, told) == ((used,), True, ())


def test_another_name_that_is_settled_is_put_down(tmp_path: Path) -> None:
    tree = with_udev(as_it_boots(link("enp1s0", permanent_mac=MAC), names=("enp1s0",)), DONE)
    host, _told = start(tmp_path, tree, BY_HAND)
    assert [link.name for link in host.kept().state.links] == ["enp1s0"]


def test_events_of_others_do_not_keep_one_that_has_its_name(tmp_path: Path) -> None:
    tree = with_udev(as_it_boots(ETH1, names=("eth1",)), DONE, **{"/run/udev/queue": ""})
    assert start(tmp_path, tree, BY_HAND)[0].kept().renewed


def test_a_record_of_less_is_mended_by_what_is_whole(tmp_path: Path) -> None:
    """What an older nicpass has put down in the middle of a boot."""
    host, _told = start(tmp_path, as_it_boots(ETH1, names=("eth1",)), NicState(address=NIC, driver=None))
    assert (host.kept().state.driver, host.kept().renewed) == ("ixgbe", True)


MANAGED = {
    "/run/systemd/netif/links/2": f"ADMIN_STATE=configured\nNETWORK_FILE={PROFILE.profile}\n",
    "/sys/class/net/eth1/ifindex": "2",
}
DECIDING = {"/run/systemd/netif/links/2": "ADMIN_STATE=pending\n"}
STATIC = address("eth1", "10.0.0.5/24")


@pytest.mark.parametrize(
    ("items", "files"),
    [
        ((ETH1,), {}),
        ((ETH1, STATIC, LEASE), {}),
        ((ETH1, STATIC, LEASE), DECIDING),
        ((ETH1,), MANAGED),
        ((ETH1, address("eth1", "2001:db8::5/64", dynamic=True)), MANAGED),
        ((link("eth1", permanent_mac=MAC, up=False), STATIC), MANAGED),
    ],
    ids=["no manager", "with addresses", "not decided", "no lease", "only of the other family", "not up"],
)
def test_what_a_manager_has_not_configured_yet_is_kept(
    items: tuple[Link | IpAddress, ...], files: dict[str, str], tmp_path: Path
) -> None:
    host, told = start(tmp_path, but(as_it_boots(*items, names=("eth1",)), **files))
    assert (host.kept().state, host.kept().renewed) == (ATTACHED, False)
    assert told


def test_a_lease_without_a_manager_comes_and_goes(tmp_path: Path) -> None:
    state = msgspec.structs.replace(ATTACHED, managers=())
    host, _told = start(tmp_path, as_it_boots(ETH1, STATIC, names=("eth1",)), state)
    assert LEASE in host.kept().state.addresses


def test_another_lease_is_put_down(tmp_path: Path) -> None:
    other = address("eth1", "192.0.2.77/24", dynamic=True)
    state = msgspec.structs.replace(ATTACHED, addresses=(LEASE,))
    host, told = start(tmp_path, but(as_it_boots(ETH1, other, names=("eth1",)), **MANAGED), state)
    assert (host.kept().state.addresses, told) == ((other,), ())


def test_an_address_that_is_not_sure_yet_is_not_put_down(tmp_path: Path) -> None:
    state = msgspec.structs.replace(BY_HAND, addresses=(address("eth1", "2001:db8::5/64"),))
    tentative = address("eth1", "2001:db8::5/64", tentative=True)
    assert start(tmp_path, as_it_boots(ETH1, tentative, names=("eth1",)), state)[0].kept().state == state


@pytest.mark.parametrize("unread", ["addresses", "routes"])
def test_what_cannot_be_asked_for_is_not_none(unread: str, tmp_path: Path) -> None:
    tree = as_it_boots(ETH1, names=("eth1",))
    host = Host(tmp_path, tree)
    (tmp_path / "netlink.json").write_bytes(
        msgspec.json.encode({"links": [ETH1], "addresses": [], "routes": [], unread: {"unknown": "no answer"}})
    )
    owner = msgspec.structs.replace(OWNER, allow=frozenset({"USE_UNKNOWN"}))
    before = msgspec.structs.replace(BY_HAND, addresses=())
    keep_nic(host.files, KeptNic(state=before, owner=owner))
    (told,) = host.hook.prepare(domain_xml(VM))
    assert "no answer" in told
    assert (host.kept().state, host.kept().renewed) == (before, False)


def test_a_vlan_of_a_managers_is_waited_for(tmp_path: Path) -> None:
    upper = link("eth1.20", kind="vlan", lower="eth1", vlan_id=20)
    state = msgspec.structs.replace(ATTACHED, addresses=(), uppers=(upper,))
    host, _told = start(tmp_path, but(as_it_boots(ETH1, names=("eth1",)), **MANAGED), state)
    assert host.kept().state.uppers == (upper,)


def test_a_vf_that_its_pf_does_not_show_keeps_its_record(tmp_path: Path) -> None:
    functions = pf_with_vfs("0000:03:00.0", "eth3", 1)
    vf = functions[1].address
    vm = Vm(name="guest", devices=hostdev_xml(vf))
    shown = link("eth3v0")
    tree = ready_host(*functions, net=network(link("eth3"), shown), vms=(vm,), files={BOOT_ID: f"{BOOT}\n"})
    host = Host(tmp_path, tree)
    state = msgspec.json.decode(
        msgspec.json.encode(
            {"address": vf, "driver": "ixgbevf", "links": [shown], "vf": {"vf_index": 0, "mac": "52:54:00:00:00:01"}}
        ),
        type=NicState,
    )
    keep_nic(host.files, KeptNic(state=state, owner=OWNER))
    host.hook.prepare(domain_xml(vm))
    assert host.kept(functions[1].address).state == state  # type: ignore[arg-type]


def probe(root: Path) -> None:
    """The driver has it, and its interface is there."""
    shutil.rmtree(root / "sys")
    as_it_boots(ETH1, names=("eth1",)).write(root)


def is_whole(host: Host) -> bool:
    """Whether all that came late stands in the record."""
    state = host.kept().state
    return (state.driver, [link.name for link in state.links]) == ("ixgbe", ["eth1"]) and host.kept().renewed


class TestWaiting:
    """Within the hook's time, and no longer than there is hope."""

    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch, _impatient: None) -> None:
        monkeypatch.setattr(arrival, "BOOT_SECONDS", 30)
        monkeypatch.setattr(arrival, "LATER_SECONDS", 0)

    def start_while(self, root: Path, tree: Tree, arrive: Callable[[Path], None]) -> Host:
        """It is started, and then `arrive` happens at the host."""
        timer = threading.Timer(0.3, arrive, (root,))
        timer.start()
        try:
            return start(root, tree, BY_HAND)[0]
        finally:
            timer.join()

    def test_a_driver_that_probes_late(self, tmp_path: Path) -> None:
        assert is_whole(self.start_while(tmp_path, as_it_boots(ETH1, driver=None), probe))

    def test_a_name_that_udev_gives_late(self, tmp_path: Path) -> None:
        tree = with_udev(as_it_boots(ETH1, names=("eth1",)), None)

        def name(root: Path) -> None:
            (root / "run/udev/data").mkdir()
            (root / "run/udev/data/n2").write_text(DONE)

        assert is_whole(self.start_while(tmp_path, tree, name))

    def test_a_function_that_is_made_late(self, tmp_path: Path) -> None:
        empty = ready_host(nic("0000:07:00.0"), net=network(ETH1), vms=(VM,), files={BOOT_ID: f"{BOOT}\n"})
        assert is_whole(self.start_while(tmp_path, empty, probe))

    def test_of_a_host_that_is_long_up_nothing_is_waited_for(self, tmp_path: Path) -> None:
        tree = but(as_it_boots(driver=None), **{"/proc/uptime": "86400.17 170000.00\n"})
        assert not start(tmp_path, tree, BY_HAND)[0].kept().renewed

    def test_nor_for_one_that_vfio_has_since_early_in_the_boot(self, tmp_path: Path) -> None:
        host, told = start(tmp_path, as_it_boots(driver="vfio-pci"), BY_HAND)
        assert (host.kept().state, host.kept().away, told) == (BY_HAND, BOOT, ())

    def test_nor_for_one_that_is_owed(self, tmp_path: Path) -> None:
        host = Host(tmp_path, as_it_boots(driver=None))
        keep_nic(host.files, KeptNic(state=BY_HAND, owner=OWNER, away=BOOT))
        host.hook.prepare(domain_xml(VM))
        assert host.kept().state == BY_HAND


class TestRelease:
    """What an older nicpass has put down in the middle of a boot is no state to go back to."""

    def test_a_record_without_a_driver_takes_none_away(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        keep_nic(host.files, KeptNic(state=NicState(address=NIC, driver=None), owner=OWNER, away=BOOT))
        (told,) = host.hook.release(domain_xml(VM))
        assert isinstance(told, StepError)
        assert "ixgbe" in told.sentence
        assert host.restored == []
        assert host.kept().away is None, "no further try would change it"
        assert host.hook.release(domain_xml(VM)) == []
