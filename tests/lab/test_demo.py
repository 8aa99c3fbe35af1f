# SPDX-License-Identifier: Apache-2.0
"""The whole way, on every kind of host; and that the demo is no show: it fails where a step is broken."""

from __future__ import annotations

import pytest

from lab.demo import main

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    "shape", ["intel", *(pytest.param(name, marks=pytest.mark.full) for name in ("virtio", "amd"))]
)
def test_a_nic_and_a_vf_go_and_come_back(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = main(["--shape", shape, "--resume"])
    said = capsys.readouterr().out
    assert exit_code == 0, said
    assert "every row was observed" in said


@pytest.mark.parametrize(
    ("sabotage", "failing"),
    [
        pytest.param("bind", "attach the whole NIC", marks=pytest.mark.full),
        pytest.param("driver", "the guest with it", marks=pytest.mark.full),
        pytest.param("give-back", "detach the whole NIC", marks=pytest.mark.full),
    ],
)
def test_the_demo_fails_where_a_step_is_broken(sabotage: str, failing: str, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = main(["--resume", "--sabotage", sabotage])
    said = capsys.readouterr().out
    assert exit_code == 1, said
    first = said.partition("✗ ")[2]
    assert first.startswith(failing[:14]), said  # a narrow table breaks the line after that
    assert "NOT every row was observed" in said
