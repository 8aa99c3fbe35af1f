# SPDX-License-Identifier: Apache-2.0
"""Setting VFs on a whole host: what the kernel refuses takes all of it back, and is known afterwards."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from nicpass.engine.vf.unsupported import UNSUPPORTED
from nicpass.model.request import AttachRequest, VfRequest
from nicpass.model.vf import VfSetRequest, VfWish
from tests.support.simulation.effects import Fault
from tests.support.simulation.hardware import PF, VFS, simulated_tree
from tests.support.simulation.host import Outcome, SimulatedHost, change, do

pytestmark = pytest.mark.spawns

ALL = VfSetRequest(pf="eth1", vfs="all", settings=VfWish(trust=True, vlan=7))


def fail_at(path: Path, request: VfSetRequest | VfRequest, text: str, place: int) -> tuple[SimulatedHost, Outcome]:
    """A host on which the `place`th effect of this text is answered EOPNOTSUPP."""
    numvfs = 4 if isinstance(request, VfSetRequest) else 0
    whole = SimulatedHost(path / "whole", simulated_tree(numvfs)).run(functools.partial(change, request=request))
    assert whole.exit_code == 0, whole
    numbers = [number for number, effect in enumerate(whole.effects) if text in effect.text]
    host = SimulatedHost(path / "host", simulated_tree(numvfs))
    fault = Fault(numbers[place], "EOPNOTSUPP")
    return host, host.run(functools.partial(change, request=request), faults=(fault,))


def test_the_third_of_four_is_refused_and_all_are_as_before(quick_path: Path) -> None:
    host, outcome = fail_at(quick_path, ALL, "vf trust", 2)
    assert outcome.exit_code == 1
    assert "does not take vf 2 trust 1 on eth1" in outcome.sentence
    before = SimulatedHost(quick_path / "before", simulated_tree(4)).state()
    after = {name: text for name, text in host.state().items() if "nicpass" not in name}
    assert after == {name: text for name, text in before.items() if "nicpass" not in name}


def test_what_was_not_supported_is_refused_at_the_next_try(quick_path: Path) -> None:
    host, _ = fail_at(quick_path, ALL, "vf trust", 2)
    assert (host.base / "root" / UNSUPPORTED[1:]).exists()
    again = host.run(functools.partial(change, request=ALL))
    assert (again.exit_code, "does not know --trust" in again.sentence) == (3, True), again
    do(host, VfSetRequest(pf="eth1", vfs="all", settings=VfWish(vlan=7)))


def test_a_driver_that_takes_no_mac_makes_vfs_all_the_same(quick_path: Path) -> None:
    """Nobody asked for the MACs that are derived."""
    host, outcome = fail_at(quick_path, VfRequest(pf="eth1", count=1), "vf mac", 0)
    assert outcome.exit_code == 0, outcome
    do(host, VfRequest(pf="eth1", count=2))


def test_of_a_running_vms_vf_no_driver_is_bound_anew(quick_path: Path) -> None:
    host = SimulatedHost(quick_path, simulated_tree(2))
    do(host, AttachRequest(vm="web", nic=VFS[0], start=True, mac="52:54:00:00:00:07"))
    done = do(host, VfSetRequest(pf=PF, vfs="0", settings=VfWish(trust=True, link_state="enable", max_tx_rate=100)))
    assert not [effect for effect in done.effects if VFS[0] in effect.text]
    refused = host.run(functools.partial(change, request=VfSetRequest(pf=VFS[0], settings=VfWish(vlan=7))))
    assert (refused.exit_code, "definition of the VM web" in refused.sentence) == (4, True)


def test_vfs_keep_the_same_macs_whenever_they_are_made(quick_path: Path) -> None:
    host = SimulatedHost(quick_path, simulated_tree())
    seen = []
    for _ in range(2):
        do(host, VfRequest(pf="eth1", count=2))
        seen.append([line for line in host.state().items() if "eth1v" in line[0] or "Link" in line[0]])
        do(host, VfRequest(pf="eth1", count=0))
    assert seen[0] == seen[1]
