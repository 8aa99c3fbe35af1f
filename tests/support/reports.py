# SPDX-License-Identifier: Apache-2.0
"""Hosts rebuilt from public reports, which lie beside the project in ../shared/reports; tests skip without them."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nicpass.cli.main import main
from nicpass.host.doors.files import Files
from nicpass.host.read import read_host
from nicpass.hypervisor.libvirt.domains import read_machines

if TYPE_CHECKING:
    from nicpass.model.host import Host

REPORTS = Path(__file__).resolve().parents[3] / "shared" / "reports"


def run_on(root: Path, *argv: str) -> tuple[int, str]:
    """What `nicpass ARGV --root ROOT` ends with and prints, on both streams."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = main([*argv, "--root", str(root)])
    return code, told.getvalue()


def lay_out(name: str, root: Path) -> Path:
    """A copy of the report's tree below `root`; links of sysfs that lie there as files are links again.

    libvirt's folder is there, if only as an empty one, which the reports could not keep.
    `name` is a report, `03-hostdev-network-pool`, with another folder than `tree` where it has several: `01-x/full`.
    """
    report, _, folder = name.partition("/")
    source = REPORTS / report / (folder or "tree")
    if not source.is_dir():
        pytest.skip(f"no such report at hand: ../shared/reports/{name}")
    target = root / report
    shutil.copytree(source, target, symlinks=True, copy_function=shutil.copyfile)
    for path in [target, *target.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    (target / "etc/libvirt/qemu").mkdir(parents=True, exist_ok=True)
    for path in (target / "sys").rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if content.startswith(b"../") and b"\n" not in content:
            path.unlink()
            path.symlink_to(content.decode())
    return target


def read_report(name: str, root: Path) -> Host:
    """The report's host, read as nicpass reads a tree; `name` as of `lay_out`."""
    files = Files(str(lay_out(name, root)))
    machines = read_machines(files)
    return read_host(files, machines.domains, with_boot=True, networks=machines.networks)
