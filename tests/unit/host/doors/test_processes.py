# SPDX-License-Identifier: Apache-2.0
"""What programs print is text from outside: no byte of it stops us. And nothing that they start outlives or delays us.

A program of the system is often a script: what is killed at its limit is the script with all that it has started, or
an initramfs would be written over the one that an undo has just put back. And a daemon that it leaves behind with its
output open is no reason to wait.
"""

from __future__ import annotations

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


def test_a_program_that_may_not_be_run_is_told_as_one_that_is_not_there(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    assert Processes().run([str(script)], timeout=10).error == f"{script}: permission denied"
    assert Processes().run([f"{script}.none"], timeout=10).error == f"{script}.none: not installed"
