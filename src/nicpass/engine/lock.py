# SPDX-License-Identifier: Apache-2.0
"""One change at a time: a lock that names its holder and that the kernel releases when the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from nicpass.engine.handler import wait_until
from nicpass.model.errors import BusyError
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.change import Actor

PATH = "/run/nicpass.lock"
_NAMING_SECONDS = 1.0
"""How long a holder's name is waited for: between taking the lock and writing down who has it lies a moment."""


@contextlib.contextmanager
def hold_lock(files: Files, actor: Actor, *, patience: float = 0) -> Iterator[None]:
    """Hold the one lock (flock(2)); others are told who holds it, and may wait `patience` seconds for it.

    Raises:
        BusyError: another run has the lock.
    """
    with files.open_for_lock(PATH) as descriptor:
        if not wait_until(lambda: _try_lock(descriptor), patience, interval=0.2):
            _refuse_unless_let_go(descriptor)
        words = " ".join(("nicpass", *actor.command))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {actor.process}, {words}, by {actor.user}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)


def _refuse_unless_let_go(descriptor: int) -> None:
    """Raise BusyError with the holder's name; or return with the lock, where the holder was about to let go of it."""
    names: list[str] = []

    def is_named_or_free() -> bool:
        # A holder that has just come has not written its name yet, and one that is leaving has wiped it.
        names[:] = [name] if (name := _read_holder(descriptor)) else []
        return bool(names) or _try_lock(descriptor)

    if wait_until(is_named_or_free, _NAMING_SECONDS, interval=0.01) and not names:
        return
    holder = printable(names[0]) if names else _("unknown")
    raise BusyError(
        _("Another run is at work: {holder}.").format(holder=holder), _("Wait for it to end, and try again.")
    )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(descriptor: int) -> str:
    """The holder's line in the lock; nothing where it has written none yet, and that of a killed run stands there."""
    text = os.pread(descriptor, 500, 0).decode("utf-8", "replace")
    process = text.removeprefix("process ").partition(",")[0]
    if not text.endswith("\n") or not (process.isascii() and process.isdecimal()):
        return ""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return ""
    except PermissionError:
        pass
    return text.strip()
