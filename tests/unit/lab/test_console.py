# SPDX-License-Identifier: Apache-2.0
"""A guest's console: what is typed, what is read, and a whole talk with a fake guest on a FIFO."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lab.console import GuestConsole, command_line, is_ready, parse_answer
from lab.errors import LabError, LabTimeoutError


def test_a_guest_is_ready_when_its_last_boot_came_to_the_shell() -> None:
    assert not is_ready("")
    assert not is_ready("LAB-GUEST-BOOT\n")
    assert is_ready("LAB-GUEST-BOOT\nnoise\nLAB-GUEST-READY\n")
    assert not is_ready("LAB-GUEST-BOOT\nLAB-GUEST-READY\nLAB-GUEST-BOOT\n")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("@Bt\n\n@Et 0\n", (0, "")),
        ("@Bt\nbare\n@Et 0\n", (0, "bare")),
        ("@Bt\none\ntwo\n\n@Et 5\n", (5, "one\ntwo\n")),
        ("@Bold\n\n@Eold 1\n@Bt\nx\n\n@Et 2\n", (2, "x\n")),
        ("@Bt\nstill running", None),
        ("@Bt\nx\n\n@Et 1", None),  # the code may have more digits
        ("echo @B${Z}t; sh; echo @E${Z}t $S\n", None),  # an echo of what was typed
    ],
)
def test_an_answer_stands_between_its_marks(text: str, answer: tuple[int, str] | None) -> None:
    assert parse_answer(text, "t") == answer


@pytest.mark.spawns
@pytest.mark.parametrize(
    "command", ["exit 3", "echo 'it'\"'\"'s'\nexit 4", "printf bare", "echo a; echo b >&2; false", "echo  '  *  '"]
)
def test_what_is_typed_does_what_it_says(command: str) -> None:
    done = subprocess.run(["/bin/sh"], input=command_line(command, "t"), capture_output=True, check=True)
    plain = subprocess.run(["/bin/sh", "-c", f"exec 2>&1\n{command}"], capture_output=True, text=True, check=False)
    assert parse_answer(done.stdout.decode(), "t") == (plain.returncode, plain.stdout)


def test_what_is_typed_opens_no_string() -> None:
    assert not set(command_line("echo 'a' \"b\"", "t").decode()) & set("'\"")


def test_a_command_that_no_terminal_takes_is_an_error() -> None:
    with pytest.raises(LabError, match="too long"):
        command_line("x" * 4000, "t")


@contextmanager
def fake_guest(folder: Path) -> Iterator[GuestConsole]:
    """A shell that reads the FIFO and writes the log, as QEMU would do it."""
    fifo, log = folder / "web01.input", folder / "web01.console"
    os.mkfifo(fifo)
    log.write_text("LAB-GUEST-BOOT\r\nLAB-GUEST-READY\r\n")
    with closing(GuestConsole("web01", log, fifo)) as console, log.open("ab") as output, fifo.open("rb", 0) as commands:
        guest = subprocess.Popen(["/bin/sh"], stdin=commands, stdout=output)
        reaper = threading.Thread(target=guest.wait)
        reaper.start()
        try:
            yield console
        finally:
            guest.kill()
            reaper.join()


@pytest.mark.spawns
def test_a_talk_with_a_guest(tmp_path: Path) -> None:
    with fake_guest(tmp_path) as console:
        console.wait_ready(timeout=10)
        assert console.succeed("echo hello") == "hello\n"
        assert console.execute("exit 9").exit_code == 9
        assert console.wait_for_text("he(l+)o", timeout=5)[1] == "ll"
        with pytest.raises(LabError, match="exit code: 1"):
            console.succeed("false")


def test_a_guest_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "web01.console").write_text("LAB-GUEST-BOOT\nkernel panic\n")
    os.mkfifo(tmp_path / "web01.input")
    with closing(GuestConsole("web01", tmp_path / "web01.console", tmp_path / "web01.input")) as console:
        with pytest.raises(LabTimeoutError, match="not ready") as caught:
            console.wait_ready(timeout=0.1)
        assert re.search("panic", caught.value.consoles["web01"])
