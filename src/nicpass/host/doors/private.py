# SPDX-License-Identifier: Apache-2.0
"""Files that root alone can open, for locks (law 11); for the door to files alone.

flock(2) asks for no right to write: whoever can open a file for reading can hold it. And to take the right away helps
nothing against a descriptor that is open already. So a lock lies in a folder that root alone may enter, and a file in
it that was ever open to others is no lock: another one is put in its place.

"Root" is the user that this program runs as: a tree of the tests' is theirs.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from nicpass.model.errors import RefusedError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without waiting at a FIFO, and never by a link.
_FILE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_TRIES = 5


def open_private(root: str, path: str) -> int:
    """A descriptor of the file `path` below `root`, made where it is missing, that nobody but root has or can get.

    Raises:
        RefusedError: a folder on the way is not root's own.
        OSError: it cannot be made.
    """
    *above, name = path.strip("/").split("/")
    descriptor = os.open(root or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate(above, 1):
            place = "/" + "/".join(above[:depth])
            # The first (/run) is the system's; the last is ours alone.
            mode = None if depth == 1 else 0o700 if depth == len(above) else 0o755
            with _closing(descriptor) as parent:
                descriptor = -1
                descriptor = _enter(parent, part, place, mode)
        return _open_in(descriptor, name, path)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def open_if_root_made_it(target: str) -> int | None:
    """A descriptor of an older version's lock; None where it is gone, or no plain file of root's own.

    Its mode stays as it is: by that is seen that others may have it open.
    """
    try:
        descriptor = os.open(target, _FILE)
    except OSError:
        return None
    if not _is_own_file(os.fstat(descriptor)):
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(parent: int, part: str, place: str, mode: int | None) -> int:
    """One folder deeper; with a `mode`, others may have no more than that from here on."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(part, mode or 0o755, dir_fd=parent)
    try:
        descriptor = os.open(part, _FOLDER, dir_fd=parent)
    except NotADirectoryError:  # also what a link is called here (open(2), O_NOFOLLOW with O_DIRECTORY)
        raise _not_ours(place, _("it is no folder")) from None
    status = os.fstat(descriptor)
    if mode is not None and status.st_uid != os.geteuid():
        os.close(descriptor)
        raise _not_ours(place, _("it belongs to user {user}").format(user=status.st_uid))
    if mode is not None and status.st_mode & (_OTHERS if mode == 0o700 else _OTHERS_WRITE):
        os.fchmod(descriptor, mode)
    return descriptor


def _open_in(folder: int, name: str, path: str) -> int:
    for _try in range(_TRIES):
        try:
            descriptor = os.open(name, _FILE | os.O_CREAT, 0o600, dir_fd=folder)
        except IsADirectoryError:
            break
        except OSError:
            # A link (ELOOP), a socket or a device that nothing is behind (ENXIO): others come from there too.
            if not _is_there(folder, name) or _is_plain(folder, name):
                raise
            os.unlink(name, dir_fd=folder)
            continue
        status = os.fstat(descriptor)
        if _is_own_file(status) and not status.st_mode & _OTHERS:
            return descriptor
        # No run of this version has it: it makes none like this. Others may have it open, so it goes.
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
    raise _not_ours(path, _("it is no plain file"))


def _is_own_file(status: os.stat_result) -> bool:
    """A plain file of root's own with no second name, which may lie where others can open it."""
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink <= 1


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_plain(folder: int, name: str) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _not_ours(place: str, reason: str) -> RefusedError:
    return RefusedError(
        _("{path} is not nicpass's own: {reason}.").format(path=place, reason=reason),
        _("Who has put it there? Take it away; nicpass makes it anew."),
    )
