# SPDX-License-Identifier: Apache-2.0
"""One change at a time: a lock that names its holder and that the kernel releases when the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from nicpass.model.errors import BusyError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.files import Files

PATH = "/run/nicpass.lock"


@contextlib.contextmanager
def hold_lock(files: Files, purpose: str) -> Iterator[None]:
    """Hold the one lock (flock(2)); `purpose` is what others are told meanwhile.

    Raises:
        BusyError: another run has it.
    """
    with files.open_for_lock(PATH) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or _("unknown")
            raise BusyError(
                _("Another run is at work: {holder}.").format(holder=holder), _("Wait for it to end, and try again.")
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {purpose}\n".encode(), 0)
        yield
