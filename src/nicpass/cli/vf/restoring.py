# SPDX-License-Identifier: Apache-2.0
"""`nicpass vf restore`: make the VFs again that were asked for, as every boot does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from nicpass.cli.carry_out import outlive_session
from nicpass.cli.render.output import say, say_json
from nicpass.cli.render.system_log import log_settled
from nicpass.cli.source import require_live_root
from nicpass.engine.host_steps import HostSteps
from nicpass.engine.lock import hold_lock
from nicpass.engine.vf.declared import MadeVfs, make_declared
from nicpass.host.boot.declared_vfs import read_declared_vfs
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.host.system.actor import read_actor
from nicpass.model.binding import DamagedFile
from nicpass.model.errors import ExitCode, RefusedError
from nicpass.model.fact import Unknown, value_or
from nicpass.model.language import _

if TYPE_CHECKING:
    import argparse

    from nicpass.model.change import Actor

_PATIENCE = 240.0
"""Seconds that it waits for a run that has the lock; its unit's bound is above that."""


class RestoredVfs(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass vf restore --json` prints."""

    schema: Literal["nicpass.restored-vfs/1"] = "nicpass.restored-vfs/1"
    made: tuple[MadeVfs, ...]
    damaged: tuple[DamagedFile, ...]


def restore_vfs_command(arguments: argparse.Namespace) -> int:
    """Make the declared VFs of every PF that lacks them.

    Raises:
        RefusedError: what was asked for cannot be read.
    """
    require_live_root(arguments)
    outlive_session()
    files, actor = Files(), read_actor(Files(), ("vf", "restore"))
    declarations = read_declared_vfs(files)
    if isinstance(declarations.found, Unknown):
        raise RefusedError(
            _("Which VFs were asked for could not be read: {reason}.").format(reason=declarations.found.unknown)
        )
    with hold_lock(files, actor, patience=_PATIENCE):
        made = make_missing(files, actor)
    broken = [f"{damaged.path}: {damaged.reason}" for damaged in declarations.damaged]
    if arguments.json:
        say_json(RestoredVfs(made=made, damaged=declarations.damaged))
    else:
        for line in (*(one.sentence for one in made), *broken):
            say(line)
        if not made and not broken:
            say(_("No VFs were asked for that are to last."))
    return max((one.exit_code for one in made), default=ExitCode.ROLLED_BACK if broken else ExitCode.DONE)


def make_missing(files: Files, actor: Actor) -> tuple[MadeVfs, ...]:
    """Make what is missing of the VFs that were asked for, under the lock that the caller holds, and log it."""
    found = value_or(read_declared_vfs(files).found, ())
    made = make_declared(files, HostSteps(files, Processes()), found)
    for one in made:
        if one.changed or one.exit_code:
            log_settled(actor, one.sentence)
    return made
