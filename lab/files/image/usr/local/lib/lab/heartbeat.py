# SPDX-License-Identifier: Apache-2.0
"""The processors wake each other twice a second, for under emulation one may sleep for ever.

Its one-shot timer's interrupt may be lost (lab/running.py says how). It then waits in the local APIC for the next
interrupt, and a wake-up from another processor is one. With hosts on two processors of the machine this alone did not
keep them awake.
"""

from __future__ import annotations

import os
import select

PERIOD = 0.5  # seconds


def beat(processor: int, own: int, others: list[int]) -> None:
    """Wait for another's beat, and beat when none came in time. The first that waited too long beats for all."""
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    while True:
        if select.select([own], [], [], PERIOD)[0]:
            os.read(own, 4096)
        else:
            for other in others:
                os.write(other, b".")


def main() -> None:
    """One process a processor; the systemd unit ends them all."""
    first, *others = sorted(os.sched_getaffinity(0))
    pipes = {processor: os.pipe() for processor in (first, *others)}
    own = next((processor for processor in others if os.fork() == 0), first)
    beat(own, pipes[own][0], [pipes[other][1] for other in pipes if other != own])


main()
