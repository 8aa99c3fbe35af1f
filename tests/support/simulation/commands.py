# SPDX-License-Identifier: Apache-2.0
"""Runs the whole command line on a simulated host, in the process of a `Machine`: what it prints, and its exit code."""

from __future__ import annotations

import contextlib
import io
import os
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.cli.run import run
from nicpass.cli.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.host import Machine, SimulatedHost


class Told(NamedTuple):
    """What a command has printed, and its exit code."""

    exit_code: int
    output: str
    error: str


def run_command(host: SimulatedHost, *argv: str, report: Path) -> Told:
    """`nicpass ARGV` as root on that host; `report` is a file to be written."""

    def act(machine: Machine) -> None:
        _be_the_machine(machine)
        output, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
            exit_code = run(list(argv))
        report.write_bytes(msgspec.json.encode([exit_code, output.getvalue(), error.getvalue()]))

    done = host.run(act)
    assert done.exit_code == 0, done
    host.settle()
    return Told(*msgspec.json.decode(report.read_bytes()))


def _be_the_machine(machine: Machine) -> None:
    """Let the command line take the simulated host's doors for this machine's; only for a process of its own."""

    def read(*_words: object, **_more: object) -> Source:
        return Source(machine.files, machine.read(), is_live=True)

    setattr(os, "geteuid", lambda: 0)  # noqa: B010
    changes: dict[str, dict[str, object]] = {
        "cli.nic.changing": {"Files": lambda *_: machine.files},
        "cli.arguments.requests": {"Files": lambda *_: machine.files},
        "cli.source": {"Files": lambda *_: machine.files, "read_source": read, "read_live_source": read},
        "cli.planning": {"read_source": read},
        "cli.journal.orphans": {"read_live_source": read},
        "cli.carry_out": {"handlers_of": lambda *_: machine.handlers()},
        "cli.journal.settling": {
            "Files": lambda *_: machine.files,
            "handlers_of": lambda *_: machine.handlers(),
            # Tests of its own put the guard in order.
            "mend_guard": lambda *_, **__: (False, 0),
            "owed_nics": lambda *_: (),
        },
    }
    for module, names in changes.items():
        for name, value in names.items():
            setattr(import_module(f"nicpass.{module}"), name, value)
