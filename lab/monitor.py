# SPDX-License-Identifier: Apache-2.0
"""QEMU's monitor (QMP) without asyncio on the outside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError

from lab.errors import LabError, LabTimeoutError

T = TypeVar("T")
_GONE = (QMPError, EOFError, OSError)  # the errors that the library lets through when QEMU has left


class Monitor:
    """A connected QMP session. The loop only turns while a call is under way."""

    def __init__(self, connection: socket.socket) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient("lab")
        try:
            self._run(self._client.connect(connection), 30, "connect")
        except ConnectError as error:
            self._loop.close()
            raise LabError(f"no QMP session: {error}") from error

    def command(self, name: str, arguments: Mapping[str, object] | None = None, timeout: float = 60) -> object:
        """Execute a QMP command; its return value."""
        try:
            return self._run(self._client.execute(name, arguments), timeout, name)
        except ExecuteError as error:
            raise LabError(f"QEMU refused: {error}", command=name) from error
        except _GONE as error:
            raise LabError(f"QEMU is gone: {error}", command=name) from error

    def human(self, line: str, timeout: float = 120) -> None:
        """Execute a command of the human monitor that answers nothing when it succeeds."""
        answer = self.command("human-monitor-command", {"command-line": line}, timeout)
        if answer:
            raise LabError("QEMU's monitor complained", command=line, output=str(answer))

    def close(self) -> None:
        with contextlib.suppress(*_GONE, LabTimeoutError):
            self._run(self._client.disconnect(), 10, "disconnect")
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T], timeout: float, name: str) -> T:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, timeout))
        except TimeoutError as error:
            raise LabTimeoutError(f"QEMU did not answer within {timeout:.0f} s", command=name) from error
