# SPDX-License-Identifier: Apache-2.0
"""A libvirt that hangs (law 12): real processes whose calls never come back, and a bound for each of them."""

from __future__ import annotations

import _thread
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from nicpass.engine.bounded import ask
from nicpass.engine.journal import Journal, read_change
from nicpass.engine.lock import hold_lock
from nicpass.engine.overdue import OverdueRun
from nicpass.host.doors.files import Files
from nicpass.host.doors.running import Running, age_of, end_process, start_of
from nicpass.hypervisor.libvirt.shutdown import end_guest
from nicpass.model.address import Address
from nicpass.model.change import Actor, Outcome
from nicpass.model.errors import BusyError, ExitCode, NoAnswerError, StepError
from nicpass.model.plan import ArmTimer, Plan, SetNumvfs, StartWindow
from nicpass.model.request import VfRequest

pytestmark = pytest.mark.spawns

NIC = Address("0000:01:00.0")
UUID = "11111111-2222-3333-4444-555555555555"
STEPS = (
    ArmTimer(address=NIC, seconds=5, allowance=600),
    SetNumvfs(address=NIC, before=0, after=4),
    StartWindow(address=NIC, seconds=5, allowance=600),
)
PLAN = Plan(summary="Make 4 VFs", request=VfRequest(pf=NIC, count=4), steps=STEPS)
LIMIT = 30
"""Seconds of the real clock in which a whole process has to be through, on a busy machine."""

_LIBVIRT = """
import os, sys, types
from nicpass.hypervisor.libvirt import domains, handle, steps
from nicpass.host.doors.files import Files
from nicpass.model.errors import NicpassError
from nicpass.model.inverse import invert_step
from nicpass.model.plan import (StartDomain, StopDomain, DefineDevice)
never = lambda *_: os.read(os.pipe()[0], 1)  # the descriptor for writing stays open: it never comes back
hanging = sys.argv[1]
domain = types.SimpleNamespace(isActive=lambda: 0, XMLDesc=lambda *_: "<domain/>", create=lambda: 0, destroy=lambda: 0)
connection = types.SimpleNamespace(lookupByUUIDString=lambda _: domain, close=lambda: 0, listAllDomains=lambda: [])
library = types.ModuleType("libvirt")
library.__dict__.update(libvirtError=type("libvirtError", (Exception,), {}), registerErrorHandler=lambda *_: None,
    open=lambda _: connection, openReadOnly=lambda _: connection, VIR_DOMAIN_XML_INACTIVE=2, VIR_ERR_NO_DOMAIN=42)
setattr({"open": library, "openReadOnly": library, "listAllDomains": connection, "close": connection,
    "lookupByUUIDString": connection}.get(hanging, domain), hanging, never)
sys.modules["libvirt"] = library
domains._READ_SECONDS = handle._SECONDS = handle._MORE = 0.2
handle._SECONDS_OF = {}
files = Files(sys.argv[2])
start = StartDomain(address="0000:01:00.0", domain="web", uuid="11111111-2222-3333-4444-555555555555")
handlers = steps.libvirt_handlers(files)
if hanging in ("openReadOnly", "listAllDomains"):
    Files.is_live = True
    print(domains.read_domains(files))
else:
    for step in (start, invert_step(start)):
        try:
            handlers[type(step)].apply(step)
            print("went through")
        except NicpassError as error:
            print(error.code, error.sentence)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("call", ["open", "lookupByUUIDString", "isActive", "create"])
def test_a_call_that_hangs_is_left_behind_and_told(call: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _LIBVIRT, call, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True)
    first = done.stdout.splitlines()[0]
    assert first.startswith("NO_ANSWER libvirt, about web: ")
    assert "no answer within 0.2 s" in first
    assert "may still happen" in first


def test_where_only_the_good_bye_hangs_nothing_is_lost(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _LIBVIRT, "close", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.splitlines()[0] == "went through"


@pytest.mark.parametrize("call", ["openReadOnly", "listAllDomains"])
def test_which_vms_there_are_is_unknown_then(call: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _LIBVIRT, call, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.startswith("Unknown(")
    assert "no answer within 0.2 s" in done.stdout


def test_an_answer_and_an_error_come_through_as_they_are() -> None:
    assert ask(lambda: 17, LIMIT, "x") == 17
    with pytest.raises(StepError, match="No"):
        ask(lambda: (_ for _ in ()).throw(StepError("No.")), LIMIT, "x")
    with pytest.raises(NoAnswerError):
        ask(lambda: os.read(os.pipe()[0], 1), 0.05, "x")


def test_the_thread_that_answers_is_asked_again_and_one_left_behind_is_not() -> None:
    first = ask(_thread.get_ident, LIMIT, "x")
    with pytest.raises(StepError):
        ask(lambda: (_ for _ in ()).throw(StepError("No.")), LIMIT, "x")
    assert ask(_thread.get_ident, LIMIT, "x") == first

    reading, writing = os.pipe()
    with pytest.raises(NoAnswerError):
        ask(lambda: (_thread.get_ident(), os.read(reading, 1))[0], 0.05, "x")
    second = ask(_thread.get_ident, LIMIT, "x")
    os.write(writing, b"x")  # the late answer comes, and is nobody's
    assert [ask(_thread.get_ident, LIMIT, "x") for _ in range(3)] == [second] * 3
    assert first != second


def test_a_child_does_not_wait_for_the_threads_of_its_parent() -> None:
    ask(int, LIMIT, "x")
    child = os.fork()
    if child == 0:
        os._exit(ask(lambda: 17, LIMIT, "x"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def sleeper(*words: str) -> subprocess.Popen[str]:
    """A process that does nothing until it is ended; it has begun."""
    code = "import sys; print('here', flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", code, *words]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def running(process: subprocess.Popen[str]) -> Running:
    started = start_of(process.pid)
    assert started is not None
    return Running(process.pid, started)


class TestEnding:
    """By the process that is meant and no other."""

    def test_one_that_heeds(self) -> None:
        with sleeper() as process:
            assert end_process(running(process), gently=LIMIT, by_force=LIMIT)
            assert process.wait(LIMIT) == -signal.SIGTERM

    def test_one_that_was_stopped_heeds_nothing_and_is_killed(self) -> None:
        with sleeper() as process:
            process.send_signal(signal.SIGSTOP)
            assert end_process(running(process), gently=0.2, by_force=LIMIT)
            assert process.wait(LIMIT) < 0

    def test_a_stranger_that_has_the_number_now_is_not_hit(self) -> None:
        with sleeper() as process:
            stranger = msgspec.structs.replace(running(process), started=running(process).started - 1)
            assert end_process(stranger, gently=0, by_force=0)
            assert process.poll() is None
            process.kill()

    def test_one_that_is_gone(self) -> None:
        assert end_process(Running(2**22 + 1, 1), gently=0, by_force=0)

    def test_how_old_it_is(self) -> None:
        with sleeper() as process:
            assert 0 <= age_of(running(process)) < LIMIT
            process.kill()

    def test_a_guest_by_its_uuid(self, tmp_path: Path) -> None:
        (tmp_path / "run/libvirt/qemu").mkdir(parents=True)
        (tmp_path / "proc").symlink_to("/proc")
        files = _Here(str(tmp_path))
        with sleeper("-uuid", UUID, "-x") as guest, sleeper("-uuid", UUID.replace("1", "9"), "-x") as other:
            (tmp_path / "run/libvirt/qemu/web.pid").write_text(f"{other.pid}\n")
            end_guest(files, "web", UUID)
            (tmp_path / "run/libvirt/qemu/web.pid").write_text(f"{guest.pid}\n")
            end_guest(files, "web", UUID)
            assert guest.wait(LIMIT) == -signal.SIGTERM
            assert other.poll() is None
            other.kill()


class _Here(Files):
    """A tree whose /proc is this machine's."""

    def _locate(self, path: str, *, follow: bool = True) -> str:
        return path if path.startswith("/proc/") else super()._locate(path, follow=follow)


_HANGS = """
import os, sys
from nicpass.engine.journal import Journal
from nicpass.engine.lock import hold_lock
from nicpass.host.doors.files import Files
from nicpass.model.change import Actor, Phase
from nicpass.model.plan import (Plan)
import msgspec
files, actor = Files(sys.argv[1]), Actor(user="root", process=os.getpid(), command=("attach", "--start"))
with hold_lock(files, actor):
    journal = Journal.open(files, msgspec.json.decode(sys.argv[2], type=Plan), actor)
    for number, step in enumerate(msgspec.json.decode(sys.argv[2], type=Plan).steps):
        journal.record(number, Phase.DOING, step)
        if sys.argv[3] == "closed":
            journal.record(number, Phase.DONE, step)
    if sys.argv[3] == "closed":
        journal.close(0)
    print(journal.identity, flush=True)
    sys.stdin.read()
"""


class TestDeadMansHand:
    """What r16 did: the run that hangs has the lock."""

    @pytest.fixture
    def host(self, tmp_path: Path) -> Files:
        (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
        (tmp_path / "proc/sys/kernel/random/boot_id").write_text("boot-1\n")
        return Files(str(tmp_path))

    def hang(self, files: Files, plan: Plan, how: str = "open") -> tuple[subprocess.Popen[str], str]:
        argv = [sys.executable, "-c", _HANGS, files.root, msgspec.json.encode(plan).decode(), how]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], LIMIT)[0]
        return process, process.stdout.readline().strip()

    def get_lock(self, files: Files, patience: float = LIMIT) -> None:
        actor = Actor(user="root", process=os.getpid(), command=("recover", "--unconfirmed"))
        with hold_lock(files, actor, patience=patience, end_holder=OverdueRun(files).end):
            pass

    def of(self, seconds: int, allowance: int) -> Plan:
        first = msgspec.structs.replace(STEPS[0], seconds=seconds, allowance=allowance)
        return msgspec.structs.replace(PLAN, steps=(first, *STEPS[1:]))

    @pytest.mark.parametrize("stopped", [False, True])
    def test_the_run_that_is_past_its_bound_is_ended(
        self,
        stopped: bool,
        host: Files,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("nicpass.engine.overdue._GENTLY", 1.0 if stopped else LIMIT)
        process, identity = self.hang(host, self.of(0, 0))
        with process:
            if stopped:
                process.send_signal(signal.SIGSTOP)
            self.get_lock(host)
            assert process.wait(LIMIT) < 0
        assert read_change(host, identity).outcome == Outcome.UNFINISHED, "now it can be taken back"

    def test_one_whose_change_is_made_and_that_only_hangs_is_ended_too(self, host: Files) -> None:
        process, identity = self.hang(host, self.of(0, 600), "closed")
        with process:
            self.get_lock(host)
            assert process.wait(LIMIT) == -signal.SIGTERM
        assert read_change(host, identity).outcome == Outcome.UNCONFIRMED

    def test_one_that_has_its_time_still_is_waited_for(self, host: Files) -> None:
        process, _identity = self.hang(host, self.of(5, 600))
        with process:
            with pytest.raises(BusyError, match="attach --start"):
                self.get_lock(host, patience=0.5)
            assert process.poll() is None
            process.kill()

    def test_a_run_with_nothing_to_confirm_is_not_its_affair(self, host: Files) -> None:
        process, _identity = self.hang(host, without_timer())
        with process:
            began = time.monotonic()
            with pytest.raises(BusyError):
                self.get_lock(host, patience=0.5)
            assert time.monotonic() - began < LIMIT
            assert process.poll() is None
            process.kill()

    def test_another_process_with_the_number_of_an_old_run(self, host: Files) -> None:
        """A change of an earlier boot, begun by a process of this number, is no reason to end today's."""
        process, _identity = self.hang(host, without_timer())
        old = Actor(user="root", process=process.pid)
        with process:
            (Path(host.root) / "proc/sys/kernel/random/boot_id").write_text("boot-0\n")
            Journal.open(host, self.of(0, 0), old).close(ExitCode.DONE)
            (Path(host.root) / "proc/sys/kernel/random/boot_id").write_text("boot-1\n")
            with pytest.raises(BusyError):
                self.get_lock(host, patience=0.5)
            assert process.poll() is None
            process.kill()


def without_timer() -> Plan:
    return Plan(summary="x", request=VfRequest(pf=NIC, count=4), steps=STEPS[1:2])
