# SPDX-License-Identifier: Apache-2.0
"""What `nicpass prepare` plans, on trees of hosts that boot by GRUB; and that taking out leaves nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nicpass.boot.loader.grub import OUR_FILE, TRIAL_ENTRY
from nicpass.checks.lookup.index import HostIndex
from nicpass.model.address import Address
from nicpass.model.binding import BootBindings, BuiltinDriver
from nicpass.model.boot import BootPurpose
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import RegularFile
from nicpass.model.host import Host
from nicpass.model.plan import (
    ArmTimer,
    ChangeBoot,
    GiveBackNic,
)
from nicpass.model.prepared import Prepared, PreparedNic, Stage
from nicpass.model.request import PrepareRequest
from nicpass.planner.boot.prepare import (
    Preparation,
    is_reboot_due,
    plan_finish,
    plan_prepare,
    plan_removal_of,
    select_unprepared,
    what_is_missing,
)
from tests.support.boot import BootTree
from tests.support.hosts import address, bridge, link, network, nic, pf_with_vfs, ready_host, route
from tests.support.trees import Tree, Vm, hostdev_xml

NIC = "0000:01:00.0"

OFF = ready_host(nic(NIC, "eth1", group=None), cmdline="ro quiet intel_iommu=off", iommu_units=())
READY = ready_host(nic(NIC, driver="vfio-pci", driver_override="vfio-pci"), cmdline="ro quiet intel_iommu=on")
BOOT = BootTree(files={"/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=off"\n'})
REQUEST = PrepareRequest(nics=("eth1",))


def host_of(tree: Tree, folder: Path, boot: BootTree = BOOT, boot_id: str = "first") -> Host:
    host = tree.read(folder / "host")
    platform = msgspec.structs.replace(host.platform, boot_id=boot_id)
    return msgspec.structs.replace(host, boot=boot.read(folder / "boot"), platform=platform)


def giving(host: Host) -> Host:
    """The entries of its menu give to the kernel what the running one was given."""
    entries = host.boot.entries
    assert isinstance(entries, tuple)
    same = tuple(msgspec.structs.replace(entry, arguments=str(host.platform.cmdline)) for entry in entries)
    return msgspec.structs.replace(host, boot=msgspec.structs.replace(host.boot, entries=same))


def purposes(preparation: Preparation) -> list[str]:
    return [step.purpose for step in preparation.plan.steps if isinstance(step, ChangeBoot)]


def waiting(folder: Path, request: PrepareRequest = REQUEST) -> Prepared:
    record = plan_prepare(host_of(OFF, folder / "waiting"), request, None, {}).record
    assert record is not None
    return record


def test_all_that_a_host_with_the_iommu_off_needs(tmp_path: Path) -> None:
    preparation = plan_prepare(host_of(OFF, tmp_path), REQUEST, None, {})
    assert purposes(preparation) == [BootPurpose.BINDING, BootPurpose.RIGHTS, BootPurpose.TRIAL]
    record = preparation.record
    assert record is not None
    assert (record.stage, record.arguments, record.trial) == (Stage.WAITING, ("intel_iommu=on",), True)
    assert [nic.binding.address for nic in record.nics] == [NIC]
    assert record.nics[0].state.driver == "ixgbe"
    assert "VT-d" in " ".join(preparation.plan.notes)
    assert is_reboot_due(host_of(OFF, tmp_path / "b"), record)


def test_where_nothing_can_be_tried_it_is_written_at_once(tmp_path: Path) -> None:
    host = host_of(OFF, tmp_path)
    host = msgspec.structs.replace(host, boot=msgspec.structs.replace(host.boot, can_try=False))
    preparation = plan_prepare(host, PrepareRequest(), None, {})
    assert purposes(preparation) == [BootPurpose.ARGUMENTS]
    assert preparation.record is not None
    assert preparation.record.trial is False


def test_a_host_that_is_ready_needs_nothing(tmp_path: Path) -> None:
    ready = ready_host(cmdline="ro quiet intel_iommu=on")
    boot = BootTree(files={"/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=on"\n'})
    host = giving(host_of(ready, tmp_path, boot))
    preparation = plan_prepare(host, PrepareRequest(), None, {})
    assert (preparation.plan.steps, preparation.record) == ((), None)
    assert not is_reboot_due(host, None)


@pytest.mark.parametrize(
    ("tree", "nics", "error", "words"),
    [
        (OFF, ("eth7",), BadInputError, "no NIC 'eth7'"),
        (ready_host(*pf_with_vfs(NIC, "eth1", 1)), ("eth1v0",), BadInputError, "is a VF"),
        (
            ready_host(vms=(Vm(name="web", devices=hostdev_xml(NIC)),)),
            ("eth1",),
            RefusedError,
            "web",
        ),
        (
            ready_host(net=network(link("eth1", up=True), address("eth1", "10.0.0.5/24"), route("eth1"))),
            ("eth1",),
            RefusedError,
            "default",
        ),
        (READY, (NIC,), RefusedError, "vfio-pci already"),
        (ready_host(nic(NIC, "eth1", group=None), tables=("FACP",), iommu_units=()), (), ImpossibleError, "IOMMU"),
        (ready_host(cmdline="ro iommu=off"), (), ImpossibleError, "iommu=off"),
    ],
)
def test_what_cannot_or_may_not_be(
    tree: Tree, nics: tuple[str, ...], error: type[Exception], words: str, tmp_path: Path
) -> None:
    host = giving(host_of(tree, tmp_path))
    with pytest.raises(error, match=words):
        plan_prepare(host, PrepareRequest(nics=nics), None, {})


@pytest.mark.parametrize("group", ["", "a b", "-x", "root:x"])
def test_what_is_no_name_of_a_group(group: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is no name of a group"):
        plan_prepare(host_of(OFF, tmp_path), PrepareRequest(group=group), None, {})


def test_a_group_gets_rights_and_is_kept(tmp_path: Path) -> None:
    host = host_of(OFF, tmp_path)
    preparation = plan_prepare(host, PrepareRequest(group="libvirt-qemu"), None, {})
    assert BootPurpose.RIGHTS in purposes(preparation)
    assert preparation.record is not None
    assert preparation.record.group == "libvirt-qemu"
    later = plan_prepare(host, REQUEST, preparation.record, {}).record
    assert later is not None
    assert later.group == "libvirt-qemu"


def test_all_of_it_is_taken_out_and_each_step_says_so(tmp_path: Path) -> None:
    up = host_of(READY, tmp_path, boot_id="second")
    done = plan_finish(up, waiting(tmp_path))
    assert done.record is not None
    places = _written(waiting_plan(tmp_path), done)
    files = BootTree(files={**BOOT.files, OUR_FILE: places[OUR_FILE].content.decode()})
    boot = files.read(tmp_path / "prepared")
    removal = plan_removal_of(msgspec.structs.replace(up, boot=boot), PrepareRequest(remove=True), done.record, places)
    assert purposes(removal) == [BootPurpose.BINDING, BootPurpose.RIGHTS, BootPurpose.ARGUMENTS]
    assert all(step.removes for step in removal.plan.steps if isinstance(step, ChangeBoot))
    assert removal.record is None
    back = removal.plan.steps[-1]
    assert isinstance(back, GiveBackNic)
    assert back.state == done.record.nics[0].state


def waiting_plan(folder: Path) -> Preparation:
    return plan_prepare(host_of(OFF, folder / "plan"), REQUEST, None, {})


def _written(*preparations: Preparation) -> dict[str, RegularFile]:
    """What these plans have left at the places of files."""
    steps = [step for each in preparations for step in each.plan.steps if isinstance(step, ChangeBoot)]
    changes = [change for step in steps for change in step.change.files]
    return {change.path: change.after for change in changes if isinstance(change.after, RegularFile)}


def test_the_end_of_the_trial_is_part_of_the_finish(tmp_path: Path) -> None:
    up = host_of(READY, tmp_path, BootTree(files={**BOOT.files, **_trial_files(tmp_path)}), boot_id="second")
    finished = plan_finish(up, waiting(tmp_path))
    assert purposes(finished) == [BootPurpose.ARGUMENTS, BootPurpose.TRIAL]
    trial = finished.plan.steps[1]
    assert isinstance(trial, ChangeBoot)
    assert trial.removes
    assert finished.plan.summary == "The host came up as it was prepared"
    failed = plan_finish(host_of(OFF, tmp_path / "off", boot_id="second"), waiting(tmp_path / "b"))
    assert failed.plan.summary == "The reboot did not bring what was prepared"


def _trial_files(folder: Path) -> dict[str, str]:
    """What the trial of the next boot has left on disk."""
    return {
        path: image.content.decode() for path, image in _written(waiting_plan(folder / "t")).items() if "grub" in path
    }


def test_a_trial_that_is_still_to_come_goes_too(tmp_path: Path) -> None:
    """Before the reboot: the next boot is as it was."""
    places = _written(waiting_plan(tmp_path))
    boot = BootTree(files={**BOOT.files, **_trial_files(tmp_path / "t")})
    removal = plan_removal_of(host_of(OFF, tmp_path, boot), PrepareRequest(remove=True), waiting(tmp_path), places)
    assert BootPurpose.TRIAL in purposes(removal)
    assert all(step.removes for step in removal.plan.steps if isinstance(step, ChangeBoot))


def test_a_card_that_cannot_be_told_from_another_is_not_bound(tmp_path: Path) -> None:
    host = host_of(OFF, tmp_path)
    unread = tuple(msgspec.structs.replace(function, config=Unknown("denied")) for function in host.pci)
    with pytest.raises(ImpossibleError, match=r"What makes eth1 .* this very card cannot be read: denied"):
        plan_prepare(msgspec.structs.replace(host, pci=unread), REQUEST, None, {})


def test_what_was_asked_for_once_is_asked_for_again(tmp_path: Path) -> None:
    """And what is written is not written twice."""
    host = host_of(OFF, tmp_path)
    first = plan_prepare(host, PrepareRequest(iommu_pt=True), None, {}).record
    assert first is not None
    assert set(first.arguments) == {"intel_iommu=on", "iommu=pt"}
    second = plan_prepare(host, REQUEST, first, {})
    assert second.record is not None
    assert second.record.arguments == first.arguments
    assert second.record.trial
    assert BootPurpose.TRIAL not in purposes(second)


@pytest.mark.parametrize(("asked", "seconds"), [(None, 0), (0, 0), (120, 120)])
def test_how_long_there_is_to_confirm_it(asked: int | None, seconds: int, tmp_path: Path) -> None:
    request = PrepareRequest(nics=("eth1",), confirm_within=asked)
    record = plan_prepare(host_of(OFF, tmp_path), request, None, {}).record
    assert record is not None
    assert record.confirm_within == seconds
    finished = plan_finish(host_of(READY, tmp_path / "after", boot_id="second"), record)
    assert [step.seconds for step in finished.plan.steps if isinstance(step, ArmTimer)] == (
        [seconds] if seconds else []
    )
    assert isinstance(finished.plan.request, PrepareRequest)
    assert finished.plan.request.finish


def test_a_boot_without_groups_is_told_as_the_finding_tells_it(tmp_path: Path) -> None:
    record = msgspec.structs.replace(waiting(tmp_path), arguments=())
    assert what_is_missing(host_of(OFF, tmp_path, boot_id="second"), record).startswith(
        "The kernel shows no IOMMU group"
    )


def test_one_of_two_goes_with_its_rights_and_the_other_keeps_its_own(tmp_path: Path) -> None:
    up = host_of(READY, tmp_path, boot_id="second")
    done = plan_finish(up, waiting(tmp_path)).record
    assert done is not None
    places = _written(waiting_plan(tmp_path))
    removal = plan_removal_of(up, PrepareRequest(nics=("eth1",), remove=True), done, places)
    everything = plan_removal_of(up, PrepareRequest(remove=True), done, places)
    assert BootPurpose.ARGUMENTS not in purposes(removal)
    assert removal.record is not None
    assert everything.record is None


@pytest.mark.parametrize("word", ["eth1", "lan0", "52:54:00:00:00:01", "52-54-00-00-00-02", NIC])
def test_a_prepared_nic_answers_to_its_macs_and_other_names_too(word: str, tmp_path: Path) -> None:
    record = waiting(tmp_path)
    was = link("eth1", altnames=("lan0",), mac="52:54:00:00:00:01", permanent_mac="52:54:00:00:00:02")
    one = msgspec.structs.replace(record.nics[0], state=msgspec.structs.replace(record.nics[0].state, links=(was,)))
    index = HostIndex(host_of(READY, tmp_path / "after", boot_id="second"))
    assert list(select_unprepared((word,), msgspec.structs.replace(record, nics=(one,)), index)) == []


def test_what_the_boot_has_on_another_driver_is_named(tmp_path: Path) -> None:
    record = waiting(tmp_path)
    on_none = host_of(ready_host(nic(NIC, driver=None), cmdline="ro intel_iommu=on"), tmp_path, boot_id="second")
    assert "is on no driver, not on vfio-pci" in what_is_missing(on_none, record)
    on_ixgbe = host_of(ready_host(nic(NIC, "eth1"), cmdline="ro intel_iommu=on"), tmp_path / "b", boot_id="second")
    assert "is on ixgbe, not on vfio-pci" in what_is_missing(on_ixgbe, record)
    gone = host_of(ready_host(bridge("0000:00:01.0"), cmdline="ro intel_iommu=on"), tmp_path / "c", boot_id="second")
    assert f"The NIC that was prepared as {NIC} is not there" in what_is_missing(gone, record)
    old = host_of(OFF, tmp_path / "d", boot_id="second")
    assert what_is_missing(old, record).startswith(
        "The kernel was not given intel_iommu=on: /proc/cmdline says ro quiet"
    )


def test_a_nic_that_is_not_on_vfio_any_more_is_the_hosts_already(tmp_path: Path) -> None:
    own = host_of(ready_host(nic(NIC, "eth1"), cmdline="ro intel_iommu=on"), tmp_path, boot_id="second")
    removal = plan_removal_of(own, PrepareRequest(remove=True), waiting(tmp_path), {})
    assert [step for step in removal.plan.steps if isinstance(step, GiveBackNic)] == []


def test_a_nic_of_the_session_is_to_be_confirmed_after_the_reboot(tmp_path: Path) -> None:
    net = network(link("eth1", up=True), address("eth1", "10.0.0.5/24"), route("eth1"))
    tree = ready_host(nic(NIC, "eth1", group=None), cmdline="ro intel_iommu=off", iommu_units=(), net=net)
    allow = frozenset({"CARRIES_DEFAULT_ROUTE", "CARRIES_ROUTE", "HAS_ADDRESS"})
    record = plan_prepare(host_of(tree, tmp_path), PrepareRequest(nics=("eth1",), allow=allow), None, {}).record
    assert record is not None
    assert record.confirm_within == 300
    up = host_of(READY, tmp_path / "after", boot_id="second")
    finished = plan_finish(up, record)
    assert [step.seconds for step in finished.plan.steps if isinstance(step, ArmTimer)] == [300]


def test_what_a_boot_has_shown_to_work_is_kept(tmp_path: Path) -> None:
    up = host_of(READY, tmp_path, boot_id="second")
    record = waiting(tmp_path)
    assert what_is_missing(up, record) == ""
    finished = plan_finish(up, record)
    assert purposes(finished)[0] == BootPurpose.ARGUMENTS
    written = finished.plan.steps[0]
    assert isinstance(written, ChangeBoot)
    assert [change.path for change in written.change.files][-1] == OUR_FILE
    assert finished.record is not None
    assert (finished.record.stage, finished.record.trial, finished.record.saw) == (Stage.DONE, False, "")
    assert finished.record.boot_id == "second"


def test_what_did_not_work_is_let_go_and_not_tried_again(tmp_path: Path) -> None:
    old = host_of(OFF, tmp_path, boot_id="second")
    finished = plan_finish(old, waiting(tmp_path))
    assert BootPurpose.ARGUMENTS not in purposes(finished)
    record = finished.record
    assert record is not None
    assert (record.stage, record.arguments) == (Stage.FAILED, ())
    assert "intel_iommu=on" in record.saw
    with pytest.raises(ImpossibleError, match=r"did not bring .* intel_iommu=on"):
        plan_prepare(old, REQUEST, record, {})
    plan_removal_of(old, PrepareRequest(remove=True), record, {})


def test_a_nic_that_its_own_driver_had_is_told_and_the_arguments_stay(tmp_path: Path) -> None:
    taken = host_of(ready_host(nic(NIC, "eth1"), cmdline="ro intel_iommu=on"), tmp_path, boot_id="second")
    finished = plan_finish(taken, waiting(tmp_path))
    assert purposes(finished)[0] == BootPurpose.ARGUMENTS
    assert finished.record is not None
    assert finished.record.stage == Stage.FAILED
    assert "not on vfio-pci" in finished.record.saw


def test_it_still_answers_to_the_names_that_it_had(tmp_path: Path) -> None:
    up = host_of(READY, tmp_path, boot_id="second")
    done = plan_finish(up, waiting(tmp_path)).record
    assert done is not None
    for name in ("eth1", NIC, NIC.removeprefix("0000:")):
        removal = plan_removal_of(up, PrepareRequest(nics=(name,), remove=True), done, {})
        assert removal.record is not None
        assert removal.record.nics == ()
        assert removal.record.arguments == ("intel_iommu=on",)
        assert [step.address for step in removal.plan.steps if isinstance(step, GiveBackNic)] == [NIC]
        assert BootPurpose.ARGUMENTS not in purposes(removal)
    with pytest.raises(BadInputError, match=r"not prepared|no NIC"):
        plan_removal_of(up, PrepareRequest(nics=("eth9",), remove=True), waiting(tmp_path / "b"), {})


def test_a_nic_that_a_vm_has_is_not_taken_out(tmp_path: Path) -> None:
    tree = ready_host(
        nic(NIC, driver="vfio-pci", driver_override="vfio-pci"),
        cmdline="ro intel_iommu=on",
        vms=(Vm(name="web", devices=hostdev_xml(NIC)),),
    )
    with pytest.raises(RefusedError, match="definition of web"):
        plan_removal_of(host_of(tree, tmp_path), PrepareRequest(remove=True), waiting(tmp_path), {})


def test_the_trial_is_of_the_next_boot_alone(tmp_path: Path) -> None:
    preparation = plan_prepare(host_of(OFF, tmp_path), PrepareRequest(), None, {})
    (trial,) = (step for step in preparation.plan.steps if isinstance(step, ChangeBoot))
    assert TRIAL_ENTRY in " ".join(trial.change.generators[-1].argv)
    assert all("/etc/default" not in change.path for change in trial.change.files)
    assert Address(NIC) not in str(trial)


def test_a_driver_that_is_part_of_the_kernel_cannot_be_kept_from_it(tmp_path: Path) -> None:
    host = host_of(OFF, tmp_path)
    builtin = BootBindings(builtin_drivers=(BuiltinDriver(address=Address(NIC), module="ixgbe"),))
    with pytest.raises(ImpossibleError, match="built into the kernel"):
        plan_prepare(msgspec.structs.replace(host, boot_bindings=builtin), REQUEST, None, {})


def test_another_card_at_the_address_of_one_that_moved_is_not_it(tmp_path: Path) -> None:
    def at(one: str, other: str) -> Tree:
        ports = (bridge("0000:00:01.0", group=1), bridge("0000:00:02.0", group=2))
        return ready_host(
            *ports,
            nic(NIC, one, under="0000:00:01.0", group=11, serial=0x1111),
            nic("0000:02:00.0", other, under="0000:00:02.0", group=12, serial=0x2222 if one == "eth1" else 0x1111),
        )

    host = host_of(at("eth1", "eth2"), tmp_path)
    record = plan_prepare(host, PrepareRequest(nics=("eth1",)), None, {}).record
    assert record is not None
    index = HostIndex(host)
    assert list(select_unprepared(("eth1", NIC), record, index)) == []
    assert [function.address for function in select_unprepared(("eth2",), record, index)] == ["0000:02:00.0"]
    swapped = msgspec.structs.replace(record, nics=(_with_serial(record, "00-00-00-00-00-00-22-22"),))
    assert [function.address for function in select_unprepared((NIC,), swapped, index)] == [NIC]


def _with_serial(record: Prepared, serial: str) -> PreparedNic:
    """As if it were the card of the other slot, which stood at the first address once."""
    nic = record.nics[0]
    identity = msgspec.structs.replace(nic.binding.identity, serial_number=serial)
    return msgspec.structs.replace(nic, binding=msgspec.structs.replace(nic.binding, identity=identity))
