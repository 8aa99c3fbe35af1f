# SPDX-License-Identifier: Apache-2.0
"""Where a command's host comes from: this machine, a tree, or a snapshot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.doors.files import Files
from nicpass.host.read import load_snapshot, read_host
from nicpass.hypervisor.libvirt.domains import Machines, read_definitions, read_machines
from nicpass.hypervisor.libvirt.guard_reading import read_guard
from nicpass.model.errors import BadInputError, NotPermittedError
from nicpass.model.host import Host
from nicpass.model.language import _

if TYPE_CHECKING:
    import argparse

    from nicpass.host.doors.processes import Processes


class Source(msgspec.Struct, frozen=True):
    """A host, and the door to the files that it was read from."""

    files: Files
    host: Host
    is_live: bool
    is_snapshot: bool = False
    """Whether the files are not the host's: it was read elsewhere, or at another time."""


def read_source(
    arguments: argparse.Namespace, nic: str | None = None, *, with_boot: bool = False, with_cpus: bool = False
) -> Source:
    """The host that the command line names; with `nic`, where it can be told, only what that NIC depends on.

    How the host boots is read only `with_boot`, its CPUs only `with_cpus`.

    Raises:
        BadInputError: the snapshot or the tree cannot be read.
    """
    if arguments.snapshot is not None:
        path = "/dev/stdin" if arguments.snapshot == "-" else _absolute(arguments.snapshot)
        host = load_snapshot(arguments.snapshot, Files().read_stream(path))
        return Source(Files(), host, is_live=False, is_snapshot=True)
    files = open_root(arguments)
    environment = os.environ if files.is_live else None
    machines = read_machines(files)
    host = read_host(
        files,
        machines.domains,
        open_processes,
        environment,
        nic,
        with_boot=with_boot,
        with_cpus=with_cpus,
        networks=machines.networks,
        guard=read_guard(files),
    )
    return Source(files, host, is_live=files.is_live)


def read_live_source(files: Files, *, boot: bool) -> Source:
    """This machine as it is now; at a boot without asking libvirt, which may be starting VMs and wait for us."""
    machines = Machines(read_definitions(files), None) if boot else read_machines(files)
    guard = read_guard(files)
    host = read_host(files, machines.domains, open_processes, os.environ, networks=machines.networks, guard=guard)
    return Source(files, host, is_live=True)


def open_root(arguments: argparse.Namespace) -> Files:
    """The door to this machine's files, or to those of the tree that the command line names.

    Raises:
        BadInputError: there is no such folder.
    """
    if arguments.root is not None and not os.path.isdir(arguments.root):
        raise BadInputError(
            _("There is no folder {root}.").format(root=arguments.root),
            _("--root wants one that holds sys, proc and etc."),
        )
    return Files(_absolute(arguments.root) if arguments.root is not None else "/")


def _absolute(path: str) -> str:
    return os.path.join(os.getcwd(), path)


def open_processes() -> Processes:
    """The door to processes, loaded late: hardly a run needs it, and its library is loaded slowly."""
    from nicpass.host.doors.processes import Processes

    return Processes()


def require_live_root(arguments: argparse.Namespace) -> None:
    """Pass if this run may change the host that the command line names.

    Raises:
        BadInputError: the host is a snapshot or a tree.
        NotPermittedError: not root.
    """
    if arguments.snapshot is not None or arguments.root is not None:
        raise BadInputError(_("A snapshot or a tree cannot be changed."), _("Plan for it with --dry-run."))
    if os.geteuid() != 0:
        raise NotPermittedError(_("Only root may change the host."), _("sudo nicpass ...; --dry-run needs no rights."))
