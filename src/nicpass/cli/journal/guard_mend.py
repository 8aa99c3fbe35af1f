# SPDX-License-Identifier: Apache-2.0
"""The guard put back in order by `nicpass recover`, and what it missed told, until somebody has been told of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nicpass.checks.host.guard import check_guard, guarded_nics, tell_unguarded
from nicpass.cli.render.output import say_note
from nicpass.host.system.given import read_given
from nicpass.hypervisor.libvirt.guard_reading import read_guard
from nicpass.model.errors import ExitCode, NicpassError
from nicpass.model.fact import known, value_or
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.cli.render.telling import Teller
    from nicpass.cli.source import Source
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address


def tell_guard(source: Source) -> None:
    """Print what is wrong with the guard, and what it missed, for whoever looks at the host."""
    host = source.host
    concerned = bool(value_or(host.given, ())) or bool(value_or(host.guard.unguarded, ()))
    if not source.is_live or not concerned:
        return
    for finding in check_guard(source.host):
        say_note(f"{finding.code}: {finding.sentence} {finding.command}")


def mend_guard(files: Files, teller: Teller, *, boot: bool) -> tuple[bool, int]:
    """Make the guard that of this nicpass where NICs are given away: (whether there was anything to do, exit code).

    It is no change of the host that one would undo, so it stands in no journal; being cut off in it is borne, for the
    next call does the rest. What the guard missed is told, and cleared once the guard runs; at a boot nobody would
    read it, so it stays.
    """
    guard = read_guard(files)
    renewed = False
    guarded = value_or(guarded_nics(read_given(files)), ())
    if guarded:
        try:
            renewed = _renew(files, guarded[0])
        except (NicpassError, OSError) as error:
            failure = error if isinstance(error, NicpassError) else NicpassError(f"{error.strerror or error}.")
            teller.tell_error(failure)
            return True, failure.exit_code
    if renewed:
        teller.tell(_("The guard was put in order, and runs."))
    missed = guard.unguarded if known(guard.unguarded) and not boot else ()
    for finding in tell_unguarded(guard) if missed else ():
        teller.tell(finding.sentence)
    for event in missed:
        with contextlib.suppress(OSError):
            files.remove(event.path)
            files.remove_folder(event.path.rpartition("/")[0])
    return renewed or bool(missed), ExitCode.DONE


def _renew(files: Files, guarded: Address) -> bool:
    """Write what differs and try it; raises NicpassError or OSError where it does not run."""
    # Late: a listing, which only tells of the guard, needs none of it.
    from nicpass.host.doors.processes import Processes
    from nicpass.hypervisor.libvirt.guard import Hands, ask_version, guard_handlers, plan_guard
    from nicpass.model.plan import InstallGuard

    changes = plan_guard(files)
    if not changes:
        return False
    step = InstallGuard(address=guarded, files=changes)
    handler = guard_handlers(files, Processes(), Hands(ask_version, tell=say_note))[InstallGuard]
    handler.apply(step)
    handler.verify(step)
    return True
