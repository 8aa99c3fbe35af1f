# SPDX-License-Identifier: Apache-2.0
"""A prompt on an emulated host, for a person who wants to try things where nothing can break."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.cache import Cache
from lab.machine import Machine
from lab.shape import Shape
from lab.stages import fresh_host

_BANNER = """
This is an emulated Debian host, shape `{shape}`. Nothing in it can hurt your machine; it is gone when you leave.

  NICs   {nics}
  VMs    {domains}
{program}
  start a VM      virsh start web01
  look around     lspci -nnk; ls /sys/kernel/iommu_groups; virsh list --all; ip -br link
  a VM's console  {consoles}  (on your machine, read only)
  leave           exit
"""
_TRY = """
  try             nicpass list; nicpass check 0000:01:00.0; nicpass --help
                  nicpass attach web01 0000:01:00.0 --start
"""


def run_shell(cache: Cache, shape: Shape, wheel: Path | None) -> int:
    """Start a host, open a session in it, and end both together. The session's exit code."""
    print("Starting the host: some seconds if it was booted before, about two minutes if not.")
    with fresh_host(cache, shape, wheel) as machine:
        print(_banner(machine, installed=wheel is not None))
        return subprocess.run([*machine.ssh[:1], "-t", *machine.ssh[1:]], check=False).returncode


def _banner(machine: Machine, *, installed: bool) -> str:
    nics = machine.succeed(
        "for at in /sys/class/net/*/device; do echo $(basename $(dirname $at)) $(realpath $at); done"
    )
    return _BANNER.format(
        shape=machine.shape.name,
        nics="\n         ".join(_describe(line) for line in nics.splitlines()),
        domains=", ".join(machine.succeed("virsh list --all --name").split()),
        program=_TRY if installed else "\n  nicpass is not installed here (--bare)\n",
        consoles=machine.folder / "web01.console",
    )


def _describe(line: str) -> str:
    name, _, path = line.partition(" ")
    address = next((part for part in reversed(path.split("/")) if part.count(":") == 2), "?")
    return f"{address}  {name}"
