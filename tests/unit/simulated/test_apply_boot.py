# SPDX-License-Identifier: Apache-2.0
"""A file with a boot, on the simulated host: written once, then only the reboot is missing, and taken back exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.boot.planning import plan_preparation
from nicpass.cli.state.planning import differ
from nicpass.engine.boot.prepared import RECORD, read_prepared
from nicpass.engine.transaction import run_plan
from nicpass.model.fact import value_or
from nicpass.model.prepared import Prepared, Stage
from nicpass.model.request import ApplyRequest, PrepareRequest, UndoRequest
from nicpass.planner.state.export import export_state, render_state
from nicpass.planner.state.text import parse_state
from tests.support.boot import BootTree
from tests.support.simulation.hardware import NIC, simulated_tree
from tests.support.simulation.host import LAST, Machine, SimulatedHost, apply_request, do, other_than_journal, see

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spawns

HEAD = b"schema: nicpass.state/1\n"
ALLOW = b"allow: [HAS_ADDRESS, CARRIES_ROUTE]"
FILE = (
    HEAD
    + b"""\
boot: {nics: [lan0], allow: [HAS_ADDRESS, CARRIES_ROUTE]}
vms: {web: {nics: [lan0], allow: [HAS_ADDRESS, CARRIES_ROUTE]}}
"""
)


@pytest.fixture
def host(quick_path: Path) -> SimulatedHost:
    simulated_tree().write(quick_path / "root")
    BootTree().write(quick_path / "root")
    return SimulatedHost(quick_path)


def request(content: bytes = FILE, *, prune: bool = False) -> ApplyRequest:
    return apply_request(content, prune=prune)


def prepare(machine: Machine) -> None:
    """Do what `nicpass prepare lan0` does."""
    wanted = PrepareRequest(nics=("lan0",), allow=frozenset({"HAS_ADDRESS", "CARRIES_ROUTE"}))
    run_plan(plan_preparation(wanted, machine.source()).plan, machine.handlers(), machine.files)


def finish(machine: Machine) -> None:
    """The reboot has come, and what `prepare --finish` keeps of it: the NIC is vfio-pci's."""
    prepared = read_prepared(machine.files)
    assert prepared is not None
    done = msgspec.structs.replace(prepared, stage=Stage.DONE)
    machine.files.write_atomic(RECORD, msgspec.json.encode(done), 0o600)
    device = f"/sys/bus/pci/devices/{NIC}"
    machine.kernel.write(f"{device}/driver_override", "vfio-pci")
    machine.kernel.unbind(NIC)
    machine.kernel.write("/sys/bus/pci/drivers_probe", NIC)


def test_it_is_written_once_and_then_only_the_reboot_is_missing(host: SimulatedHost) -> None:
    before = host.state()
    do(host, request())

    def check(machine: Machine) -> None:
        prepared = read_prepared(machine.files)
        assert prepared is not None
        assert prepared.stage == Stage.WAITING
        assert [nic.binding.address for nic in prepared.nics] == [NIC]
        (web, _db) = sorted(value_or(machine.read().domains, ()), key=lambda domain: domain.name, reverse=True)
        assert web.config_devices == (), "that is for after the reboot"
        assert [d.kind for d in differ(parse_state("host.yaml", FILE), machine.source())] == ["vm"]

    see(host, check)
    written = host.state()
    done = do(host, request(), exit_code=5)
    assert done.sentence == (
        "host.yaml, line 1, column 1: A reboot is due, which brings what is written for it; until then nothing else is"
        " changed."
    )
    assert host.state() == written
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(before, host.state()) == set()


def test_after_the_reboot_the_rest_comes_by_the_name_that_the_nic_had(host: SimulatedHost) -> None:
    do(host, request())
    see(host, finish)
    do(host, request())

    def check(machine: Machine) -> None:
        source = machine.source()
        assert differ(parse_state("host.yaml", FILE), source) == ()
        assert machine.plan_all(request()).first.steps == ()
        index, prepared = HostIndex(source.host), read_prepared(machine.files)
        text = render_state(export_state(index, prepared))
        assert f"boot:\n  nics: ['{NIC}']\n" in text
        assert differ(parse_state("exported", text.encode()), source, prune=True) == ()

    see(host, check)


def test_prune_takes_it_out_and_undo_brings_it_again(host: SimulatedHost) -> None:
    before = host.state()
    do(host, request())
    written = host.state()

    def check_extra(machine: Machine) -> None:
        extra = differ(parse_state("host.yaml", HEAD), machine.source(), prune=True)
        assert [(d.kind, d.name, d.what, d.wanted) for d in extra] == [("boot", "nics", NIC, None)]

    see(host, check_extra)
    do(host, request(HEAD, prune=True))
    folders = {"root/etc/modules-load.d", "root/etc/systemd/system/sysinit.target.wants"}
    assert other_than_journal(before, host.state()) == folders, "which are not nicpass's alone"
    do(host, UndoRequest(change=LAST))
    assert other_than_journal(written, host.state()) == set()
    less = HEAD + b"boot: {iommu_pt: off}"
    do(host, request(less, prune=True), exit_code=5)  # what is written has not come yet

    def wait_no_more(machine: Machine) -> None:
        prepared = read_prepared(machine.files)
        assert prepared is not None
        done = msgspec.structs.replace(prepared, stage=Stage.DONE)
        machine.files.write_atomic(RECORD, msgspec.json.encode(done), 0o600)

    see(host, wait_no_more)
    do(host, request(less, prune=True))

    def check(machine: Machine) -> None:
        prepared = read_prepared(machine.files)
        assert isinstance(prepared, Prepared)
        assert prepared.nics == ()
        assert differ(parse_state("host.yaml", less), machine.source(), prune=True) == ()

    see(host, check)


def test_prune_leaves_the_preparation_that_a_vm_of_the_file_needs(host: SimulatedHost) -> None:
    see(host, prepare)
    see(host, finish)
    of_vm = HEAD + b"vms: {web: {nics: [lan0], allow: [HAS_ADDRESS, CARRIES_ROUTE]}}"
    do(host, request(of_vm, prune=True))

    def check(machine: Machine) -> None:
        prepared = read_prepared(machine.files)
        assert prepared is not None
        assert [nic.binding.address for nic in prepared.nics] == [NIC]
        assert differ(parse_state("host.yaml", of_vm), machine.source(), prune=True) == ()

    see(host, check)


def test_undo_after_the_reboot_takes_the_nic_back(host: SimulatedHost) -> None:
    do(host, request(HEAD + b"boot: {nics: [lan0], allow: [HAS_ADDRESS, CARRIES_ROUTE]}"))
    see(host, finish)
    do(host, UndoRequest(change=LAST))

    def check(machine: Machine) -> None:
        assert machine.kernel.driver_of(NIC) == "igb"
        assert read_prepared(machine.files) is None

    see(host, check)
