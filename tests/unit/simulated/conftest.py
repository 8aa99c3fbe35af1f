# SPDX-License-Identifier: Apache-2.0
"""A simulated host for each test, and what a reading command says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nicpass.cli.main import main
from tests.support.simulation.host import SimulatedHost


@pytest.fixture
def host(quick_path: Path) -> SimulatedHost:
    return SimulatedHost(quick_path)


class Seen:
    """Runs a reading command on the simulated host's files."""

    def __init__(self, host: SimulatedHost, capsys: pytest.CaptureFixture[str]) -> None:
        self.host, self.capsys = host, capsys
        self.code, self.output, self.error = 0, "", ""

    def __call__(self, *argv: str) -> str:
        self.code = main([*argv, "--root", str(self.host.base / "root")])
        self.output, self.error = self.capsys.readouterr()
        return self.output


@pytest.fixture
def seen(host: SimulatedHost, capsys: pytest.CaptureFixture[str]) -> Seen:
    return Seen(host, capsys)
