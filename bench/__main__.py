# SPDX-License-Identifier: Apache-2.0
"""`python -m bench`: prints ratios against their targets, and exits 1 when one is missed."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.emulated import bench_emulated_host
from bench.measure import MIN_RUNS, Result, compare, cpus
from bench.namespace import bench_namespace
from bench.own_time import bench_own_time, bench_vfs
from bench.reaction import bench_reaction
from tests.support.hosts import generated_host

if TYPE_CHECKING:
    from collections.abc import Callable

NICPASS = str(Path(sys.executable).with_name("nicpass"))
SMALL, BIG = 1024, 8192
START_TARGET = 2.5
LIST_TARGET = 3.0
CHECK_TARGET = 2.5
GROWTH_TARGET = 9.0
"""The most that eight times as many functions may cost; linear growth is 8."""


def main() -> int:
    arguments = _parse_arguments()
    results = bench_all(arguments) if not arguments.own_time else _in_memory(arguments, bench_small_tree)
    _print_table(results)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(_record(results), indent=2) + "\n")
    return 0 if all(result.met for result in results) else 1


def bench_all(arguments: argparse.Namespace) -> list[Result]:
    """Every comparison there is; `--no-lab` leaves out the emulated host."""
    results = [
        bench_start(arguments.runs),
        *_in_memory(arguments, bench_trees),
        *bench_namespace(arguments.runs),
        *bench_reaction(arguments.runs),
    ]
    return results if arguments.no_lab else results + bench_emulated_host(arguments.runs)


def _in_memory(arguments: argparse.Namespace, bench: Callable[[Path, int], list[Result]]) -> list[Result]:
    """Run `bench` with a folder that is in memory, as sysfs is; otherwise a disk would be measured."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="nicpass-bench-", dir=memory) as folder:
        return bench(Path(folder), arguments.runs)


def bench_start(runs: int) -> Result:
    """Compare the bare start of nicpass with an interpreter that does nothing."""
    bare = [sys.executable, "-c", "pass"]
    return compare("nicpass --version : python -c pass", [NICPASS, "--version"], bare, target=START_TARGET, runs=runs)


def bench_trees(folder: Path, runs: int) -> list[Result]:
    """Listing and checking generated hosts."""
    if shutil.which("lspci") is None:
        sys.exit("lspci is not installed: apt install pciutils")
    trees = {count: str(generated_host(count).write(folder / str(count))) for count in (SMALL, BIG)}
    return [
        *(bench_against_lspci("list", count, trees[count], LIST_TARGET, runs) for count in trees),
        bench_growth("list", trees, runs),
        bench_against_lspci("check", SMALL, trees[SMALL], CHECK_TARGET, runs),
        bench_growth("check", trees, runs),
        bench_own_time(Path(trees[SMALL]), SMALL, runs),
        *bench_vfs(folder, runs),
    ]


def bench_small_tree(folder: Path, runs: int) -> list[Result]:
    """Measure only nicpass's own time: in an attach, on the small tree, and with VFs."""
    return [bench_own_time(generated_host(SMALL).write(folder / "tree"), SMALL, runs), *bench_vfs(folder, runs)]


def bench_against_lspci(command: str, count: int, tree: str, target: float, runs: int) -> Result:
    """Compare a nicpass command with lspci on the same tree, of which lspci shows less."""
    name = f"nicpass {command} --json : lspci -Dvmmnnk, {count} functions"
    peer = ["lspci", "-O", f"sysfs.path={tree}/sys/bus/pci", "-Dvmmnnk"]
    return compare(name, [NICPASS, command, "--json", "--root", tree], peer, target=target, runs=runs)


def bench_growth(command: str, trees: dict[int, str], runs: int) -> Result:
    """Compare a nicpass command on the big tree with the same command on the small one."""
    small, big = ([NICPASS, command, "--json", "--root", trees[count]] for count in (SMALL, BIG))
    name = f"nicpass {command} --json, {BIG} : {SMALL} functions"
    return compare(name, big, small, target=GROWTH_TARGET, runs=runs)


def _print_table(results: list[Result]) -> None:
    width = max(len(result.name) for result in results)
    print(f"{'':<{width}}  {'ours':>9}  {'peer':>9}  {'ratio':>6}  {'at most':>7}")
    for r in results:
        verdict = "" if r.met else "  MISSED"
        times = f"{r.subject * 1000:>6.0f} ms  {r.peer * 1000:>6.0f} ms"
        target = "-" if r.target is None else f"{r.target:.1f}"
        print(f"{r.name:<{width}}  {times}  {r.ratio:>6.2f}  {target:>7}{verdict}")


def _record(results: list[Result]) -> dict[str, object]:
    host = {"python": platform.python_version(), "kernel": platform.release(), "cpus": cpus()}
    return {"host": host, "results": [{**result._asdict(), "met": result.met} for result in results]}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=MIN_RUNS, help="of each command, besides one that warms up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--no-lab", action="store_true", help="leave out what runs on the emulated host")
    parser.add_argument("--own-time", action="store_true", help="only nicpass's own time in an attach, and with VFs")
    arguments = parser.parse_args()
    if arguments.runs < MIN_RUNS:
        parser.error(f"fewer than {MIN_RUNS} runs say nothing")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
