# SPDX-License-Identifier: Apache-2.0
"""A VF between two drivers is on record, until it has its driver back."""

from __future__ import annotations

from pathlib import Path

import pytest

from nicpass.engine.attempts import Attempts
from nicpass.engine.vf.rebinding import FOLDER, read_rebinding, rebind_vfs
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.errors import StepError
from tests.support.hosts import pf_with_vfs, ready_host

PF = Address("0000:01:00.0")
VF0, VF1 = Address("0000:01:02.0"), Address("0000:01:02.1")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    ready_host(*pf_with_vfs(PF, "eth1", 2)).write(tmp_path)
    return Files(str(tmp_path))


def leave(files: Files, content: str) -> None:
    files.write_atomic(f"{FOLDER}/{PF}.json", content.encode())


def test_it_is_on_record_before_anything_is_let_go_and_not_after_all_are_back(files: Files) -> None:
    seen = []
    assert rebind_vfs(files, PF, [VF0, VF1], lambda vf, _: seen.append((vf, read_rebinding(files, PF))), Attempts())
    whole = {VF0: "ixgbevf", VF1: "ixgbevf"}
    assert seen == [(VF0, whole), (VF1, whole)]
    assert read_rebinding(files, PF) == {}
    assert not rebind_vfs(files, PF, [], lambda *_: None, Attempts())


def test_one_that_does_not_come_back_stays_on_record(files: Files) -> None:
    attempts = Attempts()

    def fail(*_: object) -> None:
        raise StepError("No.")

    rebind_vfs(files, PF, [VF0], fail, attempts)
    assert (read_rebinding(files, PF), len(attempts.refusals)) == ({VF0: "ixgbevf"}, 1)


def test_what_an_earlier_run_left_is_bound_and_what_is_back_or_gone_is_forgotten(files: Files, tmp_path: Path) -> None:
    (tmp_path / f"sys/bus/pci/devices/{VF0}/driver").unlink()
    uevent = tmp_path / f"sys/bus/pci/devices/{VF0}/uevent"
    uevent.write_text("".join(line for line in uevent.read_text().splitlines(True) if not line.startswith("DRIVER=")))
    leave(files, f'{{"{VF0}": "ixgbevf", "{VF1}": "ixgbevf", "0000:01:02.7": "ixgbevf"}}')
    bound: list[tuple[Address, str]] = []
    assert rebind_vfs(files, PF, [], lambda vf, driver: bound.append((vf, driver)), Attempts())
    assert (bound, read_rebinding(files, PF)) == ([(VF0, "ixgbevf")], {})


@pytest.mark.parametrize("content", ["", "[]", '{"x": 5}', "\xff"])
def test_a_damaged_record_tells_of_none(content: str, files: Files) -> None:
    leave(files, content)
    assert read_rebinding(files, PF) == {}
