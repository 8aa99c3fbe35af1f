# SPDX-License-Identifier: Apache-2.0
"""Provocations, carried out: those of one scene together, so that one check sees them all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.cache import Cache
from lab.errors import LabError
from lab.machine import Machine
from lab.shape import SHAPES
from lab.stages import fresh_host
from tests.lab.provocations import MendedBy, Provocation

Findings = list[dict[str, Any]]

_EDITOR = "/root/lab-editor"


def check(machine: Machine, arguments: Sequence[str] = ()) -> Findings:
    """What `nicpass check --json` says of the host as it is now."""
    result = machine.execute(["nicpass", "check", "--json", *arguments], 120)
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
        self._baselines: dict[tuple[str, tuple[str, ...]], Findings] = {}
        self._scenes: dict[object, Scene] = {}

    def lend(self, shape: str) -> Machine:
        if self._machine is None or self._machine.shape.name != shape:
            self.discard()
            self._machine = self._stack.enter_context(fresh_host(self._cache, SHAPES[shape], self._wheel))
        return self._machine

    def discard(self) -> None:
        self._machine = None
        self._stack.close()

    def baseline(self, shape: str, arguments: tuple[str, ...] = ()) -> Findings:
        """What is said of a host of that shape before anything is done to it."""
        key = (shape, arguments)
        if key not in self._baselines:
            self._baselines[key] = check(self.lend(shape), arguments)
        return self._baselines[key]

    def play(self, scene: tuple[Provocation, ...]) -> Scene:
        """Provoke, check, mend, check, put back, check. What fails is kept for the test of that provocation."""
        place = scene[0].place
        if place not in self._scenes:
            self._scenes[place] = self._play(scene)
        return self._scenes[place]

    def _play(self, scene: tuple[Provocation, ...]) -> Scene:
        shape, arguments, _ = scene[0].place
        played = Scene(self.baseline(shape, arguments))
        machine = self.lend(shape)
        for guest in {provocation.guest for provocation in scene} - {""}:
            machine.succeed(["virsh", "start", guest], 120)
            machine.guest(guest).wait_ready()
        for provocation in scene:
            self._run(played, provocation, provocation.provoke)
        played.provoked = check(machine, arguments)
        for provocation in scene:
            self._mend(played, provocation)
        played.mended = check(machine, arguments) if any(is_mended(provocation) for provocation in scene) else []
        for provocation in reversed(scene):
            self._run(played, provocation, provocation.undo)
        played.after = played.before if any(p.spoils for p in scene) else check(machine, arguments)
        if played.errors or played.after != played.before or any(provocation.spoils for provocation in scene):
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


def is_mended(provocation: Provocation) -> bool:
    """Whether it is mended on the host as it runs."""
    return provocation.mended_by in (MendedBy.COMMAND, MendedBy.ADVICE)
