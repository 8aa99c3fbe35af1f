# SPDX-License-Identifier: Apache-2.0
"""The processors wake each other twice a second, for under emulation one may sleep for ever.

QEMU's emulation of AMD's virtualization changes a processor's pending interrupts at every entry into a guest and every
exit from it without its lock (target/i386/tcg/sysemu/svm_helper.c, `cs->interrupt_request`, until QEMU 10.2). Another
thread's interrupt of that moment is lost: it stays in the local APIC, and is only looked at with the next one. If it
was the one-shot timer's, there may be no next one. A wake-up from another processor is.
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
