# SPDX-License-Identifier: Apache-2.0
"""Each finding that the lab can provoke is provoked on a real kernel, reported, and mended by its own advice.

What is done is data, in `provocations/`; `docs/findings.md` is made from the same. Provocations that share a shape
share one resumed host; one that leaves it changed costs the next a new one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.cache import Cache
from lab.machine import Machine
from lab.shape import SHAPES
from lab.stages import fresh_host as open_fresh_host
from tests.lab.provocations import PROVOCATIONS, MendedBy, Provocation

pytestmark = pytest.mark.lab

Key = tuple[str, str | None]
Findings = dict[Key, dict[str, Any]]
"""By (code, address of the NIC or None)."""

_ORDER = list(SHAPES)


def check(machine: Machine) -> Findings:
    """What `nicpass check --json` says of the host as it is now."""
    result = machine.execute(["nicpass", "check", "--json"])
    assert result.exit_code in (0, 3, 4, 5), result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    report = json.loads(result.stdout)
    found = [*report["host"], *(finding for nic in report["nics"] for finding in nic["findings"])]
    return {(finding["code"], finding["subject"]): finding for finding in found}


class Hosts:
    """One host at a time, and what was said of each shape before anything was done to it."""

    def __init__(self, cache: Cache, wheel: Path) -> None:
        self._cache = cache
        self._wheel = wheel
        self._stack = ExitStack()
        self._machine: Machine | None = None
        self._baselines: dict[str, Findings] = {}

    def lend(self, shape: str) -> Machine:
        if self._machine is None or self._machine.shape.name != shape:
            self.discard()
            self._machine = self._stack.enter_context(open_fresh_host(self._cache, SHAPES[shape], self._wheel))
        return self._machine

    def baseline(self, shape: str) -> Findings:
        if shape not in self._baselines:
            self._baselines[shape] = check(self.lend(shape))
        return self._baselines[shape]

    def discard(self) -> None:
        self._machine = None
        self._stack.close()

    @contextmanager
    def unchanged(self, shape: str) -> Iterator[Machine]:
        """A host that must be left as it was found, as far as a check can see."""
        baseline = self.baseline(shape)
        machine = self.lend(shape)
        try:
            yield machine
            assert check(machine) == baseline, "left behind on the host"
        except BaseException:
            self.discard()
            raise


@pytest.fixture(scope="module")
def hosts(cache: Cache, wheel: Path) -> Iterator[Hosts]:
    hosts = Hosts(cache, wheel)
    yield hosts
    hosts.discard()


def _parameters(chosen: list[Provocation]) -> list[Any]:
    ordered = sorted(chosen, key=lambda provocation: _ORDER.index(provocation.shape))
    return [
        pytest.param(p, id=f"{p.code}-{p.shape}-{p.nic or 'host'}", marks=[pytest.mark.full] if p.full else [])
        for p in ordered
    ]


@pytest.mark.parametrize("provocation", _parameters(list(PROVOCATIONS)))
def test_provoked_reported_and_mended(hosts: Hosts, provocation: Provocation) -> None:
    key = (provocation.code, provocation.nic)
    before = hosts.baseline(provocation.shape)
    with hosts.unchanged(provocation.shape) as machine:
        if provocation.provoke:
            assert key not in before
            _run(machine, provocation.provoke)
            found = check(machine)
        else:
            found = before
        assert key in found, f"not reported; there is {sorted(code for code, nic in found if nic == provocation.nic)}"
        _expect(found[key], provocation)
        _mend(machine, found[key], provocation)
        if provocation.mended_by in (MendedBy.COMMAND, MendedBy.ADVICE) and (
            provocation.undo or not provocation.provoke
        ):
            assert key not in check(machine), "still reported after its own mend"
        _run(machine, provocation.undo)


def _expect(finding: dict[str, Any], provocation: Provocation) -> None:
    """The right words, something to show for them, and a command just where one mends it."""
    assert re.search(provocation.sees, finding["sentence"]), finding["sentence"]
    pieces = [f"{evidence['source']}: {evidence['value']}" for evidence in finding["evidence"]]
    assert pieces, finding
    assert any(re.search(provocation.evidence, piece) for piece in pieces), pieces
    assert finding["meaning"]


def _mend(machine: Machine, finding: dict[str, Any], provocation: Provocation) -> None:
    if provocation.mended_by is MendedBy.COMMAND:
        assert finding["command"], "it has no command"
        machine.succeed(finding["command"], 120)
    elif provocation.mended_by is MendedBy.ADVICE:
        assert finding["mend"], "it has no advice"
        _run(machine, provocation.mend)


def _run(machine: Machine, lines: tuple[str, ...]) -> None:
    for line in lines:
        machine.succeed(line, 120)


@pytest.mark.parametrize("provocation", _parameters([p for p in PROVOCATIONS if p.mended_by is MendedBy.BOOT]))
def test_gone_from_the_host_that_booted_as_its_advice_says(hosts: Hosts, provocation: Provocation) -> None:
    finding = hosts.baseline(provocation.shape)[provocation.code, provocation.nic]
    assert finding["mend"] or finding["command"]
    assert provocation.code not in {code for code, _ in hosts.baseline(provocation.sound_shape)}


@pytest.mark.parametrize("shape", [name for name in _ORDER if name in {p.shape for p in PROVOCATIONS}])
def test_the_text_says_what_json_says(hosts: Hosts, shape: str) -> None:
    findings = hosts.baseline(shape)
    text = hosts.lend(shape).execute(["nicpass", "check", "-v"]).stdout
    for (code, _), finding in findings.items():
        assert code in text
        assert finding["sentence"] in text
