# SPDX-License-Identifier: Apache-2.0
"""The step that changes the boot: with real files and real programs, in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nicpass.engine.boot.steps import BootSteps, boot_handlers, digest, with_digests
from nicpass.engine.journal import Journal
from nicpass.engine.recovery import recover
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.model.boot import BootChange, BootPurpose, GeneratedFile, Generator
from nicpass.model.change import Phase
from nicpass.model.errors import ExitCode, StepError
from nicpass.model.file_image import FileChange, RegularFile
from nicpass.model.inverse import invert_step
from nicpass.model.plan import ChangeBoot, Plan
from nicpass.model.request import PrepareRequest

pytestmark = pytest.mark.spawns
CONFIG, MENU = "/config", "/menu"


def step_of(root: Path, script: str = "cat {config} >{menu}.new && mv {menu}.new {menu}") -> ChangeBoot:
    line = script.format(config=root / "config", menu=root / "menu")
    generator = Generator(argv=("sh", "-c", line), makes=(GeneratedFile(path=MENU),))
    file = FileChange(path=CONFIG, before=RegularFile(b"old"), after=RegularFile(b"new"))
    change = BootChange(files=(file,), generators=(generator,))
    return with_digests(ChangeBoot(purpose=BootPurpose.ARGUMENTS, change=change), Files(str(root)))


@pytest.fixture
def steps(tmp_path: Path) -> BootSteps:
    (tmp_path / "config").write_text("old")
    (tmp_path / "menu").write_text("old")
    return BootSteps(Files(str(tmp_path)), Processes())


def test_files_first_then_the_program_and_back(steps: BootSteps, tmp_path: Path) -> None:
    step = step_of(tmp_path)
    for now, word in ((step, "new"), (step, "new"), (invert_step(step), "old")):
        assert isinstance(now, ChangeBoot)
        steps.apply(now)
        steps.verify(now)
        assert (tmp_path / "menu").read_text() == (tmp_path / "config").read_text() == word


def test_a_program_that_fails_is_told_with_its_last_words(steps: BootSteps, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"sh -c .* failed: No space left"):
        steps.apply(step_of(tmp_path, "echo No space left >&2; exit 1"))


def test_taken_back_where_the_program_cannot_run_any_more(steps: BootSteps, tmp_path: Path) -> None:
    """On a full disk it made nothing, and makes nothing now: what it would have to make anew is there still."""
    step = step_of(tmp_path, "exit 1")
    with pytest.raises(StepError):
        steps.apply(step)
    back = invert_step(step)
    assert isinstance(back, ChangeBoot)
    steps.apply(back)
    steps.verify(back)
    assert (tmp_path / "config").read_text() == (tmp_path / "menu").read_text() == "old"
    # But what it has made is made anew, and that it cannot is no secret.
    (tmp_path / "menu").write_text("half")
    with pytest.raises(StepError):
        steps.apply(back)


def test_a_program_that_makes_nothing_is_not_believed(steps: BootSteps, tmp_path: Path) -> None:
    (tmp_path / "menu").unlink()
    step = step_of(tmp_path, "true")
    steps.apply(step)
    with pytest.raises(StepError, match="did not make /menu"):
        steps.verify(step)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert digest(files, "/absent") is None
    (tmp_path / "a").write_text("x")
    # printf x | sha256sum
    assert digest(files, "/a") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


class _Synced(Files):
    """Notes what stood in the menu when it was synced."""

    seen: str = "never"

    def sync(self) -> None:
        self.seen = Path(self.root + MENU).read_text()


def test_what_the_programs_made_is_on_disk_before_the_step_counts_as_done(steps: BootSteps, tmp_path: Path) -> None:
    """On an EFI system partition, which has no journal, a power cut would leave half of it."""
    steps.files = files = _Synced(str(tmp_path))
    steps.apply(step_of(tmp_path))
    assert files.seen == "new"


@pytest.mark.parametrize(
    ("phases", "word"), [((Phase.DOING,), "old"), ((Phase.DOING, Phase.DONE), "new")], ids=["not seen", "seen done"]
)
def test_a_program_counts_only_where_its_end_was_recorded(
    phases: tuple[Phase, ...], word: str, steps: BootSteps, tmp_path: Path
) -> None:
    """The power may have taken what it wrote (grub-reboot does not sync), and nothing there tells."""
    files, step = steps.files, step_of(tmp_path)
    journal = Journal.open(files, Plan(summary="", request=PrepareRequest(), steps=(step,)))
    journal.record(0, phases[0], step)
    steps.apply(step)
    for phase in phases[1:]:
        journal.record(0, phase, step)
    (settled,) = recover(files, boot_handlers(files, steps.processes))
    assert settled.exit_code == ExitCode.DONE
    assert (tmp_path / "config").read_text() == (tmp_path / "menu").read_text() == word
