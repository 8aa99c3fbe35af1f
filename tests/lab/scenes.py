# SPDX-License-Identifier: Apache-2.0
"""Provocations, carried out: those of one scene together, so that one check sees them all."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.agent import Result
from lab.cache import Cache
from lab.errors import LabError
from lab.machine import Machine
from lab.shape import SHAPES
from lab.stages import fresh_host
from tests.lab.provocations import MendedBy, Provocation

Findings = list[dict[str, Any]]

_EDITOR = "/root/lab-editor"


View = tuple[str, tuple[str, ...], str]
"""Shape, arguments, user; see `Provocation.view`."""


def check(machine: Machine, arguments: Sequence[str] = (), user: str = "root") -> Findings:
    """What `nicpass check --json` says of the host as it is now."""
    command = shlex.join(["nicpass", "check", "--json", *arguments])
    if user != "root":
        as_user = f"setpriv --reuid={user} --regid=nogroup --clear-groups /root/.local/bin/{command}"
        command = f"chmod o+x /root; {as_user} || code=$?; chmod o-x /root; exit $code"
    return _parse(machine.execute(command, 120))


def _parse(result: Result) -> Findings:
    if result.exit_code not in (0, 3, 4, 5) or "Traceback" in result.stderr:
        raise LabError("check failed", exit_code=result.exit_code, output=result.stdout + result.stderr)
    report = json.loads(result.stdout)
    if "findings" in report:
        return list(report["findings"])
    return [*report["host"], *(finding for nic in report["nics"] for finding in nic["findings"])]


def find(findings: Findings, provocation: Provocation) -> dict[str, Any] | None:
    """The finding that was to be provoked, if it is among them."""
    for finding in findings:
        if (finding["code"], finding["subject"]) == (provocation.code, provocation.nic) and re.search(
            provocation.sees, finding["sentence"]
        ):
            return finding
    return None


@dataclass
class Scene:
    """What was said before, once all was provoked, once it was mended, and when all had been put back."""

    before: Findings
    provoked: Findings = field(default_factory=list)
    mended: Findings = field(default_factory=list)
    after: Findings = field(default_factory=list)
    errors: dict[Provocation, LabError] = field(default_factory=dict)


class Stagehand:
    """Plays scenes, on one host at a time, and remembers them."""

    def __init__(self, cache: Cache, wheel: Path) -> None:
        self._cache = cache
        self._wheel = wheel
        self._stack = ExitStack()
        self._machine: Machine | None = None
        self._baselines: dict[View, Findings] = {}
        self._scenes: dict[object, Scene] = {}

    def lend(self, shape: str) -> Machine:
        if self._machine is None or self._machine.shape.name != shape:
            self.discard()
            self._machine = self._stack.enter_context(fresh_host(self._cache, SHAPES[shape], self._wheel))
        return self._machine

    def discard(self) -> None:
        self._machine = None
        self._stack.close()

    def baseline(self, view: View) -> Findings:
        """What is said of a host of that shape before anything is done to it."""
        if view not in self._baselines:
            self._baselines[view] = self._check(view)
        return self._baselines[view]

    def _check(self, view: View) -> Findings:
        shape, arguments, user = view
        return check(self.lend(shape), arguments, user)

    def play(self, scene: tuple[Provocation, ...]) -> Scene:
        """Provoke, check, mend, check, put back, check. What fails is kept for the test of that provocation."""
        place = scene[0].place
        if place not in self._scenes:
            self._scenes[place] = self._play(scene)
        return self._scenes[place]

    def _play(self, scene: tuple[Provocation, ...]) -> Scene:
        view = scene[0].view
        played = Scene(self.baseline(view))
        machine = self.lend(scene[0].shape)
        for guest in {provocation.guest for provocation in scene} - {""}:
            machine.succeed(["virsh", "start", guest], 120)
            machine.guest(guest).wait_ready()
        for provocation in scene:
            self._run(played, provocation, provocation.provoke)
        in_session = any(provocation.session for provocation in scene)
        played.provoked = _check_in_session(machine) if in_session else self._check(view)
        for provocation in scene:
            self._mend(played, provocation)
        played.mended = self._check(view) if any(is_mended(provocation) for provocation in scene) else []
        if played.mended and not any(provocation.undo for provocation in scene):
            played.after = played.mended
        for provocation in reversed(scene):
            self._run(played, provocation, provocation.undo)
        if any(provocation.spoils for provocation in scene):
            played.after = played.before
            self.discard()
            return played
        changed = any(provocation.provoke or provocation.guest or provocation.undo for provocation in scene)
        played.after = played.after or (self._check(view) if changed else played.before)
        if played.errors or played.after != played.before:
            self.discard()
        return played

    def _mend(self, played: Scene, provocation: Provocation) -> None:
        finding = find(played.provoked, provocation)
        if finding is None or not is_mended(provocation):
            return
        if provocation.mended_by is MendedBy.COMMAND:
            if provocation.edit:
                self.lend(provocation.shape).put_file(_EDITOR, f"#!/bin/sh\nsed -i -e '{provocation.edit}' \"$1\"\n")
            editor = f"chmod +x {_EDITOR}; export EDITOR={_EDITOR}\n" if provocation.edit else ""
            self._run(played, provocation, (editor + finding["command"],))
        self._run(played, provocation, provocation.mend)

    def _run(self, played: Scene, provocation: Provocation, lines: tuple[str, ...]) -> None:
        for line in lines:
            try:
                self.lend(provocation.shape).succeed(line, 180)
            except LabError as error:
                played.errors.setdefault(provocation, error)


def _check_in_session(machine: Machine) -> Findings:
    """What the check says to somebody who came in by ssh over the test NIC, and is gone again afterwards."""
    done = subprocess.run(
        [*machine.ssh_over_nic, "nicpass check --json"], capture_output=True, text=True, timeout=120, check=False
    )
    findings = _parse(Result(done.returncode, done.stdout, done.stderr, seconds=0.0))
    machine.wait_until_fails("ss -Htn state established | grep -q '10.0.2.15:22 '", 30)
    return findings


def is_mended(provocation: Provocation) -> bool:
    """Whether it is mended on the host as it runs."""
    return provocation.mended_by in (MendedBy.COMMAND, MendedBy.ADVICE)
