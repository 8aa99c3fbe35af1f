# SPDX-License-Identifier: Apache-2.0
"""A client of the QEMU guest agent: commands and files in the box, by a channel that is no network.

The protocol is in QEMU's "Guest Agent Protocol Reference". The agent answers in order, one JSON object a line; after
a connect or a resume its stream may hold the rest of an older talk, hence `sync`.
"""

from __future__ import annotations

import base64
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import randbelow

import msgspec

from lab.errors import LabError, LabTimeoutError

ENVIRONMENT = {
    "PATH": "/root/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
}
_SYNC_PERIOD = 5  # seconds; what is sent while the box boots piles up in the socket until its agent is there
_CHUNK = 1 << 20  # bytes in one guest-file-read or -write; the agent takes up to 48 MiB


@dataclass(frozen=True)
class Result:
    """How a command ended. `seconds` is as seen from outside the box."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float


class _Answer(msgspec.Struct, frozen=True):
    """One line from the agent. `value` is `return` on the wire."""

    value: msgspec.Raw = msgspec.field(name="return", default=msgspec.Raw(b""))
    error: dict[str, str] | None = None


class _Synced(msgspec.Struct, frozen=True):
    """The answer to guest-sync-delimited: the number that was sent."""

    value: int = msgspec.field(name="return")


class _Started(msgspec.Struct, frozen=True):
    pid: int


class _Status(msgspec.Struct, frozen=True, rename="kebab"):
    exited: bool
    exitcode: int | None = None
    signal: int | None = None
    out_data: str = ""
    err_data: str = ""


class _Chunk(msgspec.Struct, frozen=True, rename="kebab"):
    buf_b64: str
    eof: bool


class Agent:
    """A connected socket with a guest agent at its other end. All times are in seconds."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = b""

    def close(self) -> None:
        self._socket.close()

    def sync(self, timeout: float) -> None:
        """Wait until the agent answers, whatever was in the stream before."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            number = randbelow(1 << 31)
            # A leading 0xFF makes the agent drop a half-received request; it puts one before its answer too.
            self._send("guest-sync-delimited", {"id": number}, prefix=b"\xff")
            if self._wait_for_sync(number, min(deadline, time.monotonic() + _SYNC_PERIOD)):
                return
        raise LabTimeoutError(f"the guest agent did not answer within {timeout:.0f} s")

    def _wait_for_sync(self, number: int, deadline: float) -> bool:
        try:
            while True:
                line = self._read_line(deadline).rpartition(b"\xff")[2]
                if _is_answer(line, number):
                    return True
        except LabTimeoutError:
            return False

    def call(self, command: str, arguments: Mapping[str, object] | None = None, timeout: float = 30) -> bytes:
        """Send the agent one command; its answer as JSON. LabError if the agent refuses."""
        self._send(command, arguments or {})
        answer = _decode(self._read_line(time.monotonic() + timeout))
        if answer.error is not None:
            raise LabError(f"the guest agent refused: {answer.error.get('desc', '')}", command=command)
        return bytes(answer.value)

    def execute(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Result:
        """Run a program in the box as root and wait for its end; a late one is killed, and LabTimeoutError raised."""
        start = time.monotonic()
        pid = self._start(argv, stdin, {**ENVIRONMENT, **(environment or {})})
        pause = 0.02
        while True:
            status = msgspec.json.decode(self.call("guest-exec-status", {"pid": pid}), type=_Status)
            seconds = time.monotonic() - start
            if status.exited:
                return _to_result(status, seconds)
            if seconds > timeout:
                self._start(["kill", "-KILL", "--", f"-{pid}"], b"", ENVIRONMENT)
                raise LabTimeoutError(f"the command did not end within {timeout:.0f} s", command=" ".join(argv))
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def _start(self, argv: Sequence[str], stdin: bytes, environment: Mapping[str, str]) -> int:
        arguments = {
            "path": "setsid",  # a session of its own, so that it can be killed with its children
            "arg": ["--wait", *argv],
            "env": [f"{name}={value}" for name, value in environment.items()],
            "input-data": base64.b64encode(stdin).decode(),
            "capture-output": True,
        }
        return msgspec.json.decode(self.call("guest-exec", arguments), type=_Started).pid

    def write_file(self, path: str, content: bytes) -> None:
        """Make or replace a file in the box."""
        handle = msgspec.json.decode(self.call("guest-file-open", {"path": path, "mode": "wb"}), type=int)
        for offset in range(0, len(content), _CHUNK):
            chunk = base64.b64encode(content[offset : offset + _CHUNK]).decode()
            self.call("guest-file-write", {"handle": handle, "buf-b64": chunk})
        self.call("guest-file-close", {"handle": handle})

    def read_file(self, path: str) -> bytes:
        """The content of a file in the box."""
        handle = msgspec.json.decode(self.call("guest-file-open", {"path": path, "mode": "rb"}), type=int)
        content = b""
        while True:
            answer = self.call("guest-file-read", {"handle": handle, "count": _CHUNK})
            chunk = msgspec.json.decode(answer, type=_Chunk)
            content += base64.b64decode(chunk.buf_b64)
            if chunk.eof:
                self.call("guest-file-close", {"handle": handle})
                return content

    def _send(self, command: str, arguments: Mapping[str, object], prefix: bytes = b"") -> None:
        self._socket.settimeout(30)
        request = {"execute": command, "arguments": arguments}
        try:
            self._socket.sendall(prefix + msgspec.json.encode(request) + b"\n")
        except OSError as error:
            raise LabError(f"the guest agent's channel takes nothing: {error}", command=command) from error

    def _read_line(self, deadline: float) -> bytes:
        while b"\n" not in self._received:
            self._receive(deadline)
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _receive(self, deadline: float) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError as error:
            raise LabTimeoutError("the guest agent did not answer in time") from error
        except ConnectionError:
            data = b""
        if not data:
            raise LabError("the box is gone: QEMU closed the guest agent's channel")
        self._received += data


def _is_answer(line: bytes, number: int) -> bool:
    try:
        return msgspec.json.decode(line, type=_Synced).value == number
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _decode(line: bytes) -> _Answer:
    try:
        return msgspec.json.decode(line, type=_Answer)
    except msgspec.DecodeError as error:
        raise LabError(f"the guest agent said something unintelligible: {line!r}") from error


def _to_result(status: _Status, seconds: float) -> Result:
    """The Result of a command; the exit code of a death by signal is the shell's, 128 and the signal's number."""
    code = status.exitcode if status.exitcode is not None else 128 + (status.signal or 0)
    out, err = (base64.b64decode(data).decode(errors="replace") for data in (status.out_data, status.err_data))
    return Result(code, out, err, seconds)


def connect_in_folder(folder: Path, name: str, timeout: float) -> socket.socket:
    """Connect to the UNIX socket `name` in `folder`, waiting until it is there. Paths of any length will do."""
    deadline = time.monotonic() + timeout
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _connect(connection, folder, name)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            if time.monotonic() > deadline:
                raise LabTimeoutError(f"QEMU did not open {name} within {timeout:.0f} s") from error
            time.sleep(0.02)
        else:
            return connection


def _connect(connection: socket.socket, folder: Path, name: str) -> None:
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{handle}/{name}")
    finally:
        os.close(handle)
