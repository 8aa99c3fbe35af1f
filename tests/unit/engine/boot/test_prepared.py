# SPDX-License-Identifier: Apache-2.0
"""What a host was prepared for stands on disk before the boot is changed, and its unit goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.engine.boot.file_changes import apply_changes, verify_changes
from nicpass.engine.boot.prepared import RECORD, UNIT, complete_plan, read_prepared
from nicpass.engine.boot.unit import finish_unit
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.boot import BootChange, BootPurpose, GeneratedFile, Generator
from nicpass.model.errors import StepError
from nicpass.model.file_image import FileChange, Folder, RegularFile, SymbolicLink, invert_changes
from nicpass.model.plan import (
    ChangeBoot,
    Plan,
    SetNumvfs,
)
from nicpass.model.prepared import Prepared, Stage
from nicpass.model.request import PrepareRequest

if TYPE_CHECKING:
    from pathlib import Path

WAITING = Prepared(stage=Stage.WAITING, boot_id="b", arguments=("intel_iommu=on",))
DONE = msgspec.structs.replace(WAITING, stage=Stage.DONE)
VFS = SetNumvfs(address=Address("0000:01:00.0"), before=0, after=1)
MENU = Generator(argv=("update-grub",), makes=(GeneratedFile(path="/boot/menu"),))
BOOT = ChangeBoot(purpose=BootPurpose.ARGUMENTS, change=BootChange(files=(), generators=(MENU,)))
LINK = "/etc/systemd/system/multi-user.target.wants/nicpass-prepare.service"


@pytest.fixture
def files(quick_path: Path) -> Files:
    return Files(str(quick_path))


def plan_of(*steps: SetNumvfs | ChangeBoot) -> Plan:
    return Plan(summary="", request=PrepareRequest(), steps=steps)


def complete(files: Files, record: Prepared | None, before: Prepared | None, *steps: SetNumvfs | ChangeBoot) -> Plan:
    return complete_plan(plan_of(*steps), record, before, files)


def finish_of(plan: Plan, place: int = 0) -> ChangeBoot:
    step = plan.steps[place]
    assert isinstance(step, ChangeBoot)
    assert step.purpose == BootPurpose.FINISH
    return step


def prepare(files: Files, record: Prepared = WAITING) -> ChangeBoot:
    step = finish_of(complete(files, record, None))
    apply_changes(files, step.change.files)
    verify_changes(files, step.change.files)
    return step


class TestRecord:
    """It comes back as it was written, and a damaged one is not an absent one."""

    def test_there_is_none(self, files: Files) -> None:
        assert read_prepared(files) is None

    def test_it_is_read_as_it_was_written(self, files: Files) -> None:
        prepare(files)
        assert read_prepared(files) == WAITING

    def test_it_is_roots_alone(self, files: Files, quick_path: Path) -> None:
        prepare(files)
        assert (quick_path / RECORD[1:]).stat().st_mode & 0o777 == 0o600
        assert (quick_path / UNIT[1:]).stat().st_mode & 0o777 == 0o644
        assert (quick_path / RECORD[1:]).read_bytes().endswith(b"}\n")

    @pytest.mark.parametrize("content", [b"", b"{", b'{"stage": "soon"}', b'{"stage": "\xff"}', b"[]"])
    def test_a_damaged_one(self, content: bytes, files: Files) -> None:
        files.write_atomic(RECORD, content)
        with pytest.raises(StepError, match=r"What this host was prepared for cannot be read: .+") as caught:
            read_prepared(files)
        assert RECORD in caught.value.hint

    def test_one_that_cannot_be_read(self, files: Files, quick_path: Path) -> None:
        (quick_path / RECORD[1:]).mkdir(parents=True)
        with pytest.raises(StepError, match=r"cannot be read: .*directory"):
            read_prepared(files)


class TestPlan:
    """The look at the next boot stands before that boot is changed, and goes after it was changed back."""

    def test_the_record_comes_first_and_goes_last(self, files: Files) -> None:
        assert [type(s) for s in complete(files, WAITING, None, VFS).steps] == [ChangeBoot, SetNumvfs]
        prepare(files)
        assert [type(s) for s in complete(files, None, WAITING, VFS).steps] == [SetNumvfs, ChangeBoot]

    def test_without_steps_a_record_that_stays_is_nothing_to_do(self, files: Files) -> None:
        assert complete(files, WAITING, WAITING).steps == ()
        assert len(complete(files, DONE, WAITING).steps) == 1
        assert len(complete(files, WAITING, WAITING, VFS).steps) == 2

    def test_what_programs_will_replace_is_known_by_its_digest(self, files: Files) -> None:
        files.write_atomic("/boot/menu", b"x")
        _finish, boot = complete(files, WAITING, None, BOOT).steps
        assert isinstance(boot, ChangeBoot)
        (made,) = boot.change.generators[0].makes
        assert made.before == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # printf x | sha256sum

    def test_its_files_are_written_with_the_folders_that_are_missing(self, files: Files, quick_path: Path) -> None:
        step = finish_of(complete(files, WAITING, None))
        paths = [change.path for change in step.change.files]
        assert len(paths) == len(set(paths))
        assert paths.index("/etc") < paths.index("/etc/systemd/system") < paths.index(UNIT) < paths.index(LINK)
        for change in step.change.files:
            assert change.before is None
            assert isinstance(change.after, Folder | RegularFile | SymbolicLink)
        prepare(files)
        assert (quick_path / "etc/systemd").stat().st_mode & 0o777 == 0o755
        assert (quick_path / LINK[1:]).readlink() == quick_path.__class__(UNIT)

    def test_taken_back_all_of_it_is_gone(self, files: Files, quick_path: Path) -> None:
        step = prepare(files)
        apply_changes(files, invert_changes(step.change.files))
        assert list(quick_path.iterdir()) == []

    def test_taken_away_its_files_are_gone_and_what_stood_there_is_known(self, files: Files, quick_path: Path) -> None:
        prepare(files)
        step = finish_of(complete(files, None, WAITING))
        assert [change.path for change in step.change.files] == [LINK, UNIT, RECORD]
        assert all(change.before is not None and change.after is None for change in step.change.files)
        apply_changes(files, step.change.files)
        assert read_prepared(files) is None
        assert not (quick_path / UNIT[1:]).exists()
        apply_changes(files, invert_changes(step.change.files))
        assert read_prepared(files) == WAITING

    def test_systemd_reads_its_units_anew_where_one_has_changed(self, files: Files) -> None:
        (reload,) = finish_of(complete(files, WAITING, None)).change.generators
        assert reload.argv == ("systemctl", "daemon-reload")
        prepare(files)
        later = finish_of(complete(files, DONE, WAITING)).change
        assert [change.path for change in later.files] == [RECORD]
        assert later.generators == ()

    def test_it_says_which_way_it_goes(self, files: Files) -> None:
        assert not finish_of(complete(files, WAITING, None)).removes
        assert finish_of(complete(files, None, WAITING)).removes


def test_the_unit_names_what_it_needs_and_escapes_what_systemd_would_read() -> None:
    text = finish_unit("/opt/50%/python", "/var/record")
    lines = text.splitlines()
    assert 'ExecStart="/opt/50%%/python" -I -m nicpass prepare --finish' in lines
    assert "ConditionPathExists=/var/record" in lines
    assert "@" not in text


def test_the_unit_ends_and_is_not_passed_over_in_silence_where_its_python_is_gone() -> None:
    text = " ".join(finish_unit("/python", "/r").replace("\\\n", "").split())
    assert text.count("ConditionPathExists=") == 1
    assert 'ExecStopPost=/bin/sh -c \'test "$$SERVICE_RESULT" = success || echo "<3>nicpass did not see' in text
    assert "TimeoutStartSec=3600" in text  # systemd gives a oneshot for ever


class TestFileChanges:
    """Each bears being done twice, and what others have come to use stays."""

    def test_a_folder_that_others_use_by_now_stays(self, files: Files, quick_path: Path) -> None:
        change = FileChange(path="/ours", after=Folder(0o755))
        apply_changes(files, (change,))
        (quick_path / "ours/theirs").write_text("")
        back = invert_changes((change,))
        apply_changes(files, back)
        verify_changes(files, back)
        assert (quick_path / "ours/theirs").exists()
        (quick_path / "ours/theirs").unlink()
        with pytest.raises(StepError, match="/ours is not what was written there"):
            verify_changes(files, back)
        apply_changes(files, back)
        assert not (quick_path / "ours").exists()

    def test_what_is_so_already_is_not_written(self, files: Files, quick_path: Path) -> None:
        change = FileChange(path="/f", after=RegularFile(b"x", 0o644))
        apply_changes(files, (change,))
        before = (quick_path / "f").stat().st_ino
        apply_changes(files, (change,))
        assert (quick_path / "f").stat().st_ino == before
        verify_changes(files, (change,))
        (quick_path / "f").write_text("y")
        with pytest.raises(StepError, match="/f is not what was written there"):
            verify_changes(files, (change,))

    def test_a_file_where_a_folder_shall_be_is_none(self, files: Files, quick_path: Path) -> None:
        (quick_path / "f").write_text("")
        with pytest.raises(StepError):
            verify_changes(files, (FileChange(path="/f", after=Folder(0o755)),))
