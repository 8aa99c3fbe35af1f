# SPDX-License-Identifier: Apache-2.0
"""One change at a time: locks that name their holder and that the kernel releases when the holder dies (flock(2)).

There are two. `RUNS` is had by one run of nicpass at a time, from its beginning to its end. `PATH` is had by whoever
may touch NICs: by that run, and shared by the hooks of VMs that start or stop. While a run makes an initramfs, which
takes minutes and touches no NIC, it lets go of `PATH` alone: hooks come through, other runs do not.

Law 11: they lie in a folder that root alone may enter, so nobody else has a descriptor of them, now or from before.
An nicpass before this one had its lock where every user could open it, and hold it. It is heeded still, until the next
boot, for such a run may be at work while this one is installed; but only where root holds it (`engine/old_lock.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from nicpass.engine.handler import PROMPT, wait_until
from nicpass.engine.old_lock import heed_old_lock, holders_of
from nicpass.host.doors.running import Running, start_of
from nicpass.model.errors import BusyError
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.change import Actor

FOLDER = "/run/nicpass/locks"
RUNS = f"{FOLDER}/runs"
PATH = f"{FOLDER}/nics"
_NAMING_SECONDS = 1.0
"""How long a holder's name is waited for: between taking the lock and writing down who has it lies a moment."""
_HOOKS_SECONDS = 150.0
"""A hook gives up by itself within two minutes."""
_MOST = 500

_nics: list[int] = []
"""The descriptor by which this process has `PATH`, for as long as it holds the lock."""


@contextlib.contextmanager
def hold_lock(
    files: Files, actor: Actor, *, patience: float = 0, end_holder: Callable[[Running], bool] | None = None
) -> Iterator[None]:
    """Hold the locks; others are told who holds them, and may wait `patience` seconds for that.

    `end_holder` may end another run that stands in the way; it is asked as often as there is a look.

    Raises:
        BusyError: another run has the lock, or a VM is just starting or stopping.
        StepError: what stands at their place is not root's own.
    """
    words = " ".join(("nicpass", *actor.command))
    name = f"process {actor.process}, {words}, by {actor.user}\n"
    if actor.process == os.getpid() and (started := start_of(actor.process)) is not None:
        name += f"started {started}\n"
    with files.open_for_lock(RUNS) as runs, files.open_for_lock(PATH) as nics:
        _take(runs, patience, end_holder)
        with _named(runs, name), heed_old_lock(files, fcntl.LOCK_EX, patience):
            _take(nics, patience, None)
            with _named(nics, name), _remembered(nics):
                yield


def who_is_at_work(files: Files) -> str | None:
    """The run that holds the lock, in words; None where nobody does, and where nobody can tell.

    The lock itself is left alone: whoever looks keeps nobody from it (proc_locks(5)).
    """
    if not files.exists(RUNS):
        return None
    with files.open_old_lock(RUNS) as descriptor:
        if descriptor is None:
            return None
        holders = holders_of(descriptor)
        line, process, _started = _read_name(descriptor)
        return printable(line) if process is not None and str(process) in holders else None


@contextlib.contextmanager
def let_hooks_through() -> Iterator[None]:
    """For as long as the block lasts, this run touches no NIC: VMs may start and stop meanwhile.

    Afterwards it waits for those that are at it. Killed meanwhile, it leaves nothing: the kernel takes the lock back.

    Raises:
        BusyError: they are at it for longer than a hook may take.
    """
    if not _nics:  # a run without the lock keeps nobody out
        yield
        return
    (nics,) = _nics
    name = os.pread(nics, _MOST, 0)
    os.ftruncate(nics, 0)
    fcntl.flock(nics, fcntl.LOCK_UN)
    try:
        yield
    finally:
        # Whatever has ended the block: what comes next, be it the taking back, may touch NICs.
        _take(nics, _HOOKS_SECONDS, None)
        os.ftruncate(nics, 0)
        os.pwrite(nics, name, 0)


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_holder(descriptor: int) -> str:
    """The holder's line in the lock; nothing where it has written none yet, and that of a killed run stands there."""
    line, process, _started = _read_name(descriptor)
    if process is None:
        return ""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return ""
    except PermissionError:
        pass
    return line


def _take(descriptor: int, patience: float, end_holder: Callable[[Running], bool] | None) -> None:
    def is_had() -> bool:
        if try_lock(descriptor):
            return True
        holder = _running_holder(descriptor) if end_holder is not None else None
        return holder is not None and end_holder is not None and end_holder(holder) and try_lock(descriptor)

    if not wait_until(is_had, patience, interval=PROMPT):
        _refuse_unless_let_go(descriptor)


@contextlib.contextmanager
def _named(descriptor: int, name: str) -> Iterator[None]:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, name.encode("utf-8", "replace"), 0)
    try:
        yield
    finally:
        os.ftruncate(descriptor, 0)


@contextlib.contextmanager
def _remembered(nics: int) -> Iterator[None]:
    _nics.append(nics)
    try:
        yield
    finally:
        _nics.remove(nics)


def _refuse_unless_let_go(descriptor: int) -> None:
    """Raise BusyError with the holder's name; or return with the lock, where the holder was about to let go of it."""
    names: list[str] = []

    def is_named_or_free() -> bool:
        # A holder that has just come has not written its name yet, and one that is leaving has wiped it.
        names[:] = [name] if (name := read_holder(descriptor)) else []
        return bool(names) or try_lock(descriptor)

    if wait_until(is_named_or_free, _NAMING_SECONDS, interval=0.01) and not names:
        return
    holder = printable(names[0]) if names else _("unknown")
    raise BusyError(
        _("Another run is at work: {holder}.").format(holder=holder), _("Wait for it to end, and try again.")
    )


def _read_name(descriptor: int) -> tuple[str, int | None, int | None]:
    """(its words, its process, when that was started); None where it is not written, or not to its end."""
    text = os.pread(descriptor, _MOST, 0).decode("utf-8", "replace")
    line, end, more = text.partition("\n")
    process, started = line.removeprefix("process ").partition(",")[0], more.removeprefix("started ").strip()
    if not end or not (process.isascii() and process.isdecimal()):
        return line, None, None
    return line, int(process), int(started) if started.isascii() and started.isdecimal() else None


def _running_holder(descriptor: int) -> Running | None:
    _line, process, started = _read_name(descriptor)
    return None if process is None or started is None else Running(process, started)
