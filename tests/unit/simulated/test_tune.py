# SPDX-License-Identifier: Apache-2.0
"""`nicpass tune` on a host with two nodes: what it writes, where, and that all of it comes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nicpass.model.request import AttachRequest, TuneRequest, UndoRequest
from tests.support.simulation.commands import run_command
from tests.support.simulation.hardware import INTERRUPT, NIC, simulated_tree
from tests.support.simulation.host import LAST, SimulatedHost, do
from tests.support.simulation.scenes import ALLOW, WEB

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.commands import Told
    from tests.support.simulation.host import Machine

pytestmark = pytest.mark.spawns

GIVE = AttachRequest(vm="web", nic=NIC, allow=ALLOW)
TUNE = TuneRequest(vm="web")


class Scenery:
    """The host, and `nicpass` run on it."""

    def __init__(self, folder: Path) -> None:
        self.host, self.report = SimulatedHost(folder / "host", simulated_tree(numa=True)), folder / "report"
        (folder / "host").mkdir(exist_ok=True)

    def __call__(self, *argv: str) -> Told:
        return run_command(self.host, *argv, report=self.report)

    @property
    def definition(self) -> str:
        return (self.host.base / "root/etc/libvirt/qemu/web.xml").read_text()

    @property
    def affinity(self) -> str:
        return (self.host.base / f"root/proc/irq/{INTERRUPT}/smp_affinity_list").read_text().strip()


@pytest.fixture
def nicpass(quick_path: Path) -> Scenery:
    return Scenery(quick_path)


def test_it_is_written_and_undone_to_the_byte(nicpass: Scenery) -> None:
    do(nicpass.host, GIVE)
    before = nicpass.definition
    told = nicpass("tune", "web")
    assert told.exit_code == 0, told
    assert "nicpass undo" in told.output
    assert "only while web runs" in told.output
    placed = nicpass.definition
    assert "<vcpupin vcpu='0' cpuset='6'/>\n    <vcpupin vcpu='1' cpuset='7'/>" in placed
    assert "<emulatorpin cpuset='4-5'/>" in placed
    assert "<memory mode='strict' nodeset='1'/>" in placed
    assert nicpass("tune", "web").output.startswith("web is placed where lan0 (0000:03:00.0) is already.\n")
    assert nicpass.definition == placed
    do(nicpass.host, UndoRequest(change=LAST))
    assert nicpass.definition == before


def test_of_a_vm_that_runs_the_interrupts_are_steered_and_come_back(nicpass: Scenery) -> None:
    do(nicpass.host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, start=True))
    told = json.loads(nicpass("tune", "web", "--json").output)
    assert [step["type"] for step in told["steps"]] == ["place_domain", "steer_interrupts"]
    assert any("next start" in note for note in told["notes"])
    assert nicpass.affinity == "4-5"
    assert nicpass("undo").exit_code == 0
    assert nicpass.affinity == "0-7"
    assert "cputune" not in nicpass.definition


def test_after_the_vm_s_end_only_the_definition_comes_back(nicpass: Scenery) -> None:
    do(nicpass.host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, start=True))
    do(nicpass.host, TUNE)

    def stop(machine: Machine) -> None:
        machine.daemon.stop(WEB)

    assert nicpass.host.run(stop).exit_code == 0
    assert nicpass("undo").exit_code == 0
    assert "cputune" not in nicpass.definition
    assert nicpass.affinity == "4-5"


def test_a_definition_that_was_edited_since_is_left_alone(nicpass: Scenery) -> None:
    do(nicpass.host, GIVE)
    do(nicpass.host, TUNE)
    path = nicpass.host.base / "root/etc/libvirt/qemu/web.xml"
    path.write_text(nicpass.definition.replace("cpuset='6'", "cpuset='5'"))
    told = nicpass("undo")
    assert told.exit_code == 4
    assert "something else by now" in told.error


@pytest.mark.parametrize("words", [("tune", "wob"), ("tune", "web", "--cpus", "x"), ("tune", "web", "--cpus", "0")])
def test_bad_usage_changes_nothing(words: tuple[str, ...], nicpass: Scenery) -> None:
    do(nicpass.host, GIVE)
    before = nicpass.host.state()
    assert nicpass(*words).exit_code == 2
    assert nicpass.host.state() == before


def test_dry_runs_in_words_and_lines(nicpass: Scenery) -> None:
    do(nicpass.host, GIVE)
    before = nicpass.host.state()
    assert "virtual CPUs 0→6, 1→7" in nicpass("tune", "web", "--dry-run").output
    lines = nicpass("tune", "web", "--dry-run=shell").output
    assert "virsh vcpupin web 0 6 --config" in lines
    assert "virsh numatune web --mode strict --nodeset 1 --config" in lines
    assert nicpass.host.state() == before


def test_history_tells_of_it(nicpass: Scenery) -> None:
    do(nicpass.host, GIVE)
    do(nicpass.host, TUNE)
    assert "Put web where lan0" in nicpass("history", "--last", "1").output
    assert "tune web" in nicpass("show").output
