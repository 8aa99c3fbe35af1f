# SPDX-License-Identifier: Apache-2.0
"""Plans: their steps, every refusal with its exit code, and that a plan's effect needs no second plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.hypervisor.libvirt.hostdevs import build_device
from nicpass.model.address import Address, derive_vf_mac
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.errors import (
    BadInputError,
    ExitCode,
    ImpossibleError,
    NicpassError,
    RebootNeededError,
    RefusedError,
)
from nicpass.model.fact import Unknown
from nicpass.model.given import GivenLink, GivenNic
from nicpass.model.host import Host
from nicpass.model.inverse import invert_step
from nicpass.model.network import Intent, IntentPurpose, Intents, LinkManager, VfSettings
from nicpass.model.plan import (
    DefineDevice,
    DeviceSpec,
    GiveBackNic,
    NicState,
    Plan,
    SetNumvfs,
    StartDomain,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.request import AttachRequest, DetachRequest, VfRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.nic.detach import plan_detach
from nicpass.planner.nic_state.compare import compare_states, differences
from nicpass.planner.nic_state.observe import observe_state
from nicpass.planner.refuse import OVERRIDABLE, refuse_unless_clear
from nicpass.planner.select import select_domain, select_nic
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import VM, address, bridge, link, network, nic, nvme, pf_with_vfs, ready_host, route
from tests.support.trees import Tree, Vm, hostdev_xml, vf_interface_xml

NIC, PF, VF0, VF1 = "0000:01:00.0", "0000:01:00.0", "0000:01:02.0", "0000:01:02.1"
PF_MAC = "00:1b:21:aa:bb:02"
WITH_VFS = pf_with_vfs(PF, "eth1", 2)


def attach(host: Host, nic_name: str = "eth1", vm: str = "guest", **more: Any) -> Plan:
    return plan_attach(host, AttachRequest(vm=vm, nic=nic_name, **more))


def vf_host(**pf_link: object) -> Tree:
    fields = {"mac": PF_MAC, "permanent_mac": PF_MAC, **pf_link}
    return ready_host(*WITH_VFS, net=network(link("eth1", **fields), link("eth1v0"), link("eth1v1")))


def made(before: int, after: int, mac: str) -> SetNumvfs:
    """The step to VFs of which each has a MAC that is derived from the PF's."""
    vfs = tuple(VfSettings(vf_index=index, mac=derive_vf_mac(mac, index)) for index in range(after))
    return SetNumvfs(
        address=Address(PF),
        before=before,
        after=after,
        after_vfs=vfs,
        derived=tuple(range(after)),
        before_autoprobe=True,
        autoprobe=not after,
    )


def give(host: Host, plan: Plan) -> Host:
    """The host on which the plan's steps have been done, as far as they show in the VM."""
    (domain,) = host.domains or ()  # type: ignore[misc]
    for step in plan.steps:
        match step:
            case DefineDevice():
                spec = step.device
                device = DomainDevice(address=spec.address, element=spec.element, managed=True, mac=spec.mac)
                domain = msgspec.structs.replace(domain, config_devices=(device,))
            case UndefineDevice():
                domain = msgspec.structs.replace(domain, config_devices=())
            case StartDomain():
                domain = msgspec.structs.replace(domain, running=True, live_devices=domain.config_devices)
                pci = tuple(
                    msgspec.structs.replace(f, driver="vfio-pci", driver_override="vfio-pci", netdevs=None)
                    if f.address == step.address
                    else f
                    for f in host.pci
                )
                host = msgspec.structs.replace(host, pci=pci)
            case SetNumvfs():
                pass
    return msgspec.structs.replace(host, domains=(domain,))


class TestAttach:
    """Giving a NIC away."""

    def test_the_steps_of_a_whole_nic(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        plan = attach(host)
        take, define = plan.steps
        assert isinstance(take, TakeNic)
        assert isinstance(define, DefineDevice)
        assert take.state == observe_state(host.pci[1], HostIndex(host))
        assert define.device == DeviceSpec(address=Address(NIC), element="hostdev")
        assert (define.domain, define.uuid) == ("guest", VM.uuid)
        assert plan.summary == "Give eth1 (0000:01:00.0) to guest"

    def test_only_start_starts_the_vm(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        assert [type(step) for step in attach(host, start=True).steps] == [TakeNic, DefineDevice, StartDomain]

    @pytest.mark.parametrize("start", [False, True])
    @pytest.mark.parametrize(("subject", "tree"), [("eth1", ready_host()), (VF1, vf_host())])
    def test_on_the_host_after_it_there_is_nothing_to_do(
        self, subject: str, tree: Tree, start: bool, tmp_path: Path
    ) -> None:
        host = tree.read(tmp_path)
        address_of = str(select_nic(HostIndex(host), subject).address)
        after = give(host, attach(host, subject, start=start))
        again = attach(after, address_of, start=start)
        assert again.steps == ()
        assert "already" in again.summary

    def test_a_nic_defined_before_may_be_started_later(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        after = give(host, attach(host))
        # What it was before it left is on disk since then, and must stay there.
        assert [type(step) for step in attach(after, start=True).steps] == [StartDomain]

    def test_giving_and_taking_back_leaves_the_vm_as_it_was(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        given = give(host, attach(host))
        kept = observe_state(host.pci[1], HostIndex(host))
        plan = plan_detach(given, DetachRequest(vm="guest", nic="eth1"), kept)
        assert give(given, plan) == host
        undone = [type(invert_step(step)) for step in reversed(attach(host).steps)]
        assert undone == [type(step) for step in plan.steps]

    def test_a_name_that_two_given_nics_had_is_said_to_be_twos(self, tmp_path: Path) -> None:
        """Names are dealt out anew at a boot, while a NIC is away."""
        first, second = "0000:01:00.0", "0000:02:00.0"
        host = ready_host(nic(first, driver="vfio-pci"), nic(second, driver="vfio-pci")).read(tmp_path)
        links = (GivenLink(name="eth7", mac="52:54:00:00:00:01"),)
        given = tuple(GivenNic(address=Address(a), links=links) for a in (first, second))
        for word in ("eth7", "52:54:00:00:00:01"):
            with pytest.raises(BadInputError, match="names 2 NICs") as caught:
                select_nic(HostIndex(msgspec.structs.replace(host, given=given)), word)
            assert "Did you mean" not in caught.value.hint

    @pytest.mark.parametrize("name", ["eth1", NIC, "01:00.0", "00:1B:21:00:01:72", "alias"])
    def test_a_nic_answers_to_all_its_names(self, name: str, tmp_path: Path) -> None:
        net = network(link("eth1", mac="00:1b:21:00:01:72", altnames=("alias",)))
        assert attach(ready_host(net=net).read(tmp_path), name).steps

    @pytest.mark.parametrize("name", ["guest", VM.uuid])
    def test_a_vm_answers_to_its_name_and_its_uuid(self, name: str, tmp_path: Path) -> None:
        assert attach(ready_host().read(tmp_path), vm=name).steps

    def test_the_mild_findings_are_notes(self, tmp_path: Path) -> None:
        plan = attach(ready_host(nic(NIC, "eth1", totalvfs=8)).read(tmp_path))
        assert any("can make 8 VFs" in note for note in plan.notes)


GROUP_MATE = (nic(NIC, "eth1"), nvme("0000:02:00.0", "nvme0n1", 10))
DEFAULT_ROUTE = network(link("eth1"), address("eth1", "10.0.0.5/24"), route("eth1"))

REFUSALS: dict[str, tuple[Tree, type[NicpassError], ExitCode]] = {
    "no IOMMU table": (
        ready_host(nic(NIC, "eth1", group=None), tables=(), iommu_units=()),
        ImpossibleError,
        ExitCode.IMPOSSIBLE,
    ),
    "IOMMU off": (
        ready_host(nic(NIC, "eth1", group=None), cmdline="ro", iommu_units=()),
        RebootNeededError,
        ExitCode.REBOOT_NEEDED,
    ),
    "no virtualization": (ready_host(cpu="bare"), ImpossibleError, ExitCode.IMPOSSIBLE),
    "no KVM": (ready_host(kvm=False), ImpossibleError, ExitCode.IMPOSSIBLE),
    "no VFIO": (ready_host(loaded=(), available=("kvm",)), ImpossibleError, ExitCode.IMPOSSIBLE),
    "no group": (
        ready_host(bridge("0000:00:01.0"), nic(NIC, "eth1", group=None)),
        ImpossibleError,
        ExitCode.IMPOSSIBLE,
    ),
    "busy group": (ready_host(*GROUP_MATE), RefusedError, ExitCode.REFUSED),
    "default route": (ready_host(net=DEFAULT_ROUTE), RefusedError, ExitCode.REFUSED),
    "a route": (ready_host(net=network(link("eth1"), route("eth1", "10.9.0.0/16"))), RefusedError, ExitCode.REFUSED),
    "an address": (
        ready_host(net=network(link("eth1"), address("eth1", "10.0.0.5/24"))),
        RefusedError,
        ExitCode.REFUSED,
    ),
    "a bridge": (ready_host(net=network(link("eth1", master="br0"), link("br0"))), RefusedError, ExitCode.REFUSED),
    "unknown use": (ready_host().but(network=None), RefusedError, ExitCode.REFUSED),
    "elsewhere": (ready_host(net=network()), RefusedError, ExitCode.REFUSED),
    "PF with VFs": (ready_host(*WITH_VFS), RefusedError, ExitCode.REFUSED),
    "another VM's": (
        ready_host(vms=(VM, Vm(name="web", uuid="2", devices=hostdev_xml(NIC)))),
        RefusedError,
        ExitCode.REFUSED,
    ),
    "unknown VMs": (ready_host(vms=None), ImpossibleError, ExitCode.IMPOSSIBLE),
}


class TestRefusal:
    """What stands in the way, and with which exit code."""

    @pytest.mark.parametrize("why", sorted(REFUSALS))
    def test_each(self, why: str, tmp_path: Path) -> None:
        tree, kind, code = REFUSALS[why]
        with pytest.raises(kind) as caught:
            attach(tree.read(tmp_path), NIC)
        assert caught.value.exit_code == code
        assert caught.value.sentence

    def test_all_that_stands_in_the_way_is_in_the_error_the_gravest_first(self, tmp_path: Path) -> None:
        tree = ready_host(net=DEFAULT_ROUTE, kvm=False)
        with pytest.raises(ImpossibleError) as caught:
            attach(tree.read(tmp_path))
        codes = [finding.code for finding in caught.value.findings]
        assert codes == ["KVM_ABSENT", "CARRIES_DEFAULT_ROUTE", "HAS_ADDRESS"]

    @pytest.mark.parametrize(
        ("allow", "left"),
        [
            (frozenset(), ["CARRIES_DEFAULT_ROUTE", "HAS_ADDRESS"]),
            (frozenset({"HAS_ADDRESS"}), ["CARRIES_DEFAULT_ROUTE"]),
            (frozenset({"CARRIES_DEFAULT_ROUTE"}), ["HAS_ADDRESS"]),
        ],
    )
    def test_an_override_takes_away_the_reason_that_it_names(
        self, allow: frozenset[str], left: list[str], tmp_path: Path
    ) -> None:
        with pytest.raises(RefusedError) as caught:
            attach(ready_host(net=DEFAULT_ROUTE).read(tmp_path), allow=allow)
        assert [finding.code for finding in caught.value.findings] == left

    def test_with_every_reason_named_it_is_planned(self, tmp_path: Path) -> None:
        allow = frozenset({"HAS_ADDRESS", "CARRIES_DEFAULT_ROUTE"})
        assert attach(ready_host(net=DEFAULT_ROUTE).read(tmp_path), allow=allow).steps

    @pytest.mark.parametrize(
        "code", ["GROUP_SHARED", "IOMMU_OFF", "USE_UNKNOWN", "OWNED_BY_VM", "has_address", "X", ""]
    )
    def test_what_nobody_may_override_is_bad_input_even_on_a_ready_host(self, code: str, tmp_path: Path) -> None:
        with pytest.raises(BadInputError) as caught:
            attach(ready_host().read(tmp_path), allow=frozenset({code}))
        assert "HAS_ADDRESS" in caught.value.hint

    def test_only_the_administrators_own_network_may_be_overridden(self) -> None:
        own = {"CARRIES_DEFAULT_ROUTE", "CARRIES_ROUTE", "CARRIES_SESSION", "CARRIES_TUNNEL", "HAS_ADDRESS"}
        own |= {"PTP_IN_USE", "RULE_NAMES_NIC", "SESSION_UNPLACED", "STORAGE_UNPLACED", "XDP_ATTACHED"}
        own |= {"TO_BE_CONFIGURED", "TO_BE_PART", "WAITED_FOR", "NAMED_UNCLEARLY"}
        own |= {"AF_PACKET_IN_USE"}
        assert own == OVERRIDABLE
        refuse_unless_clear(())

    def test_a_running_vm_without_a_free_port_cannot_have_it_at_once(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        running = Domain(name="guest", uuid="1", running=True)
        with pytest.raises(ImpossibleError, match="no free place"):
            attach(msgspec.structs.replace(host, domains=(running,)))

    @pytest.mark.parametrize(
        ("nic_name", "vm", "words"),
        [
            ("eth9", "guest", "no NIC 'eth9'"),
            ("", "guest", "no NIC ''"),
            ("0000:09:00.0", "guest", "no NIC"),
            ("0000:00:01.0", "guest", "is not a network controller"),
            ("00:00:00:00:00:00", "guest", "no NIC"),
            ("eth1", "gast", "no VM 'gast'"),
        ],
    )
    def test_a_name_that_is_nobodys_is_bad_input(self, nic_name: str, vm: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match=words) as caught:
            attach(ready_host().read(tmp_path), nic_name, vm)
        assert caught.value.hint

    def test_a_mac_that_two_ports_have_names_neither(self, tmp_path: Path) -> None:
        """The ports of a bond share their MAC."""
        functions = (nic(NIC, "eth1"), nic("0000:01:00.1", "eth2", group=11))
        net = network(link("eth1", mac=PF_MAC), link("eth2", mac=PF_MAC))
        index = HostIndex(ready_host(*functions, net=net).read(tmp_path))
        with pytest.raises(BadInputError, match="names 2 NICs: eth1"):
            select_nic(index, PF_MAC)

    def test_a_host_without_libvirt_has_no_vm_to_select(self) -> None:
        with pytest.raises(ImpossibleError, match="there is no libvirt"):
            select_domain(HostIndex(Host(pci=(), domains=None)), "guest")


class TestVfMac:
    """The one given; else the administrative one; else one from the PF's permanent MAC."""

    @staticmethod
    def mac_of(tree: Tree, root: Path, **more: Any) -> str | None:
        define = attach(tree.read(root), VF1, **more).steps[1]
        assert isinstance(define, DefineDevice)
        assert define.device.element == "interface"
        return define.device.mac

    def test_the_one_given(self, tmp_path: Path) -> None:
        assert self.mac_of(vf_host(), tmp_path, mac="52-54-00-AA-BB-CC") == "52:54:00:aa:bb:cc"

    def test_the_administrative_one(self, tmp_path: Path) -> None:
        vfs = (VfSettings(vf_index=0, mac="02:00:00:00:00:01"), VfSettings(vf_index=1, mac="02:00:00:00:00:02"))
        assert self.mac_of(vf_host(vfs=vfs), tmp_path) == "02:00:00:00:00:02"

    @pytest.mark.parametrize("vfs", [(), (VfSettings(vf_index=1, mac="00:00:00:00:00:00"),)])
    def test_one_from_the_permanent_mac_of_the_pf(self, vfs: tuple[VfSettings, ...], tmp_path: Path) -> None:
        tree = vf_host(vfs=vfs, mac="02:11:22:33:44:55")
        assert self.mac_of(tree, tmp_path) == derive_vf_mac(PF_MAC, 1)

    def test_without_a_permanent_one_the_present_one_serves(self, tmp_path: Path) -> None:
        assert self.mac_of(vf_host(permanent_mac=None), tmp_path) == derive_vf_mac(PF_MAC, 1)

    @pytest.mark.parametrize(
        "mac", ["", "0", "52:54:00:aa:bb", "01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]
    )
    def test_a_mac_that_no_station_can_have_is_bad_input(self, mac: str, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="not the MAC of one station"):
            self.mac_of(vf_host(), tmp_path, mac=mac)

    @pytest.mark.parametrize("vlan", [-1, 0, 4095, 100_000])
    def test_a_vlan_that_is_none_is_bad_input(self, vlan: int, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="not a VLAN"):
            self.mac_of(vf_host(), tmp_path, vlan=vlan)

    @pytest.mark.parametrize("vlan", [1, 4094])
    def test_a_vlan_goes_into_the_definition(self, vlan: int, tmp_path: Path) -> None:
        define = attach(vf_host().read(tmp_path), VF1, vlan=vlan).steps[1]
        assert isinstance(define, DefineDevice)
        assert define.device.vlan == vlan

    @pytest.mark.parametrize("more", [{"mac": PF_MAC}, {"vlan": 7}])
    def test_a_whole_nic_takes_neither(self, more: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="is a whole NIC"):
            attach(ready_host().read(tmp_path), "eth1", **more)

    def test_where_the_pf_shows_no_interface_one_must_be_given(self, tmp_path: Path) -> None:
        tree = vf_host().but(network=network(link("eth1v0"), link("eth1v1")))
        with pytest.raises(BadInputError) as caught:
            self.mac_of(tree, tmp_path)
        assert caught.value.hint == "Give one: --mac"
        assert self.mac_of(tree, tmp_path / "again", mac=PF_MAC) == PF_MAC

    def test_where_the_pf_has_no_mac_none_is_made_up(self, tmp_path: Path) -> None:
        """From nothing every host would derive the same."""
        tree = vf_host(mac=None, permanent_mac=None)
        with pytest.raises(BadInputError):
            self.mac_of(tree, tmp_path)


class TestDetach:
    """Taking a NIC back."""

    OWNING = ready_host(vms=(Vm(name="guest", devices=hostdev_xml(NIC)),))

    def test_a_record_of_less_than_is_there_is_not_gone_back_to(self, tmp_path: Path) -> None:
        """It was made in the middle of a boot; that it is left as it is, is said."""
        host = self.OWNING.read(tmp_path)
        plan = plan_detach(host, DetachRequest(vm="guest", nic=NIC), NicState(address=Address(NIC), driver=None))
        (back,) = (step for step in plan.steps if isinstance(step, GiveBackNic))
        assert back.state.driver == "ixgbe"
        assert "knows no driver" in plan.notes[0]

    def test_the_steps(self, tmp_path: Path) -> None:
        host = self.OWNING.read(tmp_path)
        plan = plan_detach(host, DetachRequest(vm="guest", nic="eth1"), None)
        assert [type(step) for step in plan.steps] == [UndefineDevice, GiveBackNic]
        assert any("did not attach it" in note for note in plan.notes)

    def test_what_it_was_comes_from_the_record(self, tmp_path: Path) -> None:
        host = self.OWNING.read(tmp_path)
        kept = msgspec.structs.replace(observe_state(host.pci[1], HostIndex(host)), driver="igb")
        plan = plan_detach(host, DetachRequest(vm="guest", nic=NIC), kept)
        back = plan.steps[1]
        assert isinstance(back, GiveBackNic)
        assert back.state == kept
        assert plan.notes == ()

    def test_its_undo_puts_back_all_that_stood_in_the_definition(self, tmp_path: Path) -> None:
        vms = (Vm(name="guest", devices=vf_interface_xml(VF1, "52:54:00:aa:00:01", vlan=7)),)
        host = ready_host(*WITH_VFS, vms=vms).read(tmp_path)
        undefine = plan_detach(host, DetachRequest(vm="guest", nic=VF1), None).steps[0]
        define = invert_step(undefine)
        assert isinstance(define, DefineDevice)
        assert (define.device.mac, define.device.vlan) == ("52:54:00:aa:00:01", 7)
        assert define.device.managed

    def test_what_the_host_came_to_use_since_is_left_as_it_is(self, tmp_path: Path) -> None:
        idle = self.OWNING.read(tmp_path / "idle")
        kept = observe_state(idle.pci[1], HostIndex(idle))
        used = network(link("eth1", up=True), address("eth1", "10.0.0.5/24"), route("eth1"))
        host = msgspec.structs.replace(idle, network=used)
        plan = plan_detach(host, DetachRequest(vm="guest", nic=NIC), kept)
        back = plan.steps[1]
        assert isinstance(back, GiveBackNic)
        assert back.state == observe_state(host.pci[1], HostIndex(host))
        assert "10.0.0.5/24" in plan.notes[0]

    def test_what_a_manager_gave_it_since_is_compared_with_what_it_gave_before(self, tmp_path: Path) -> None:
        """Nothing is cut off by it: on such an interface no address is ours to write."""
        idle = self.OWNING.read(tmp_path / "idle")
        manager = LinkManager(netdev="eth1", manager="NetworkManager", profile="8b7f0c52")
        kept = msgspec.structs.replace(observe_state(idle.pci[1], HostIndex(idle)), managers=(manager,))
        used = network(link("eth1", up=True), address("eth1", "10.0.0.5/24"), route("eth1"))
        plan = plan_detach(msgspec.structs.replace(idle, network=used), DetachRequest(vm="guest", nic=NIC), kept)
        back = plan.steps[1]
        assert isinstance(back, GiveBackNic)
        assert back.state == kept

    def test_a_tentative_address_is_one_that_is_not_there_yet(self, tmp_path: Path) -> None:
        net = network(link("eth1", up=True), address("eth1", "fe80::1/64", scope="link"))
        host = ready_host(net=net).read(tmp_path)
        before = observe_state(host.pci[1], HostIndex(host))
        after = msgspec.structs.replace(
            before, addresses=(msgspec.structs.replace(before.addresses[0], tentative=True),)
        )
        assert [field.field for field in differences(before, after)] == ["addresses"]

    def test_what_stays_on_vfio_is_not_said_to_be_given_back(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, driver="vfio-pci"), vms=(Vm(name="guest", devices=hostdev_xml(NIC, managed="no")),))
        plan = plan_detach(tree.read(tmp_path), DetachRequest(vm="guest", nic=NIC), None)
        assert [type(step) for step in plan.steps] == [UndefineDevice]
        assert "stays on vfio-pci" in plan.notes[0]

    def test_another_vm_that_runs_with_it_keeps_it(self, tmp_path: Path) -> None:
        vms = (Vm(name="guest", devices=hostdev_xml(NIC)), Vm(name="web", uuid="2", devices=hostdev_xml(NIC)))
        host = ready_host(vms=vms).read(tmp_path)
        guest, web = host.domains  # type: ignore[misc]
        web = msgspec.structs.replace(web, running=True, live_devices=web.config_devices)
        with pytest.raises(RefusedError, match="web is running with eth1"):
            plan_detach(msgspec.structs.replace(host, domains=(guest, web)), DetachRequest(vm="guest", nic=NIC), None)

    def test_undoing_it_loses_nothing_of_the_element(self, tmp_path: Path) -> None:
        undefine = plan_detach(self.OWNING.read(tmp_path), DetachRequest(vm="guest", nic=NIC), None).steps[0]
        assert isinstance(undefine, UndefineDevice)
        assert "<alias" in build_device(undefine.device) or "<address" in build_device(undefine.device)
        assert build_device(undefine.device) == undefine.device.xml

    def test_what_it_does_not_have_cannot_be_taken_from_it(self, tmp_path: Path) -> None:
        vms = (VM, Vm(name="web", uuid="2", devices=hostdev_xml(NIC)))
        with pytest.raises(BadInputError, match="guest does not have eth1") as caught:
            plan_detach(ready_host(vms=vms).read(tmp_path), DetachRequest(vm="guest", nic=NIC), None)
        assert "web" in caught.value.hint

    def test_the_guest_of_a_running_vm_has_to_let_go(self, tmp_path: Path) -> None:
        host = self.OWNING.read(tmp_path)
        (domain,) = host.domains  # type: ignore[misc]
        running = msgspec.structs.replace(domain, running=True, live_devices=domain.config_devices)
        host = msgspec.structs.replace(host, domains=(running,))
        plan = plan_detach(host, DetachRequest(vm="guest", nic=NIC), None)
        assert isinstance(plan.steps[0], UnplugDevice)
        assert isinstance(plan.steps[1], UndefineDevice)
        paused = msgspec.structs.replace(running, paused=True)
        with pytest.raises(RefusedError, match="paused"):
            plan_detach(msgspec.structs.replace(host, domains=(paused,)), DetachRequest(vm="guest", nic=NIC), None)


class TestVf:
    """Making and removing VFs."""

    CAPABLE = ready_host(nic(PF, "eth1", totalvfs=8))

    @pytest.mark.parametrize("count", [1, 8])
    def test_one_step_makes_them(self, count: int, tmp_path: Path) -> None:
        plan = plan_vf(self.CAPABLE.read(tmp_path), VfRequest(pf="eth1", count=count))
        assert plan.steps == (made(0, count, link("eth1").mac or ""),)

    @pytest.mark.parametrize("for_host", [False, True])
    def test_the_hosts_drivers_have_them_only_if_asked(self, for_host: bool, tmp_path: Path) -> None:
        plan = plan_vf(self.CAPABLE.read(tmp_path), VfRequest(pf="eth1", count=2, for_host=for_host))
        assert [step.autoprobe for step in plan.steps if isinstance(step, SetNumvfs)] == [for_host]

    def test_a_pf_that_a_vm_has_makes_none(self, tmp_path: Path) -> None:
        host = self.CAPABLE.but(vms=(Vm(name="web", devices=hostdev_xml(PF)),)).read(tmp_path)
        with pytest.raises(RefusedError, match="belongs to the VM web") as caught:
            plan_vf(host, VfRequest(pf="eth1", count=2))
        assert caught.value.hint == f"nicpass detach web {PF}"

    def test_as_many_as_there_are_is_nothing_to_do(self, tmp_path: Path) -> None:
        assert plan_vf(self.CAPABLE.read(tmp_path), VfRequest(pf="eth1", count=0)).steps == ()
        assert plan_vf(vf_host().read(tmp_path / "b"), VfRequest(pf="eth1", count=2)).steps == ()

    @pytest.mark.parametrize("count", [0, 1, 5])
    def test_idle_vfs_may_go(self, count: int, tmp_path: Path) -> None:
        plan = plan_vf(vf_host().read(tmp_path), VfRequest(pf="eth1", count=count))
        assert plan.steps == (made(2, count, PF_MAC),)

    @pytest.mark.parametrize(("purpose", "stay"), [("configure", False), ("unclear", False), ("port", True)])
    def test_a_pattern_that_means_every_vf_keeps_none(self, purpose: IntentPurpose, stay: bool, tmp_path: Path) -> None:
        host = vf_host().read(tmp_path)
        intent = Intent(netdev="eth1v0", manager="systemd-networkd", purpose=purpose, source="/etc/x", text="Name=e*")
        meant = msgspec.structs.replace(host.network, intents=Intents(found=(intent,)))
        host, request = msgspec.structs.replace(host, network=meant), VfRequest(pf="eth1", count=0)
        if stay:
            with pytest.raises(RefusedError, match="is to be part of another interface"):
                plan_vf(host, request)
        else:
            assert len(plan_vf(host, request).steps) == 1

    @pytest.mark.parametrize("count", [-1, 9])
    def test_more_than_it_has_is_bad_input(self, count: int, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="0 to 8"):
            plan_vf(self.CAPABLE.read(tmp_path), VfRequest(pf="eth1", count=count))

    @pytest.mark.parametrize("totalvfs", [None, 0])
    def test_without_sriov_it_is_impossible(self, totalvfs: int | None, tmp_path: Path) -> None:
        tree = ready_host(nic(PF, "eth1", totalvfs=totalvfs))
        with pytest.raises(ImpossibleError):
            plan_vf(tree.read(tmp_path), VfRequest(pf="eth1", count=1))

    def test_unknown_sriov_is_refused(self, tmp_path: Path) -> None:
        host = self.CAPABLE.read(tmp_path)
        unknown = tuple(msgspec.structs.replace(f, totalvfs=Unknown("permission denied")) for f in host.pci)
        with pytest.raises(RefusedError, match="permission denied"):
            plan_vf(msgspec.structs.replace(host, pci=unknown), VfRequest(pf=PF, count=1))

    @pytest.mark.parametrize(
        ("tree", "words"),
        [
            (vf_host().but(vms=(Vm(name="web", devices=vf_interface_xml(VF1, PF_MAC)),)), "belongs to the VM web"),
            (vf_host().but(vms=None), "could not be learned"),
            (
                ready_host(WITH_VFS[0], WITH_VFS[1], nic(VF1, group=22, driver="vfio-pci", pf=PF)),
                "is on vfio-pci",
            ),
            (
                vf_host().but(
                    network=network(link("eth1"), link("eth1v0"), link("eth1v1"), address("eth1v0", "10.0.0.9/24"))
                ),
                "10.0.0.9",
            ),
            (vf_host().but(network=None), "could not be learned"),
            (vf_host().but(network=network(link("eth1"), link("eth1v0"))), "shows no interface"),
        ],
    )
    def test_vfs_in_use_stay(self, tree: Tree, words: str, tmp_path: Path) -> None:
        for count in (0, 4):
            with pytest.raises(RefusedError, match=words):
                plan_vf(tree.read(tmp_path / str(count)), VfRequest(pf=PF, count=count))


class TestCompare:
    """Law 4: equal, or which field differs."""

    def test_nothing_differs_from_itself(self, tmp_path: Path) -> None:
        host = ready_host(net=DEFAULT_ROUTE).read(tmp_path)
        state = observe_state(host.pci[1], HostIndex(host))
        assert differences(state, state) == ()
        fields = [field.field for field in compare_states(state, state)]
        link = ["name", "MAC", "MTU", "link", "master", "other names"]
        assert fields == ["driver", *link, "uppers", "addresses", "routes"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"mtu": 9000}, "MTU"),
            ({"mac": "02:00:00:00:00:01"}, "MAC"),
            ({"up": False}, "link"),
            ({"carrier": False}, "link"),
            ({"name": "eth7"}, "name"),
            ({"master": "br0"}, "master"),
        ],
    )
    def test_each_field_of_a_link(self, change: dict[str, object], field: str, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        before = observe_state(host.pci[1], HostIndex(host))
        after = msgspec.structs.replace(before, links=(msgspec.structs.replace(before.links[0], **change),))
        assert [each.field for each in differences(before, after)] == [field]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"driver": None}, "driver"),
            ({"addresses": ()}, "addresses"),
            ({"routes": ()}, "routes"),
            ({"links": ()}, "name"),
        ],
    )
    def test_each_field_of_a_nic(self, change: dict[str, object], field: str, tmp_path: Path) -> None:
        host = ready_host(net=DEFAULT_ROUTE).read(tmp_path)
        before = observe_state(host.pci[1], HostIndex(host))
        assert [each.field for each in differences(before, msgspec.structs.replace(before, **change))] == [field]

    def test_the_order_of_addresses_and_routes_is_no_difference(self, tmp_path: Path) -> None:
        items = (
            address("eth1", "10.0.0.5/24"),
            address("eth1", "10.0.0.6/24"),
            route("eth1"),
            route("eth1", "10.9.0.0/16"),
        )
        host = ready_host(net=network(link("eth1"), *items)).read(tmp_path)
        before = observe_state(host.pci[1], HostIndex(host))
        after = msgspec.structs.replace(before, addresses=before.addresses[::-1], routes=before.routes[::-1])
        assert differences(before, after) == ()
