# SPDX-License-Identifier: Apache-2.0
"""Plans taking back a change that was done: made anew for the host as it is now, with all of today's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.model.change import Change, Outcome
from nicpass.model.errors import BadInputError, RefusedError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.plan import (
    ArmTimer,
    DefineDevice,
    DetachRequest,
    DisarmTimer,
    NicStep,
    Plan,
    PlugDevice,
    SetNumvfs,
    SetTerms,
    StartDomain,
    Step,
    UndefineDevice,
    UndoRequest,
    UnplugDevice,
    VfRequest,
    invert_step,
)
from nicpass.model.text import quote
from nicpass.planner.attach import plan_reattach, plan_stop, stop_first
from nicpass.planner.detach import plan_taking_back
from nicpass.planner.vf import plan_vf
from nicpass.planner.vf_set import plan_vf_set_back

if TYPE_CHECKING:
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.plan import NicOwner, NicState


class Kept(NamedTuple):
    """The records about the NIC of a change, and how its guard goes and comes."""

    state: NicState | None = None
    """The NIC's state when it left."""
    owner: NicOwner | None = None
    guard_removal: tuple[FileChange, ...] = ()
    """The file changes by which the guard goes, if it goes with this NIC."""
    guard: tuple[FileChange, ...] = ()
    """The file changes by which the guard comes, if it is not there."""


def plan_undo(host: Host, change: Change, request: UndoRequest, kept: Kept) -> Plan:
    """The steps from this host to one without `change`.

    Raises:
        BadInputError: the change was not done, or its NIC or VM is not there any more.
        ImpossibleError, RefusedError: the world has moved on; the sentence says how.
    """
    steps = _steps_of(change)
    plan = _plan_inverse(host, steps, request, kept)
    armed = [step for step in steps if isinstance(step, ArmTimer)]
    disarm: tuple[Step, ...] = ()
    if armed and change.outcome == Outcome.UNCONFIRMED:
        disarm = (DisarmTimer(address=armed[0].address, seconds=armed[0].seconds),)
    return msgspec.structs.replace(
        plan,
        summary=_("Undo {change}: {summary}").format(change=change.identity, summary=plan.summary),
        request=request,
        steps=(*plan.steps, *disarm) if plan.steps else (),
    )


def nic_of(change: Change) -> str:
    """The address of the NIC that the change was about. Raises BadInputError as `plan_undo` does."""
    for step in _steps_of(change):
        if isinstance(step, NicStep):
            return step.address
    raise BadInputError(_("This change has nothing that could be undone."))


def _steps_of(change: Change) -> tuple[Step, ...]:
    """The steps of a change that was done."""
    if change.opened is not None and change.opened.plan.steps:
        if change.outcome in (Outcome.DONE, Outcome.UNCONFIRMED):
            return change.opened.plan.steps
        if change.outcome == Outcome.UNFINISHED:
            raise RefusedError(_("{change} was cut off.").format(change=change.identity), "nicpass recover")
    raise BadInputError(
        _("{change} was not done, so there is nothing to undo.").format(change=change.identity),
        f"nicpass show {quote(change.identity)}",
    )


def _plan_inverse(host: Host, steps: tuple[Step, ...], request: UndoRequest, kept: Kept) -> Plan:
    """The plan that undoes `steps`, by the step that tells the kind of change; the other steps only serve that one."""
    for step in steps:
        match step:
            case DefineDevice():
                _refuse_to_go_on(host, steps, request)
                return _take_back(host, DetachRequest(vm=step.uuid, nic=step.address), steps, request, kept)
            case UndefineDevice():
                return plan_reattach(host, step, request, kept.guard)
            case SetNumvfs():
                return _undo_vf(host, step, request)
            case _:
                continue
    for step in steps:
        match step:
            case PlugDevice():
                detach = DetachRequest(vm=step.uuid, nic=step.address, where="live")
                return _take_back(host, detach, steps, request, kept)
            case UnplugDevice():
                return plan_reattach(host, step, request, kept.guard)
            case _:
                continue
    return _undo_terms(host, steps, request, kept)


def _take_back(host: Host, detach: DetachRequest, steps: tuple[Step, ...], request: UndoRequest, kept: Kept) -> Plan:
    """The plan that takes the NIC out again.

    The dead man's hand asks a guest that was on before to let go, and switches it off only where it does not.
    """
    gently = request.unconfirmed and not any(isinstance(step, StartDomain) for step in steps)
    wanted = (False, True) if gently else (request.stop,)
    for stop in wanted:
        try:
            plan = plan_taking_back(
                host, msgspec.structs.replace(detach, stop=stop), kept.state, kept.owner, kept.guard_removal
            )
            break
        except RefusedError:
            if stop == wanted[-1]:
                raise
    forced = (msgspec.structs.replace(s, forced=gently) if isinstance(s, UnplugDevice) else s for s in plan.steps)
    return msgspec.structs.replace(plan, steps=tuple(forced))


def _undo_terms(host: Host, steps: tuple[Step, ...], request: UndoRequest, kept: Kept) -> Plan:
    """The plan that undoes a start of a VM, and what it allowed: no definition was changed."""
    terms = [step for step in steps if isinstance(step, SetTerms)]
    for step in terms:
        if kept.owner != step.after:
            raise RefusedError(
                _("{address} is given on other terms by now, or to nobody.").format(address=step.address),
                "nicpass list",
            )
    back = tuple(map(invert_step, terms))
    for start in steps:
        if isinstance(start, StartDomain):
            plan = plan_stop(host, start, request)
            return msgspec.structs.replace(plan, steps=(*plan.steps, *back))
    if back:
        summary = _("Allow less for {address} in {name}").format(address=terms[0].address, name=terms[0].after.domain)
        return Plan(summary=summary, request=request, steps=back)
    raise BadInputError(_("This change has nothing that could be undone."))


def _refuse_to_go_on(host: Host, steps: tuple[Step, ...], request: UndoRequest) -> None:
    """Refuse to take a NIC from a VM and leave the VM on, where the change has started it: before, it was off."""
    for step in steps:
        if isinstance(step, StartDomain):
            domain = next((domain for domain in value_or(host.domains, ()) or () if domain.uuid == step.uuid), None)
            if domain is not None:
                stop_first(domain, step.address, stop=request.stop)


def _undo_vf(host: Host, step: SetNumvfs, request: UndoRequest) -> Plan:
    function = next((function for function in host.pci if function.address == step.address), None)
    if function is not None and isinstance(function.numvfs, int) and function.numvfs != step.after:
        raise RefusedError(
            _("The number of VFs of {address} is {count} by now, not the {after} that this change made.").format(
                address=step.address, count=function.numvfs, after=step.after
            ),
            _("Say what you want: nicpass vf create {address} --count N, or nicpass vf remove {address}.").format(
                address=step.address
            ),
        )
    if step.before == step.after:
        return plan_vf_set_back(host, step, request)
    plan = plan_vf(host, VfRequest(pf=step.address, count=step.before))
    # What the VFs were set to before stands in the step, not on the host.
    known = {"before": step.after, "after_vfs": step.before_vfs, "derived": (), "autoprobe": step.before_autoprobe}
    back = tuple(msgspec.structs.replace(s, **known) if isinstance(s, SetNumvfs) else s for s in plan.steps)
    return msgspec.structs.replace(plan, steps=back, request=request)
