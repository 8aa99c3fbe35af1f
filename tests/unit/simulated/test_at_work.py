# SPDX-License-Identifier: Apache-2.0
"""A change that is being made was not cut off: whoever looks meanwhile is told who is at it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from nicpass.cli.journal.unsettled import tell_unfinished
from nicpass.cli.run import run
from nicpass.engine.journal import Journal, list_changes
from nicpass.engine.lock import RUNS, hold_lock, who_is_at_work
from nicpass.host.doors.files import Files
from nicpass.model.change import Actor, Phase
from nicpass.model.plan import Plan, SetNumvfs
from nicpass.model.request import AttachRequest
from tests.support.hosts import ready_host

if TYPE_CHECKING:
    from pathlib import Path

ME = Actor(user="alice", process=os.getpid(), command=("attach", "web", "lan0"))
STEP = SetNumvfs(address="0000:01:00.0", before=0, after=2)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A host with a change that has been begun."""
    ready_host().write(tmp_path)
    found = Files(str(tmp_path))
    plan = Plan(summary="Make VFs", request=AttachRequest(vm="web", nic="lan0"), steps=(STEP,))
    Journal.open(found, plan, ME).record(0, Phase.DOING, STEP)
    return found


def look(capsys: pytest.CaptureFixture[str], files: Files, *argv: str) -> str:
    run([*argv, "--root", files.root])
    return capsys.readouterr().out


def test_history_says_who_is_at_work(
    files: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # however long the number of this process is
    with hold_lock(files, ME):
        told = look(capsys, files, "history")
        assert f"at work: process {os.getpid()}, nicpass attach web lan0, by alice" in told
        assert "recover" not in told
        (view,) = json.loads(look(capsys, files, "history", "--json"))["changes"]
        assert view["at_work"].startswith(f"process {os.getpid()}")
        assert "at work" in look(capsys, files, "show")
    assert "cut off: nicpass recover" in look(capsys, files, "history")


def test_list_and_check_say_who_is_at_work(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_lock(files, ME):
        tell_unfinished(files)
        told = capsys.readouterr().err
        assert f"a run is at work: {list_changes(files)[0]} (Make VFs); process {os.getpid()}" in told
        assert "recover" not in told
    tell_unfinished(files)
    assert "settle it with: nicpass recover" in capsys.readouterr().err


def test_who_looks_keeps_nobody_from_the_lock_and_makes_no_file(files: Files, tmp_path: Path) -> None:
    assert who_is_at_work(files) is None
    assert not (tmp_path / RUNS[1:]).exists()
    with hold_lock(files, ME):
        assert who_is_at_work(files) is not None
    assert who_is_at_work(files) is None


def test_a_name_that_a_killed_run_left_is_nobody(files: Files, tmp_path: Path) -> None:
    with hold_lock(files, ME):
        pass
    (tmp_path / RUNS[1:]).write_text(f"process {os.getpid()}, nicpass attach, by alice\n")
    assert who_is_at_work(files) is None
