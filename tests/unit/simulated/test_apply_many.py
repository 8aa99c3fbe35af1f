# SPDX-License-Identifier: Apache-2.0
"""A file with 64 VFs on 8 PFs takes as much longer than one with 16 as it has more VFs, and then nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.spawns

_HERE = Path(__file__).resolve().parents[3]


def apply(folder: Path, pfs: int, vfs: int) -> dict[str, float]:
    argv = [sys.executable, "-m", "bench.simulated_apply", str(folder / f"{pfs}x{vfs}"), str(pfs), str(vfs)]
    (folder / f"{pfs}x{vfs}").mkdir()
    done = subprocess.run(argv, cwd=_HERE, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout)
    return told


def test_the_time_is_linear_in_vfs_and_nothing_is_left(quick_path: Path) -> None:
    few, many = apply(quick_path, 2, 8), apply(quick_path, 8, 8)
    assert (few["vfs"], many["vfs"]) == (16, 64)
    assert (few["left"], many["left"]) == (0, 0)
    # Loading the modules, which does not grow, is in both; twice is what a square would be four times over.
    assert many["seconds"] / few["seconds"] < 2 * many["vfs"] / few["vfs"], (few, many)
