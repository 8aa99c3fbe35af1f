# SPDX-License-Identifier: Apache-2.0
"""How long after what it waits for nicpass goes on: a process does it, and the moment before is compared.

The waiter looks as nicpass's steps do, after it has been quiet for so long that only an event can make it look in time;
for a lock, of which the kernel tells nothing, it has to look often. All lies in a network namespace of its own, which
only root may make; it is gone afterwards.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.measure import Result

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 0.050
"""The most that the median may be, in seconds."""
_QUIET = 1.5
"""Seconds before the change: by then a look without an event comes a fifth of a second after the one before."""
_STEP = 0.037
"""Seconds by which each run's change comes later than that of the run before: no rhythm of looks shall meet it."""
_NAMESPACE = f"nicpass-bench-reaction-{os.getpid()}"
_CODE = "from bench.reaction import main; main()"


class Waiting(NamedTuple):
    """What is waited for: another process brings it about, and `wait` returns when it was seen."""

    name: str
    change: Callable[[], object]
    wait: Callable[[], object]
    before: Callable[[], object] = lambda: None
    """What the other process does before anybody waits."""
    afterwards: Callable[[], object] = lambda: None


def bench_reaction(runs: int) -> list[Result]:
    """A median each; an empty list without root, who alone may make a namespace."""
    if os.geteuid() != 0:
        print("not root: the reaction to events, which wants a network namespace, is left out")
        return []
    subprocess.run(["ip", "netns", "add", _NAMESPACE], check=True)
    try:
        command = ["ip", "netns", "exec", _NAMESPACE, sys.executable, "-c", _CODE, str(runs)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    finally:
        subprocess.run(["ip", "netns", "delete", _NAMESPACE], check=True)
    medians = {name: statistics.median(seconds) for name, seconds in told.items()}
    return [
        Result(f"reaction to {name} : limit", median, LIMIT, median / LIMIT, 1.0, runs)
        for name, median in medians.items()
    ]


def main() -> None:
    """In the namespace: print the seconds of each run, by what was waited for; a first run is not counted."""
    runs = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="nicpass-bench-", dir="/run") as folder:
        told = {each.name: [_react(each, number) for number in range(runs + 1)][1:] for each in _waitings(Path(folder))}
    json.dump(told, sys.stdout)


def _waitings(folder: Path) -> tuple[Waiting, ...]:
    from nicpass.engine.handler import wait_until
    from nicpass.engine.lock import hold_lock
    from nicpass.host.doors.files import Files
    from nicpass.host.network.interfaces import read_network
    from nicpass.host.system.actor import read_actor

    live, below, mark = Files(), Files(str(folder)), folder / "mark"
    actor = read_actor(live, ("bench",))
    held = ExitStack()

    def has_interface() -> bool:
        return "nic0" in [link.name for link in read_network(live).links]

    def send_uevent() -> None:
        mark.touch()
        live.write_kernel("/sys/class/net/lo/uevent", "change")

    def take_lock() -> None:
        with hold_lock(below, actor, patience=20):
            pass

    return (
        Waiting(
            "a new interface",
            lambda: _ip("link", "add", "name", "nic0", "type", "bridge"),
            lambda: wait_until(has_interface, 20),
            afterwards=lambda: _ip("link", "delete", "nic0"),
        ),
        Waiting("a uevent of the kernel", send_uevent, lambda: wait_until(mark.exists, 20), afterwards=mark.unlink),
        Waiting("a lock that is let go", held.close, take_lock, lambda: held.enter_context(hold_lock(below, actor))),
    )


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _react(waiting: Waiting, number: int) -> float:
    """The seconds from before the change to the waiter's return; for an interface that is with `ip`'s own start."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        waiting.before()
        os.write(writing, b"ready\n")
        time.sleep(_QUIET + number * _STEP)
        began = time.monotonic()
        waiting.change()
        os.write(writing, f"{began}\n".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        told.readline()
        waiting.wait()
        seen = time.monotonic()
        seconds = seen - float(told.readline())
    os.waitpid(child, 0)
    waiting.afterwards()
    return seconds
