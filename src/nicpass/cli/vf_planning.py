# SPDX-License-Identifier: Apache-2.0
"""From a request about VFs to its plan, with what makes them last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.engine.file_changes import image_at
from nicpass.engine.installation import PACKAGE, PYTHON
from nicpass.host.boot.declared_vfs import read_vf_places
from nicpass.model.plan import BootPurpose, ChangeBoot, invert_step
from nicpass.planner.select import select_nic
from nicpass.planner.vf import plan_vf
from nicpass.planner.vf_lasting import Place, with_declaration

if TYPE_CHECKING:
    from nicpass.cli.source import Source
    from nicpass.model.change import Change
    from nicpass.model.plan import Plan, VfRequest

_SYSTEMD = "/run/systemd/system"
"""Is there where systemd is what booted the host: sd_booted(3)."""


def plan_lasting_vfs(request: VfRequest, source: Source) -> Plan:
    """The plan for the VFs, and that every boot makes them again; of a snapshot it is not known what is written."""
    plan = plan_vf(source.host, request)
    return plan if request.until_reboot else _lasting(plan, request.pf, source)


def with_undone_declaration(plan: Plan, change: Change, source: Source) -> Plan:
    """The plan that undoes a change of VFs, with what the boots are to make of them again as it was before.

    Where that was written anew since the change, it is what the undone VFs are.
    """
    steps = change.opened.plan.steps if change.opened is not None else ()
    kept = [step for step in steps if isinstance(step, ChangeBoot) and step.purpose == BootPurpose.VFS]
    if not kept:
        return plan
    if all(image_at(source.files, file.path) == file.after for step in kept for file in step.change.files):
        return msgspec.structs.replace(plan, steps=(*plan.steps, *map(invert_step, kept)))
    pf = next(step.address for step in steps if not isinstance(step, ChangeBoot))
    return _lasting(plan, pf, source)


def _lasting(plan: Plan, pf: str, source: Source) -> Plan:
    images = read_vf_places(source.files) if source.is_live else {}
    place = Place(images, PYTHON, PACKAGE, systemd=not source.is_live or source.files.exists(_SYSTEMD))
    return with_declaration(plan, source.host, select_nic(HostIndex(source.host), pf), place)
