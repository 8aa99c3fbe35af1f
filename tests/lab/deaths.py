# SPDX-License-Identifier: Apache-2.0
"""nicpass, ended at a record of its journal: by SIGKILL, or with the whole host as a power cut does it.

The program runs as it is, on the real kernel; only what writes a record, or what writes at all, ends it before or
behind.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.machine import Machine
from lab.state import HostState, render_difference, state_difference, without_files

JOURNAL = "/var/lib/nicpass/journal"
_PYTHON = "/root/.local/share/pipx/venvs/nicpass/bin/python"
_SCRIPT = "/root/die.py"
_KILLED = 128 + 9
_DIE = """
import glob, os, signal, sys, threading, time
where, number, manner, doors, *arguments = sys.argv[1:]
from nicpass.cli.main import main
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes

READS = ("virsh", "systemctl")
written = 0

def die():
    if manner == "power":
        # Documentation/admin-guide/sysrq.rst: b restarts the machine at once, without syncing or unmounting.
        os.write(os.open("/proc/sysrq-trigger", os.O_WRONLY), b"b")
    os.kill(os.getpid(), signal.SIGSTOP if manner == "stop" else signal.SIGKILL)

def dying(door):
    def count_and_do(self, *words, **options):
        global written
        if door.__name__ == "run" and words[0][0] in READS:
            return door(self, *words, **options)
        written += 1
        if (where, str(written)) == ("before", number):
            die()
        done = door(self, *words, **options)
        if (where, str(written)) == ("after", number):
            die()
        return done
    return count_and_do

def is_begun(path):
    try:
        return os.path.getsize(path) > 0
    except FileNotFoundError:
        return False  # it has its name by now

def die_while_there():
    while not any(map(is_begun, glob.glob(number))):
        time.sleep(0.01)
    die()

if where == "while":
    threading.Thread(target=die_while_there, daemon=True).start()
for name in doors.split(","):
    owner = Processes if name == "run" else Files
    setattr(owner, name, dying(getattr(owner, name)))
raise SystemExit(main(arguments))
"""


RECORDS = ("append_line",)
ALL_WRITES = ("append_line", "write_atomic", "link_atomic", "make_folder", "remove", "remove_folder", "run")
"""The methods of the two doors that change something; a program counts as one write."""
_ENDED = "/run/ended"


@dataclass(frozen=True)
class Death:
    """Where a run ends: before or after its record, or other write, number so and so, counted from 1.

    Or while a file of such a name is being written.
    """

    where: str
    number: int | str
    doors: tuple[str, ...] = RECORDS

    def __str__(self) -> str:
        if self.where == "while":
            return f"while {self.number} is written"
        return f"{self.where} {'record' if self.doors == RECORDS else 'write'} {self.number}"

    def words(self, manner: str) -> list[str]:
        """What the script is told."""
        return [_PYTHON, _SCRIPT, self.where, str(self.number), manner, ",".join(self.doors)]


def kill_at(machine: Machine, death: Death, command: str) -> bool:
    """Run `nicpass COMMAND` and kill it there; False if it ended by itself, as it does when it has fewer records."""
    machine.put_file(_SCRIPT, _DIE)
    result = machine.execute(f"{shlex.join(death.words('kill'))} {command}", 180)
    machine.succeed(["rm", _SCRIPT])
    assert result.exit_code in (0, _KILLED), result.stdout + result.stderr
    return result.exit_code == _KILLED


@contextmanager
def held_at(machine: Machine, death: Death, command: str) -> Iterator[None]:
    """Run `nicpass COMMAND`, hold it up there for as long as the block lasts, and let it go on to its end."""
    machine.put_file(_SCRIPT, _DIE)
    unit = ["systemd-run", "--collect", "--unit=held"]
    machine.succeed(f"{shlex.join([*unit, *death.words('stop')])} {command}")
    state = "ps -o state= -p $(systemctl show --property=MainPID --value held)"
    machine.wait_until_succeeds(f'test "$({state})" = T', 240)
    yield
    machine.succeed("systemctl kill --signal=CONT held")
    machine.wait_until_succeeds("! systemctl is-active --quiet held", 240)
    machine.succeed(["rm", _SCRIPT])


def cut_power_at(machine: Machine, death: Death, command: str, *, may_fail: str = "") -> bool:
    """Run `nicpass COMMAND`, take the power away there, and wait until the host has booted again.

    The unit `may_fail` may have failed then. False if it ended by itself, as it does when it has fewer writes.
    """
    machine.put_file(_SCRIPT, _DIE)
    # The script itself must have reached the disk, so that it can be removed afterwards like any other file.
    machine.succeed("sync")
    run = f"{shlex.join(death.words('power'))} {command} >/run/said 2>&1; touch {_ENDED}"
    cut = machine.end_by(["systemd-run", "--collect", "bash", "-c", run], unless=["rm", _ENDED], may_fail=may_fail)
    machine.succeed(["rm", _SCRIPT])
    return cut


def read(machine: Machine) -> HostState:
    """The whole host, but for the journal, which is meant to grow."""
    return without_files(machine.read_state(), JOURNAL)


def difference(one: HostState, other: HostState) -> str:
    """In lines; empty if there is none."""
    return render_difference(state_difference(one, other))


def settle(machine: Machine) -> str:
    """`nicpass recover`, twice: the second time finds nothing left to do."""
    said = machine.succeed("nicpass recover", 180)
    assert "Nothing was cut off." in machine.succeed("nicpass recover")
    return said
