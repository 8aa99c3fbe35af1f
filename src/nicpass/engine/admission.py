# SPDX-License-Identifier: Apache-2.0
"""How a start of a VM and a run of nicpass keep out of each other's way.

The hypervisor's hook runs while the hypervisor waits for it. Hooks share the lock on NICs with each other and exclude
a run of nicpass; but when it is such a run that starts or stops the VM, it holds the lock and has announced that VM,
and while a run makes an initramfs it leaves that lock to hooks (`lock.let_hooks_through`).
An announcement is itself a lock, flock(2): the kernel takes it back from a run that died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from nicpass.engine.handler import PROMPT, wait_until
from nicpass.engine.lock import PATH, try_lock
from nicpass.engine.old_lock import heed_old_lock, is_held_by_root
from nicpass.model.address import Address
from nicpass.model.errors import BusyError, StepError
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files

_ANNOUNCED = "/run/nicpass/announced"
STARTED = "/run/nicpass/started"
"""A folder with a file for each VM that was let through, by its UUID; the guard's script may write one too."""
_LOOK_SECONDS = 5.0
_UUID_PARTS = [8, 4, 4, 4, 12]
_HEX = frozenset("0123456789abcdef")


@contextlib.contextmanager
def announce(files: Files, uuid: str) -> Iterator[None]:
    """Say, for as long as the block lasts, that this run, which holds the lock, starts or stops that VM itself."""
    path = _path(_ANNOUNCED, uuid)
    with files.open_for_lock(path) as descriptor:
        # A hook that just looks at it has it for a moment.
        if not wait_until(lambda: try_lock(descriptor), _LOOK_SECONDS, interval=0.01):
            raise BusyError(_("Another run of nicpass is at work: {holder}.").format(holder=path))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                files.remove(path)


@contextlib.contextmanager
def admit(files: Files, uuid: str, name: str, *, patience: float = 0) -> Iterator[None]:
    """Keep runs of nicpass out while the hypervisor starts or stops a VM, unless it does so on behalf of one.

    Raises:
        BusyError: another run is at work, and still is after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    with files.open_for_lock(PATH) as descriptor:
        shared = False

        def may_go() -> bool:
            nonlocal shared
            shared = try_lock(descriptor, fcntl.LOCK_SH)
            return shared or _is_announced(files, uuid)

        admitted = wait_until(may_go, patience, interval=PROMPT)
        if shared:
            purpose = f"process {os.getpid()}, libvirt's hook for {printable(name)}\n".encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, purpose, 0)
        elif not admitted:
            holder = os.pread(descriptor, 500, 0).decode("utf-8", "replace").partition("\n")[0].strip()
            raise BusyError(
                _("Another run of nicpass is at work: {holder}.").format(holder=printable(holder or _("unknown"))),
                _("Wait for it to end, and try again."),
            )
        left = max(0.0, deadline - time.monotonic())
        with heed_old_lock(files, fcntl.LOCK_SH, left, lets_through=lambda: _is_announced(files, uuid)):
            yield


def note_start(files: Files, uuid: str, addresses: tuple[Address, ...]) -> None:
    """Put down that the guard has let this start of the VM through, with these NICs."""
    lines = "".join(f"{address}\n" for address in addresses)
    files.write_atomic(_path(STARTED, uuid), f"{time.time():.3f}\n{lines}".encode())


def read_start(files: Files, uuid: str) -> tuple[str, ...]:
    """The NICs with which the guard let the VM start; none if the guard was not asked."""
    text = files.read_text(_path(STARTED, uuid))
    return tuple(text.splitlines()[1:]) if isinstance(text, str) else ()


def forget_start(files: Files, uuid: str) -> None:
    files.remove(_path(STARTED, uuid))


def forget_nic_of_start(files: Files, uuid: str, address: Address) -> None:
    """One of the NICs of a start has come back and is what it was; raises OSError."""
    left = read_start(files, uuid)
    if address in left:
        others = tuple(Address(nic) for nic in left if nic != address)
        if others:
            note_start(files, uuid, others)
        else:
            forget_start(files, uuid)


def _is_announced(files: Files, uuid: str) -> bool:
    """Whether a run holds the announcement of this VM as a lock; one that nobody holds is what a dead run left.

    It may be of a run of an older version, whose announcements others can hold too.
    """
    with files.open_old_lock(_path(_ANNOUNCED, uuid)) as descriptor:
        return descriptor is not None and not try_lock(descriptor, fcntl.LOCK_SH) and is_held_by_root(descriptor)


def _path(folder: str, uuid: str) -> str:
    parts = uuid.split("-")
    if [len(part) for part in parts] != _UUID_PARTS or not _HEX.issuperset("".join(parts)):
        raise StepError(_("{uuid!r} is no UUID of a VM.").format(uuid=uuid))
    return f"{folder}/{uuid}"
