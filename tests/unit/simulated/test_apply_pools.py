# SPDX-License-Identifier: Apache-2.0
"""A file with pools, on the simulated host: made so at once, a second time nothing is left, and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.pools import find_pool
from nicpass.cli.state.planning import differ
from nicpass.engine.journal import read_changes
from nicpass.model.fact import value_or
from nicpass.model.request import (
    ApplyRequest,
    AttachRequest,
    PoolAttachRequest,
    PoolDetachRequest,
    PoolRequest,
    UndoRequest,
    VfRequest,
)
from nicpass.planner.state.export import comments_of, export_state, render_state
from nicpass.planner.state.text import parse_state
from tests.support.simulation.hardware import GUESTS, VFS, simulated_tree
from tests.support.simulation.host import LAST, Machine, SimulatedHost, apply_request, do, other_than_journal, see
from tests.support.simulation.scenes import start_web

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spawns

HEAD = b"schema: nicpass.state/1\n"
FILE = b"""\
schema: nicpass.state/1
pfs:
  eth1: {vfs: 4}
pools:
  blue: {vfs: {eth1: 0-1}, vlan: 20}
  red: {vfs: {eth1: [2, 3]}}
vms:
  web:
    nics:
      - {pool: blue}
      - {pool: red, mac: "52:54:00:00:00:07"}
  db: {nics: [{pool: blue}]}
"""


@pytest.fixture
def host(quick_path: Path) -> SimulatedHost:
    return SimulatedHost(quick_path, simulated_tree())


def request(content: bytes = FILE, *, prune: bool = False) -> ApplyRequest:
    return apply_request(content, prune=prune)


def takers(machine: Machine, pool: str) -> list[tuple[str, str | None]]:
    found = find_pool(HostIndex(machine.read()), pool)
    assert found is not None
    return [(member.vm, member.mac) for member in found.members]


def test_pools_are_made_drawn_from_and_a_second_time_nothing_is_done(host: SimulatedHost) -> None:
    do(host, request())

    def check(machine: Machine) -> None:
        index = HostIndex(machine.read())
        blue, red = find_pool(index, "blue"), find_pool(index, "red")
        assert blue is not None
        assert red is not None
        assert (blue.vfs, blue.network.vlans, blue.network.active, blue.network.autostart) == (
            VFS[:2],
            (20,),
            True,
            True,
        )
        assert (red.vfs, red.network.vlans) == (VFS[2:4], ())
        assert sorted(vm for vm, _ in takers(machine, "blue")) == ["db", "web"]
        assert takers(machine, "red") == [("web", "52:54:00:00:00:07")]
        assert differ(parse_state("host.yaml", FILE), machine.source()) == ()
        assert machine.plan_all(request()).first.steps == ()
        written = render_state(export_state(index), comments_of(index))
        assert "blue:" in written
        assert "{pool: red, mac: '52:54:00:00:00:07'}" in written
        assert differ(parse_state("exported", written.encode()), machine.source(), prune=True) == ()
        (one,) = read_changes(machine.files)
        assert one.opened is not None
        assert not one.opened.plan.more

    see(host, check)


def test_one_undo_takes_all_of_it_back(host: SimulatedHost) -> None:
    before = host.state()
    do(host, request())
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(before, host.state()) == set()


def test_a_vm_that_runs_has_its_vf_at_once(host: SimulatedHost) -> None:
    do(host, VfRequest(pf="eth1", count=4))
    assert host.run(start_web).exit_code == 0
    before = host.state()
    do(host, request())

    def check(machine: Machine) -> None:
        web = next(domain for domain in value_or(machine.read().domains, ()) if domain.name == "web")
        assert sorted(device.address for device in web.live_devices) == [VFS[0], VFS[2]]
        places = [device.place for device in web.live_devices]
        assert len(set(places)) == 2, "each has a place of its own in the guest"

    see(host, check)
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(before, host.state()) == set()


def test_vfs_go_from_one_pool_to_the_other_and_to_a_vm(host: SimulatedHost) -> None:
    do(host, request())
    do(host, PoolDetachRequest(vm="web", pool="red", mac="52:54:00:00:00:07"))
    before = host.state()
    other = (
        HEAD
        + b"""\
pools:
  blue: {vfs: {eth1: "0,1,3"}, vlan: 20}
  red: {vfs: {'0000:01:00.0': 2}}
vms:
  db: {nics: [{pool: blue}]}
"""
    )
    do(host, request(other))

    def check(machine: Machine) -> None:
        index = HostIndex(machine.read())
        blue, red = find_pool(index, "blue"), find_pool(index, "red")
        assert blue is not None
        assert red is not None
        assert set(blue.vfs) == {VFS[0], VFS[1], VFS[3]}
        assert red.vfs == (VFS[2],)
        assert differ(parse_state("host.yaml", other), machine.source()) == ()

    see(host, check)
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(before, host.state()) == set()
    to_vm = HEAD + b"pools: {red: {vfs: {eth1: 2}}}\nvms: {db: {nics: [{pf: eth1, vf: 3}]}}"
    do(host, request(to_vm))

    def check_vm(machine: Machine) -> None:
        assert differ(parse_state("host.yaml", to_vm), machine.source()) == ()

    see(host, check_vm)
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(before, host.state()) == set()


def test_prune_takes_back_what_nicpass_made(host: SimulatedHost) -> None:
    before = host.state()
    do(host, request())
    less = FILE.replace(b'      - {pool: red, mac: "52:54:00:00:00:07"}\n', b"").replace(
        b"  red: {vfs: {eth1: [2, 3]}}\n", b""
    )

    def check_extra(machine: Machine) -> None:
        found = differ(parse_state("host.yaml", less), machine.source(), prune=True)
        assert [(d.kind, d.name, d.what, d.wanted) for d in found] == [
            ("vm", "web", "pool red", None),
            ("pool", "red", "vfs", None),
        ]
        assert differ(parse_state("host.yaml", less), machine.source()) == ()

    see(host, check_extra)
    middle = host.state()
    do(host, request(less, prune=True))

    def check(machine: Machine) -> None:
        assert find_pool(HostIndex(machine.read()), "red") is None
        assert len(takers(machine, "blue")) == 2
        assert differ(parse_state("host.yaml", less), machine.source(), prune=True) == ()

    see(host, check)
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(middle, host.state()) == set()
    do(host, request(HEAD, prune=True))
    assert other_than_journal(before, host.state()) == set(), "all of it, the guard too"
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(middle, host.state()) == set()


def test_prune_of_nics_of_two_vms_and_its_undo(host: SimulatedHost) -> None:
    """The guard goes with the last of them; and the VFs come before the VMs get them again."""
    before = host.state()
    direct = (
        HEAD
        + b"""\
pfs: {eth1: {vfs: 4}}
vms:
  web: {nics: [{pf: eth1, vf: 0}]}
  db: {nics: [{pf: eth1, vf: 1, mac: "52:54:00:00:00:07"}]}
"""
    )
    do(host, request(direct))
    middle = host.state()
    do(host, request(HEAD, prune=True))
    assert other_than_journal(before, host.state()) == set()
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(middle, host.state()) == set()


def test_what_is_others_stays_and_is_told(host: SimulatedHost) -> None:
    """An interface that somebody else gave the VM keeps the pool from going."""
    do(host, request())

    def forget(machine: Machine) -> None:
        for change in read_changes(machine.files):
            machine.files.remove(f"/var/lib/nicpass/journal/{change.identity}.jsonl")

    def check(machine: Machine) -> None:
        assert read_changes(machine.files) == ()
        extra = differ(parse_state("host.yaml", HEAD), machine.source(), prune=True)
        assert [(d.name, d.what) for d in extra if d.kind == "vm"] == [("db", "pool blue"), ("web", "pool blue")]

    see(host, forget)
    see(host, check)
    done = do(host, request(HEAD, prune=True), exit_code=4)
    assert "The VM web has an interface of the pool red" in done.sentence


@pytest.mark.parametrize(
    ("earlier", "file", "exit_code", "words"),
    [
        ((), b"pools: {blue: {vfs: {eth1: 0-1}, vlan: 7}}", 4, "has the VLAN 20"),
        ((), b"pools: {blue: {vfs: {eth1: 0-1}, vlan: 0}}", 4, "has the VLAN 20"),
        (
            (PoolAttachRequest(vm="web", pool="blue", mac="52:54:00:00:00:01"),),
            b'vms: {web: {nics: [{pool: blue, mac: "52:54:00:00:00:02"}]}}',
            4,
            "with the MAC 52:54:00:00:00:01, which the file does not say",
        ),
        (
            (AttachRequest(vm="db", nic=VFS[2]),),
            b"pools: {blue: {vfs: {eth1: 0-2}}}",
            4,
            "belongs to the VM db",
        ),
        (
            (),
            b'vms: {web: {nics: [{pool: blue}]}, db: {nics: [{pool: blue, mac: "52:54:00:00:00:02"},'
            b' {pool: blue, mac: "52:54:00:00:00:03"}]}}',
            3,
            "No VF of the pool blue is free",
        ),
        ((), b"pfs: {eth1: {vfs: 3}}", 4, "blue"),
    ],
)
def test_what_is_refused_changes_nothing(
    earlier: tuple[object, ...], file: bytes, exit_code: int, words: str, host: SimulatedHost
) -> None:
    do(host, VfRequest(pf="eth1", count=4))
    do(host, PoolRequest(action="create", name="blue", pf="eth1", vfs="0-1", vlan=20))
    for one in earlier:
        do(host, one)  # type: ignore[arg-type]
    before = host.state()
    done = do(host, request(HEAD + file), exit_code=exit_code)
    assert words in done.sentence
    assert "host.yaml, line 1" in done.sentence  # the request alone knows no places
    assert host.state() == before


def test_a_pool_that_somebody_has_stopped_is_started(host: SimulatedHost) -> None:
    do(host, VfRequest(pf="eth1", count=4))
    do(host, PoolRequest(action="create", name="blue", pf="eth1", vfs="0-1", vlan=20))

    def stop(machine: Machine) -> None:
        from nicpass.hypervisor.libvirt.handle import NetworkHandle

        with NetworkHandle("blue") as network:
            network.destroy()
            network.setAutostart(0)

    see(host, stop)
    before = host.state()
    file = HEAD + b"pools: {blue: {vfs: {eth1: 0-1}}}"

    def check_told(machine: Machine) -> None:
        found = differ(parse_state("host.yaml", file), machine.source())
        assert [(d.what, d.now, d.wanted) for d in found] == [("active", "off", "on"), ("autostart", "off", "on")]
        index = HostIndex(machine.read())
        assert "# The pool blue is left out: it is not started" in render_state(export_state(index), comments_of(index))

    see(host, check_told)
    do(host, request(file))

    def check(machine: Machine) -> None:
        assert differ(parse_state("host.yaml", file), machine.source()) == ()

    see(host, check)
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(before, host.state()) == set()


def test_the_dead_mans_hand_brings_back_what_it_can_when_a_vm_is_gone(host: SimulatedHost) -> None:
    """Somebody undefines a VM meanwhile: the other draws again, and the pool has its VFs again."""
    do(host, request())
    less = b"schema: nicpass.state/1\npfs: {eth1: {vfs: 4}}\npools: {blue: {vfs: {eth1: 0-1}, vlan: 20}}\nvms: {}\n"
    do(host, msgspec.structs.replace(request(less, prune=True), confirm_within=60))
    see(host, lambda machine: machine.daemon.definitions()[GUESTS[0].uuid].unlink())
    done = do(host, UndoRequest(change=LAST, stop=True, unconfirmed=True))
    assert not done.error

    def check(machine: Machine) -> None:
        assert [vm for vm, _mac in takers(machine, "blue")] == ["db"]
        assert takers(machine, "red") == []

    see(host, check)
