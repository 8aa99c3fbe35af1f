# SPDX-License-Identifier: Apache-2.0
"""nicpass's own time: in an attach all of its process's wall time but libvirt's calls and the kernel's writes.

That is measured on a generated tree, so without what only a running machine has to be asked for: the netlink dump,
/dev/kvm, the processes in /proc. The emulated host has those; `emulated` measures the whole attach there.
Of changes of VFs it is the time beyond the start, on the simulated host of the tests.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bench.measure import ENVIRONMENT, Result
from tests.support.hosts import VM, generate_functions

LIMIT = 0.150
"""The most that the median of nicpass's own time may be, in seconds."""
VF_LIMIT = 0.010
"""The most that the median of nicpass's own time may be for each VF that is made, or set."""
VFS = 7
"""As many as an igb makes a port, so that the emulated host can be compared."""
_CHILD = "from bench.stand_ins import main; main()"


class OwnTime(NamedTuple):
    """The times of one attach in seconds: nicpass's own wall time, and the processor's for all of it."""

    wall: float
    cpu: float


def bench_own_time(tree: Path, functions: int, runs: int) -> Result:
    """Each run takes a VF of another PF, so the tree need not be put back; the first run is not counted."""
    vfs = [f for f in generate_functions(functions) if f.vf_index == 3 and f.pf is not None]
    times = [attach(tree, f.netdevs[0], f.address) for f in vfs[: runs + 1]][1:]
    wall, cpu = (statistics.median(each) for each in zip(*times, strict=True))
    name = f"nicpass attach --start, own time, {functions} functions ({cpu * 1000:.0f} ms of the processor) : limit"
    return Result(name, wall, LIMIT, wall / LIMIT, 1.0, len(times))


def bench_vfs(folder: Path, runs: int) -> list[Result]:
    """What a command takes beyond its start, the kernel's time and that of programs (`simulated_vfs`), a VF."""
    told = [_change_vfs(folder) for _ in range(runs + 1)][1:]
    whole = {change: statistics.median(each[change] for each in told) for change in ("create", "set")}
    return [
        Result(
            f"nicpass vf {change}, own time a VF beyond the start, {VFS} VFs ({seconds * 1000:.0f} ms for all) : limit",
            seconds / VFS,
            VF_LIMIT,
            seconds / VFS / VF_LIMIT,
            1.0,
            runs,
        )
        for change, seconds in whole.items()
    ]


def _change_vfs(folder: Path) -> dict[str, float]:
    """The seconds of each change, by a process of its own on a host of its own."""
    apart = ["unshare", "--net"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(dir=folder) as base:
        argv = [*apart, sys.executable, "-m", "bench.simulated_vfs", base, str(VFS)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr}")
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def attach(tree: Path, nic: str, address: str) -> OwnTime:
    """One attach by a process of its own; the VM's definition is put back."""
    definition, report = tree / f"etc/libvirt/qemu/{VM.name}.xml", tree / "seconds"
    before = definition.read_bytes()
    cpu, begin = _cpu_of_children(), perf_counter()
    argv = [sys.executable, "-c", _CHILD, str(tree), VM.name, VM.uuid, nic, address, str(report)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    wall = perf_counter() - begin
    if done.returncode != 0:
        sys.exit(f"attach on the tree: exit {done.returncode}: {done.stdout}{done.stderr}")
    definition.write_bytes(before)
    return OwnTime(wall - float(report.read_text()), _cpu_of_children() - cpu)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
