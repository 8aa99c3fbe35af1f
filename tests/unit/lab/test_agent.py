# SPDX-License-Identifier: Apache-2.0
"""The guest agent's client, against a fake agent at the other end of a socket pair."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.agent import Agent, connect_in_folder
from lab.errors import LabError, LabTimeoutError

Answer = Callable[[str, dict[str, Any]], bytes]


@contextmanager
def fake_agent(answer: Answer, greeting: bytes = b"") -> Iterator[Agent]:
    """An Agent whose other end answers each request with `answer(command, arguments)`."""
    ours, theirs = socket.socketpair()
    theirs.sendall(greeting)
    server = threading.Thread(target=_serve, args=(theirs, answer))
    server.start()
    agent = Agent(ours)
    try:
        yield agent
    finally:
        agent.close()
        server.join(5)


def _serve(connection: socket.socket, answer: Answer) -> None:
    with connection, connection.makefile("rb") as requests:
        for line in requests:
            request = json.loads(line.lstrip(b"\xff"))
            connection.sendall(answer(request["execute"], request["arguments"]))


def said(value: object) -> bytes:
    return json.dumps({"return": value}).encode() + b"\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class FakeProcess:
    """Answers guest-exec, then guest-exec-status with the given statuses, one after the other."""

    def __init__(self, *statuses: dict[str, object]) -> None:
        self.statuses = list(statuses)
        self.started: list[dict[str, Any]] = []

    def __call__(self, command: str, arguments: dict[str, Any]) -> bytes:
        if command == "guest-exec":
            self.started.append(arguments)
            return said({"pid": 42})
        assert arguments == {"pid": 42}
        return said(self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])


def test_sync_drops_what_an_older_talk_left() -> None:
    def answer(command: str, arguments: dict[str, Any]) -> bytes:
        assert command == "guest-sync-delimited"
        # A real agent complains of the leading 0xFF, then answers behind one of its own.
        return b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n\xff' + said(arguments["id"])

    with fake_agent(answer, greeting=b'{"return": 5}\n"half an answ') as agent:
        agent.sync(timeout=5)


def test_sync_gives_up() -> None:
    with fake_agent(lambda *_: b"") as agent, pytest.raises(LabTimeoutError, match="did not answer"):
        agent.sync(timeout=0.05)


def test_a_command_gives_its_code_and_both_outputs() -> None:
    ended = {"exited": True, "exitcode": 3, "out-data": encoded("out"), "err-data": encoded("err")}
    process = FakeProcess({"exited": False}, ended)
    with fake_agent(process) as agent:
        result = agent.execute(["ls", "-l"], stdin=b"in", environment={"A": "b"})
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out", "err")
    assert process.started[0]["arg"] == ["--wait", "ls", "-l"]
    assert base64.b64decode(process.started[0]["input-data"]) == b"in"
    assert {"A=b", "HOME=/root"} <= set(process.started[0]["env"])


def test_a_death_by_signal_is_told_as_shells_do() -> None:
    with fake_agent(FakeProcess({"exited": True, "signal": 9})) as agent:
        assert agent.execute(["true"]).exit_code == 137


def test_a_late_command_is_killed_with_its_children() -> None:
    process = FakeProcess({"exited": False})
    with fake_agent(process) as agent, pytest.raises(LabTimeoutError) as caught:
        agent.execute(["sleep", "9"], timeout=0.05)
    assert caught.value.command == "sleep 9"
    assert process.started[-1]["arg"] == ["--wait", "kill", "-KILL", "--", "-42"]


def test_a_refusal_says_why() -> None:
    error = b'{"error": {"class": "GenericError", "desc": "No such file"}}\n'
    with fake_agent(lambda *_: error) as agent, pytest.raises(LabError, match="No such file") as caught:
        agent.read_file("/nowhere")
    assert caught.value.command == "guest-file-open"


def test_a_box_that_is_gone_is_an_error_at_once() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with closing(Agent(ours)) as agent, pytest.raises(LabError):
        agent.call("guest-ping")


def test_a_file_goes_in_and_comes_out() -> None:
    content = bytearray()

    def answer(command: str, arguments: dict[str, Any]) -> bytes:
        if command == "guest-file-write":
            content.extend(base64.b64decode(arguments["buf-b64"]))
        if command == "guest-file-read":
            return said({"buf-b64": base64.b64encode(content).decode(), "count": len(content), "eof": True})
        return said(7 if command == "guest-file-open" else {})

    big = bytes(range(256)) * 5000  # more than one write
    with fake_agent(answer) as agent:
        agent.write_file("/f", big)
        assert agent.read_file("/f") == big


def test_a_socket_in_a_folder_of_any_depth_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 20)
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("here.sock")
        server.listen()
        connect_in_folder(folder, "here.sock", timeout=1).close()


def test_a_socket_that_never_comes_is_not_waited_for_in_vain(tmp_path: Path) -> None:
    with pytest.raises(LabTimeoutError, match=r"no\.sock"):
        connect_in_folder(tmp_path, "no.sock", timeout=0.05)
