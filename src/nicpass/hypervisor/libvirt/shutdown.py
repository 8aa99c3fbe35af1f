# SPDX-License-Identifier: Apache-2.0
"""Waits for a VM to shut down by itself; and ends it without libvirt, where that hangs.

The VM's QEMU process is waited for, by a pidfd (pidfd_open(2), Linux 5.3), not libvirt's lifecycle events: those want
the event loop of the binding, registered before the first connection of the whole program, and are lost with a daemon
that restarts meanwhile, which a guest's shutdown of a minute or two may well see. Nothing is concluded from the
process's end: it is only the moment at which to ask libvirt again, and libvirt is asked now and then without it too.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from nicpass.engine.handler import wait_until
from nicpass.host.doors.running import Running, end_process, start_of
from nicpass.model.errors import StepError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.host.doors.files import Files

_PROCESSES = "/run/libvirt/qemu"
"""Where libvirt's system daemon keeps NAME.pid of each VM that runs."""
_END_SECONDS = 30.0
"""QEMU ends in order when it is asked to by SIGTERM; the kernel takes its time to give the memory back."""


def wait_for_shutdown(files: Files, name: str, is_active: Callable[[], bool], seconds: float) -> bool:
    """Wait until `is_active`, libvirt's answer about the VM `name`, is no; whether it was within `seconds`."""
    with _watch_process(files, name) as descriptors:
        return wait_until(lambda: not is_active(), seconds, descriptors=descriptors)


@contextlib.contextmanager
def _watch_process(files: Files, name: str) -> Iterator[tuple[int, ...]]:
    """A descriptor that becomes readable when the VM's process ends; none where it cannot be had."""
    process = files.read_int(f"{_PROCESSES}/{name}.pid") if files.is_live else None
    try:
        descriptor = os.pidfd_open(process) if isinstance(process, int) else None
    except (OSError, OverflowError):  # gone already, or a system without pidfds
        descriptor = None
    if descriptor is None:
        yield ()
        return
    try:
        yield (descriptor,)
    finally:
        os.close(descriptor)


def end_guest(files: Files, name: str, uuid: str) -> None:
    """End the VM's QEMU process, by its process id file and its command line; nothing where there is none.

    Raises:
        StepError: it does not end.
    """
    process = files.read_int(f"{_PROCESSES}/{name}.pid")
    started = start_of(process) if isinstance(process, int) else None
    if not isinstance(process, int) or started is None or not _is_of(files, process, uuid):
        return
    if not end_process(Running(process, started), gently=_END_SECONDS, by_force=_END_SECONDS):
        raise StepError(_("{name} does not end: process {process}.").format(name=name, process=process))


def _is_of(files: Files, process: int, uuid: str) -> bool:
    """libvirt starts QEMU with `-uuid UUID` (src/qemu/qemu_command.c)."""
    words = files.read_bytes(f"/proc/{process}/cmdline")
    return isinstance(words, bytes) and f"\0-uuid\0{uuid}\0".encode() in words
