# SPDX-License-Identifier: Apache-2.0
"""A NIC is taken back from the VM that is meant, whatever became of VM and card."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.model.address import Address
from nicpass.model.boot import BootChange, BootPurpose
from nicpass.model.change import Change, Closed, Opened
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import FileChange
from nicpass.model.host import Host
from nicpass.model.network import VfSettings
from nicpass.model.pci import PciFunction
from nicpass.model.plan import (
    ChangeBoot,
    DefineDevice,
    DeviceSpec,
    GiveBackNic,
    NicOwner,
    NicState,
    Plan,
    RemoveGuard,
    SetNumvfs,
    StartDomain,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
)
from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest
from nicpass.planner.nic.attach import _refuse_other_settings
from nicpass.planner.nic.detach import OnRecord, plan_detach, plan_taking_back, stop_first, undefine_step
from nicpass.planner.select import select_domain, select_kept
from nicpass.planner.undo import Kept, nics_of, plan_undo
from tests.support.hosts import link, network

NIC, OTHER = Address("0000:01:00.0"), Address("0000:02:00.0")
MAC = "52:54:00:00:00:01"
CARD = PciFunction(address=NIC, class_code=0x020000, driver="igb", netdevs=("eth1",), totalvfs=None)
STATE = NicState(address=NIC, driver="igb", links=(link("eth1", permanent_mac=MAC),))
OWNER = NicOwner(domain="web", uuid="1")
DEVICE = DomainDevice(address=NIC, element="hostdev", managed=True)
ELSE = DomainDevice(address=OTHER, element="hostdev", managed=True)
GUARD = (FileChange(path="/etc/libvirt/hooks/qemu.d/nicpass"),)
UNDEFINE = UndefineDevice(
    address=NIC, domain="web", uuid="1", device=DeviceSpec(address=NIC, element="hostdev", managed=True)
)


def vm(name: str = "web", uuid: str = "1", *devices: DomainDevice, **more: Any) -> Domain:
    return msgspec.structs.replace(Domain(name=name, uuid=uuid, config_devices=devices), **more)


def host(*domains: Domain, card: PciFunction | None = CARD, mac: str = MAC, **more: Any) -> Host:
    net = network(link("eth1", permanent_mac=mac))
    return msgspec.structs.replace(Host(pci=(card,) if card else (), network=net, domains=domains), **more)


def take_back(where: Host, vm_name: str = "web", owner: NicOwner | None = OWNER, **more: Any) -> Plan:
    guard = more.pop("guard", ())
    return plan_taking_back(where, DetachRequest(vm=vm_name, nic=NIC, **more), STATE, owner, guard)


def kinds(plan: Plan) -> list[type[Step]]:
    return [type(step) for step in plan.steps]


class TestWhoseItIs:
    """The VM of this name; where that one has not the NIC, the one of the record."""

    @pytest.mark.parametrize("name", ["web", "1"])
    def test_as_any_detach(self, name: str) -> None:
        plan = take_back(host(vm("web", "1", DEVICE)), name, guard=GUARD)
        assert plan.steps == (
            UNDEFINE,
            GiveBackNic(address=NIC, state=STATE, owner=OWNER),
            RemoveGuard(address=NIC, files=GUARD),
        )
        assert plan.request == DetachRequest(vm=name, nic=NIC)

    def test_one_that_was_renamed_answers_to_the_name_in_the_record(self) -> None:
        plan = take_back(host(vm("new", "1", DEVICE)))
        assert kinds(plan) == [UndefineDevice, GiveBackNic]
        assert "new" in plan.summary
        assert plan.request == DetachRequest(vm="web", nic=NIC)

    def test_another_that_has_its_name_by_now_keeps_out(self) -> None:
        plan = take_back(host(vm("web", "2"), vm("new", "1", DEVICE)))
        undefine = plan.steps[0]
        assert isinstance(undefine, UndefineDevice)
        assert undefine.uuid == "1"

    def test_but_the_one_of_that_name_if_it_has_the_nic(self) -> None:
        plan = take_back(host(vm("web", "2", DEVICE), vm("new", "1")))
        undefine = plan.steps[0]
        assert isinstance(undefine, UndefineDevice)
        assert undefine.uuid == "2"

    def test_one_that_is_not_the_records_is_told_that_it_has_none(self) -> None:
        with pytest.raises(BadInputError, match="other does not have eth1"):
            take_back(host(vm("web", "1", DEVICE), vm("other", "2", ELSE)), "other")

    def test_a_name_that_is_nobodys(self) -> None:
        with pytest.raises(BadInputError, match="no VM 'nobody'"):
            take_back(host(vm("web", "1", DEVICE)), "nobody")

    def test_without_libvirt_nothing_is_known_to_be_gone(self) -> None:
        with pytest.raises(ImpossibleError, match="libvirt cannot be asked for the VM 'web'"):
            take_back(host(domains=Unknown("no answer")))

    def test_a_nic_without_a_record_is_detached_as_any(self) -> None:
        plan = plan_taking_back(host(vm("web", "1", DEVICE)), DetachRequest(vm="web", nic=NIC), None)
        assert kinds(plan) == [UndefineDevice, GiveBackNic]


class TestWhatIsGone:
    """Only the record is left to settle."""

    def test_the_vm(self) -> None:
        plan = take_back(host(), guard=GUARD)
        assert plan.steps == (
            GiveBackNic(address=NIC, state=STATE, owner=OWNER),
            RemoveGuard(address=NIC, files=GUARD),
        )
        assert plan.notes == ("The VM web is gone: the record tells what the NIC was.",)
        assert plan.summary == f"Take eth1 ({NIC}) back from web"

    def test_the_vm_of_a_record_that_names_none(self) -> None:
        assert kinds(take_back(host(), owner=None)) == [GiveBackNic]

    def test_the_vm_has_it_no_more(self) -> None:
        assert kinds(take_back(host(vm("web", "1", ELSE)))) == [GiveBackNic]

    def test_the_vm_is_gone_and_another_has_it(self) -> None:
        plan = take_back(host(vm("other", "2", DEVICE)))
        assert plan.steps == (GiveBackNic(address=NIC, state=STATE, owner=OWNER, gone=True),)

    @pytest.mark.parametrize(("card", "mac"), [(None, MAC), (CARD, "52:54:00:00:00:09")])
    def test_the_card(self, card: PciFunction | None, mac: str) -> None:
        plan = take_back(host(vm("web", "1", DEVICE, DEVICE), card=card, mac=mac))
        assert plan.steps == (UNDEFINE, GiveBackNic(address=NIC, state=STATE, owner=OWNER, gone=True))
        assert plan.notes[0].endswith(", so only its record is settled.")
        assert plan.summary == f"Take {NIC} back from web"

    def test_the_card_of_a_vm_that_runs(self) -> None:
        running = host(vm("web", "1", DEVICE, running=True), card=None)
        with pytest.raises(RefusedError, match="web is running"):
            take_back(running)
        assert kinds(take_back(running, stop=True)) == [StopDomain, UndefineDevice, GiveBackNic]

    def test_the_card_that_only_the_running_vm_has(self) -> None:
        running = host(vm("web", "1", running=True, live_devices=(DEVICE,)), card=None)
        assert kinds(take_back(running, stop=True)) == [StopDomain, GiveBackNic]

    def test_the_card_and_the_vm(self) -> None:
        plan = take_back(host(card=None))
        assert kinds(plan) == [GiveBackNic]
        assert len(plan.notes) == 2

    def test_a_card_that_may_only_not_be_seen(self) -> None:
        with pytest.raises(ImpossibleError, match=f"Whether {NIC} is there is not known: denied"):
            take_back(host(card=None, pci_unread="denied"))

    def test_one_of_which_nothing_is_to_be_brought_back(self) -> None:
        bound = msgspec.structs.replace(CARD, driver="vfio-pci", driver_override="vfio-pci", netdevs=())
        plan = plan_detach(host(vm("web", "1", DEVICE), card=bound), DetachRequest(vm="web", nic=NIC), None)
        assert kinds(plan) == [UndefineDevice]


class TestDetach:
    """The device that is meant, with all that it is."""

    def test_the_one_of_this_nic(self) -> None:
        plan = plan_detach(host(vm("web", "1", ELSE, DEVICE)), DetachRequest(vm="web", nic=NIC), STATE)
        assert plan.steps[0] == UNDEFINE

    def test_all_that_stands_in_the_definition(self) -> None:
        device = DomainDevice(address=NIC, element="interface", managed=False, mac=MAC, vlan=7, xml="<interface/>")
        assert undefine_step(vm(), device).device == DeviceSpec(
            address=NIC, element="interface", managed=False, mac=MAC, vlan=7, xml="<interface/>"
        )

    def test_whose_it_is_instead(self) -> None:
        with pytest.raises(BadInputError, match="web does not have eth1") as caught:
            plan_detach(host(vm("web", "1", ELSE), vm("db", "2", DEVICE)), DetachRequest(vm="web", nic=NIC), STATE)
        assert caught.value.hint == "It belongs to: db."
        with pytest.raises(BadInputError) as caught:
            plan_detach(host(vm("web", "1", ELSE)), DetachRequest(vm="web", nic=NIC), STATE)
        assert caught.value.hint.startswith("It belongs to no VM")

    @pytest.mark.parametrize("live", [(), (DEVICE,)])
    def test_another_vm_that_runs_with_it(self, live: tuple[DomainDevice, ...]) -> None:
        where = host(vm("web", "1", DEVICE), vm("db", "2", DEVICE, running=True, live_devices=live))
        if not live:
            assert plan_detach(where, DetachRequest(vm="web", nic=NIC), STATE).steps
            return
        with pytest.raises(RefusedError, match="db is running with eth1") as caught:
            plan_detach(where, DetachRequest(vm="web", nic=NIC), STATE)
        assert caught.value.hint == "virsh shutdown db"

    def test_a_vm_is_stopped_for_all(self) -> None:
        assert stop_first(vm(running=True), NIC, stop=True) == (
            StopDomain(address=NIC, domain="web", uuid="1", for_all=True),
        )
        assert stop_first(vm(), NIC, stop=False) == ()


def done(*steps: Step, exit_code: int | None = 0, opened: bool = True) -> Change:
    plan = Plan(summary="", request=AttachRequest(vm="web", nic="eth1"), steps=steps)
    return Change(
        identity="7",
        opened=Opened(time=0.0, boot_id="b", plan=plan) if opened else None,
        closed=Closed(time=1.0, exit_code=exit_code) if exit_code is not None else None,
    )


class TestAskedTwice:
    """A VM that has the NIC with other settings does not have what was asked for."""

    VF = PciFunction(address=OTHER, class_code=0x020000, driver="igbvf", netdevs=("v0",), physfn=NIC)
    HAS = DomainDevice(address=OTHER, element="interface", managed=True, mac=MAC, vlan=7)
    FOREIGN = DomainDevice(address=Address("0000:03:00.0"), element="interface", managed=True, mac="52:54:00:00:00:77")

    def refuse(self, **asked: Any) -> None:
        index = HostIndex(host(vm("web", "1", self.FOREIGN, self.HAS), card=self.VF))
        (domain,) = index.host.domains or ()  # type: ignore[misc]
        _refuse_other_settings(self.VF, AttachRequest(vm="web", nic="v0", **asked), domain)

    @pytest.mark.parametrize("asked", [{}, {"mac": MAC}, {"mac": MAC.upper()}, {"vlan": 7}, {"mac": MAC, "vlan": 7}])
    def test_the_same(self, asked: dict[str, Any]) -> None:
        self.refuse(**asked)

    @pytest.mark.parametrize("asked", [{"mac": "52:54:00:00:00:77"}, {"vlan": 8}, {"mac": MAC, "vlan": 8}])
    def test_others(self, asked: dict[str, Any]) -> None:
        with pytest.raises(BadInputError, match=f"has {OTHER}|has v0 .* already, with MAC {MAC} and VLAN 7") as caught:
            self.refuse(**asked)
        assert caught.value.hint == f"nicpass detach web {OTHER}, and attach it anew."


class TestKept:
    """A NIC that is not there any more answers by its record."""

    STATES = (
        NicState(address=NIC, driver=None, links=(link("eth1", altnames=("lan",), mac=MAC, permanent_mac=None),)),
        NicState(address=OTHER, driver=None, links=(link("eth2", mac=None, permanent_mac="52:54:00:00:00:02"),)),
    )

    @pytest.mark.parametrize(
        ("name", "where"),
        [
            (NIC, NIC),
            ("01:00.0", NIC),
            ("eth1", NIC),
            ("lan", NIC),
            (MAC, NIC),
            ("52:54:00:00:00:02", OTHER),
            ("52-54-00-00-00-02", OTHER),
            ("eth2", OTHER),
        ],
    )
    def test_by_all_its_names(self, name: str, where: Address) -> None:
        assert select_kept(HostIndex(host(card=None)), name, self.STATES) == where

    def test_one_that_is_there_goes_before(self) -> None:
        there = msgspec.structs.replace(CARD, address=OTHER)
        assert select_kept(HostIndex(host(card=there)), "eth1", self.STATES) == OTHER

    @pytest.mark.parametrize("name", ["eth9", "0000:09:00.0"])
    def test_one_that_nobody_knows(self, name: str) -> None:
        with pytest.raises(BadInputError, match="There is no NIC"):
            select_kept(HostIndex(host(card=None)), name, self.STATES)

    def test_one_that_two_records_have(self) -> None:
        with pytest.raises(BadInputError):
            select_kept(
                HostIndex(host(card=None)),
                "eth1",
                (self.STATES[0], msgspec.structs.replace(self.STATES[0], address=OTHER)),
            )


def test_the_vms_that_there_are_are_named() -> None:
    with pytest.raises(BadInputError) as caught:
        select_domain(HostIndex(host(vm("web", "1"), vm("db", "2"))), "x")
    assert caught.value.hint == "The VMs that libvirt knows: db, web."
    with pytest.raises(BadInputError) as caught:
        select_domain(HostIndex(host()), "x")
    assert caught.value.hint == "The VMs that libvirt knows: none."


class TestUndo:
    """By the step that tells the kind of change."""

    BOOT = ChangeBoot(purpose=BootPurpose.RIGHTS, change=BootChange())
    START = StartDomain(address=NIC, domain="web", uuid="1")
    DEFINE = DefineDevice(address=NIC, domain="web", uuid="1", device=DeviceSpec(address=NIC, element="hostdev"))
    VF = VfSettings(vf_index=0, mac=MAC)
    VFS = SetNumvfs(address=NIC, before=1, after=2, before_vfs=(VF,))
    REQUEST = UndoRequest(change="7")

    def test_what_nic_it_was_about(self) -> None:
        assert nics_of(done(self.BOOT, self.START)) == (NIC,)
        with pytest.raises(BadInputError, match="nothing that could be undone"):
            nics_of(done(self.BOOT))

    @pytest.mark.parametrize("change", [done(), done(START, opened=False), done(START, exit_code=1)])
    def test_one_that_was_not_done(self, change: Change) -> None:
        with pytest.raises(BadInputError, match="7 was not done") as caught:
            plan_undo(host(), change, self.REQUEST, Kept())
        assert caught.value.hint == "nicpass show 7"

    def test_one_that_was_cut_off(self) -> None:
        with pytest.raises(RefusedError, match="7 was cut off") as caught:
            plan_undo(host(), done(self.START, exit_code=None), self.REQUEST, Kept())
        assert caught.value.hint == "nicpass recover"

    def test_one_with_nothing_to_undo(self) -> None:
        with pytest.raises(BadInputError, match="nothing that could be undone"):
            plan_undo(host(), done(self.BOOT), self.REQUEST, Kept())

    def test_an_attach_goes_by_its_definition_and_not_by_what_stands_before(self) -> None:
        take = TakeNic(address=NIC, state=STATE)
        kept = Kept((OnRecord(NIC, STATE, OWNER),), guard_removal=GUARD)
        plan = plan_undo(host(vm("web", "1", DEVICE)), done(take, self.DEFINE, self.START), self.REQUEST, kept)
        assert kinds(plan) == [UndefineDevice, GiveBackNic, RemoveGuard]
        assert plan.request == self.REQUEST

    def vf_host(self, numvfs: int) -> Host:
        vfs = tuple(Address(f"0000:01:10.{number}") for number in range(numvfs))
        functions = [PciFunction(address=vf, class_code=0x020000, driver=None, physfn=NIC) for vf in vfs]
        pf = msgspec.structs.replace(CARD, numvfs=numvfs, totalvfs=4, virtfns=vfs)
        where = host(card=pf, libvirt_networks=())
        return msgspec.structs.replace(where, pci=(pf, *functions))

    def test_vfs_with_what_they_were_set_to(self) -> None:
        plan = plan_undo(self.vf_host(2), done(self.VFS), self.REQUEST, Kept())
        (step,) = plan.steps
        assert isinstance(step, SetNumvfs)
        assert (step.before, step.after, step.after_vfs) == (2, 1, (self.VF,))
        assert plan.request == self.REQUEST

    def test_vfs_that_are_others_by_now(self) -> None:
        with pytest.raises(RefusedError, match=f"of {NIC} is 3 by now, not the 2 that this change made"):
            plan_undo(self.vf_host(3), done(self.VFS), self.REQUEST, Kept())

    def test_vfs_that_are_gone_already(self) -> None:
        with pytest.raises(RefusedError, match="is 1 by now"):
            plan_undo(self.vf_host(1), done(self.VFS), self.REQUEST, Kept())
