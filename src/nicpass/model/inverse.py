# SPDX-License-Identifier: Apache-2.0
"""The step that takes a step back: undoing is doing another step, so there is one way to change a host."""

from __future__ import annotations

from typing import Any

from nicpass.model.boot import invert_boot_change
from nicpass.model.file_image import invert_changes
from nicpass.model.plan import (
    AddPorts,
    ArmTimer,
    ChangeBoot,
    DefineDevice,
    DisarmTimer,
    GiveBackNic,
    InstallGuard,
    JoinPool,
    LeavePool,
    PlaceDomain,
    PlugDevice,
    RemoveGuard,
    RemovePorts,
    SetNumvfs,
    SetPool,
    SetTerms,
    StartDomain,
    StartWindow,
    SteerInterrupts,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)


def invert_step(step: Step) -> Step:  # noqa: C901 - a case for each kind, so that mypy sees that none is missing
    """The step that takes `step` back."""
    match step:
        case TakeNic():
            return GiveBackNic(address=step.address, state=step.state, owner=step.owner, keeps=step.keeps)
        case GiveBackNic():
            return TakeNic(address=step.address, state=step.state, owner=step.owner, keeps=step.keeps)
        case SetTerms():
            return SetTerms(address=step.address, before=step.after, after=step.before, back=not step.back)
        case DefineDevice():
            return UndefineDevice(
                address=step.address, domain=step.domain, uuid=step.uuid, device=step.device, running=step.running
            )
        case UndefineDevice():
            return DefineDevice(
                address=step.address, domain=step.domain, uuid=step.uuid, device=step.device, running=step.running
            )
        case PlugDevice():
            return UnplugDevice(address=step.address, domain=step.domain, uuid=step.uuid, device=step.device)
        case UnplugDevice():
            return PlugDevice(address=step.address, domain=step.domain, uuid=step.uuid, device=step.device, again=True)
        case AddPorts():
            return RemovePorts(address=step.address, domain=step.domain, uuid=step.uuid, indices=step.indices)
        case RemovePorts():
            return AddPorts(address=step.address, domain=step.domain, uuid=step.uuid, indices=step.indices)
        case StartDomain():
            return StopDomain(
                address=step.address,
                domain=step.domain,
                uuid=step.uuid,
                more=step.more,
                guarded=step.guarded,
                pool_macs=step.pool_macs,
            )
        case StopDomain():
            return StartDomain(
                address=step.address,
                domain=step.domain,
                uuid=step.uuid,
                more=step.more,
                guarded=step.guarded,
                pool_macs=step.pool_macs,
            )
        case SetNumvfs():
            return SetNumvfs(
                address=step.address,
                before=step.after,
                after=step.before,
                before_vfs=step.after_vfs,
                after_vfs=step.before_vfs,
                before_autoprobe=step.autoprobe,
                autoprobe=step.before_autoprobe,
                derived=step.derived,
            )
        case SetPool():
            return SetPool(before=step.after, after=step.before)
        case JoinPool():
            return LeavePool(**(_fields(step) | {"again": False}))
        case LeavePool():
            return JoinPool(**(_fields(step) | {"again": True}))
        case ArmTimer():
            return DisarmTimer(address=step.address, seconds=step.seconds, allowance=step.allowance)
        case StartWindow():
            return ArmTimer(address=step.address, seconds=step.seconds, allowance=step.allowance)
        case DisarmTimer():
            return ArmTimer(address=step.address, seconds=step.seconds, allowance=step.allowance)
        case InstallGuard():
            return RemoveGuard(address=step.address, files=invert_changes(step.files))
        case RemoveGuard():
            return InstallGuard(address=step.address, files=invert_changes(step.files))
        case PlaceDomain():
            return PlaceDomain(
                domain=step.domain, uuid=step.uuid, before=step.after, after=step.before, back=not step.back
            )
        case SteerInterrupts():
            return SteerInterrupts(address=step.address, before=step.after, after=step.before)
        case ChangeBoot():
            change = invert_boot_change(step.change)
            return ChangeBoot(purpose=step.purpose, change=change, removes=not step.removes)


def _fields(step: JoinPool | LeavePool) -> dict[str, Any]:
    return {name: getattr(step, name) for name in step.__struct_fields__}
