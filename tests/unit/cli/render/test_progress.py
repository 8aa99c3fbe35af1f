# SPDX-License-Identifier: Apache-2.0
"""How far a change is, as somebody sees it at a terminal, and what a pipe gets."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nicpass.engine.journal import Journal
from nicpass.engine.transaction import Run
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Phase
from nicpass.model.plan import Plan, SetNumvfs
from nicpass.model.request import AttachRequest
from tests.support.terminal import cells, terminal

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.plan import Step

pytestmark = pytest.mark.spawns

# A change of two steps; the second waits for a line from the terminal, and fails if that is what was asked for.
CODE = """
import sys, syslog
syslog.syslog = lambda *_: None
from nicpass.cli import carry_out
from nicpass.cli.render.output import say_note
from nicpass.cli.run import _tell_error
from nicpass.cli.source import Source
from nicpass.cli.render.translation import speak
from nicpass.engine.handler import Handler
from nicpass.host.doors.files import Files
from nicpass.model.change import Actor
from nicpass.model.errors import StepError
from nicpass.model.host import Host
from nicpass.model.plan import *
from nicpass.model.request import AttachRequest
root, what, language = sys.argv[1:]
speak(language)

def wait(_step):
    print("waits", file=sys.stderr, flush=True) if what == "quiet" else None
    if what != "quiet":
        sys.stdin.readline()
    if what == "fails":
        raise StepError("It does not start.")
    if what == "notes":
        say_note("something to know")
        sys.stdin.readline()

def forget(_step):
    pass

NIC, VM = "0000:01:00.0", "web\\x1b[2Jweb"
plan = Plan(
    summary=f"Give lan0 to {VM}",
    request=AttachRequest(vm=VM, nic="lan0"),
    steps=(
        DefineDevice(address=NIC, domain=VM, uuid="1", device=DeviceSpec(address=NIC, element="hostdev")),
        StartDomain(address=NIC, domain=VM, uuid="1"),
    ),
)
handlers = {
    kind: Handler(wait if kind is StartDomain else forget, forget)
    for kind in (DefineDevice, UndefineDevice, StartDomain, StopDomain)
}
carry_out.handlers_of = lambda *_: handlers
carry_out.outlive_session()
try:
    carry_out.carry_out(plan, Source(Files(root), Host(pci=()), is_live=False), Actor(), as_json=what == "json")
except BaseException as error:
    sys.exit(_tell_error(error, as_json=False))
"""
NAME = "web\\x1b[2Jweb"
BEGUN = [
    f"Give lan0 to {NAME}:",
    f"  1. write 0000:01:00.0 into the definition of {NAME}",
    "     done",
    f"  2. start {NAME}; libvirt binds 0000:01:00.0 to vfio-pci",
]
ESCAPE, HIDES_THE_CURSOR = "\x1b", "\x1b[?25l"


def test_each_step_when_it_begins_and_when_it_ended(tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "waits", "en") as seen:
        seen.read_until("| 0 s")
        assert [line for line in seen.screen if line][:4] == BEGUN
        assert seen.screen[-1] == "     | 0 s"
        seen.let_go()
        assert seen.end() == 0
    lines = seen.screen
    assert lines[:4] == BEGUN
    assert lines[4].startswith("     done")
    assert lines[5] == f"{NAME} runs, and has 0000:01:00.0. To take that back:"
    assert ESCAPE not in seen.output


def test_what_is_said_meanwhile_stands_above(tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "notes", "en") as seen:
        seen.read_until("| 0 s")
        seen.let_go()
        seen.read_until("something to know")
        told = len(seen.output)
        while " s" not in seen.output[told:]:
            assert seen._read()
        assert "nicpass: something to know" in seen.screen
        seen.let_go()
        assert seen.end() == 0
    assert seen.screen[4] == "nicpass: something to know"
    assert seen.screen[5].startswith("     done")


def test_a_failure_and_the_way_back(tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "fails", "en") as seen:
        seen.read_until("| 0 s")
        seen.let_go()
        assert seen.end() == 1
    lines = [line.partition(" (")[0] for line in seen.screen]
    assert lines[4:] == [
        "     not done",
        f"  2. take back: start {NAME}; libvirt binds 0000:01:00.0 to vfio-pci",
        "     taken back",
        f"  1. take back: write 0000:01:00.0 into the definition of {NAME}",
        "     taken back",
        "nicpass: It does not start. All was taken back.",
        "",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_takes_all_back_and_leaves_the_terminal_as_it_was(number: signal.Signals, tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "waits", "en") as seen:
        seen.read_until("| 0 s")
        seen.send(number)
        assert seen.end() == 1
    assert seen.screen[-2] == "nicpass: Interrupted. All was taken back."
    assert ESCAPE not in seen.output


def test_a_hangup_does_not_end_the_change(tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "waits", "en") as seen:
        seen.read_until("| 0 s")
        seen.send(signal.SIGHUP)
        seen.let_go()
        assert seen.end() == 0


def test_a_kill_leaves_no_hidden_cursor(tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "waits", "en") as seen:
        seen.read_until("| 0 s")
        seen.send(signal.SIGKILL)
        assert seen.end() == -signal.SIGKILL
    assert ESCAPE not in seen.output


@pytest.mark.parametrize("columns", [80, 40, 30])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_line_is_wider_than_the_terminal(language: str, columns: int, tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "waits", language, columns=columns) as seen:
        seen.read_until("| 0 ")
        seen.let_go()
        assert seen.end() == 0
    # What is to be pasted is not folded, nor is a word.
    lines = [line for line in seen.screen if "nicpass undo" not in line and NAME not in line]
    assert [line for line in lines if cells(line) > columns] == []
    moving = [part for line in seen.output.split("\r\n") for part in line.split("\r") if " | " in part]
    assert moving
    assert max(map(cells, moving)) < columns


@pytest.mark.parametrize("name", ["dumb", "unknown", ""])
def test_a_terminal_without_a_cursor_gets_lines(name: str, tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "waits", "en", TERM=name) as seen:
        seen.read_until("2. start")
        seen.let_go()
        assert seen.end() == 0
    assert seen.screen[:4] == BEGUN
    assert "\r" not in seen.output.replace("\r\n", "\n")


def test_no_colour(tmp_path: Path) -> None:
    with terminal(CODE, str(tmp_path), "waits", "en", NO_COLOR="1") as seen:
        seen.read_until("| 0 s")
        seen.let_go()
        assert seen.end() == 0
    assert ESCAPE not in seen.output


@pytest.mark.parametrize(("what", "lines"), [("quiet", 5), ("json", 0)])
def test_a_pipe_gets_lines_of_what_is_over(what: str, lines: int, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", CODE, str(tmp_path), what, "en"]
    done = subprocess.run(argv, input="\n", capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == lines
    assert "\r" not in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("  1. ")] == (
        [f"  1. done: write 0000:01:00.0 into the definition of {NAME}"] if lines else []
    )


def test_a_pipe_loads_no_threads(tmp_path: Path) -> None:
    code = f"{CODE}\nprint('threads' if 'nicpass.cli.render.spinner' in sys.modules else 'none')"
    argv = [sys.executable, "-c", code, str(tmp_path), "quiet", "en"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.endswith("none\n")


def test_an_interrupt_while_it_is_told_does_not_end_the_way_back(tmp_path: Path) -> None:
    """Who presses Ctrl-C again has more steps taken back all the same."""
    step = SetNumvfs(address=Address("0000:01:00.0"), before=0, after=2)
    plan = Plan(summary="Make VFs", request=AttachRequest(vm="web", nic="lan0"), steps=(step, step))
    undone: list[int] = []

    def watch(number: int, phase: Phase, _step: Step) -> None:
        if phase == Phase.UNDONE:
            undone.append(number)
        raise KeyboardInterrupt

    run = Run(Journal.open(Files(str(tmp_path)), plan), {}, watch)
    assert run.undo_all(enumerate(plan.steps), lambda _step: None) == []
    assert undone == [1, 0]
