# SPDX-License-Identifier: Apache-2.0
"""`python -m bench.against CHECKOUT`: list, check and attach beside an earlier state of nicpass, in turn, as ratios.

CHECKOUT is a clone at that state after `make setup messages`. Both sides look at the same generated tree.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bench.measure import ENVIRONMENT
from tests.support.hosts import VM, generate_functions, generated_host

HERE = Path(__file__).resolve().parents[1]
FUNCTIONS = 1024
_ATTACH = "from bench.stand_ins import main; main()"
_READ = "import sys; sys.argv[0] = 'nicpass'; from nicpass.cli.main import main; sys.exit(main())"


class Times(NamedTuple):
    """The seconds of one run: by the clock without what stood in for libvirt and the kernel, and of the processor."""

    own: float
    cpu: float


def main() -> int:
    """Print the medians and the ratio of each command; exit 1 where a ratio of the processor's time is over --most."""
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="a clone at the earlier state, with its .venv")
    parser.add_argument("--pairs", type=int, default=11, help="runs of each side, in turn (default: 11)")
    parser.add_argument("--most", type=float, default=1.10, help="the most that a ratio may be (default: 1.10)")
    parser.add_argument("--only", choices=("list", "check", "attach"), action="append")
    arguments = parser.parse_args()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="nicpass-bench-", dir=memory) as folder:
        worst = max(
            _compare(command, arguments.checkout.resolve(), Path(folder), arguments.pairs)
            for command in arguments.only or ("list", "check", "attach")
        )
    return 0 if worst <= arguments.most else 1


def _compare(command: str, earlier: Path, folder: Path, pairs: int) -> float:
    """The ratio of the processor's times; a first pair warms the caches and is not counted."""
    checkouts = {"now": HERE, "earlier": earlier}
    trees = {who: generated_host(FUNCTIONS).write(folder / command / who) for who in checkouts}
    vfs = [f for f in generate_functions(FUNCTIONS) if f.vf_index in range(3, 9) and f.pf is not None]
    times: dict[str, list[Times]] = {who: [] for who in checkouts}
    for number in range(pairs + 1):
        nic = vfs[number % len(vfs)]
        for who in sorted(checkouts, reverse=bool(number % 2)):
            seconds = _run(command, checkouts[who], trees[who], nic.netdevs[0], nic.address)
            if number:
                times[who].append(seconds)
    own, cpu = ({who: statistics.median(each[field] for each in times[who]) for who in checkouts} for field in range(2))
    print(
        f"{command:6}  processor {cpu['now'] * 1000:6.1f} : {cpu['earlier'] * 1000:6.1f} ms"
        f" = {cpu['now'] / cpu['earlier']:.3f}   own {own['now'] * 1000:6.1f} : {own['earlier'] * 1000:6.1f} ms"
        f" = {own['now'] / own['earlier']:.3f}   ({pairs} pairs)",
        flush=True,
    )
    return cpu["now"] / cpu["earlier"]


def _run(command: str, checkout: Path, tree: Path, nic: str, address: str) -> Times:
    """One process; an attach takes the NIC and puts the VM's definition back."""
    definition, report = tree / f"etc/libvirt/qemu/{VM.name}.xml", tree / "seconds"
    before = definition.read_bytes()
    code, arguments = _READ, [command, "--root", str(tree), "--json"]
    if command == "attach":
        code, arguments = _ATTACH, [str(tree), VM.name, VM.uuid, nic, address, str(report)]
    if command == "check":
        arguments.insert(1, nic)
    python = str(checkout / ".venv/bin/python")
    used, begin = _cpu_of_children(), perf_counter()
    done = subprocess.run(
        [python, "-c", code, *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd=checkout
    )
    wall = perf_counter() - begin
    if done.returncode not in ({0} if command != "check" else {0, 10}):
        sys.exit(f"{command} of {checkout}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr}")
    definition.write_bytes(before)
    elsewhere = float(report.read_text()) if command == "attach" else 0.0
    return Times(wall - elsewhere, _cpu_of_children() - used)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
