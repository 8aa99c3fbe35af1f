# SPDX-License-Identifier: Apache-2.0
"""The difference of two states of a host."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lab.agent import Result
from lab.errors import LabError
from lab.state import ABSENT, Difference, HostState, read_state, render_difference, state_difference, without_files

STATE = HostState(
    pci={"0000:01:00.0": {"driver": "igb", "driver_override": "(null)"}},
    links={"enp1s0": {"mtu": 1500, "vfs": {}}},
    addresses={},
    routes={"-4 main default dev enp0s6 via 10.9.0.2 metric 0": {"protocol": "static"}},
    rules={"-4 priority 0": True},
    neighbours={},
    domains={"web01": {"state": 5, "xml": "<domain/>"}},
    files={"/etc/hosts": "100644 aa", "/var/lib/nicpass/journal/1": "100600 bb"},
    modules={"igb": True},
)


def changed(**fields: Any) -> HostState:
    return msgspec.structs.replace(STATE, **fields)


def test_a_state_is_equal_to_itself() -> None:
    assert state_difference(STATE, STATE) == []


def test_a_changed_leaf_is_named_by_its_path() -> None:
    after = changed(pci={"0000:01:00.0": {"driver": "vfio-pci", "driver_override": "(null)"}})
    difference = Difference(("pci", "0000:01:00.0", "driver"), "igb", "vfio-pci")
    assert state_difference(STATE, after) == [difference]
    assert render_difference([difference]) == "pci / 0000:01:00.0 / driver: 'igb' -> 'vfio-pci'"


def test_what_came_and_what_went_is_told_from_what_is_none() -> None:
    after = changed(links={}, neighbours={"enp1s0 192.0.2.1": None})
    assert state_difference(STATE, after) == [
        Difference(("links", "enp1s0"), {"mtu": 1500, "vfs": {}}, ABSENT),
        Difference(("neighbours", "enp1s0 192.0.2.1"), ABSENT, None),
    ]


def test_a_loaded_module_is_no_difference() -> None:
    assert state_difference(STATE, changed(modules={"igb": True, "vfio_pci": True})) == []


def test_files_of_a_folder_can_be_left_out() -> None:
    without = without_files(STATE, "/var/lib/nicpass")
    assert without.files == {"/etc/hosts": "100644 aa"}
    assert STATE.files != without.files


def test_a_state_is_read_by_a_script_on_the_host() -> None:
    seen: list[bytes] = []

    def execute(command: str, timeout: float, *, stdin: bytes) -> Result:
        seen.append(stdin)
        return Result(0, msgspec.json.encode(STATE).decode(), "", 1.0)

    assert read_state(execute) == STATE
    compile(seen[0], "read_state.py", "exec")


def test_a_script_that_fails_says_so() -> None:
    with pytest.raises(LabError, match="no libvirt"):
        read_state(lambda *_, **__: Result(1, "", "no libvirt", 1.0))
