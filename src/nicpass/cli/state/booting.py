# SPDX-License-Identifier: Apache-2.0
"""The part of a file that is about the boot: it comes first, and by itself, for a reboot makes this another host.

What is taken out of the boot comes last: the NICs have left their VMs by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.boot.planning import plan_preparation, plan_taking_out
from nicpass.engine.boot.file_changes import is_done
from nicpass.engine.boot.prepared import read_prepared
from nicpass.engine.journal import read_boot_id
from nicpass.model.binding import FOLDER
from nicpass.model.boot import BootPurpose
from nicpass.model.errors import BadInputError, ImpossibleError, RebootNeededError
from nicpass.model.inverse import invert_step
from nicpass.model.language import _
from nicpass.model.plan import ChangeBoot
from nicpass.model.prepared import Stage
from nicpass.model.request import PrepareRequest
from nicpass.planner.state.prune import prepared_too_much
from nicpass.planner.state.told import told_where

if TYPE_CHECKING:
    from nicpass.cli.boot.planning import Work
    from nicpass.cli.source import Source
    from nicpass.model.change import Change
    from nicpass.model.plan import Plan, Step
    from nicpass.model.prepared import Prepared
    from nicpass.model.request import ApplyRequest
    from nicpass.planner.state.aims import Aims
    from nicpass.planner.state.text import StateFile


def prepared_of(source: Source) -> Prepared | None:
    """What this host was prepared for; a tree or a snapshot does not tell."""
    return read_prepared(source.files) if source.is_live else None


def plan_boot(request: ApplyRequest, file: StateFile, aims: Aims, source: Source) -> Work | None:
    """The plan by which the next boots are as the file says, and whether one is due; None where it says nothing.

    Raises:
        NicpassError: as `plan_prepare`; the sentence begins with the place in the file.
        RebootNeededError: all of it is written, and the reboot has not come.
    """
    if aims.boot is None:
        return None
    declared, lacking = aims.boot.declared, aims.boot.lacking(HostIndex(source.host))
    with told_where(file, aims.boot.key):
        _refuse_unseen(source)
        asked = PrepareRequest(
            nics=tuple(nic.function.address for nic in lacking),
            iommu_pt=declared.iommu_pt,
            group=declared.group,
            allow=frozenset(declared.allow),
            confirm_within=request.confirm_within,
        )
        work = plan_preparation(asked, source)
        if work.is_reboot_due and not work.plan.steps:
            raise RebootNeededError(
                _("A reboot is due, which brings what is written for it; until then nothing else is changed."),
                _("systemctl reboot, and then this file again."),
            )
    return work


def plan_boot_removal(aims: Aims, source: Source) -> Work | None:
    """The plan by which what the file does not name is taken out of the boot; None where there is nothing such."""
    asked = prepared_too_much(aims, HostIndex(source.host), prepared_of(source))
    if asked is None:
        return None
    work = plan_preparation(asked, source)
    return work._replace(is_reboot_due=work.is_reboot_due and not asked.nics)


def undo_boot(change: Change, source: Source) -> tuple[Step, ...]:
    """The steps that take back what the change has done to the boot: exactly, where nothing has come since.

    Raises:
        BadInputError: something was taken out, and the host was prepared otherwise since.
    """
    every = change.opened.plan.steps if change.opened is not None else ()
    boots = [step for step in every if isinstance(step, ChangeBoot) and step.purpose != BootPurpose.VFS]
    files = [file for step in boots for file in step.change.files]
    if all(is_done(source.files, file) for file in files):
        return tuple(map(invert_step, reversed(boots)))
    if any(step.removes for step in boots):
        raise BadInputError(
            _("This host was prepared otherwise since."), _("Say what you want: nicpass prepare, or --remove.")
        )
    made = (file.path for file in files if file.before is None and file.path.startswith(f"{FOLDER}/"))
    nics = tuple(path.removeprefix(f"{FOLDER}/").removesuffix(".conf") for path in made)
    return plan_taking_out(PrepareRequest(nics=nics), source).steps


def with_rest_to_come(plan: Plan) -> Plan:
    note = _("A reboot is needed for it. All else of the file comes when it is applied once more after that.")
    return msgspec.structs.replace(plan, notes=(*plan.notes, note))


def _refuse_unseen(source: Source) -> None:
    """Refuse while nobody has looked at the boot that was to bring what is prepared: it may have failed."""
    prepared = prepared_of(source)
    if prepared is None or prepared.stage != Stage.WAITING or prepared.boot_id == read_boot_id(source.files):
        return
    raise ImpossibleError(_("The boot that has come since was not looked at yet."), "nicpass prepare --finish")
