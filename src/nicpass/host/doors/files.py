# SPDX-License-Identifier: Apache-2.0
"""The one door to files. Its root can be pointed elsewhere: a capture, a generated tree.

Absent, unreadable and present are three answers here already, so no reader has to invent them.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import stat
from typing import TYPE_CHECKING

from nicpass.host.doors.durable import (
    cut_to_lines,
    keep_owner,
    make_folder,
    sync_directory,
    temporary_of,
    unlink,
    write_all,
)
from nicpass.host.doors.open_file import READING, OpenFile, fact_of, open_file, refuse_unless_file
from nicpass.host.doors.private import open_if_root_made_it, open_private
from nicpass.model.fact import Fact, Unknown
from nicpass.model.file_image import FileImage, Folder, RegularFile, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# ValueError: a name with a NUL or a lone surrogate, as damaged content gives it; no file is called so.
_ERRORS = (OSError, ValueError)
_CHUNK = 65536
_PAGE = 4096  # the attributes of sysfs are shorter, and memory for more of each of ten thousand takes its time
_KERNEL = ("/sys/", "/proc/")  # the links there are relative, and they are many
_ESCAPED = rb"\\x([89a-f][0-9a-f])"
_LARGEST = 256 << 20  # bytes; /proc/net/tcp with a million connections has 150 MiB
_INT64 = range(-(1 << 63), 1 << 64)  # what the kernel prints as a number fits in 64 bits


class Files:
    """Reads and writes below one root. Paths are absolute, as on the machine itself: `/sys/...`."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")
        self._real_root = os.path.realpath(root)

    @property
    def is_live(self) -> bool:
        """Whether this is the running machine, whose kernel may be asked too."""
        return self.root == ""

    def path(self, path: str) -> str:
        """The place of `path` below the root."""
        return self.root + path

    def _locate(self, path: str, *, follow: bool = True) -> str:
        """Where `path` lies below the root; no file has a name with a NUL in it, but a damaged capture may name one."""
        if "\0" in path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        place = self.root + (_raw_name(path) if "\\x" in path else path)
        if self.root and not path.startswith(_KERNEL):
            # An absolute link of the captured machine would lead to a file of this one.
            end = os.path.realpath(place if follow else os.path.dirname(place))
            if os.path.commonpath((self._real_root, end)) != self._real_root:
                raise OSError(errno.EXDEV, "a link leads out of the tree")
        return place

    def read_bytes(self, path: str, limit: int | None = None) -> Fact[bytes]:
        """A file's content, or its first `limit` bytes. Without a limit, a file larger than 256 MiB is unknown."""
        if limit is not None:
            return self._read(path, functools.partial(_read_to_end, limit=limit))
        content = self._read(path, functools.partial(_read_to_end, limit=_LARGEST + 1))
        return _if_bearable(content, path)

    def read_stream(self, path: str, limit: int | None = None) -> Fact[bytes]:
        """The content, or its first `limit` bytes, of a file that a user named; a pipe too: `--snapshot /dev/stdin`."""
        try:
            with open(self.root + path, "rb", buffering=0) as stream:
                return _if_bearable(_read_to_end(stream.fileno(), limit or _LARGEST + 1), path)
        except _ERRORS as error:
            return fact_of(error, path)

    def read_text(self, path: str) -> Fact[str]:
        """A file's text without white space at its ends; bytes that are not UTF-8 are kept escaped."""
        return _decode(self.read_bytes(path))

    def read_attribute(self, path: str) -> Fact[str]:
        """The text of an attribute of sysfs, which comes whole in one read(2) (filesystems/sysfs.rst).

        A scan reads eight a function. So what it is, in a tree, is looked at only where the content is no attribute's:
        nothing, as a FIFO has, or more than a page.
        """
        try:
            descriptor = os.open(self._locate(path), READING)
            try:
                content = os.read(descriptor, _PAGE)
                if not 0 < len(content) < _PAGE:
                    refuse_unless_file(descriptor)
                    content += os.read(descriptor, _CHUNK)
            finally:
                os.close(descriptor)
        except _ERRORS as error:
            return fact_of(error, path)
        return content.decode("utf-8", "backslashreplace").strip()

    def _read(self, path: str, how: Callable[[int], bytes]) -> Fact[bytes]:
        """A file's content as `how` reads it, by os calls: a scan has ten thousand, and `open()` is thrice as slow."""
        try:
            descriptor = open_file(self._locate(path))
        except _ERRORS as error:
            return fact_of(error, path)
        try:
            return how(descriptor)
        except _ERRORS as error:
            return fact_of(error, path)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def open_for_reading(self, path: str) -> Iterator[Fact[OpenFile]]:
        """A file of which only parts are wanted, wherever they lie; closed at the end."""
        try:
            descriptor = open_file(self._locate(path))
        except _ERRORS as error:
            yield fact_of(error, path)
            return
        try:
            yield OpenFile(descriptor, path)
        finally:
            os.close(descriptor)

    def read_int(self, path: str) -> Fact[int]:
        """A number of an attribute, decimal or `0x` hexadecimal; what is neither is unknown, not zero."""
        text = self.read_attribute(path)
        if not isinstance(text, str):
            return text
        try:
            if (number := int(text, 0)) in _INT64:
                return number
        except ValueError:
            pass
        return Unknown(f"not a number: {path}: {text[:40]!r}")

    def read_link(self, path: str) -> Fact[str]:
        """The target of a symbolic link, as it is written."""
        try:
            return _shown_name(os.readlink(self._locate(path, follow=False)))
        except _ERRORS as error:
            if isinstance(error, OSError) and error.errno == errno.EINVAL:
                return Unknown(f"not a symbolic link: {path}")
            return fact_of(error, path)

    def follow_links(self, folder: str) -> Fact[Iterator[tuple[str, str]]]:
        """(Path, target) of each symbolic link in a folder, one by one: `/proc/PID/fd` may have a million of them."""
        try:
            return _follow(folder, os.scandir(self._locate(folder)))
        except _ERRORS as error:
            return fact_of(error, folder)

    def list_directory(self, path: str) -> Fact[tuple[str, ...]]:
        """The names in a folder, in no order; bytes that are not UTF-8 are escaped, and taken back to find the file."""
        try:
            names = os.listdir(self._locate(path))
        except _ERRORS as error:
            return fact_of(error, path)
        return tuple(names if all(map(str.isascii, names)) else map(_shown_name, names))

    def read_status(self, path: str) -> Fact[os.stat_result]:
        """Kind, permissions and owner of the file at `path` (stat(2)); a link is followed."""
        try:
            return os.stat(self._locate(path))
        except _ERRORS as error:
            return fact_of(error, path)

    def read_image(self, path: str) -> Fact[FileImage]:
        """The image of what stands at `path`, so that it can be put back; a link is not followed."""
        try:
            mode = os.lstat(self._locate(path, follow=False)).st_mode
        except _ERRORS as error:
            return fact_of(error, path)
        if stat.S_ISDIR(mode):
            return Folder(stat.S_IMODE(mode))
        if stat.S_ISLNK(mode):
            target = self.read_link(path)
            return SymbolicLink(target) if isinstance(target, str) else target
        content = self.read_bytes(path)
        return RegularFile(content, stat.S_IMODE(mode)) if isinstance(content, bytes) else content

    def exists(self, path: str) -> bool:
        """Whether anything is at `path`, also a dangling link."""
        return "\0" not in path and os.path.lexists(self.root + path)

    def has_leftover(self, path: str) -> bool:
        """Whether a killed write has left its temporary file beside `path`."""
        return os.path.lexists(temporary_of(self.root + path))

    def write_atomic(self, path: str, content: bytes, mode: int = 0o600) -> None:
        """Put a whole file in place or nothing: temporary file, fsync, rename, fsync of the folder.

        The temporary file's name is the target's own, so that what a killed run left is written over or removed with
        it; two runs must not write the same file at once. Where a file is replaced, its owner and its security label
        stay.

        Raises:
            OSError: the file is as it was before.
        """
        target = self.root + path
        temporary = temporary_of(target)
        make_folder(os.path.dirname(target))
        try:
            # Never what somebody else has put there under that name, be it a link to elsewhere.
            unlink(temporary)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
                stream.write(content)
                stream.flush()
                keep_owner(target, stream.fileno())
                # The mode comes last: half a script must not be one that somebody may run.
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            os.rename(temporary, target)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_directory(os.path.dirname(target))

    def append_line(self, path: str, line: bytes) -> None:
        """Add one line to a file and see it on disk before returning; half a line that a power cut left goes.

        Raises:
            OSError: the line is not there, unless the power went too; a reader must bear a broken last line.
        """
        target = self.root + path
        make_folder(os.path.dirname(target))
        is_new = not os.path.exists(target)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(target, flags, 0o600)
        try:
            end = cut_to_lines(descriptor)
            try:
                write_all(descriptor, line + b"\n")
                os.fsync(descriptor)
            except OSError:
                # Half a line, as a full disk leaves it, would spoil the next one too; a file without one says nothing.
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, end)
                    if is_new:
                        os.unlink(target)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            sync_directory(os.path.dirname(target))

    def link_atomic(self, path: str, target: str) -> None:
        """Put a symbolic link in place, instead of what stood there; its temporary name as in `write_atomic`.

        Raises:
            OSError: what stood there still does.
        """
        link = self.root + path
        temporary = temporary_of(link)
        unlink(temporary)
        os.symlink(target, temporary)
        try:
            os.rename(temporary, link)
        except OSError:
            unlink(temporary)
            raise
        sync_directory(os.path.dirname(link))

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """Make one folder; that it is there already is no error, and then it stays as it is."""
        folder = self.root + path
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)  # whatever the umask: nobody else comes in before it has its mode
            os.chmod(folder, mode)
            sync_directory(os.path.dirname(folder))

    def remove_folder(self, path: str) -> None:
        """Remove a folder if it is empty; one that is not, or that was not there, is no error."""
        folder = self.root + path
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return
        sync_directory(os.path.dirname(folder))

    def remove(self, path: str) -> None:
        """Remove a file or a link, and what a killed write left beside it; that it was not there is no error."""
        target = self.root + path
        unlink(temporary_of(target))
        unlink(target)
        if os.path.isdir(folder := os.path.dirname(target)):
            sync_directory(folder)

    def sync(self) -> None:
        """Wait until all that anybody has written is on disk: what programs wrote for us, they need not have synced.

        Only on the running system; a tree that stands for one has nothing to lose.
        """
        if self.is_live:
            os.sync()

    def write_kernel(self, path: str, value: str) -> None:
        """Write one value to an attribute in sysfs, in a single write(2), as the kernel wants it.

        Raises:
            OSError: with the kernel's own errno, which is its answer.
        """
        descriptor = os.open(self.root + path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        except OSError as error:
            error.filename = path  # write(2) knows none, and an error without it tells nobody what was refused
            raise
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def open_for_lock(self, path: str) -> Iterator[int]:
        """A descriptor of a file made for locking, which root alone can have; closed, and so unlocked, at the end.

        Raises:
            RefusedError: a folder on the way is not root's own.
        """
        descriptor = open_private(self.root, path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def open_old_lock(self, path: str) -> Iterator[int | None]:
        """The same of one that an older version has made, and that others may have open; None where there is none."""
        descriptor = open_if_root_made_it(self.root + path)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _follow(folder: str, entries: os._ScandirIterator[str]) -> Iterator[tuple[str, str]]:
    with entries, contextlib.suppress(OSError):  # a process that has just gone
        for entry in entries:
            with contextlib.suppress(OSError):
                yield f"{folder}/{_shown_name(entry.name)}", _shown_name(os.readlink(entry.path))


def _shown_name(name: str) -> str:
    """A name as text that JSON can hold: the bytes that Python carries as lone surrogates become `\\xff`."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _raw_name(path: str) -> str:
    """The inverse of `_shown_name`; systemd's own escapes (`\\x2d`) are of ASCII, and so stay."""
    return os.fsdecode(re.sub(_ESCAPED, lambda escaped: bytes([int(escaped[1], 16)]), os.fsencode(path)))


def _if_bearable(content: Fact[bytes], path: str) -> Fact[bytes]:
    if isinstance(content, bytes) and len(content) > _LARGEST:
        return Unknown(f"larger than {_LARGEST >> 20} MiB: {path}")
    return content


def _read_to_end(descriptor: int, limit: int) -> bytes:
    """Read until the empty read: files of /proc come in pieces of a page, however much was asked for."""
    content = os.read(descriptor, min(_CHUNK, limit))
    more = os.read(descriptor, min(_CHUNK, limit - len(content)))
    if not more:
        return content
    grown = bytearray(content)  # adding to bytes copies all of it each time
    while more:
        grown += more
        more = os.read(descriptor, min(_CHUNK, limit - len(grown)))
    return bytes(grown)


def _decode(content: Fact[bytes]) -> Fact[str]:
    return content.decode("utf-8", "backslashreplace").strip() if isinstance(content, bytes) else content
