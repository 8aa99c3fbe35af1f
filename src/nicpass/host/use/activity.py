# SPDX-License-Identifier: Apache-2.0
"""Reads what goes on at a host: one scan of the processes, joined with sockets, sessions, mounts and devices.

Under another root only its own files are read, nothing of the running machine; what they lack is unknown.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nicpass.host.pci.function_devices import read_devices
from nicpass.host.use.connections import read_connections
from nicpass.host.use.holders import scan_descriptors
from nicpass.host.use.namespaces import look_elsewhere
from nicpass.host.use.packets import name_interfaces, name_sockets, read_packet_sockets, read_xdp_sockets
from nicpass.host.use.sessions import read_sessions
from nicpass.host.use.storage import read_storage
from nicpass.model.activity import Activity
from nicpass.model.fact import known, value_or

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.model.pci import PciFunction


def read_activity(
    files: Files,
    functions: tuple[PciFunction, ...],
    processes: Callable[[], Processes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Activity:
    """All of `Activity`. `environment` is the caller's, for SSH_CONNECTION; without `processes` no other
    network namespace is looked into."""
    connections = read_connections(files)
    packets, xdp = read_packet_sockets(files), read_xdp_sockets(files)
    inodes = {socket.inode for found in (packets, xdp) for socket in value_or(found, ())}
    if known(connections):
        inodes |= {connection.inode for connection in connections.established}
    descriptors = scan_descriptors(files, inodes)
    elsewhere = look_elsewhere(files, functions, descriptors.namespaces, processes, name_interfaces)
    return Activity(
        sessions=read_sessions(
            files,
            connections,
            descriptors,
            process=os.getpid() if files.is_live else None,
            ssh_connection=(environment or {}).get("SSH_CONNECTION"),
        ),
        storage=read_storage(files, connections, descriptors),
        devices=read_devices(files),
        holders=descriptors.barred or descriptors.opened,
        packet_sockets=name_sockets(files, packets, descriptors),
        xdp_sockets=name_sockets(files, xdp, descriptors),
        foreign_netdevs=elsewhere.netdevs,
        foreign_uppers=elsewhere.uppers,
        foreign_unseen=elsewhere.unseen,
    )
