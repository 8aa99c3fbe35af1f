# SPDX-License-Identifier: Apache-2.0
"""A host in one file, on the simulated host: made so at once, and taken back; a second time there is nothing to do."""

from __future__ import annotations

import errno
import functools
import os
import signal
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.state.planning import differ
from nicpass.engine.journal import Journal, read_changes
from nicpass.engine.nic.store import read_kept_nic
from nicpass.engine.transaction import run_plan
from nicpass.model.address import Address, derive_vf_mac
from nicpass.model.fact import value_or
from nicpass.model.plan import Plan
from nicpass.model.request import ApplyRequest, AttachRequest, DetachRequest, UndoRequest, VfRequest
from nicpass.planner.state.export import export_state, render_state
from nicpass.planner.state.text import StateFile, parse_state
from tests.support.simulation.hardware import NIC, PF, VFS, _mac, simulated_tree
from tests.support.simulation.host import (
    LAST,
    Machine,
    SimulatedHost,
    apply_request,
    change,
    do,
    other_than_journal,
    recover_all,
    see,
)
from tests.support.simulation.scenes import ALLOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.spawns

FILE = b"""\
schema: nicpass.state/1
pfs:
  eth1:
    vfs: 4
    all: {trust: on}
    each:
      1: {vlan: 7}
vms:
  web:
    nics: [{pf: eth1, vf: 0}]
  db:
    nics:
      - {pf: eth1, vf: 1, mac: "52:54:00:00:00:07"}
      - {pf: eth1, vf: 3, vlan: 9}
"""


@pytest.fixture
def host(quick_path: Path) -> SimulatedHost:
    return SimulatedHost(quick_path, simulated_tree())


def request(content: bytes = FILE, *, prune: bool = False) -> ApplyRequest:
    return apply_request(content, prune=prune)


def test_the_whole_of_it_is_there_and_a_second_time_nothing_is_done(host: SimulatedHost) -> None:
    do(host, request())

    def check(machine: Machine) -> None:
        kernel, domains = machine.kernel, {domain.name: domain for domain in value_or(machine.read().domains, ())}
        assert kernel.vfs_of(PF) == VFS[:4]
        assert [kernel.vf_settings(vf).trust for vf in VFS[:4]] == [True] * 4
        assert [kernel.vf_settings(vf).vlan for vf in VFS[:4]] == [0, 7, 0, 0]
        (web,) = domains["web"].config_devices
        assert web.address == VFS[0]
        one, other = domains["db"].config_devices
        assert (one.address, one.mac, one.vlan) == (VFS[1], "52:54:00:00:00:07", 7), "the VLAN that its PF has it in"
        assert (other.address, other.vlan) == (VFS[3], 9)
        file = parse_state("host.yaml", FILE)
        assert differ(file, machine.source()) == ()
        assert machine.plan_all(request()).first.steps == ()
        written = render_state(export_state(HostIndex(machine.read()))).encode()
        assert differ(parse_state("exported", written), machine.source()) == ()

    see(host, check)
    do(host, request())

    def check_history(machine: Machine) -> None:
        assert len(read_changes(machine.files)) == 1, "nothing was to be done, so there is no second change"

    see(host, check_history)


def test_one_undo_takes_all_of_it_back(host: SimulatedHost) -> None:
    before = host.state()
    do(host, request())
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(before, host.state()) == set()


def test_a_vf_that_comes_back_is_what_the_file_made_of_it(quick_path: Path) -> None:
    """The VFs are there: what the record keeps of one is what it is set to, not what it was before the same change."""
    host = SimulatedHost(quick_path, simulated_tree(4))
    do(host, request())
    do(host, DetachRequest(vm="web", nic=VFS[0]))

    def check(machine: Machine) -> None:
        left = [(d.kind, d.name, d.what) for d in differ(parse_state("host.yaml", FILE), machine.source())]
        assert left == [("vm", "web", "eth1 vf 0")]
        assert machine.kernel.vf_settings(VFS[0]).mac == derive_vf_mac(_mac(PF), 0)

    see(host, check)


def test_what_is_refused_once_the_vfs_are_there_takes_the_vfs_back(host: SimulatedHost) -> None:
    """The MAC is the one that VF 2 gets when it is made: this is seen only then."""
    taken = derive_vf_mac(_mac(PF), 2)
    twins = FILE.replace(b"{pf: eth1, vf: 3, vlan: 9}", f'{{pf: eth1, vf: 3, mac: "{taken}"}}'.encode())
    before = host.state()
    done = do(host, request(twins), exit_code=1)
    assert taken in done.sentence
    assert "All was taken back" in done.sentence
    assert other_than_journal(before, host.state()) == set()


def test_what_can_be_seen_before_is_refused_before(host: SimulatedHost) -> None:
    """The NIC has an address: that is refused before a VF is made."""
    more = FILE.replace(b"nics: [{pf: eth1, vf: 0}]", f"nics: ['{NIC}']".encode())
    done = do(host, request(more), exit_code=4)
    assert "host.yaml, line 1" in done.sentence  # the request alone knows no places

    def check(machine: Machine) -> None:
        assert machine.kernel.vfs_of(PF) == ()
        assert read_changes(machine.files) == ()

    see(host, check)


def test_killed_between_the_vfs_and_the_rest_it_is_taken_back(host: SimulatedHost) -> None:
    """At that moment every step that was planned is done; the change is not."""
    before = host.state()

    def kill_when_extended(machine: Machine) -> None:
        asked = request()
        plans = machine.plan_all(asked)

        def die() -> Iterator[Plan]:
            os.kill(os.getpid(), signal.SIGKILL)
            yield plans.first

        run_plan(plans.first, machine.handlers(), machine.files, further=die())

    assert host.run(kill_when_extended).exit_code is None
    done = host.run(recover_all)
    assert done.exit_code == 0, done
    assert [settled.direction for settled in done.settled] == ["take back"]
    assert other_than_journal(before, host.state()) == set()


def test_the_steps_of_both_plans_are_one_change(host: SimulatedHost) -> None:
    done = host.run(functools.partial(change, request=request()))
    assert done.exit_code == 0, done

    def check(machine: Machine) -> None:
        (one,) = read_changes(machine.files)
        assert one.opened is not None
        assert not one.opened.plan.more
        assert [record.number for record in one.steps if record.phase == "done"] == [*range(len(one.opened.plan.steps))]

    see(host, check)
    assert StateFile("x", request().state, {}).where(("vms",)) == "x, line 1, column 1"


def test_prune_takes_back_what_nicpass_made_and_the_file_does_not_name(host: SimulatedHost) -> None:
    before = host.state()
    do(host, request())
    less = FILE.replace(b"    nics: [{pf: eth1, vf: 0}]\n", b"").replace(b"vf: 1,", b"vf: 2,")

    def check_extra(machine: Machine) -> None:
        file = parse_state("host.yaml", less)
        extra = [(d.name, d.what, d.wanted) for d in differ(file, machine.source(), prune=True) if d.line == 0]
        assert sorted(extra) == [("db", VFS[1], None), ("web", VFS[0], None)]

    see(host, check_extra)
    do(host, msgspec.structs.replace(request(less), prune=True))

    def check(machine: Machine) -> None:
        has = {
            domain.name: [d.address for d in domain.config_devices] for domain in value_or(machine.read().domains, ())
        }
        assert has["web"] == []
        assert sorted(has["db"]) == [VFS[2], VFS[3]]
        assert differ(parse_state("host.yaml", less), machine.source(), prune=True) == ()

    see(host, check)
    do(host, msgspec.structs.replace(request(b"schema: nicpass.state/1"), prune=True))
    after = host.state()
    assert {n for n in {*after, *before} if after.get(n) != before.get(n)} <= {
        n for n in after if "/var/lib/nicpass" in n
    }


GIVEN = (
    VfRequest(pf="eth1", count=4),
    AttachRequest(vm="web", nic=VFS[0]),
    AttachRequest(vm="web", nic=NIC, allow=ALLOW),
)
NICS = f"{{nics: [{{pf: eth1, vf: 0}}, '{NIC}'], allow: [HAS_ADDRESS, CARRIES_ROUTE]}}"


@pytest.mark.parametrize("vms", ["{}", f"{{db: {NICS}}}"])
def test_undo_gives_a_vm_again_what_prune_took_from_it(vms: str, host: SimulatedHost) -> None:
    """Also what another VM has had since: it is to the host what it was before."""
    for earlier in GIVEN:
        do(host, earlier)
    before = host.state()
    file = f"schema: nicpass.state/1\npfs: {{eth1: {{vfs: 4}}}}\nvms: {vms}\n".encode()
    do(host, msgspec.structs.replace(request(file), prune=True))
    assert other_than_journal(before, host.state()) != set()
    done = do(host, UndoRequest(change=LAST), exit_code=4)
    assert "10.3.0.5" in done.sentence, "all is looked at anew"
    do(host, UndoRequest(change=LAST, allow=ALLOW))
    assert other_than_journal(before, host.state()) == set()

    def check(machine: Machine) -> None:
        kept = {
            nic.state.address: nic
            for nic in map(functools.partial(read_kept_nic, machine.files), (Address(NIC), Address(VFS[0])))
            if nic is not None
        }
        assert [nic.owner.domain for nic in kept.values() if nic.owner is not None] == ["web", "web"]
        assert "10.3.0.5" in {address.address for address in kept[Address(NIC)].state.addresses}

    see(host, check)


def test_undo_makes_vfs_again_that_went_and_gives_them_to_their_vms(host: SimulatedHost) -> None:
    for earlier in GIVEN:
        do(host, earlier)
    before = host.state()
    do(host, msgspec.structs.replace(request(b"schema: nicpass.state/1"), prune=True))
    pruned = host.state()
    done = do(host, UndoRequest(change=LAST), exit_code=4)
    assert "10.3.0.5" in done.sentence
    assert other_than_journal(pruned, host.state()) == set(), "it is refused before anything is done"
    do(host, UndoRequest(change=LAST, allow=ALLOW))
    assert other_than_journal(before, host.state()) == set()


@pytest.mark.parametrize("pfs", ["{eth1: {vfs: 4}}", "{}"])
def test_the_dead_mans_hand_takes_a_prune_back_as_far_as_it_can(pfs: str, host: SimulatedHost) -> None:
    """Nobody is there to allow anything: what was allowed is, and what a VM cannot have again keeps nothing else."""
    for earlier in GIVEN:
        do(host, earlier)
    before = host.state()
    file = f"schema: nicpass.state/1\npfs: {pfs}\nvms: {{db: {{nics: ['{NIC}'], allow: {sorted(ALLOW)}}}}}\n".encode()
    do(host, msgspec.structs.replace(request(file), prune=True, confirm_within=60))
    do(host, UndoRequest(change=LAST, stop=True, unconfirmed=True))

    def check(machine: Machine) -> None:
        has = {domain.name: domain.config_devices for domain in value_or(machine.read().domains, ())}
        assert has["db"] == ()
        assert {device.address for device in has["web"]} <= {NIC, VFS[0]}
        assert machine.kernel.vfs_of(PF) == VFS[:4]

    see(host, check)
    if pfs != "{}":
        assert {n for n in other_than_journal(before, host.state()) if "nicpass-confirm" not in n} == set()


def test_a_vf_that_vanished_is_no_success(host: SimulatedHost) -> None:
    """Its PF counts it still, as after `echo 1 > remove`: no VF of its number is to come, and nothing would be done."""
    do(host, VfRequest(pf="eth1", count=4))

    def vanish(machine: Machine) -> None:
        bus = host.base / "root/sys/bus/pci/devices"
        (bus / PF / "virtfn3").unlink()

    see(host, vanish)
    done = do(host, request(b"schema: nicpass.state/1\nvms: {db: {nics: [{pf: eth1, vf: 3}]}}"), exit_code=4)
    assert "VF 3 of eth1" in done.sentence


def test_history_tells_what_a_file_has_overridden(host: SimulatedHost) -> None:
    do(host, request(f"schema: nicpass.state/1\nvms: {{web: {{nics: ['{NIC}'], allow: {sorted(ALLOW)}}}}}".encode()))

    def check(machine: Machine) -> None:
        assert read_changes(machine.files)[-1].overrides == ALLOW

    see(host, check)


def test_what_cannot_be_put_down_once_nics_are_back_is_no_success(host: SimulatedHost) -> None:
    """There is no turning back then; but a change whose rest was never planned is not done either."""
    do(host, request())
    less = msgspec.structs.replace(request(b"schema: nicpass.state/1"), prune=True)

    def run_out_of_room(machine: Machine) -> None:
        plan = msgspec.structs.replace(machine.plan_all(less).first, more=True)
        further = iter([Plan(summary="", request=less, steps=())])

        def refuse(_journal: Journal, _plan: Plan) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        setattr(Journal, "extend", refuse)  # noqa: B010
        run_plan(plan, machine.handlers(), machine.files, further=further)

    done = host.run(run_out_of_room)
    assert (done.exit_code, done.error) == (6, "NeedsPersonError"), done
    assert "No space left" in done.sentence
