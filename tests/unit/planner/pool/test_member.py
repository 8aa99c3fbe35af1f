# SPDX-License-Identifier: Apache-2.0
"""A VM draws from a pool: at each start libvirt picks a VF for it, under a MAC that stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.pools import find_pool
from nicpass.model.errors import BadInputError, ImpossibleError, NicpassError, RefusedError
from nicpass.model.file_image import FileChange
from nicpass.model.host import Host
from nicpass.model.network import IpAddress
from nicpass.model.plan import InstallGuard, JoinPool, LeavePool, Plan, RemoveGuard, StartDomain, StopDomain
from nicpass.model.request import DetachRequest, PoolAttachRequest, PoolDetachRequest
from nicpass.planner.nic.detach import plan_detach
from nicpass.planner.pool.member import plan_join, plan_leave
from tests.support.hosts import link, network
from tests.support.pools import NETDEVS, PLAIN, VFS, WEB, drawing_xml, holding, started, with_pool

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
JOIN = PoolAttachRequest(vm="web", pool="blue")
LEAVE = PoolDetachRequest(vm="web", pool="blue")
GUARD = (FileChange(path="/etc/libvirt/hooks", before=None, after=None),)


def kinds(plan: Plan) -> list[type]:
    return [type(step) for step in plan.steps]


def read(folder: Path, *vfs: str, web: str = "") -> Host:
    return started(with_pool(*vfs, web=web).read(folder))


BAD = {
    "no VM": ({"vm": "wab"}, BadInputError, "There is no VM 'wab'"),
    "no pool": ({"pool": "green"}, BadInputError, "There is no pool 'green'"),
    "live, of one that is off": ({"where": "live"}, BadInputError, "does not run"),
}


class TestJoin:
    """Giving a VM an interface of a pool's."""

    def test_the_mac_is_the_same_whenever_it_is_planned(self, tmp_path: Path) -> None:
        host = read(tmp_path, *VFS[:2])
        plan = plan_join(host, msgspec.structs.replace(JOIN, start=True), GUARD)
        assert kinds(plan) == [InstallGuard, JoinPool, StartDomain]
        join, start = plan.steps[1], plan.steps[2]
        assert isinstance(join, JoinPool)
        assert isinstance(start, StartDomain)
        assert join.mac.startswith("52:54:00:")
        assert (start.pool_macs, start.addresses) == ((join.mac,), ())
        assert plan_join(host, JOIN).steps[0] == join
        other = plan_join(host, msgspec.structs.replace(JOIN, vm="guest")).steps[0]
        assert isinstance(other, JoinPool)
        assert other.mac != join.mac

    def test_who_draws_already_is_left_alone_and_one_more_is_by_its_mac(self, tmp_path: Path) -> None:
        host = read(tmp_path, *VFS[:2], web=drawing_xml(MAC))
        assert plan_join(host, JOIN).steps == ()
        assert plan_join(host, msgspec.structs.replace(JOIN, mac=MAC.upper())).steps == ()
        (join,) = plan_join(host, msgspec.structs.replace(JOIN, mac=OTHER)).steps
        assert isinstance(join, JoinPool)
        assert join.mac == OTHER
        (start,) = plan_join(host, msgspec.structs.replace(JOIN, start=True)).steps
        assert isinstance(start, StartDomain)
        assert start.pool_macs == (MAC,)

    def test_a_vm_that_counts_on_a_vf_leaves_it_to_nobody(self, tmp_path: Path) -> None:
        """Law 9: it does not run, and will."""
        host = read(tmp_path, VFS[0], web=drawing_xml(MAC))
        with pytest.raises(ImpossibleError, match="blue is free: web draws from it at its next start"):
            plan_join(host, msgspec.structs.replace(JOIN, vm="guest"))
        running = holding(host, "web", VFS[0], MAC)
        with pytest.raises(ImpossibleError, match=f"blue is free: web has {VFS[0]}"):
            plan_join(running, msgspec.structs.replace(JOIN, vm="guest"))
        with pytest.raises(ImpossibleError, match="it has none"):
            plan_join(read(tmp_path / "empty"), JOIN)

    def test_a_pool_that_is_not_started_lends_nothing(self, tmp_path: Path) -> None:
        host = read(tmp_path, *VFS[:2])
        (blue,) = host.libvirt_networks  # type: ignore[misc]
        host = msgspec.structs.replace(host, libvirt_networks=(msgspec.structs.replace(blue, active=False),))
        with pytest.raises(ImpossibleError, match="not started") as caught:
            plan_join(host, JOIN)
        assert caught.value.hint == "virsh net-start blue"

    def test_a_vf_that_the_host_uses_may_not_be_picked(self, tmp_path: Path) -> None:
        used = (IpAddress(netdev="eth1v1", address="10.0.0.5", prefix_length=24),)
        tree = PLAIN.but(network=msgspec.structs.replace(network(*map(link, NETDEVS)), addresses=used))
        host = started(with_pool(*VFS[:2], tree=tree).read(tmp_path))
        with pytest.raises(RefusedError, match="eth1v1"):
            plan_join(host, JOIN)
        assert plan_join(holding(host, "guest", VFS[1], OTHER), JOIN).steps, "a VM has that one, so libvirt cannot"

    def test_a_vf_that_is_gone_may_not_be_picked(self, tmp_path: Path) -> None:
        host = read(tmp_path, VFS[0], "0000:01:03.7")
        with pytest.raises(ImpossibleError, match=r"0000:01:03\.7, of the pool blue, is not there"):
            plan_join(host, JOIN)

    @pytest.mark.parametrize("mac", ["x", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
    def test_no_mac(self, mac: str, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="not the MAC of one station"):
            plan_join(read(tmp_path, VFS[0]), msgspec.structs.replace(JOIN, mac=mac))

    def test_a_mac_of_another_vm(self, tmp_path: Path) -> None:
        host = read(tmp_path, *VFS[:2], web=drawing_xml(MAC))
        with pytest.raises(RefusedError, match="web has an interface with the MAC"):
            plan_join(host, msgspec.structs.replace(JOIN, vm="guest", mac=MAC))

    def test_a_running_vm_gets_it_in_both_at_one_place(self, tmp_path: Path) -> None:
        host = holding(read(tmp_path, *VFS[:2], web=PORT), "web", VFS[3], OTHER)
        plan = plan_join(host, JOIN)
        lasting, live = plan.steps
        assert isinstance(lasting, JoinPool)
        assert isinstance(live, JoinPool)
        assert (lasting.live, lasting.running, live.live) == (False, True, True)
        assert lasting.place == live.place is not None
        assert [s.live for s in plan_join(host, msgspec.structs.replace(JOIN, where="config")).steps] == [False]  # type: ignore[union-attr]
        assert [s.live for s in plan_join(host, msgspec.structs.replace(JOIN, where="live")).steps] == [True]  # type: ignore[union-attr]

    def test_a_running_vm_without_a_place(self, tmp_path: Path) -> None:
        host = holding(read(tmp_path, *VFS[:2]), "web", VFS[3], OTHER)
        with pytest.raises(ImpossibleError, match="no free place") as caught:
            plan_join(host, JOIN)
        assert "--from-pool blue --config" in caught.value.hint

    @pytest.mark.parametrize(("fields", "kind", "words"), BAD.values(), ids=BAD)
    def test_what_is_not_there(
        self, fields: dict[str, Any], kind: type[NicpassError], words: str, tmp_path: Path
    ) -> None:
        with pytest.raises(kind, match=words) as caught:
            plan_join(read(tmp_path, VFS[0]), msgspec.structs.replace(JOIN, **fields))
        assert caught.value.hint


PORT = (
    "<controller type='pci' index='5' model='pcie-root-port'>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x5'/></controller>"
)


class TestLeave:
    """Taking it out again."""

    def test_out_of_a_stopped_vm_with_what_it_was(self, tmp_path: Path) -> None:
        plan = plan_leave(read(tmp_path, *VFS[:2], web=drawing_xml(MAC)), LEAVE, GUARD)
        assert kinds(plan) == [LeavePool, RemoveGuard]
        leave = plan.steps[0]
        assert isinstance(leave, LeavePool)
        assert (leave.mac, leave.live, leave.running) == (MAC, False, False)
        assert leave.xml is not None
        assert 'network="blue"' in leave.xml

    def test_out_of_a_running_vm(self, tmp_path: Path) -> None:
        host = holding(read(tmp_path, *VFS[:2], web=drawing_xml(MAC)), "web", VFS[0], MAC)
        first, second = plan_leave(host, LEAVE).steps
        assert isinstance(first, LeavePool)
        assert isinstance(second, LeavePool)
        assert (first.live, second.live) == (True, False)
        stopped = plan_leave(host, msgspec.structs.replace(LEAVE, stop=True))
        assert kinds(stopped) == [StopDomain, LeavePool]
        assert stopped.steps[0].pool_macs == (MAC,)  # type: ignore[union-attr]
        later = plan_leave(host, msgspec.structs.replace(LEAVE, where="config"), GUARD)
        assert kinds(later) == [LeavePool, RemoveGuard], "what a VM has of a pool, the guard has nothing to restore of"
        assert later.notes == (f"web has {VFS[0]} until it is shut down.",)
        live = plan_leave(host, msgspec.structs.replace(LEAVE, where="live"), GUARD)
        assert kinds(live) == [LeavePool]

    def test_a_paused_guest_cannot_let_go(self, tmp_path: Path) -> None:
        host = read(tmp_path, *VFS[:2], web=drawing_xml(MAC))
        with pytest.raises(RefusedError, match="web is paused"):
            plan_leave(holding(host, "web", VFS[0], MAC, paused=True), LEAVE)

    def test_by_the_vf_it_is_not_the_vms_to_lose(self, tmp_path: Path) -> None:
        host = holding(read(tmp_path, *VFS[:2], web=drawing_xml(MAC)), "web", VFS[0], MAC)
        with pytest.raises(BadInputError, match="from the pool blue") as caught:
            plan_detach(host, DetachRequest(vm="web", nic=VFS[0]), None)
        assert caught.value.hint == "nicpass detach web --from-pool blue"

    def test_which_of_several(self, tmp_path: Path) -> None:
        host = read(tmp_path, *VFS[:2], web=drawing_xml(MAC) + drawing_xml(OTHER))
        with pytest.raises(BadInputError, match=f"2 interfaces of the pool blue: {MAC}, {OTHER}"):
            plan_leave(host, LEAVE)
        (leave,) = plan_leave(host, msgspec.structs.replace(LEAVE, mac=OTHER)).steps
        assert isinstance(leave, LeavePool)
        assert leave.mac == OTHER

    def test_none_and_one_of_a_pool_that_is_gone(self, tmp_path: Path) -> None:
        host = read(tmp_path, *VFS[:2], web=drawing_xml(MAC, "green"))
        with pytest.raises(BadInputError, match="no such interface of the pool blue"):
            plan_leave(host, LEAVE)
        assert kinds(plan_leave(host, msgspec.structs.replace(LEAVE, pool="green"))) == [LeavePool]
        with pytest.raises(BadInputError, match="does not run with"):
            plan_leave(host, msgspec.structs.replace(LEAVE, pool="green", where="live"))


def test_members_are_known_by_their_mac(tmp_path: Path) -> None:
    """The running machine names the VF and no pool, the lasting definition the pool and no VF."""
    host = read(tmp_path, *VFS[:2], web=drawing_xml(MAC))
    pool = find_pool(HostIndex(holding(host, "web", VFS[1], MAC)), "blue")
    assert pool is not None
    (member,) = pool.members
    assert (member.vf, member.lasting, member.uuid) == (VFS[1], True, WEB.uuid)
    plugged = find_pool(HostIndex(holding(host, "guest", VFS[0], OTHER)), "blue")
    assert plugged is not None
    assert [(each.vm, each.vf, each.lasting) for each in plugged.members] == [
        ("guest", VFS[0], False),
        ("web", None, True),
    ]
