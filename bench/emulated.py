# SPDX-License-Identifier: Apache-2.0
"""Against driverctl, dpdk-devbind and virsh, which ask a running kernel: on the emulated host, in one run."""

from __future__ import annotations

import json
import statistics

from bench.measure import Result
from lab.cache import Cache
from lab.machine import Machine
from lab.shape import INTEL
from lab.stages import fresh_host
from lab.wheel import build_wheel

SUBJECT = "nicpass list --json"
PEERS = {
    "driverctl list-devices network": "driverctl list-devices network",
    "dpdk-devbind.py -s": "dpdk-devbind.py -s",
    "virsh nodedev-dumpxml of all": "for d in $(virsh nodedev-list --cap pci); do virsh nodedev-dumpxml $d; done",
}

# Runs on the host: the commands in turn, so that all feel the same noise. Prints the seconds of each, by command.
_TIMER = """
import json, subprocess, sys, time
commands, runs = json.loads(sys.argv[1]), int(sys.argv[2])
times = {command: [] for command in commands}
for number in range(runs + 1):
    for command in commands:
        begin = time.perf_counter()
        subprocess.run(["bash", "-ec", command], stdout=subprocess.DEVNULL, check=True)
        if number:
            times[command].append(time.perf_counter() - begin)
json.dump(times, sys.stdout)
"""


def bench_emulated_host(runs: int) -> list[Result]:
    """Ratios of the medians. There is no target: the peers show a part of what `nicpass list` shows."""
    with fresh_host(Cache(), INTEL, build_wheel()) as machine:
        times = _measure(machine, [SUBJECT, *PEERS.values()], runs)
    ours = statistics.median(times[SUBJECT])
    results = []
    for name, command in PEERS.items():
        theirs = statistics.median(times[command])
        results.append(Result(f"{SUBJECT} : {name}, emulated host", ours, theirs, ours / theirs, None, runs))
    return results


def _measure(machine: Machine, commands: list[str], runs: int) -> dict[str, list[float]]:
    output = machine.succeed(["python3", "-c", _TIMER, json.dumps(commands), str(runs)], timeout=900)
    found: dict[str, list[float]] = json.loads(output)
    return found
