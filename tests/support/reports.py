# SPDX-License-Identifier: Apache-2.0
"""Hosts rebuilt from public reports, which lie beside the project in ../shared/reports; tests skip without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

REPORTS = Path(__file__).resolve().parents[3] / "shared" / "reports"


def lay_out(name: str, root: Path) -> Path:
    """A copy of the report's tree below `root`; links of sysfs that lie there as files are links again."""
    source = REPORTS / name / "tree"
    if not source.is_dir():
        pytest.skip(f"no such report at hand: ../shared/reports/{name}")
    target = root / name
    shutil.copytree(source, target, symlinks=True, copy_function=shutil.copyfile)
    for path in [target, *target.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    for path in (target / "sys").rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if content.startswith(b"../") and b"\n" not in content:
            path.unlink()
            path.symlink_to(content.decode())
    return target
