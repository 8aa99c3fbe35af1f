# SPDX-License-Identifier: Apache-2.0
"""Setting VFs that are there: one step with what each is set to, or one sentence that says why not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.model.activity import Activity
from nicpass.model.address import Address, derive_vf_mac
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.errors import BadInputError, ImpossibleError, NicpassError, RefusedError
from nicpass.model.host import Host
from nicpass.model.inverse import invert_step
from nicpass.model.network import NO_MAC, IpAddress, Link, VfSettings
from nicpass.model.pci import PciFunction, Representor
from nicpass.model.plan import ArmTimer, Plan, SetNumvfs
from nicpass.model.request import UndoRequest, VfRequest
from nicpass.model.vf import Unsupported, VfSetRequest, VfWish
from nicpass.planner.vf.count import plan_vf
from nicpass.planner.vf.set import plan_vf_set, plan_vf_set_back
from tests.support.hosts import address, link, network

PF = Address("0000:01:00.0")
VFS = tuple(Address(f"0000:01:10.{number}") for number in range(4))
PF_MAC, MAC = "00:1b:21:aa:bb:02", "52:54:00:00:00:09"
SET = tuple(
    VfSettings(
        vf_index=number,
        mac=f"52:54:00:00:00:0{number}",
        qos=0,
        vlan_protocol="802.1Q",
        spoofchk=True,
        trust=False,
        link_state="auto",
        min_tx_rate=0,
        max_tx_rate=0,
    )
    for number in range(4)
)
NIC = PciFunction(address=PF, class_code=0x020000, driver="igb", netdevs=("eth1",), totalvfs=8, numvfs=4, virtfns=VFS)
IDLE = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=(), foreign_netdevs=())
VM = Domain(name="web", uuid="1", config_devices=(DomainDevice(address=VFS[1], element="interface", managed=True),))
UP = {"mac": PF_MAC, "permanent_mac": PF_MAC, "speed": 1000}


def host(
    *items: IpAddress | Link, settings: tuple[VfSettings, ...] = SET, pf: PciFunction = NIC, up: Any = None, **more: Any
) -> Host:
    vfs = tuple(
        PciFunction(address=vf, class_code=0x020000, driver="igbvf", netdevs=(f"v{number}",), physfn=PF)
        for number, vf in enumerate(VFS)
    )
    links = (link(f"v{number}") for number in range(4))
    net = network(link("eth1", vfs=settings, **(UP if up is None else up)), *links, *items)
    made = Host(pci=(pf, *vfs), network=net, activity=IDLE, domains=(), libvirt_networks=())
    return msgspec.structs.replace(made, **more)


def put(where: Host, vfs: str | None = "1", pf: str = "eth1", **wish: Any) -> Plan:
    return plan_vf_set(where, VfSetRequest(pf=pf, vfs=vfs, settings=VfWish(**wish)))


def step_of(plan: Plan) -> SetNumvfs:
    (step,) = plan.steps
    assert isinstance(step, SetNumvfs)
    return step


class TestStep:
    """The whole of what a PF enforces, before and after."""

    def test_all_vfs_are_in_it_and_what_was_asked_differs(self) -> None:
        plan = put(host(), "1,3", vlan=20, trust=True)
        step = step_of(plan)
        changed = tuple(msgspec.structs.replace(vf, vlan=20, trust=True) if vf.vf_index in (1, 3) else vf for vf in SET)
        assert step == SetNumvfs(address=PF, before=4, after=4, before_vfs=SET, after_vfs=changed)
        assert plan.summary == "Set VFs 1,3 of eth1 (0000:01:00.0)"
        assert invert_step(step) == SetNumvfs(address=PF, before=4, after=4, before_vfs=changed, after_vfs=SET)

    @pytest.mark.parametrize("name", [VFS[2], "v2"])
    def test_a_vf_that_is_named_itself(self, name: str) -> None:
        step = step_of(put(host(), None, pf=name, mac=MAC))
        assert [vf.mac for vf in step.after_vfs] == [*(vf.mac for vf in SET[:2]), MAC, SET[3].mac]

    def test_a_pf_alone_does_not_say_which(self) -> None:
        with pytest.raises(BadInputError, match="Which VFs of eth1"):
            put(host(), None, vlan=20)

    def test_what_is_so_already_needs_no_step(self) -> None:
        plan = put(host(), "all", spoofchk=True, link_state="auto", vlan=0)
        assert (plan.steps, plan.summary) == ((), "The VFs of eth1 (0000:01:00.0) are set so already")

    def test_a_vlan_that_goes_takes_priority_and_protocol_along(self) -> None:
        outer = msgspec.structs.replace(SET[1], vlan=20, qos=3, vlan_protocol="802.1ad")
        step = step_of(put(host(settings=(SET[0], outer, *SET[2:])), vlan=0))
        vf = step.after_vfs[1]
        assert (vf.vlan, vf.qos, vf.vlan_protocol) == (0, 0, None)

    def test_what_is_not_asked_for_stays(self) -> None:
        inner = msgspec.structs.replace(SET[1], vlan=20, qos=3, min_tx_rate=10)
        vf = step_of(put(host(settings=(SET[0], inner, *SET[2:])), vlan=30, max_tx_rate=100)).after_vfs[1]
        assert (vf.vlan, vf.qos, vf.min_tx_rate, vf.max_tx_rate) == (30, 3, 10, 100)

    def test_a_vf_without_a_mac_gets_one_that_stays(self) -> None:
        bare = tuple(msgspec.structs.replace(vf, mac=NO_MAC) if vf.vf_index != 1 else vf for vf in SET)
        plan = put(host(settings=bare, domains=(VM,)), "0", trust=True)
        step = step_of(plan)
        derived = [derive_vf_mac(PF_MAC, number) for number in (0, 2, 3)]
        assert [vf.mac for vf in step.after_vfs] == [derived[0], SET[1].mac, *derived[1:]]
        assert step.derived == (0, 2, 3)
        assert any("VFs 2-3, which nobody uses" in note for note in plan.notes)

    def test_but_none_that_somebody_uses(self) -> None:
        bare = tuple(msgspec.structs.replace(vf, mac=NO_MAC) for vf in SET)
        plan = put(host(address("v2", "10.0.0.5/24"), settings=bare, domains=(VM,)), "0", trust=True)
        assert step_of(plan).derived == (0, 3)
        assert any("VFs 1-2 have no MAC" in note for note in plan.notes)

    def test_a_derived_mac_that_is_taken_is_not_given(self) -> None:
        taken = derive_vf_mac(PF_MAC, 0)
        settings = (msgspec.structs.replace(SET[0], mac=NO_MAC), msgspec.structs.replace(SET[1], mac=taken), *SET[2:])
        first = step_of(put(host(settings=settings), "0", trust=True)).after_vfs[0]
        assert first.mac == derive_vf_mac(PF_MAC, 1)

    def test_a_session_through_the_vf_is_given_time_to_confirm(self) -> None:
        assert [type(step) for step in put(host(), vlan=20).steps] == [SetNumvfs]
        request = VfSetRequest(pf="eth1", vfs="1", settings=VfWish(vlan=20), confirm_within=60)
        assert isinstance(plan_vf_set(host(), request).steps[0], ArmTimer)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "nothing to set"),
    ({"vlan": 4095}, "4095 is not a VLAN"),
    ({"qos": 3}, "--qos is about a VLAN, and VF 1 has none"),
    ({"vlan": 0, "qos": 3}, "--qos is about a VLAN"),
    ({"vlan_protocol": "802.1ad"}, "--proto is about a VLAN"),
    ({"max_tx_rate": 1001}, "--max-tx-rate 1001 is more than the link of eth1 .* does: 1000"),
    ({"min_tx_rate": 2000}, "--min-tx-rate 2000 is more"),
    ({"min_tx_rate": 200, "max_tx_rate": 100}, "at least 200 and at most 100"),
    ({"mac": PF_MAC}, "is the MAC of eth1 .* itself"),
    ({"node_guid": "00:11:22:33:44:55:66:77"}, "--node-guid is for InfiniBand; eth1 .* is Ethernet"),
]


@pytest.mark.parametrize(("wish", "words"), BAD)
def test_bad_input(wish: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        put(host(), **wish)
    assert caught.value.hint


def test_a_minimum_above_the_maximum_that_stays() -> None:
    limited = msgspec.structs.replace(SET[1], max_tx_rate=100)
    with pytest.raises(BadInputError, match="at least 200 and at most 100"):
        put(host(settings=(SET[0], limited, *SET[2:])), min_tx_rate=200)


def test_a_speed_that_is_not_known_limits_nothing() -> None:
    assert put(host(up={"mac": PF_MAC}), max_tx_rate=10**6).steps


class TestTwins:
    """Two stations of one PF with one MAC in one VLAN."""

    def test_another_vf_has_it(self) -> None:
        with pytest.raises(RefusedError, match=r"52:54:00:00:00:02 in no VLAN is that of v2 \(0000:01:10\.2\)"):
            put(host(), mac=SET[2].mac)

    def test_in_another_vlan_it_is_no_twin(self) -> None:
        assert put(host(), mac=SET[2].mac, vlan=20).steps

    def test_a_vm_has_it(self) -> None:
        device = DomainDevice(address=VFS[3], element="interface", managed=True, mac=MAC)
        with pytest.raises(RefusedError, match=r"is that of v3 .* in the VM web"):
            put(host(domains=(Domain(name="web", uuid="1", config_devices=(device,)),)), mac=MAC)

    def test_a_common_vlan_makes_twins_of_two(self) -> None:
        same = msgspec.structs.replace(SET[1], mac=SET[0].mac, vlan=7)
        with pytest.raises(RefusedError, match="that of"):
            put(host(settings=(SET[0], same, *SET[2:])), "0-1", vlan=20)

    def test_a_vf_that_keeps_its_mac_is_no_twin_of_itself(self) -> None:
        assert put(host(), "all", vlan=20).steps


class TestOthers:
    """What is a VM's, a pool's, another manager's or the host's."""

    @pytest.mark.parametrize("wish", [{"mac": MAC}, {"vlan": 20}, {"vlan": 20, "qos": 3}])
    def test_mac_and_vlan_of_a_vms_vf_belong_to_its_definition(self, wish: dict[str, Any]) -> None:
        with pytest.raises(RefusedError, match="stands in the definition of the VM web") as caught:
            put(host(domains=(VM,)), **wish)
        assert f"nicpass detach web {VFS[1]}, then nicpass attach web {VFS[1]}" in caught.value.hint

    def test_the_rest_may_change_while_the_vm_runs(self) -> None:
        running = msgspec.structs.replace(VM, running=True, live_devices=VM.config_devices)
        step = step_of(put(host(domains=(running,)), trust=True, spoofchk=False, max_tx_rate=100))
        assert [vf for vf in step.after_vfs if vf not in SET] == [
            msgspec.structs.replace(SET[1], trust=True, spoofchk=False, max_tx_rate=100)
        ]

    def test_who_has_which_vf_must_be_known_for_that(self) -> None:
        with pytest.raises(RefusedError, match="could not be learned"):
            put(host(domains=None), vlan=20)
        assert put(host(domains=None), trust=True).steps

    def test_a_vf_that_the_host_uses_keeps_its_mac(self) -> None:
        used = host(address("v1", "10.0.0.5/24"))
        with pytest.raises(RefusedError, match=r"10\.0\.0\.5/24"):
            put(used, mac=MAC)
        assert put(used, vlan=20).steps


class TestCannot:
    """What this driver or mode does not take is said before it is tried."""

    def test_a_pf_without_an_interface(self) -> None:
        bare = msgspec.structs.replace(NIC, netdevs=(), driver="pci-pf-stub")
        with pytest.raises(ImpossibleError, match="shows no interface, by which alone VFs are set"):
            put(host(pf=bare), pf=PF, vlan=20)

    @pytest.mark.parametrize("wish", [{"vlan": 20}, {"vlan": 20, "qos": 3}])
    def test_a_vlan_in_switchdev_mode_is_its_representors(self, wish: dict[str, Any]) -> None:
        ends = tuple(Representor(netdev=f"eth1_{number}", port=f"pf0vf{number}") for number in range(4))
        mode = host(pf=msgspec.structs.replace(NIC, representors=ends))
        with pytest.raises(ImpossibleError, match="switchdev mode, in which its driver takes no --vlan") as caught:
            put(mode, **wish)
        assert "at eth1_1, by the bridge" in caught.value.hint
        assert put(mode, link_state="disable").steps

    def test_what_was_not_supported_is_not_tried_again(self) -> None:
        known = (Unsupported(driver="igb", setting="trust", release="6.12.1"),)
        request = VfSetRequest(pf="eth1", vfs="all", settings=VfWish(trust=True))
        with pytest.raises(ImpossibleError, match=r"igb of the kernel 6\.12\.1 does not know --trust"):
            plan_vf_set(host(), request, known)
        for other in ({"driver": "ixgbe"}, {"switchdev": True}, {"setting": "spoofchk"}):
            assert plan_vf_set(host(), request, (msgspec.structs.replace(known[0], **other),)).steps

    def test_what_a_driver_does_not_tell_could_not_be_seen(self) -> None:
        silent = tuple(msgspec.structs.replace(vf, trust=None) for vf in SET)
        with pytest.raises(ImpossibleError, match="igb does not tell --trust of VF 1"):
            put(host(settings=silent), trust=True)
        with pytest.raises(ImpossibleError, match="does not tell what it enforces on VF 1"):
            put(host(settings=()), link_state="enable")

    def test_infiniband_has_guids_and_no_mac(self) -> None:
        known = tuple(
            msgspec.structs.replace(vf, mac=NO_MAC, node_guid="00:" * 7 + "00", port_guid="00:" * 7 + "00")
            for vf in SET
        )
        where = host(settings=known, up={"mac": ":".join(["80"] * 20)})
        guid = "00:11:22:33:44:55:66:77"
        step = step_of(put(where, node_guid=guid, port_guid=guid))
        assert (step.after_vfs[1].node_guid, step.after_vfs[1].port_guid, step.derived) == (guid, guid, ())
        for wish in ({"mac": MAC}, {"vlan": 20}):
            with pytest.raises(BadInputError, match=r"is for Ethernet; eth1 .* is InfiniBand"):
                put(where, **wish)


class TestBack:
    """Taking it back: what it changed, and only that."""

    def back(self, where: Host, step: SetNumvfs) -> Plan:
        return plan_vf_set_back(where, step, UndoRequest(change="x"))

    def test_other_settings_stay_as_they_are_now(self) -> None:
        step = step_of(put(host(), trust=True))
        later = msgspec.structs.replace(step.after_vfs[1], spoofchk=False)
        back = step_of(self.back(host(settings=(SET[0], later, *SET[2:])), step))
        assert back.after_vfs == (SET[0], msgspec.structs.replace(SET[1], spoofchk=False), *SET[2:])

    def test_what_was_set_anew_since_is_not_overwritten(self) -> None:
        step = step_of(put(host(), vlan=20))
        later = msgspec.structs.replace(step.after_vfs[1], vlan=30)
        with pytest.raises(RefusedError, match="was set anew since: --vlan is 30, not 20"):
            self.back(host(settings=(SET[0], later, *SET[2:])), step)

    def test_nor_is_what_a_vm_has_by_now(self) -> None:
        step = step_of(put(host(), vlan=20))
        with pytest.raises(RefusedError, match="stands in the definition of the VM web"):
            self.back(host(settings=step.after_vfs, domains=(VM,)), step)


class TestCreate:
    """Made and set in one step."""

    NONE = host(settings=(), pf=msgspec.structs.replace(NIC, numvfs=0, virtfns=()))
    NONE = msgspec.structs.replace(NONE, pci=NONE.pci[:1])

    def make(self, count: int, where: Host = NONE, known: tuple[Unsupported, ...] = (), **wish: Any) -> Plan:
        return plan_vf(where, VfRequest(pf="eth1", count=count, settings=VfWish(**wish)), known)

    def test_each_has_a_mac_and_the_settings(self) -> None:
        step = step_of(self.make(3, vlan=20, qos=3, trust=True, max_tx_rate=100))
        assert step.after_vfs == tuple(
            VfSettings(
                vf_index=number,
                mac=derive_vf_mac(PF_MAC, number),
                vlan=20,
                qos=3,
                trust=True,
                min_tx_rate=0,
                max_tx_rate=100,
            )
            for number in range(3)
        )
        assert step.derived == (0, 1, 2)

    def test_a_mac_for_one(self) -> None:
        step = step_of(self.make(1, mac=MAC))
        assert ([vf.mac for vf in step.after_vfs], step.derived) == ([MAC], ())
        with pytest.raises(BadInputError, match="--mac is for one VF, not for 2"):
            self.make(2, mac=MAC)

    def test_a_pf_without_an_interface_can_have_a_number_only(self) -> None:
        bare = host(settings=(), pf=msgspec.structs.replace(NIC, numvfs=0, virtfns=(), netdevs=()))
        bare = msgspec.structs.replace(bare, pci=bare.pci[:1])
        request = VfRequest(pf=PF, count=2)
        assert step_of(plan_vf(bare, request)).after_vfs == ()
        with pytest.raises(ImpossibleError, match="shows no interface"):
            plan_vf(bare, msgspec.structs.replace(request, settings=VfWish(trust=True)))

    def test_a_driver_that_takes_no_mac_is_not_asked_again(self) -> None:
        known = (Unsupported(driver="igb", setting="mac", release="6.12.1"),)
        plan = self.make(2, known=known)
        assert [vf.mac for vf in step_of(plan).after_vfs] == [NO_MAC, NO_MAC]
        assert any("takes no MAC" in note for note in plan.notes)
        with pytest.raises(ImpossibleError, match="does not know --mac"):
            self.make(1, known=known, mac=MAC)

    def test_as_many_as_there_are_are_set(self) -> None:
        step = step_of(self.make(4, host(), trust=True))
        assert (step.before, step.after, {vf.trust for vf in step.after_vfs}) == (4, 4, {True})

    @pytest.mark.parametrize("wish", [wish for wish, _ in BAD if wish and "mac" not in wish])
    def test_what_is_bad_for_one_is_bad_for_all(self, wish: dict[str, Any]) -> None:
        with pytest.raises(NicpassError):
            self.make(2, **wish)
