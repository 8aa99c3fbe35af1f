# SPDX-License-Identifier: Apache-2.0
"""The guard comes with the first NIC and goes with the last, and leaves every file as it was found."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass import __version__
from nicpass.cli.render.plan_shell import render_shell
from nicpass.cli.render.plan_text import describe_step
from nicpass.engine.admission import admit, note_start
from nicpass.engine.boot.file_changes import apply_changes, verify_changes
from nicpass.engine.lock import PATH
from nicpass.engine.nic.store import KeptNic, keep_nic, keep_nic_state, list_kept_nics, read_kept_nic, read_nic_state
from nicpass.engine.nic.take import take_handlers
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.hypervisor.libvirt import guard
from nicpass.hypervisor.libvirt import steps as libvirt
from nicpass.hypervisor.libvirt.guard import (
    RECORD,
    UNIT,
    Hands,
    desired_guard,
    guard_handlers,
    plan_guard,
    plan_guard_removal,
)
from nicpass.hypervisor.libvirt.guard_files import hook_script, recover_unit
from nicpass.model.address import Address
from nicpass.model.errors import BusyError, StepError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import FileChange, Folder, RegularFile, SymbolicLink, invert_changes
from nicpass.model.guard import HOOK
from nicpass.model.inverse import invert_step
from nicpass.model.plan import (
    DefineDevice,
    GiveBackNic,
    InstallGuard,
    NicOwner,
    NicState,
    RemoveGuard,
    StartDomain,
    StopDomain,
    TakeNic,
    UndefineDevice,
)
from nicpass.model.request import AttachRequest, DetachRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.nic.detach import plan_detach
from tests.support.hosts import VM, nic, ready_host
from tests.support.trees import hostdev_xml

NIC, OTHER = Address("0000:01:00.0"), Address("0000:02:00.0")
STATE = NicState(address=NIC, driver="ixgbe")
OWNER = NicOwner(domain="guest", uuid=VM.uuid, allow=frozenset({"HAS_ADDRESS"}))
WANTED = "/etc/systemd/system/multi-user.target.wants/nicpass-recover.service"


class FakeProcesses(Processes):
    """Answers as systemd and the hook do, and remembers what was run."""

    def __init__(self, active: tuple[str, ...] = ("libvirtd",), self_test: Completed | None = None) -> None:
        self.active = active
        self.self_test = self_test or Completed(0, f"nicpass {__version__}\n", "")
        self.failing: tuple[str, ...] = ()
        self.ran: list[str] = []

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        if "self-test" in argv:
            return self.self_test
        if "is-active" in argv:
            return Completed(0 if argv[-1] in self.active else 3, "", "")
        self.ran.append(" ".join(argv))
        return Completed(1, "", "Job failed.") if argv[1] in self.failing else Completed(0, "", "")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A host with systemd and libvirt, as Debian has them."""
    folders = ("etc/libvirt/hooks", "etc/systemd/system/multi-user.target.wants", "run/systemd/system", "var/lib")
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    return Files(str(tmp_path))


def tree_of(files: Files) -> dict[str, tuple[str, bytes]]:
    """Everything below the root: kind or mode, and content."""
    found = {}
    for path in sorted(path for path in Path(files.root).rglob("*") if "var/lib/nicpass" not in str(path)):
        content = b"" if path.is_dir() else str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        found[str(path)] = (f"{path.lstat().st_mode:o}", content)
    return found


def hands(version: int = 11_003_000, unproved: str | None = None, told: list[str] | None = None) -> Hands:
    """A libvirt of that version, which is seen to run the hook, or not."""
    return Hands(lambda: version, lambda _files: unproved, (told if told is not None else []).append)


def install(files: Files, processes: FakeProcesses | None = None, version: int = 11_003_000) -> InstallGuard:
    step = InstallGuard(address=NIC, files=plan_guard(files))
    handler = guard_handlers(files, processes or FakeProcesses(), hands(version))[InstallGuard]
    handler.apply(step)
    handler.verify(step)
    return step


def remove(files: Files, step: RemoveGuard, processes: FakeProcesses | None = None) -> None:
    handler = guard_handlers(files, processes or FakeProcesses(), hands(0))[RemoveGuard]
    handler.apply(step)
    handler.verify(step)


class TestInstalling:
    """The files, and who has to be told of them."""

    def test_all_of_it_stands_there(self, files: Files) -> None:
        install(files)
        hook, unit = files.read_image(HOOK), files.read_image(UNIT)
        assert isinstance(hook, RegularFile)
        assert isinstance(unit, RegularFile)
        assert (hook.mode, unit.mode) == (0o755, 0o644)
        assert files.read_image(WANTED) == SymbolicLink(UNIT)
        assert sys.executable in hook.content.decode()
        assert plan_guard(files) == ()

    def test_systemd_and_the_daemon_that_runs_are_told_once(self, files: Files) -> None:
        processes = FakeProcesses(active=("virtqemud",))
        install(files, processes)
        assert processes.ran == ["systemctl daemon-reload", "systemctl reload virtqemud"]

    def test_a_host_without_systemd_gets_no_unit(self, files: Files) -> None:
        (Path(files.root) / "run/systemd/system").rmdir()
        processes = FakeProcesses(active=())
        install(files, processes)
        assert processes.ran == []
        assert files.exists(HOOK)
        assert not files.exists(UNIT)

    def test_selinux_own_tool_sets_the_labels(self, files: Files) -> None:
        files.write_atomic("/sys/fs/selinux/enforce", b"1")
        processes = FakeProcesses()
        install(files, processes)
        labelled = processes.ran[0].split()
        assert labelled[0] == "restorecon"
        assert {HOOK, UNIT, WANTED} <= set(labelled)
        assert processes.ran[1] == "systemctl daemon-reload"

    def test_labels_that_could_not_be_set_are_told_and_no_error(self, files: Files) -> None:
        files.write_atomic("/sys/fs/selinux/enforce", b"1")
        processes, told = FakeProcesses(), list[str]()
        step = InstallGuard(address=NIC, files=plan_guard(files))
        processes.failing = (next(change.path for change in step.files if change.after is not None),)
        guard_handlers(files, processes, hands(told=told))[InstallGuard].apply(step)
        assert told == ["SELinux' labels of the guard's files could not be set: Job failed."]

    def test_what_could_not_be_proved_is_told_and_no_error(self, files: Files) -> None:
        told: list[str] = []
        step = InstallGuard(address=NIC, files=plan_guard(files))
        guard_handlers(files, FakeProcesses(), hands(unproved="no emulator", told=told))[InstallGuard].apply(step)
        (sentence,) = told
        assert sentence.startswith("Whether libvirt runs the guard could not be seen: no emulator. ")

    def test_nothing_is_proved_where_it_only_goes(self, files: Files) -> None:
        told: list[str] = []
        step = install(files)
        back = InstallGuard(address=NIC, files=invert_changes(step.files))
        guard_handlers(files, FakeProcesses(), hands(unproved="x", told=told))[InstallGuard].apply(back)
        assert told == []

    def test_doing_it_twice_changes_nothing(self, files: Files) -> None:
        step = install(files)
        before = tree_of(files)
        handler = guard_handlers(files, FakeProcesses(), hands())[InstallGuard]
        handler.apply(step)
        handler.verify(step)
        assert tree_of(files) == before

    @pytest.mark.parametrize(("version", "told"), [(6_004_000, "6.4.0"), (6_000_012, "6.0.12"), (1_002_003, "1.2.3")])
    def test_a_libvirt_that_would_not_call_it_is_an_error(self, version: int, told: str, files: Files) -> None:
        with pytest.raises(StepError, match=f"libvirt {told} does not call"):
            install(files, version=version)

    @pytest.mark.parametrize(
        "answer",
        [Completed(127, "", "not found"), Completed(0, "nicpass 0.0\n", ""), Completed(None, "", "no answer")],
    )
    def test_a_hook_that_does_not_run_is_an_error(self, answer: Completed, files: Files) -> None:
        with pytest.raises(StepError, match="does not run"):
            install(files, FakeProcesses(self_test=answer))

    @pytest.mark.parametrize("verb", ["daemon-reload", "reload"])
    def test_who_does_not_let_himself_be_told_is_an_error(self, verb: str, files: Files) -> None:
        processes = FakeProcesses()
        processes.failing = (verb,)
        with pytest.raises(StepError, match=r"Job failed\."):
            install(files, processes)

    @pytest.mark.parametrize("path", [HOOK, UNIT, RECORD])
    def test_a_file_that_somebody_changed_meanwhile_is_seen(self, path: str, files: Files) -> None:
        step = install(files)
        (Path(files.root) / path[1:]).write_text("else")
        with pytest.raises(StepError, match=path):
            guard_handlers(files, FakeProcesses(), hands())[InstallGuard].verify(step)


class TestRemoving:
    """Back, byte for byte."""

    def test_the_inverse_restores_everything(self, files: Files) -> None:
        before = tree_of(files)
        step = install(files)
        undo = invert_step(step)
        assert isinstance(undo, RemoveGuard)
        remove(files, undo)
        assert tree_of(files) == before
        assert not files.exists(RECORD)
        assert invert_step(undo) == step

    def test_so_does_the_removal_that_is_planned_later(self, files: Files) -> None:
        before = tree_of(files)
        install(files)
        keep_nic(files, KeptNic(state=STATE, owner=OWNER))
        remove(files, RemoveGuard(address=NIC, files=plan_guard_removal(files, NIC)))
        assert tree_of(files) == before

    def test_what_somebody_else_had_there_comes_back(self, files: Files) -> None:
        root = Path(files.root)
        for path, content in ((HOOK, b"#!/bin/sh\n\xff\0"), (UNIT, b"[Unit]\n")):
            (root / path[1:]).parent.mkdir(exist_ok=True)
            (root / path[1:]).write_bytes(content)
            (root / path[1:]).chmod(0o700)
        (root / WANTED[1:]).symlink_to("/dev/null")
        before = tree_of(files)
        install(files)
        assert tree_of(files) != before
        remove(files, RemoveGuard(address=NIC, files=plan_guard_removal(files, NIC)))
        assert tree_of(files) == before

    def test_also_after_another_nicpass_was_installed_in_between(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (Path(files.root) / UNIT[1:]).write_bytes(b"mine\n")
        before = tree_of(files)
        with monkeypatch.context() as older:
            older.setattr(guard, "PYTHON", "/opt/old/python")
            install(files)
        changes = plan_guard(files)
        assert {c.path for c in changes if c.before != c.after} == {HOOK, UNIT}
        step = install(files)
        assert b"/opt/old" not in (files.read_bytes(HOOK) or b"")  # type: ignore[operator]
        undone = invert_changes(step.files)
        apply_changes(files, undone)
        assert b"/opt/old" in (files.read_bytes(HOOK) or b"")  # type: ignore[operator]
        apply_changes(files, step.files)
        remove(files, RemoveGuard(address=NIC, files=plan_guard_removal(files, NIC)))
        assert tree_of(files) == before

    def test_a_folder_that_others_use_by_now_stays(self, files: Files) -> None:
        step = install(files)
        other = Path(files.root) / "etc/libvirt/hooks/qemu.d/other"
        other.touch()
        remove(files, RemoveGuard(address=NIC, files=invert_changes(step.files)))
        assert other.exists()
        assert not files.exists(HOOK)

    def test_it_stays_while_it_watches_over_another_nic(self, files: Files) -> None:
        install(files)
        for address in (NIC, OTHER):
            keep_nic_state(files, msgspec.structs.replace(STATE, address=address))
        assert plan_guard_removal(files, NIC) == ()
        shutil.rmtree(Path(files.root) / "var/lib/nicpass/nics")
        assert plan_guard_removal(files, NIC) != ()

    def test_where_none_was_installed_none_is_removed(self, files: Files) -> None:
        assert plan_guard_removal(files, NIC) == ()
        (Path(files.root) / "var/lib/nicpass").mkdir(parents=True)
        (Path(files.root) / RECORD[1:]).write_text("{damaged")
        assert plan_guard_removal(files, NIC) == ()


class TestFileChanges:
    """Every kind of thing, over every kind of thing."""

    IMAGES = st.one_of(
        st.none(),
        st.builds(RegularFile, st.binary(max_size=20), st.sampled_from((0o600, 0o644, 0o755))),
        st.builds(SymbolicLink, st.sampled_from(("/dev/null", "somewhere", "..") )),
    )  # fmt: skip

    @given(before=IMAGES, after=IMAGES)
    def test_there_and_back(self, before: object, after: object, tmp_path_factory: pytest.TempPathFactory) -> None:
        files = Files(str(tmp_path_factory.mktemp("tree")))
        there = FileChange(path="/it", before=before, after=after)  # type: ignore[arg-type]
        first = FileChange(path="/it", after=before)  # type: ignore[arg-type]
        for change in (first, there, *invert_changes((there,)), *invert_changes((first,))):
            apply_changes(files, (change,))
            verify_changes(files, (change,))
            assert files.read_image("/it") == change.after
            apply_changes(files, (change,))
            assert files.read_image("/it") == change.after
        assert list(Path(files.root).iterdir()) == []

    def test_what_is_no_file_is_unknown(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert isinstance(Files(str(tmp_path)).read_image("/fifo"), Unknown)
        assert Files(str(tmp_path)).read_image("/none") is None

    def test_a_folder_is_made_with_its_mode_and_left_as_it_is(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        files.make_folder("/it", 0o711)
        files.make_folder("/it", 0o700)
        assert files.read_image("/it") == Folder(0o711)
        (tmp_path / "it/more").touch()
        files.remove_folder("/it")
        (tmp_path / "it/more").unlink()
        files.remove_folder("/it")
        files.remove_folder("/it")
        assert files.read_image("/it") is None

    def test_half_a_script_cannot_be_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """libvirt runs whatever is executable in that folder."""
        seen: list[tuple[int, int]] = []
        change_mode = os.fchmod

        def look_first(descriptor: int, mode: int) -> None:
            seen.extend((path.stat().st_mode & 0o777, path.stat().st_size) for path in tmp_path.iterdir())
            change_mode(descriptor, mode)

        monkeypatch.setattr(os, "fchmod", look_first)
        Files(str(tmp_path)).write_atomic("/hook", b"12345", 0o755)
        assert seen == [(0o600, 5)]
        assert (tmp_path / "hook").stat().st_mode & 0o777 == 0o755


class TestPlans:
    """First it comes, last it goes."""

    GUARD = (FileChange(path=HOOK, after=RegularFile(b"x")),)

    def test_it_stands_before_the_nic_may_leave(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        plan = plan_attach(host, AttachRequest(vm="guest", nic="eth1", start=True), self.GUARD)
        assert [type(step) for step in plan.steps] == [InstallGuard, TakeNic, DefineDevice, StartDomain]
        start = plan.steps[-1]
        assert isinstance(start, StartDomain)
        assert start.guarded
        assert invert_step(invert_step(start)) == start

    def test_whose_the_nic_is_and_on_which_terms_is_kept(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        plan = plan_attach(host, AttachRequest(vm="guest", nic="eth1", allow=frozenset({"HAS_ADDRESS"})))
        take = plan.steps[0]
        assert isinstance(take, TakeNic)
        assert take.owner == OWNER
        assert invert_step(invert_step(take)) == take

    def test_a_nic_that_libvirt_does_not_take_needs_no_guard(self, tmp_path: Path) -> None:
        bound = nic(NIC, driver="vfio-pci", driver_override="vfio-pci")
        host = ready_host(bound).read(tmp_path)
        plan = plan_attach(host, AttachRequest(vm="guest", nic=NIC, start=True), self.GUARD)
        assert [type(step) for step in plan.steps] == [TakeNic, DefineDevice, StartDomain]
        assert isinstance(plan.steps[-1], StartDomain)
        assert not plan.steps[-1].guarded

    def test_it_goes_when_the_nic_is_back(self, tmp_path: Path) -> None:
        tree = ready_host().but(vms=(dataclasses.replace(VM, devices=hostdev_xml(NIC)),))
        plan = plan_detach(tree.read(tmp_path), DetachRequest(vm="guest", nic="eth1"), None, OWNER, self.GUARD)
        assert [type(step) for step in plan.steps] == [UndefineDevice, GiveBackNic, RemoveGuard]
        back = plan.steps[1]
        assert isinstance(back, GiveBackNic)
        assert back.owner == OWNER

    def test_it_is_told(self, files: Files) -> None:
        step = InstallGuard(address=NIC, files=plan_guard(files))
        assert "guard" in describe_step(step)
        assert "guard" in describe_step(invert_step(step))
        lines = render_shell(step)
        assert lines[-2:] == ["systemctl daemon-reload", "systemctl reload libvirtd"]
        assert f"chmod 755 {HOOK}" in lines

    @pytest.mark.spawns
    @pytest.mark.parametrize("content", [b"plain\n", b"END\nrm -rf /\n", b"no newline", b"\xff\0", b"", b"$(x) `x`\n"])
    def test_its_shell_lines_write_the_same(self, content: bytes, tmp_path: Path) -> None:
        """Whatever somebody else had there; by a shell that reads its lines from a pipe."""
        path = str(tmp_path / "a folder/it's")
        changes = (
            FileChange(path=str(tmp_path / "a folder"), after=Folder(0o750)),
            FileChange(path=path, after=RegularFile(content, 0o640)),
            FileChange(path=f"{path}.link", after=SymbolicLink("/dev/null")),
        )
        step = InstallGuard(address=NIC, files=changes)
        self.type_in([line for line in render_shell(step) if "systemctl" not in line])
        files = Files()
        assert [files.read_image(change.path) for change in changes] == [change.after for change in changes]
        undo = invert_step(step)
        self.type_in([line for line in render_shell(undo) if "systemctl" not in line])
        assert list(tmp_path.iterdir()) == []

    def type_in(self, lines: list[str]) -> None:
        subprocess.run(["/bin/bash", "-e"], input="\n".join([*lines, ""]), text=True, check=True, capture_output=True)


class TestRecords:
    """What is kept of a NIC that is given away."""

    def test_it_round_trips(self, files: Files) -> None:
        kept = KeptNic(state=STATE, owner=OWNER, away="boot", renewed=True)
        keep_nic(files, kept)
        assert read_kept_nic(files, NIC) == kept
        assert read_nic_state(files, NIC) == STATE
        assert list_kept_nics(files) == (NIC,)
        # The hook's script looks for the UUID of the VM, as text.
        assert f'"{VM.uuid}"'.encode() in (files.read_bytes(f"/var/lib/nicpass/nics/{NIC}.json") or b"")  # type: ignore[operator]

    def test_those_of_nicpass_0_1_are_read(self, files: Files) -> None:
        files.write_atomic(f"/var/lib/nicpass/nics/{NIC}.json", msgspec.json.encode(STATE))
        assert read_kept_nic(files, NIC) == KeptNic(state=STATE)

    @pytest.mark.parametrize("content", [b"", b"{}", b'{"state":{}}', b'{"state":{"address":"0000:01:00.0"}}', b"[1]"])
    def test_damaged_ones_are_an_error(self, content: bytes, files: Files) -> None:
        files.write_atomic(f"/var/lib/nicpass/nics/{NIC}.json", content)
        with pytest.raises(StepError, match="damaged"):
            read_kept_nic(files, NIC)

    def test_taking_keeps_the_owner_and_a_renewed_state_is_no_damage(self, files: Files) -> None:
        take = TakeNic(address=NIC, state=STATE, owner=OWNER)
        handler = take_handlers(files)[TakeNic]
        apply, verify = handler.apply, handler.verify
        apply(take)
        verify(take)
        left = msgspec.structs.replace(STATE, driver="igb")
        keep_nic(files, KeptNic(state=left, owner=OWNER, away="boot", renewed=True))
        verify(take)
        keep_nic(files, KeptNic(state=left, owner=OWNER))
        with pytest.raises(StepError):
            verify(take)
        keep_nic(files, KeptNic(state=STATE, owner=None))
        with pytest.raises(StepError):
            verify(take)


class TestTexts:
    """What is written names this installation, however its path is spelled."""

    def test_paths_are_quoted_for_the_shell(self) -> None:
        text = hook_script("/o'dd/$py thon", "/a b", "/nics")
        assert "python='/o'\"'\"'dd/$py thon'\n" in text
        assert "package='/a b'\n" in text

    def test_and_for_systemd(self) -> None:
        text = recover_unit("/100%/python", "/s")
        assert 'ExecStart="/100%%/python" -I -m nicpass recover --boot' in text

    def test_the_unit_is_not_passed_over_in_silence_where_its_python_is_gone(self) -> None:
        text = " ".join(recover_unit("/python", "/s").replace("\\\n", "").split())
        assert "ConditionPathExists" not in text
        assert 'ExecStopPost=/bin/sh -c \'test "$$SERVICE_RESULT" = success || echo "<3>nicpass recover failed' in text

    def test_a_boot_does_not_wait_for_it_for_ever(self) -> None:
        assert "TimeoutStartSec=3600\n" in recover_unit("/python", "/s")  # systemd gives a oneshot all the time

    def test_what_is_desired_ends_in_lines(self) -> None:
        for image in desired_guard(systemd=True).values():
            assert not isinstance(image, RegularFile) or image.content.endswith(b"\n")


class FakeDomain:
    """A VM of libvirt's whose start asks the guard, or does not."""

    def __init__(self, files: Files, asks: tuple[Address, ...] | None) -> None:
        self.files, self.asks, self.active = files, asks, False
        self.announced: list[bool] = []

    def __enter__(self) -> FakeDomain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def isActive(self) -> bool:  # noqa: N802
        return self.active

    def create(self) -> None:
        self._look()
        if self.asks is not None:
            note_start(self.files, VM.uuid, self.asks)
        self.active = True

    def destroy(self) -> None:
        self._look()
        self.active = False

    def _look(self) -> None:
        """As the hook does, while a run has the lock."""
        with self.files.open_for_lock(PATH) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                with admit(self.files, VM.uuid, "guest"):
                    self.announced.append(True)
            except BusyError:
                self.announced.append(False)


class TestStarting:
    """A guard that libvirt does not call is none."""

    def run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: tuple[Address, ...] | None, *, guarded: bool = True
    ) -> FakeDomain:
        tree = ready_host(nic(NIC, driver="vfio-pci", driver_override="vfio-pci"))
        files = Files(str(tree.write(tmp_path)))
        domain = FakeDomain(files, asks)
        monkeypatch.setattr(libvirt, "DomainHandle", lambda *_: domain)
        monkeypatch.setattr(libvirt, "_START_SECONDS", 0)
        note_start(files, VM.uuid, (NIC,))  # of an earlier start
        start = StartDomain(address=NIC, domain="guest", uuid=VM.uuid, guarded=guarded)
        handlers = libvirt.libvirt_handlers(files)
        handlers[StartDomain].apply(start)
        try:
            handlers[StartDomain].verify(start)
        finally:
            handlers[StopDomain].apply(invert_step(start))
            handlers[StopDomain].verify(invert_step(start))
        return domain

    def test_each_nic_of_the_change_has_to_be_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = ready_host(
            nic(NIC, driver="vfio-pci", driver_override="vfio-pci"), nic(OTHER, "eth9", group=11, driver="ixgbe")
        )
        files = Files(str(tree.write(tmp_path)))
        domain = FakeDomain(files, (NIC, OTHER))
        monkeypatch.setattr(libvirt, "DomainHandle", lambda *_: domain)
        monkeypatch.setattr(libvirt, "_START_SECONDS", 0)
        start = StartDomain(address=NIC, domain="guest", uuid=VM.uuid, more=(OTHER,))
        handlers = libvirt.libvirt_handlers(files)
        handlers[StartDomain].apply(start)
        with pytest.raises(StepError, match=f"guest runs, but {OTHER} is on ixgbe"):
            handlers[StartDomain].verify(start)

    def test_a_start_that_the_guard_let_through(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        domain = self.run(tmp_path, monkeypatch, (OTHER, NIC))
        assert domain.announced == [True, True]
        assert not list((tmp_path / "run/nicpass/announced").iterdir())

    @pytest.mark.parametrize("asks", [None, (), (OTHER,)])
    def test_one_that_it_was_not_asked_about(
        self, asks: tuple[Address, ...] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(StepError, match="did not ask the guard"):
            self.run(tmp_path, monkeypatch, asks)

    def test_where_no_guard_is_meant_none_is_missed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run(tmp_path, monkeypatch, None, guarded=False)
