# SPDX-License-Identifier: Apache-2.0
"""A VM or a card that is gone leaves no record behind that nobody can settle, and no guard."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.host.orphans import find_orphans
from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.journal.orphans import plan_orphans
from nicpass.cli.main import main
from nicpass.cli.source import Source
from nicpass.engine.host_steps import read_state
from nicpass.engine.lock import hold_lock
from nicpass.engine.nic.store import read_kept_nic
from nicpass.engine.transaction import run_plan
from nicpass.host.system.actor import read_actor
from nicpass.model.address import Address
from nicpass.model.guard import HOOK
from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest
from nicpass.planner.nic_state.compare import differences
from tests.support.simulation.commands import run_command
from tests.support.simulation.hardware import NIC, PF, VFS
from tests.support.simulation.host import LAST, SimulatedHost, do
from tests.support.simulation.scenes import ALLOW, WEB, stop_web

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.host import Machine

pytestmark = pytest.mark.spawns

GIVE = AttachRequest(vm="web", nic=NIC, allow=ALLOW)
START = AttachRequest(vm="web", nic=NIC, allow=ALLOW, start=True)


def check(host: SimulatedHost, look: object) -> None:
    done = host.run(look)  # type: ignore[arg-type]
    assert done.exit_code == 0, done


def undefine(host: SimulatedHost) -> None:
    """virsh undefine web."""
    (host.base / "root/etc/libvirt/qemu/web.xml").unlink()


def pull_out(host: SimulatedHost) -> None:
    """The card is taken out: the kernel forgets it and its interface."""

    def act(machine: Machine) -> None:
        machine.kernel.unbind(NIC)
        link = machine.kernel.root / f"sys/bus/pci/devices/{NIC}"
        folder = link.resolve()
        link.unlink()
        shutil.rmtree(folder)

    check(host, act)


def shrink(machine: Machine) -> None:
    """Somebody changes the NIC by hand."""
    index = machine.kernel.interfaces.index_of("lan0")
    assert index is not None
    machine.kernel.interfaces.set_link(index, {"mtu": 1500})


def is_settled(host: SimulatedHost) -> bool:
    files = host.base / "root"
    return not list((files / "var/lib/nicpass/nics").glob("*.json")) and not (files / HOOK[1:]).exists()


def orphans_of(host: SimulatedHost) -> list[str]:
    found: list[str] = []
    path = host.base / "found"

    def look(machine: Machine) -> None:
        orphans = find_orphans(HostIndex(machine.read()))
        path.write_text("\n".join(f"{o.reason}: {o.command}" for o in orphans))

    check(host, look)
    found += path.read_text().splitlines()
    path.unlink()
    return found


@pytest.mark.parametrize("given", [GIVE, START], ids=["never left", "was away"])
@pytest.mark.parametrize("request_", [DetachRequest(vm="web", nic=NIC), DetachRequest(vm=WEB, nic="lan0")])
def test_a_nic_comes_back_from_a_vm_that_is_gone(
    given: AttachRequest, request_: DetachRequest, host: SimulatedHost
) -> None:
    do(host, given)
    if given.start:
        check(host, stop_web)
        host.settle()
    assert orphans_of(host) == []
    undefine(host)
    assert orphans_of(host) == [f"the VM web is gone: nicpass detach web {NIC}"]
    do(host, request_)
    assert is_settled(host)
    assert host.state() == {k: v for k, v in _first(host).items() if "web.xml" not in k}


def _first(host: SimulatedHost) -> dict[str, str]:
    now = host.raw()
    host.put_back(host.first)
    first = host.state()
    host.put_back(now)
    return first


def test_undo_of_an_attach_to_a_vm_that_is_gone(host: SimulatedHost) -> None:
    do(host, GIVE)
    undefine(host)
    do(host, UndoRequest(change=LAST))
    assert is_settled(host)


def test_a_vm_that_was_made_anew_is_another_one(host: SimulatedHost) -> None:
    do(host, GIVE)
    path = host.base / "root/etc/libvirt/qemu/web.xml"
    before = next(v for k, v in host.first.items() if k.endswith("qemu/web.xml"))[1].decode()
    path.write_text(before.replace(WEB, "00000000-0000-0000-0000-00000000abcd"))
    assert orphans_of(host) == [f"the VM web is gone: nicpass detach web {NIC}"]
    do(host, DetachRequest(vm="web", nic=NIC))
    assert is_settled(host)


def test_a_vm_that_was_renamed_is_still_the_one(host: SimulatedHost) -> None:
    do(host, GIVE)
    path = host.base / "root/etc/libvirt/qemu/web.xml"
    path.with_name("shop.xml").write_text(path.read_text().replace("<name>web<", "<name>shop<"))
    path.unlink()
    assert orphans_of(host) == []
    do(host, DetachRequest(vm="web", nic=NIC))
    assert is_settled(host)
    assert NIC[5:7] not in path.with_name("shop.xml").read_text().partition("<source>")[2]


def test_a_vm_that_lost_it_by_another_hand(host: SimulatedHost) -> None:
    do(host, GIVE)
    (host.base / "root/etc/libvirt/qemu/web.xml").write_bytes(
        next(v for k, v in host.first.items() if k.endswith("qemu/web.xml"))[1]
    )
    assert orphans_of(host) == [f"the VM web does not have it any more: nicpass detach web {NIC}"]
    do(host, DetachRequest(vm="web", nic=NIC))
    assert is_settled(host)


@pytest.mark.parametrize("vm_too", [False, True])
@pytest.mark.parametrize("nic", [NIC, "lan0", "uplink-lan0"])
def test_a_card_that_is_gone_is_taken_from_its_vm(nic: str, vm_too: bool, host: SimulatedHost) -> None:
    do(host, GIVE)
    pull_out(host)
    if vm_too:
        undefine(host)
    assert orphans_of(host) == [f"there is no {NIC} on this host any more: nicpass detach web {NIC}"]
    do(host, DetachRequest(vm="web", nic=nic))
    assert is_settled(host)
    if not vm_too:
        first = next(v for k, v in host.first.items() if k.endswith("qemu/web.xml"))[1]
        assert (host.base / "root/etc/libvirt/qemu/web.xml").read_bytes() == first


def test_undo_of_an_attach_of_a_card_that_is_gone(host: SimulatedHost) -> None:
    do(host, GIVE)
    pull_out(host)
    do(host, UndoRequest(change=LAST))
    assert is_settled(host)


def test_a_vf_that_is_gone(host: SimulatedHost) -> None:
    from nicpass.model.request import VfRequest

    do(host, VfRequest(pf="eth1", count=2))
    do(host, AttachRequest(vm="web", nic=VFS[1]))

    def act(machine: Machine) -> None:
        machine.kernel.write("/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs", "0")

    check(host, act)
    assert orphans_of(host) == [
        f"its PF eth1 ({PF}) has no VFs now; after a boot there are none until somebody makes them: "
        f"nicpass detach web {VFS[1]}"
    ]
    do(host, DetachRequest(vm="web", nic=VFS[1]))
    assert is_settled(host)


def settle(machine: Machine) -> None:
    """As `nicpass recover` does."""
    actor = read_actor(machine.files, ["recover"])
    with hold_lock(machine.files, actor):
        for plan in plan_orphans(Source(machine.files, machine.read(), is_live=True)):
            run_plan(plan, machine.handlers(), machine.files, actor=actor)


def test_recover_forgets_what_is_as_it_was(host: SimulatedHost) -> None:
    do(host, GIVE)
    check(host, settle)
    assert not is_settled(host), "its VM is there"
    undefine(host)
    check(host, settle)
    assert is_settled(host)


def test_recover_leaves_to_a_person_what_is_not_as_it_was(host: SimulatedHost) -> None:
    do(host, GIVE)
    undefine(host)

    check(host, shrink)
    check(host, settle)
    assert not is_settled(host)
    do(host, DetachRequest(vm="web", nic=NIC))
    assert is_settled(host)


def test_recover_closes_no_record_of_a_card_that_is_gone(host: SimulatedHost) -> None:
    do(host, GIVE)
    pull_out(host)
    check(host, settle)
    assert not is_settled(host)


def test_the_guard_goes_with_the_last_of_several(host: SimulatedHost) -> None:
    from nicpass.model.request import VfRequest

    do(host, VfRequest(pf="eth1", count=1))
    do(host, GIVE)
    do(host, AttachRequest(vm="web", nic=VFS[0]))
    undefine(host)
    check(host, settle)
    assert is_settled(host)


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_what_is_left_to_a_person_is_told(host: SimulatedHost, tmp_path: Path, flags: tuple[str, ...]) -> None:
    do(host, GIVE)
    undefine(host)

    def take_an_address_away(machine: Machine) -> None:
        interfaces = machine.kernel.interfaces
        index = interfaces.index_of("lan0")
        assert index is not None
        interfaces.remove_address(index, "10.3.0.5")

    check(host, take_an_address_away)
    told = run_command(host, "recover", *flags, report=tmp_path / "report")
    assert told.exit_code == 0
    assert f"{NIC} was given to the VM web, but the VM web is gone." in told.output
    assert f"nicpass detach web {NIC}" in told.output
    assert not is_settled(host)


def test_while_libvirt_does_not_answer_nothing_is_gone(host: SimulatedHost) -> None:
    do(host, GIVE)
    undefine(host)

    def act(machine: Machine) -> None:
        from nicpass.cli.planning import plan_request
        from nicpass.model.errors import ImpossibleError
        from nicpass.model.fact import Unknown

        unknown = msgspec.structs.replace(machine.read(), domains=Unknown("libvirt does not answer"))
        source = Source(machine.files, unknown, is_live=True)
        assert plan_orphans(source) == ()
        with pytest.raises(ImpossibleError, match="libvirt does not answer"):
            plan_request(DetachRequest(vm="web", nic=NIC), source)
        kept = read_kept_nic(machine.files, Address(NIC))
        assert kept is not None
        assert differences(kept.state, read_state(machine.files, Address(NIC))) == ()

    check(host, act)
    assert not is_settled(host)


def abandon(machine: Machine) -> None:
    """As `nicpass recover --abandon 0000:03:00.0` does, on the doors of this host."""
    from nicpass.cli import carry_out
    from nicpass.cli.journal import orphans
    from nicpass.cli.render.telling import Teller

    setattr(carry_out, "handlers_of", lambda _files, _tell: machine.handlers())  # noqa: B010
    live = Source(machine.files, machine.read(), is_live=True)
    setattr(orphans, "read_live_source", lambda _files, *, boot: live)  # noqa: B010
    actor = read_actor(machine.files, ["recover", "--abandon", NIC])
    with hold_lock(machine.files, actor):
        orphans.abandon_nic(machine.files, Address(NIC), actor, Teller(as_json=True))


class TestAbandon:
    """nicpass recover --abandon ADDRESS."""

    def test_what_is_not_as_it_was_stays_as_it_is(self, host: SimulatedHost) -> None:
        do(host, GIVE)
        undefine(host)
        check(host, shrink)
        before = host.state()
        check(host, abandon)
        assert is_settled(host)
        kept = ("var/lib/nicpass", "hooks", "systemd")
        changed = {k for k in before if before[k] != host.state().get(k)}
        assert all(any(word in path for word in kept) for path in changed), changed

    def test_a_card_that_is_gone(self, host: SimulatedHost) -> None:
        do(host, GIVE)
        undefine(host)
        pull_out(host)
        check(host, abandon)
        assert is_settled(host)

    def test_a_vm_that_has_it_keeps_it_and_what_it_was_is_what_it_is(self, host: SimulatedHost) -> None:
        do(host, GIVE)
        check(host, shrink)
        check(host, abandon)
        assert not is_settled(host)
        kept = (host.base / f"root/var/lib/nicpass/nics/{NIC}.json").read_bytes()
        assert msgspec.json.decode(kept)["state"]["links"][0]["mtu"] == 1500
        do(host, DetachRequest(vm="web", nic=NIC))
        assert is_settled(host)

    def test_while_the_vm_runs_with_it_it_is_refused(self, host: SimulatedHost) -> None:
        do(host, START)
        done = host.run(abandon)
        assert done.exit_code == 4
        assert "web is running" in done.sentence
        assert done.hint == "virsh shutdown web"

    def test_of_which_nothing_is_kept(self, host: SimulatedHost) -> None:
        done = host.run(abandon)
        assert done.exit_code == 2
        assert "Nothing is kept" in done.sentence


def test_check_and_list_tell_of_it_and_how_it_ends(host: SimulatedHost, capsys: pytest.CaptureFixture[str]) -> None:
    do(host, GIVE)
    undefine(host)
    where = ("--root", str(host.base / "root"))
    main(["check", *where])
    told = capsys.readouterr().out
    assert f"RECORD_WITHOUT_VM: lan0 ({NIC}) was given to the VM web, but the VM web is gone." in told
    assert f"nicpass detach web {NIC}" in told
    main(["list", *where])
    told = capsys.readouterr().err
    assert "but the VM web is gone" in told
    assert f"nicpass detach web {NIC}" in told
    check(host, settle)
    main(["list", *where])
    assert capsys.readouterr().err == ""
