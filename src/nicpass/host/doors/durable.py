# SPDX-License-Identifier: Apache-2.0
"""The steps by which a write lasts through a kill and through a power cut; for the door to files alone.

Source: fsync(2), NOTES: a name is on disk only once its folder is.
"""

from __future__ import annotations

import contextlib
import os
import stat

_LABEL = "security.selinux"


def make_folder(folder: str) -> None:
    """Make a folder with all above it; each new name is on disk before anything is put into it."""
    if not os.path.isdir(folder):
        above = os.path.dirname(folder)
        make_folder(above)
        with contextlib.suppress(FileExistsError):  # somebody else has just made it
            os.mkdir(folder, 0o700)
        sync_directory(above)


def temporary_of(target: str) -> str:
    """The path beside `target` at which the file that is to take its place lies meanwhile."""
    folder, name = os.path.split(target)
    return f"{folder}/.{name}.new"


def unlink(path: str) -> None:
    """Remove a file or a link; that it was not there is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def keep_owner(target: str, descriptor: int) -> None:
    """Give the file of `descriptor` the owner and the label (selinux(8)) of the file that it is to replace.

    Raises:
        OSError: the file may not have that owner.
    """
    try:
        old, new = os.lstat(target), os.fstat(descriptor)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(old.st_mode):
        return
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    with contextlib.suppress(OSError):  # ENODATA: the file has no label; ENOTSUP: this file system knows none
        os.setxattr(descriptor, _LABEL, os.getxattr(target, _LABEL, follow_symlinks=False))


def cut_to_lines(descriptor: int) -> int:
    """Let a file end with a whole line; return its size then, in bytes."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    end = os.pread(descriptor, size, 0).rfind(b"\n") + 1
    os.ftruncate(descriptor, end)
    return end


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`: one write(2) may take only a part, and says why at the next."""
    while content:
        content = content[os.write(descriptor, content) :]


def sync_directory(directory: str) -> None:
    """Make a rename or a new name in `directory` last through a power cut (fsync(2), NOTES)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
