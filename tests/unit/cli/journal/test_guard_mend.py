# SPDX-License-Identifier: Apache-2.0
"""`nicpass recover` puts the guard in order and clears what was told; until then it is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nicpass.cli.journal.guard_mend import mend_guard, tell_guard
from nicpass.cli.render.telling import Teller
from nicpass.cli.source import Source
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.hypervisor.libvirt.guard import Hands, guard_handlers, plan_guard
from nicpass.hypervisor.libvirt.guard_reading import read_guard
from nicpass.model.errors import ExitCode, StepError
from nicpass.model.guard import HOOK
from tests.support.guards import HAVING, event, guarded
from tests.support.hosts import ready_host
from tests.support.trees import Tree


class Quiet(Processes):
    """Every program does as it is told."""

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        from nicpass import __version__

        return Completed(0, f"nicpass {__version__}\n", "")


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> list[StepError]:
    """A guard that runs once it is written; with an error in it, one that does not."""
    errors: list[StepError] = []

    def prove(_files: Files) -> None:
        for error in errors:
            raise error

    monkeypatch.setattr("nicpass.host.doors.processes.Processes", Quiet)
    monkeypatch.setattr(
        "nicpass.hypervisor.libvirt.guard.guard_handlers",
        lambda files, processes, _hands: guard_handlers(files, processes, Hands(lambda: 11_003_000, prove)),
    )
    return errors


def files_of(tree: Tree, root: Path) -> Files:
    return Files(str(tree.write(root)))


@pytest.mark.parametrize("code", ["GUARD_MISSING", "GUARD_NOT_EXECUTABLE", "GUARD_BROKEN", "GUARD_CHANGED"])
def test_each_way_to_be_out_of_order_is_mended(
    code: str, tmp_path: Path, mended: list[StepError], capsys: pytest.CaptureFixture[str]
) -> None:
    files = files_of(HAVING[code], tmp_path)
    assert plan_guard(files) != ()
    assert mend_guard(files, Teller(as_json=False), boot=False) == (True, ExitCode.DONE)
    assert plan_guard(files) == ()
    assert "The guard was put in order, and runs." in capsys.readouterr().out
    assert mend_guard(files, Teller(as_json=False), boot=False) == (False, ExitCode.DONE)
    assert mended == []


def test_a_host_that_has_given_nothing_away_gets_no_guard(tmp_path: Path, mended: list[StepError]) -> None:
    files = files_of(ready_host(), tmp_path)
    assert mend_guard(files, Teller(as_json=False), boot=False) == (False, ExitCode.DONE)
    assert not files.exists(HOOK)
    assert mended == []


def test_what_was_cut_off_before_libvirt_was_told_is_tried_by_the_next(
    tmp_path: Path, mended: list[StepError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files stand by then, and libvirt, which was not told to look for hooks, asks none."""

    class KilledError(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise KilledError

    files = files_of(HAVING["GUARD_MISSING"], tmp_path)
    with monkeypatch.context() as cut_off:
        cut_off.setattr(Quiet, "run", die)
        with pytest.raises(KilledError):
            mend_guard(files, Teller(as_json=False), boot=False)
    assert files.exists(HOOK)
    assert mend_guard(files, Teller(as_json=False), boot=False) == (True, ExitCode.DONE)
    assert mend_guard(files, Teller(as_json=False), boot=False) == (False, ExitCode.DONE)
    assert mended == []


def test_a_guard_that_does_not_run_is_no_guard_in_order(tmp_path: Path, mended: list[StepError]) -> None:
    files = files_of(HAVING["GUARD_MISSING"], tmp_path)
    mended.append(StepError("libvirt starts a VM without asking the guard."))
    for _again in range(2):
        assert mend_guard(files, Teller(as_json=False), boot=False) == (True, ExitCode.ROLLED_BACK)
    mended.clear()
    assert mend_guard(files, Teller(as_json=False), boot=False) == (True, ExitCode.DONE)
    assert plan_guard(files) == ()


def test_what_was_missed_is_told_and_cleared_once_the_guard_runs(
    tmp_path: Path, mended: list[StepError], capsys: pytest.CaptureFixture[str]
) -> None:
    missed = event("started") | event("stopped")
    files = files_of(guarded().but(files=guarded().files | missed), tmp_path)  # type: ignore[operator]
    mended.append(StepError("libvirt starts a VM without asking the guard."))
    assert mend_guard(files, Teller(as_json=False), boot=False) == (True, ExitCode.ROLLED_BACK)
    assert all(files.exists(path) for path in missed)
    mended.clear()
    # At a boot nobody reads what is said.
    mend_guard(files, Teller(as_json=False), boot=True)
    assert all(files.exists(path) for path in missed)
    capsys.readouterr()
    assert mend_guard(files, Teller(as_json=False), boot=False) == (True, ExitCode.DONE)
    assert not any(files.exists(path) for path in missed)
    told = capsys.readouterr().out
    assert "web01 was started at 2026-01-31 23:59:59 UTC" in told
    assert "web01 was stopped at 2026-01-31 23:59:59 UTC" in told
    assert read_guard(files).unguarded == ()


@pytest.mark.parametrize("code", sorted(HAVING))
def test_whoever_lists_the_nics_is_told(code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = HAVING[code]
    source = Source(Files(str(tmp_path)), tree.read(tmp_path), is_live=True)
    tell_guard(source)
    # What concerns no NIC that was given away is for nicpass check alone.
    assert (code in capsys.readouterr().err) == (code != "HOOKS_CONFINED")
    tell_guard(msgspec.structs.replace(source, is_live=False))
    assert capsys.readouterr().err == ""
