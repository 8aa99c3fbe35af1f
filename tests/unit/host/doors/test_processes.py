# SPDX-License-Identifier: Apache-2.0
"""What programs print is text from outside: no byte of it stops us. And nothing that they start outlives or delays us.

A program of the system is often a script: what is killed at its limit is the script with all that it has started, or
an initramfs would be written over the one that an undo has just put back. And a daemon that it leaves behind with its
output open is no reason to wait.
"""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nicpass.host.doors.processes import Processes
from nicpass.host.doors.running import start_of

pytestmark = pytest.mark.spawns

_ENOUGH = 30.0  # seconds; none of these programs would end by itself so soon


def _has_ended(process: int) -> bool:
    """Within ten seconds; one that nobody has reaped yet has ended too."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        select.select([], [], [], 0.05)
        try:
            state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2][:1]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
    return False


def test_bytes_that_are_no_utf_8_are_spelled() -> None:
    done = Processes().run(["/bin/sh", "-c", r"printf 'a\377\233b'; printf '\376' >&2"], timeout=10)
    assert (done.exit_code, done.output, done.error) == (0, r"a\xff\x9bb", r"\xfe")


def test_what_a_program_has_started_ends_with_it_at_its_limit(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 300 & echo $! >{pid}.new; mv {pid}.new {pid}; wait"
    done = Processes().run(["/bin/sh", "-c", script], timeout=1)
    assert (done.exit_code, done.error) == (None, "/bin/sh: no answer within 1 s")
    assert _has_ended(int(pid.read_text(encoding="utf-8")))


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    begin = time.monotonic()
    script = f"sleep 300 & echo $! >{pid}; echo told; echo complained >&2; exit 3"
    done = Processes().run(["/bin/sh", "-c", script], timeout=_ENOUGH)
    daemon = int(pid.read_text(encoding="utf-8"))
    try:
        assert (done.exit_code, done.output, done.error) == (3, "told\n", "complained")
        assert time.monotonic() - begin < _ENOUGH / 2
        assert start_of(daemon) is not None  # it was what was asked for: a DHCP client, a supplicant
    finally:
        Processes().run(["/bin/kill", str(daemon)], timeout=10)


def test_much_output_and_input_pass_whole() -> None:
    text = "0123456789abcdef" * 20_000
    done = Processes().run(["/bin/cat"], timeout=_ENOUGH, stdin=text)
    assert (done.exit_code, done.output) == (0, text)


def test_one_that_takes_its_time_to_read_gets_all_of_its_input() -> None:
    text = "0123456789abcdef" * 20_000
    done = Processes().run(["/bin/sh", "-c", "sleep 1; exec cat"], timeout=_ENOUGH, stdin=text)
    assert (done.exit_code, done.output) == (0, text)


_INTERRUPTED = """
import signal, sys
from nicpass.host.doors.processes import Processes
# A shell that starts the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("begin", flush=True)
    Processes().run(["/bin/sh", "-c", "sleep 1; echo $$ >" + sys.argv[1] + "/pid; " + sys.argv[2]], timeout=60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class TestInterrupts:
    """Ctrl-C is for nicpass, which then takes back what was done: not while a program is still at it."""

    def interrupt(self, folder: Path, script: str, *, times: int) -> tuple[str, float]:
        """What the run says, and after how many seconds it has ended; its program is at it when the first comes."""
        begin = time.monotonic()
        command = [sys.executable, "-c", _INTERRUPTED, str(folder), script]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            deadline = begin + _ENOUGH
            while not (folder / "pid").exists() and time.monotonic() < deadline:
                select.select([], [], [], 0.05)
            for _ in range(times):
                run.send_signal(signal.SIGINT)
                select.select([], [], [], 0.6)  # two signals at once would be one
            output, _ = run.communicate(timeout=_ENOUGH)
        return output, time.monotonic() - begin

    def test_the_program_ends_first(self, tmp_path: Path) -> None:
        output, _ = self.interrupt(tmp_path, f"sleep 2; echo whole >{tmp_path}/written", times=1)
        assert output == "begin\ninterrupted\n"
        assert (tmp_path / "written").read_text(encoding="utf-8") == "whole\n"

    def test_who_insists_ends_it(self, tmp_path: Path) -> None:
        output, seconds = self.interrupt(tmp_path, "sleep 300", times=2)
        assert output == "begin\ninterrupted\n"
        assert seconds < _ENOUGH
        assert _has_ended(int((tmp_path / "pid").read_text(encoding="utf-8")))

    def test_whoever_is_out_of_time_leaves_nothing_running(self, tmp_path: Path) -> None:
        class OutOfTimeError(BaseException):
            pass

        def give_up(*_: object) -> None:
            raise OutOfTimeError

        before = signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, 1)
        try:
            with pytest.raises(OutOfTimeError):
                Processes().run(["/bin/sh", "-c", f"echo $$ >{tmp_path}/pid; sleep 300"], timeout=_ENOUGH)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert _has_ended(int((tmp_path / "pid").read_text(encoding="utf-8")))


def test_a_program_that_may_not_be_run_is_told_as_one_that_is_not_there(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    assert Processes().run([str(script)], timeout=10).error == f"{script}: permission denied"
    assert Processes().run([f"{script}.none"], timeout=10).error == f"{script}.none: not installed"
