# SPDX-License-Identifier: Apache-2.0
"""Other processes of this machine: which one it is, how old it is, and how it is ended.

A number alone names no process, for the kernel gives it to the next one. Here a process is its number and the moment
at which it was started; it is signalled by a pidfd that was opened before that moment was compared, so whoever has come
to have the number since is never hit. Source: pidfd_open(2), pidfd_send_signal(2), proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

import msgspec

from nicpass.host.doors.files import Files

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_STARTTIME = 22
"""The field of proc_pid_stat(5): in ticks since the boot."""


class Running(msgspec.Struct, frozen=True):
    """A process, as long as it is the one that was meant."""

    process: int
    started: int
    """Ticks since the boot."""


def start_of(process: int) -> int | None:
    """When the process with this number was started, in ticks since the boot; None where there is none."""
    text = Files().read_bytes(f"/proc/{process}/stat")
    if not isinstance(text, bytes):
        return None
    # The second field is its name in brackets, which may hold blanks and brackets.
    fields = text[text.rfind(b")") + 2 :].split()
    number = fields[_STARTTIME - 3] if len(fields) > _STARTTIME - 3 else b""
    return int(number) if number.isdigit() else None


def age_of(running: Running) -> float:
    """Seconds since it was started, by the clock that nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - running.started / _CLOCK_TICKS


def end_process(running: Running, *, gently: float, by_force: float) -> bool:
    """Ask it to end (SIGTERM), after `gently` seconds end it (SIGKILL); whether it is gone `by_force` seconds later.

    What hangs in the kernel does not end, and is not waited for longer than that.
    """
    try:
        descriptor = os.pidfd_open(running.process)
    except (OSError, OverflowError):
        return start_of(running.process) != running.started
    try:
        if start_of(running.process) != running.started:
            return True
        for number, seconds in ((signal.SIGTERM, gently), (signal.SIGKILL, by_force)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if _has_ended(descriptor, seconds):
                return True
        return False
    finally:
        os.close(descriptor)


def _has_ended(descriptor: int, seconds: float) -> bool:
    """A pidfd becomes readable when its process ends."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
