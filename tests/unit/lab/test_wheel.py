# SPDX-License-Identifier: Apache-2.0
"""Building a wheel leaves the checkout as it was, and the wheel has the translations all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from lab.image import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

MADE = "nicpass/locale/zh_CN/LC_MESSAGES/nicpass.mo"


def checkout(root: Path) -> Path:
    """A copy of what a wheel is built from, without anything compiled."""
    root.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copyfile(PROJECT / name, root / name)
    ignored = shutil.ignore_patterns("*.mo", "__pycache__")
    shutil.copytree(PROJECT / "src", root / "src", ignore=ignored)
    return root


def build(root: Path, out: Path, target: str) -> Path:
    command = [sys.executable, "-B", "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    environment = {**os.environ, "TMPDIR": str(out.parent)}
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=environment)
    (built,) = out.iterdir()
    return built


@pytest.mark.spawns
@pytest.mark.parametrize("stale", [False, True])
def test_the_checkout_stays_as_it_was(stale: bool, tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout")
    if stale:
        (root / "src" / MADE).write_bytes(b"of an older translation")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    wheel = build(root, tmp_path / "dist", "wheel")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    with zipfile.ZipFile(wheel) as archive:
        assert archive.namelist().count(MADE) == 1
        assert archive.read(MADE)[:4] == b"\xde\x12\x04\x95"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "dist"]


@pytest.mark.spawns
def test_a_source_archive_has_nothing_compiled(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout")
    (root / "src" / MADE).write_bytes(b"of an older translation")
    archive = build(root, tmp_path / "dist", "sdist")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    assert not list((tmp_path / "unpacked").rglob("*.mo"))
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = build(unpacked, tmp_path / "wheels", "wheel")
    with zipfile.ZipFile(wheel) as made:
        assert MADE in made.namelist()
