# SPDX-License-Identifier: Apache-2.0
"""Sessions from other machines: systemd-logind's files, the programs above this one, and their connections.

tmux, screen and sudo hide the environment; none of them hides the process tree, and logind still knows the session.
Source: /run/systemd/sessions as systemd's logind-session.c writes it; proc_pid_stat(5), cgroups(7).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.use.connections import is_loopback
from nicpass.host.use.holders import read_program
from nicpass.model.activity import Session
from nicpass.model.address import ip_text
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files
    from nicpass.host.use.connections import Connection, Connections
    from nicpass.host.use.holders import Descriptors

_SESSIONS = "/run/systemd/sessions"
_SERVERS = frozenset({"sshd", "sshd-session", "dropbear"})
_MAX_DEPTH = 256  # of a process tree; a capture's could be a circle
_SCOPE = r"/session-([^/]+)\.scope"


def read_sessions(
    files: Files,
    connections: Fact[Connections],
    descriptors: Descriptors,
    *,
    process: int | None,
    ssh_connection: str | None = None,
) -> Fact[tuple[Session, ...]]:
    """The sessions, those first in which this process runs; `process` is None for a capture."""
    if connections is None or isinstance(connections, Unknown):
        return connections
    folder = files.list_directory(_SESSIONS)
    if isinstance(folder, Unknown):
        return folder
    if folder is None and not files.is_live:
        return Unknown(f"not captured: {_SESSIONS}")
    reader = _Reader(files, connections, descriptors, process)
    found = [*reader.own(), *_from_environment(ssh_connection)]
    found += [session for name in sorted(folder or ()) for session in reader.logged_in(name)]
    found += reader.served()
    return tuple(_merge(found))


class _Reader:
    """Joins sessions, processes and connections."""

    def __init__(self, files: Files, connections: Connections, descriptors: Descriptors, process: int | None) -> None:
        self.files = files
        self.connections = connections
        self.descriptors = descriptors
        self.by_inode = {connection.inode: connection for connection in connections.established}
        self.by_ends = {
            (c.local, c.local_port, c.peer, c.peer_port): c for c in connections.established if c.is_loopback
        }
        self.above = _ancestors(files, process)
        self.scope = _own_scope(files, process)

    def of_process(self, process: int) -> Iterator[tuple[Connection, int]]:
        """(connection to another machine, process that has it); of one from this host, those of whoever forwards it."""
        for inode in self.descriptors.inodes.get(process, ()):
            if (connection := self.by_inode.get(inode)) is None:
                continue
            if not connection.is_loopback:
                yield connection, process
                continue
            ends = (connection.peer, connection.peer_port, connection.local, connection.local_port)
            mate = self.by_ends.get(ends)
            forwarder = self.descriptors.sockets.get(mate.inode) if mate is not None else None
            for other in self.descriptors.inodes.get(forwarder or 0, ()):
                if (further := self.by_inode.get(other)) is not None and not further.is_loopback:
                    yield further, forwarder or 0

    def own(self) -> Iterator[Session]:
        """This process's own sessions, by the connections that the programs above it have open."""
        for ancestor in self.above:
            for connection, holder in self.of_process(ancestor):
                yield _session(connection, read_program(self.files, holder), own=True)

    def served(self) -> Iterator[Session]:
        """The sessions that ssh servers have taken in, also where logind is told of nothing."""
        for process in self.descriptors.inodes:
            taken = [c for c, _ in self.of_process(process) if c.local_port in self.connections.listening]
            if taken and (program := read_program(self.files, process)) in _SERVERS:
                yield from (_session(connection, program) for connection in taken)

    def logged_in(self, name: str) -> Iterator[Session]:
        """One of logind's sessions, if it comes from another machine."""
        if name.endswith(".ref"):  # a FIFO, by which logind learns that the session's last process is gone
            return
        text = self.files.read_text(f"{_SESSIONS}/{name}")
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line) if isinstance(text, str) else {}
        if fields.get("REMOTE") != "1":
            return
        leader = int(fields["LEADER"]) if fields.get("LEADER", "").isdecimal() else 0
        own = leader in self.above or name == self.scope
        user, host = fields.get("USER"), fields.get("REMOTE_HOST") or None
        taken = list(self.of_process(leader))
        for connection, holder in taken:
            found = _session(connection, read_program(self.files, holder), own=own)
            yield msgspec.structs.replace(found, user=user, remote_host=host)
        if taken or fields.get("STATE") == "closing" or is_loopback(host or ""):
            return
        program = fields.get("SERVICE") or "ssh"
        yield Session(user=user, program=program, own=own, remote_host=host, peer_address=ip_text(host or ""))


def _ancestors(files: Files, process: int | None) -> list[int]:
    """This process, its parent, and so on up to the first."""
    chain: list[int] = []
    while process and process not in chain and len(chain) < _MAX_DEPTH:
        chain.append(process)
        text = files.read_text(f"/proc/{process}/stat")
        # PID (NAME) STATE PPID ...; the name may hold anything, brackets too
        fields = text.rpartition(")")[2].split() if isinstance(text, str) else []
        process = int(fields[1]) if len(fields) > 1 and fields[1].isdecimal() else None
    return chain


def _own_scope(files: Files, process: int | None) -> str | None:
    """The logind session in whose control group this process is."""
    text = files.read_text(f"/proc/{process}/cgroup") if process else None
    match = re.search(_SCOPE, text) if isinstance(text, str) else None
    return match[1] if match else None


def _from_environment(ssh_connection: str | None) -> Iterator[Session]:
    """The session of `10.0.0.9 51000 10.0.0.5 22`: peer, its port, own address, its port (ssh(1), ENVIRONMENT)."""
    words = (ssh_connection or "").split()
    if len(words) == 4 and words[1].isdecimal() and words[3].isdecimal() and not is_loopback(words[0]):
        peer, local = ip_text(words[0]), ip_text(words[2])
        if peer and local:
            yield Session(
                own=True,
                local_address=local,
                local_port=int(words[3]),
                peer_address=peer,
                peer_port=int(words[1]),
            )


def _session(connection: Connection, program: str, *, own: bool = False) -> Session:
    return Session(
        program=program,
        own=own,
        local_address=connection.local,
        local_port=connection.local_port,
        peer_address=connection.peer,
        peer_port=connection.peer_port,
    )


def _merge(sessions: list[Session]) -> Iterator[Session]:
    """One session of each connection: what one source lacks, another adds."""
    merged: dict[tuple[object, ...], Session] = {}
    for session in sessions:
        # A session without a connection is told apart by what logind says of it.
        host = None if session.local_address else (session.remote_host, session.user)
        key = (session.local_address, session.local_port, session.peer_address, session.peer_port, host)
        known = merged.get(key, session)
        merged[key] = msgspec.structs.replace(
            known,
            own=known.own or session.own,
            user=known.user or session.user,
            remote_host=known.remote_host or session.remote_host,
        )
    yield from sorted(merged.values(), key=lambda session: not session.own)
