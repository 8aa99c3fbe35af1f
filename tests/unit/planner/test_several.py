# SPDX-License-Identifier: Apache-2.0
"""Several NICs in one change: all or none, each judged beside the others, and taken back in the inverse order."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicpass.model.address import Address
from nicpass.model.change import Change, Closed, Opened
from nicpass.model.domain import DomainDevice
from nicpass.model.errors import BadInputError, ImpossibleError, NicpassError, RefusedError
from nicpass.model.file_image import FileChange
from nicpass.model.inverse import invert_step
from nicpass.model.memory import Memory, NumaNode
from nicpass.model.plan import (
    ArmTimer,
    DefineDevice,
    GiveBackNic,
    InstallGuard,
    NicOwner,
    NicStep,
    Plan,
    RemoveGuard,
    SetTerms,
    StartDomain,
    StartWindow,
    StopDomain,
    TakeNic,
    UndefineDevice,
)
from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.nic.detach import OnRecord, plan_taking_all_back
from nicpass.planner.undo import Kept, nics_of, plan_undo
from tests.support.hosts import VM, address, bridge, link, network, nic, pf_with_vfs, ready_host
from tests.support.provoking import AHCI, controller
from tests.support.trees import UUID, Vm, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.host import Host
    from nicpass.model.plan import Step
    from tests.support.trees import Tree

ONE, TWO, THREE = Address("0000:01:00.0"), Address("0000:01:00.1"), Address("0000:02:00.0")
PORT = "0000:00:01.0"
GUARD = (FileChange(path="/etc/hook", before=None, after=None),)
AUDIO = 0x040300
NAMES = {ONE: "eth1", TWO: "eth2", THREE: "eth3"}


def read(tree: Tree) -> Host:
    with tempfile.TemporaryDirectory() as root:
        return tree.read(Path(root))


def trio(*items: Any, groups: Sequence[int] = (10, 11, 12), **more: Any) -> Tree:
    """Three NICs; `items` are what there is of the network beside their interfaces."""
    cards = [nic(at, NAMES[at], group=group, under=PORT) for at, group in zip(NAMES, groups, strict=True)]
    net = network(*(link(name) for name in NAMES.values()), *items)
    return ready_host(bridge(PORT), *cards, net=net, **more)


def pair(*more: Any, vms: tuple[Vm, ...] = (VM,), net: Any = None) -> Tree:
    """A card with two ports in one IOMMU group, and what else is in that."""
    cards = (nic(ONE, "eth1", under=PORT), nic(TWO, "eth2", under=PORT))
    return ready_host(bridge(PORT), *cards, *more, vms=vms, net=net)


FREE = read(trio())


def attach(host: Host, *nics: str, guard: tuple[FileChange, ...] = (), **more: Any) -> Plan:
    return plan_attach(host, AttachRequest(vm="guest", nic=nics[0], more=nics[1:], **more), guard)


def acts(plan: Plan) -> list[tuple[type[Step], str]]:
    return [(type(step), step.address) for step in plan.steps if isinstance(step, NicStep)]


def having(host: Host, plan: Plan, running: bool = False) -> Host:
    """The host whose VM has in its definition what the plan has put there."""
    (domain,) = host.domains or ()  # type: ignore[misc]
    devices = tuple(
        DomainDevice(address=step.address, element=step.device.element, managed=step.device.managed)
        for step in plan.steps
        if isinstance(step, DefineDevice)
    )
    live = devices if running else ()
    domain = msgspec.structs.replace(domain, config_devices=devices, live_devices=live, running=running)
    return msgspec.structs.replace(host, domains=(domain,))


def done(plan: Plan) -> Change:
    return Change(
        identity="7", opened=Opened(time=1.0, boot_id="boot", plan=plan), closed=Closed(time=2.0, exit_code=0)
    )


def records(plan: Plan) -> tuple[OnRecord, ...]:
    return tuple(OnRecord(step.address, step.state, step.owner) for step in plan.steps if isinstance(step, TakeNic))


class TestAttach:
    def test_all_are_on_disk_before_the_first_may_leave(self) -> None:
        plan = attach(FREE, "eth1", "eth2", guard=GUARD, start=True)
        assert acts(plan) == [
            (InstallGuard, ONE),
            (TakeNic, ONE),
            (TakeNic, TWO),
            (DefineDevice, ONE),
            (DefineDevice, TWO),
            (StartDomain, ONE),
        ]
        assert isinstance(plan.steps[-1], StartDomain)
        assert plan.steps[-1].addresses == (ONE, TWO)
        assert plan.steps[-1].guarded
        assert plan.summary == f"Give eth1 ({ONE}), eth2 ({TWO}) to guest"

    def test_one_timer_for_all(self) -> None:
        kinds = [type(step) for step in attach(FREE, "eth1", "eth2", confirm_within=60).steps]
        assert kinds == [ArmTimer, TakeNic, TakeNic, DefineDevice, DefineDevice, StartWindow]

    @pytest.mark.parametrize("names", [("eth1", "eth1"), ("eth1", "eth2", ONE), ("eth1", "0000:01:00.0")])
    def test_a_nic_that_is_named_twice(self, names: tuple[str, ...]) -> None:
        with pytest.raises(BadInputError, match="is named twice"):
            attach(FREE, *names)

    def test_one_in_use_keeps_all_and_each_is_told(self) -> None:
        host = read(trio(address("eth2", "10.0.0.5/24"), address("eth3", "10.0.1.5/24")))
        with pytest.raises(RefusedError, match="eth2") as caught:
            attach(host, "eth1", "eth2", "eth3")
        assert {finding.subject for finding in caught.value.findings} == {TWO, THREE}

    def test_what_is_allowed_is_allowed_for_all(self) -> None:
        host = read(trio(address("eth2", "10.0.0.5/24"), address("eth3", "10.0.1.5/24")))
        takes = [s for s in attach(host, *NAMES, allow=frozenset({"HAS_ADDRESS"})).steps if isinstance(s, TakeNic)]
        assert [step.owner.allow for step in takes if step.owner] == [{"HAS_ADDRESS"}] * 3

    def test_what_the_vm_has_already_is_left_as_it_is(self) -> None:
        host = having(FREE, attach(FREE, "eth1"))
        plan = attach(host, "eth1", "eth2", start=True, guard=GUARD)
        assert acts(plan) == [(InstallGuard, TWO), (TakeNic, TWO), (DefineDevice, TWO), (StartDomain, TWO)]
        start = plan.steps[-1]
        assert isinstance(start, StartDomain)
        assert start.addresses == (TWO, ONE), "the guard has to have seen the new one"
        assert plan.summary == f"Give eth2 ({TWO}) to guest"

    def test_a_vm_that_has_all_needs_nothing(self) -> None:
        plan = attach(having(FREE, attach(FREE, *NAMES)), *NAMES)
        assert plan.steps == ()
        assert plan.summary.startswith("guest has eth1")

    def test_one_of_another_vm_keeps_all(self) -> None:
        other = Vm(name="other", uuid=UUID.format(2), devices=hostdev_xml(TWO))
        with pytest.raises(RefusedError, match="other"):
            attach(read(trio(vms=(VM, other))), "eth1", "eth2")

    @pytest.mark.parametrize("option", [{"mac": "52:54:00:00:00:07"}, {"vlan": 7}])
    def test_a_mac_is_for_the_one_vf(self, option: dict[str, Any]) -> None:
        pf, *vfs = pf_with_vfs("0000:05:00.0", "eth5", 2)
        names = [*NAMES.values(), "eth5", "eth5v0", "eth5v1"]
        host = read(ready_host(*trio().functions, pf, *vfs, net=network(*map(link, names))))
        plan = attach(host, "eth1", "eth5v0", **option)
        specs = [step.device for step in plan.steps if isinstance(step, DefineDevice)]
        assert [(spec.vlan, spec.mac == option.get("mac")) for spec in specs][1] == (
            option.get("vlan"),
            "mac" in option,
        )
        assert specs[0].mac is None
        for nics in (("eth1", "eth2"), ("eth1", "eth5v0", "eth5v1")):
            with pytest.raises(BadInputError, match="are for one VF"):
                attach(host, *nics, **option)


class TestLaws:
    @given(st.permutations(list(NAMES)), st.integers(1, 3), st.booleans())
    @settings(max_examples=40, deadline=None)
    def test_undone_it_is_the_inverse(self, order: list[Address], count: int, start: bool) -> None:
        plan = attach(FREE, *order[:count], guard=GUARD, start=start)
        after = having(FREE, plan, running=start)
        kept = Kept(records(plan), guard_removal=GUARD)
        back = plan_undo(after, done(plan), UndoRequest(change="7", stop=True), kept)
        inverse = [invert_step(step) for step in reversed(plan.steps)]
        assert acts(back) == [(type(step), step.address) for step in inverse if isinstance(step, NicStep)]
        assert [s.state for s in back.steps if isinstance(s, GiveBackNic)] == [
            s.state for s in inverse if isinstance(s, GiveBackNic)
        ]

    @given(st.permutations(list(NAMES)), st.integers(1, 3))
    @settings(max_examples=20, deadline=None)
    def test_a_detach_undone_is_the_attach(self, order: list[Address], count: int) -> None:
        plan = attach(FREE, *order[:count])
        request = DetachRequest(vm="guest", nic=order[0], more=tuple(order[1:count]))
        back = plan_taking_all_back(having(FREE, plan), request, records(plan))
        again = plan_undo(FREE, done(back), UndoRequest(change="7"), Kept())
        assert acts(again) == acts(plan)

    @given(st.sets(st.sampled_from(list(NAMES))), st.permutations(list(NAMES)))
    @settings(max_examples=20, deadline=None)
    def test_all_or_none(self, used: set[Address], order: list[Address]) -> None:
        """A plan gives every NIC, or there is none."""
        addresses = [address(NAMES[at], f"10.0.{number}.5/24") for number, at in enumerate(sorted(used))]
        host = read(trio(*addresses))
        try:
            plan = attach(host, *order)
        except NicpassError:
            assert used
        else:
            assert not used
            assert {step.address for step in plan.steps if isinstance(step, DefineDevice)} == set(NAMES)


class TestDetach:
    PLAN = attach(FREE, "eth1", "eth2")

    def detach(self, host: Host, *nics: str, **more: Any) -> Plan:
        kept = {record.nic: record for record in records(self.PLAN)}
        request = DetachRequest(vm="guest", nic=nics[0], more=nics[1:], **more)
        return plan_taking_all_back(host, request, [kept.get(name, OnRecord(name)) for name in nics], GUARD)

    def test_none_comes_back_before_all_have_left_the_definition(self) -> None:
        plan = self.detach(having(FREE, self.PLAN), ONE, TWO)
        assert acts(plan) == [
            (UndefineDevice, TWO),
            (UndefineDevice, ONE),
            (GiveBackNic, TWO),
            (GiveBackNic, ONE),
            (RemoveGuard, ONE),
        ]
        assert plan.summary == f"Take eth1 ({ONE}), eth2 ({TWO}) back from guest"

    def test_the_vm_is_stopped_once(self) -> None:
        plan = self.detach(having(FREE, self.PLAN, running=True), ONE, TWO, stop=True)
        stops = [step for step in plan.steps if isinstance(step, StopDomain)]
        assert [(stop.address, stop.more, stop.for_all) for stop in stops] == [(ONE, (TWO,), True)]

    def test_one_that_the_vm_has_not_keeps_all(self) -> None:
        with pytest.raises(BadInputError, match="does not have eth3"):
            self.detach(having(FREE, self.PLAN), ONE, THREE)

    def test_one_that_is_named_twice(self) -> None:
        with pytest.raises(BadInputError, match="is named twice"):
            self.detach(having(FREE, self.PLAN), ONE, ONE)

    def test_a_part_of_a_group_is_told(self) -> None:
        host = having(read(pair()), self.PLAN)
        assert any("keeps eth2" in note for note in self.detach(host, ONE).notes)
        assert not any("keeps" in note for note in self.detach(host, ONE, TWO).notes)


class TestUndo:
    def test_terms_go_back_before_what_was_given_comes_back(self) -> None:
        owner = NicOwner(domain="guest", uuid=VM.uuid)
        given = attach(FREE, "eth1")
        host = msgspec.structs.replace(
            having(FREE, given),
            given=(read_given(ONE),),
        )
        plan = attach(host, "eth1", "eth2", allow=frozenset({"HAS_ADDRESS"}))
        assert acts(plan) == [(SetTerms, ONE), (TakeNic, TWO), (DefineDevice, TWO)]
        after = having(FREE, Plan(summary="", request=plan.request, steps=(*given.steps, *plan.steps)))
        now = msgspec.structs.replace(owner, allow=frozenset({"HAS_ADDRESS"}))
        kept = Kept((OnRecord(ONE, records(given)[0].state, now), *records(plan)))
        assert nics_of(done(plan)) == (ONE, TWO)
        back = plan_undo(after, done(plan), UndoRequest(change="7"), kept)
        assert acts(back) == [(UndefineDevice, TWO), (SetTerms, ONE), (GiveBackNic, TWO)]
        with pytest.raises(RefusedError, match="other terms"):
            plan_undo(after, done(plan), UndoRequest(change="7"), Kept(records(plan)))


def read_given(at: Address) -> Any:
    from nicpass.model.given import GivenNic

    return GivenNic(address=at, vm="guest", uuid=VM.uuid)


class TestGroup:
    def test_named_together_none_stands_in_the_others_way(self) -> None:
        host = read(pair())
        with pytest.raises(RefusedError, match="shares IOMMU group") as caught:
            attach(host, "eth1")
        assert f"nicpass attach guest {ONE} --with-group" in caught.value.hint
        assert acts(attach(host, "eth1", "eth2")) == [
            (TakeNic, ONE),
            (TakeNic, TWO),
            (DefineDevice, ONE),
            (DefineDevice, TWO),
        ]

    def test_the_idle_go_along_and_bridges_stay(self) -> None:
        plan = attach(read(pair(bridge("0000:00:02.0", group=10))), "eth2", with_group=True)
        assert acts(plan) == [(TakeNic, TWO), (TakeNic, ONE), (DefineDevice, TWO), (DefineDevice, ONE)]
        assert any("eth1" in note and "goes along" in note for note in plan.notes)

    def test_in_a_group_of_its_own_there_is_nothing_to_go_along(self) -> None:
        assert acts(attach(FREE, "eth1", with_group=True)) == acts(attach(FREE, "eth1"))

    def test_a_member_that_the_host_uses_is_named(self) -> None:
        net = network(link("eth1"), link("eth2"), address("eth2", "10.1.2.3/24"))
        with pytest.raises(RefusedError, match=r"eth2 \(0000:01:00\.1\) has an address|eth2 .*10\.1\.2\.3"):
            attach(read(pair(net=net)), "eth1", with_group=True)
        plan = attach(read(pair(net=net)), "eth1", with_group=True, allow=frozenset({"HAS_ADDRESS"}))
        assert len(plan.steps) == 4

    def test_a_member_that_this_very_vm_has_is_no_obstacle(self) -> None:
        guest = dataclasses.replace(VM, devices=hostdev_xml(TWO))
        assert acts(attach(read(pair(vms=(guest,))), "eth1", with_group=True)) == [(TakeNic, ONE), (DefineDevice, ONE)]

    def test_a_member_of_another_vm(self) -> None:
        other = Vm(name="other", uuid=UUID.format(2), devices=hostdev_xml(TWO))
        with pytest.raises(RefusedError, match="other"):
            attach(read(pair(vms=(VM, other))), "eth1", with_group=True)

    def test_a_thing_that_nobody_drives_goes_along_as_it_is(self) -> None:
        audio = controller("0000:01:00.2", AUDIO, None)
        plan = attach(read(pair(audio)), "eth1", with_group=True)
        specs = [step.device for step in plan.steps if isinstance(step, DefineDevice)]
        assert [(spec.address, spec.element) for spec in specs][-1] == ("0000:01:00.2", "hostdev")

    @pytest.mark.parametrize(
        ("class_code", "driver"), [(AUDIO, "snd_hda_intel"), (0x0C0330, "xhci_hcd"), (AHCI, "ahci")]
    )
    def test_a_thing_that_the_host_drives_keeps_all(self, class_code: int, driver: str) -> None:
        with pytest.raises(RefusedError, match=rf"0000:01:00\.2 \(driver {driver}\)"):
            attach(read(pair(controller("0000:01:00.2", class_code, driver))), "eth1", with_group=True)

    def test_disks_are_not_given_also_where_nobody_drives_them(self) -> None:
        with pytest.raises(RefusedError, match=r"0000:01:00\.2.*has disks"):
            attach(read(pair(controller("0000:01:00.2", AHCI, None))), "eth1", with_group=True)

    def test_a_pf_does_not_go_along_with_its_vf(self) -> None:
        pf, vf = pf_with_vfs("0000:05:00.0", "eth5", 1)
        host = read(ready_host(pf, dataclasses.replace(vf, group=20)))
        with pytest.raises(ImpossibleError, match="with its own PF"):
            attach(host, vf.address, with_group=True)

    def test_what_went_along_comes_back_by_its_record(self) -> None:
        host = read(pair(controller("0000:01:00.2", AUDIO, None)))
        plan = attach(host, "eth1", with_group=True)
        after, kept = having(host, plan), Kept(records(plan))
        back = plan_undo(after, done(plan), UndoRequest(change="7"), kept)
        assert acts(back)[:3] == [(UndefineDevice, "0000:01:00.2"), (UndefineDevice, TWO), (UndefineDevice, ONE)]
        assert len(back.steps) == 6
        again = plan_undo(host, done(back), UndoRequest(change="7"), Kept())
        assert acts(again) == acts(plan)


PF, VFS = "0000:05:00.0", [Address("0000:05:02.0"), Address("0000:05:02.1"), Address("0000:05:02.2")]


def vf_tree(*, owned: int = 0, count: int = 3) -> Tree:
    names = ["eth5", *(f"eth5v{number}" for number in range(count))]
    owner = Vm(name="other", uuid=UUID.format(2), devices="".join(map(hostdev_xml, VFS[:owned])))
    return ready_host(*pf_with_vfs(PF, "eth5", count), net=network(*map(link, names)), vms=(VM, owner))


class TestFrom:
    def chosen(self, host: Host, **more: Any) -> tuple[str, str]:
        plan = attach(host, "eth5", from_pf=True, **more)
        (define,) = (step for step in plan.steps if isinstance(step, DefineDevice))
        return define.address, plan.notes[0]

    def test_the_first_that_nobody_uses(self) -> None:
        at, why = self.chosen(read(vf_tree(owned=1)))
        assert at == VFS[1]
        assert f"VF 1 of eth5 ({PF}), is the first that nobody uses" in why

    def test_one_with_an_address_is_used(self) -> None:
        tree = vf_tree()
        assert tree.network is not None
        net = msgspec.structs.replace(tree.network, addresses=(address("eth5v0", "10.0.0.5/24"),))
        assert self.chosen(read(tree.but(network=net)))[0] == VFS[1]

    def test_the_node_of_the_vms_memory(self) -> None:
        host = read(vf_tree())
        nodes = tuple(NumaNode(node=number, cpus=str(number)) for number in (0, 1))
        (guest, other) = host.domains or ()  # type: ignore[misc]
        assert guest.config is not None
        config = msgspec.structs.replace(guest.config, memory_nodes="1")
        domains = (msgspec.structs.replace(guest, config=config), other)
        pci = tuple(msgspec.structs.replace(f, numa_node=int(f.address == VFS[2])) for f in host.pci)
        memory = msgspec.structs.replace(host.memory or Memory(), nodes=nodes)
        near = msgspec.structs.replace(host, domains=domains, pci=pci, memory=memory)
        at, why = self.chosen(near)
        assert at == VFS[2]
        assert "on the NUMA node of guest's memory" in why
        far = msgspec.structs.replace(near, pci=tuple(msgspec.structs.replace(f, numa_node=0) for f in host.pci))
        at, why = self.chosen(far)
        assert at == VFS[0]
        assert "none is on NUMA node 1" in why

    def test_a_mac_and_a_vlan_are_for_it(self) -> None:
        plan = attach(read(vf_tree()), "eth5", from_pf=True, mac="52:54:00:00:00:07", vlan=7)
        (define,) = (step for step in plan.steps if isinstance(step, DefineDevice))
        assert (define.device.mac, define.device.vlan) == ("52:54:00:00:00:07", 7)

    def test_none_is_free(self) -> None:
        with pytest.raises(ImpossibleError, match=r"No VF of eth5 .* is free: .*VM other") as caught:
            self.chosen(read(vf_tree(owned=3)))
        assert caught.value.hint == f"nicpass vf list {PF}"

    def test_none_is_made(self) -> None:
        with pytest.raises(ImpossibleError, match=r"eth5 .* has no VFs") as caught:
            self.chosen(read(vf_tree(count=0)))
        assert f"nicpass vf create {PF} --count N" in caught.value.hint

    def test_what_is_no_pf(self) -> None:
        with pytest.raises(ImpossibleError, match="no SR-IOV"):
            attach(FREE, "eth1", from_pf=True)
