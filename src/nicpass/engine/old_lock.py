# SPDX-License-Identifier: Apache-2.0
"""The lock of an nicpass before 0.2, which every user could open and so hold: heeded where root's own run holds it.

It is gone with the next boot, like all of /run. Until then a run of the old version may be at work beside one of the
new, and neither may touch what the other does: so the new one takes the old lock too where it is there. It is not
held up by anybody else who has it. Who that is, the kernel tells (/proc/locks, proc_locks(5)); it counts when it is
root with all of its user ids, which no program is that a user has started by its set-user-ID bit, and when it is the
process that stands in the file, into which root alone can write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from nicpass.engine.handler import PROMPT, wait_until
from nicpass.host.doors.files import Files
from nicpass.model.errors import BusyError
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLD_PATH = "/run/nicpass.lock"
_LOCKS = "/proc/locks"


@contextlib.contextmanager
def heed_old_lock(
    files: Files, kind: int, patience: float, *, lets_through: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Hold the old lock too, if it is there and can be had; `kind` is LOCK_EX or LOCK_SH.

    `lets_through`: the run that has it has announced what is about to happen.

    Raises:
        BusyError: a run of the old version has it, and still has after `patience` seconds.
    """
    if not files.exists(OLD_PATH):
        yield
        return
    with files.open_old_lock(OLD_PATH) as descriptor:
        if descriptor is None:  # a link, a FIFO, another's file: no lock of ours
            yield
            return

        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o600)  # whoever has it open keeps it; nobody else gets it

        def may_go() -> bool:
            return _try(descriptor, kind) or not _run_holds(descriptor) or lets_through()

        if not wait_until(may_go, patience, interval=PROMPT):
            raise BusyError(
                _("Another run is at work: {holder}.").format(holder=printable(_words(descriptor))),
                _("Wait for it to end, and try again."),
            )
        yield


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _words(descriptor: int) -> str:
    return os.pread(descriptor, 500, 0).decode("utf-8", "replace").strip()


def is_held_by_root(descriptor: int) -> bool:
    """Whether one of those who have the file's flock is root."""
    return any(map(_is_root, holders_of(descriptor)))


def _run_holds(descriptor: int) -> bool:
    named = _words(descriptor).removeprefix("process ").partition(",")[0]
    return named in holders_of(descriptor) and _is_root(named)


def holders_of(descriptor: int) -> set[str]:
    """The processes that have this file's flock: `1: FLOCK ADVISORY WRITE 17 00:1a:42 0 EOF`, by its inode."""
    text = Files().read_text(_LOCKS)
    lines = [line.split() for line in text.splitlines()] if isinstance(text, str) else []
    inode = str(os.fstat(descriptor).st_ino)
    return {
        fields[4] for fields in lines if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].split(":")[-1] == inode
    }


def _is_root(process: str) -> bool:
    """By all of real, effective, saved and file system user id: proc_pid_status(5)."""
    text = Files().read_text(f"/proc/{process}/status")
    lines = text.splitlines() if isinstance(text, str) else []
    ids = next((line.split()[1:] for line in lines if line.startswith("Uid:")), [])
    return set(ids) == {str(os.geteuid())}
