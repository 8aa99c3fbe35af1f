# SPDX-License-Identifier: Apache-2.0
"""A file that is open for reading, and what an error of reading says of it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from nicpass.model.fact import Unknown

if TYPE_CHECKING:
    from nicpass.model.fact import Fact

READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# ENODEV, ENXIO: the device went away between open and read; it is absent now.
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO})


class OpenFile:
    """A file open for reading by offset."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    @property
    def size(self) -> int:
        """The file's size in bytes, as fstat(2) gives it; that much need not be readable."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> Fact[bytes]:
        """`length` bytes, or fewer at the end of what may be read."""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            return fact_of(error, self._path)

    def read_part(self, offset: int, length: int) -> bytes:
        """`length` bytes or fewer, as `read` gives them, where an error is as good as the end."""
        part = self.read(offset, length)
        return part if isinstance(part, bytes) else b""


def fact_of(error: OSError | ValueError, path: str) -> Unknown | None:
    """The Fact for an error of reading `path`: None where the file is not there, else Unknown with the reason."""
    if isinstance(error, ValueError) or error.errno in _ABSENT:
        return None
    return Unknown(f"{(error.strerror or str(error)).lower()}: {path}")


def open_file(path: str) -> int:
    """Open a regular file, without waiting for a writer as open(2) of a FIFO does; no device and no FIFO is read.

    Raises:
        OSError: EISDIR for a folder, EOPNOTSUPP for another kind.
    """
    descriptor = os.open(path, READING)
    try:
        refuse_unless_file(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def refuse_unless_file(descriptor: int) -> None:
    """Pass if it is a regular file.

    Raises:
        OSError: EISDIR for a folder, EOPNOTSUPP for another kind.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EOPNOTSUPP, "not a regular file")
