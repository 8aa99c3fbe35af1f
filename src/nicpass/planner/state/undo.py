# SPDX-License-Identifier: Apache-2.0
"""Takes back what a file has brought: first what came goes again, then what went comes again.

The second part is planned for the host as the first leaves it: at once where nothing has to be read for that, else by a
plan that goes on with the same change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.model.errors import NicpassError, RefusedError
from nicpass.model.language import _
from nicpass.model.plan import (
    DefineDevice,
    GiveBackNic,
    InstallGuard,
    JoinPool,
    LeavePool,
    NicStep,
    Plan,
    PlugDevice,
    RemoveGuard,
    SetNumvfs,
    SetPool,
    Step,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.request import PoolAttachRequest, PoolDetachRequest
from nicpass.model.text import printable
from nicpass.planner.nic.attach import plan_reattach
from nicpass.planner.pool.after import after_steps
from nicpass.planner.pool.member import plan_join, plan_leave
from nicpass.planner.pool.network import plan_pool_back, plan_pool_less
from nicpass.planner.pool.states import essence_of, less_of
from nicpass.planner.pool.undo import where_joined, where_left
from nicpass.planner.state.lent import with_settings_back
from nicpass.planner.undo import steps_of, take_given_back, undo_vfs, with_disarming, without_devices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nicpass.model.address import Address
    from nicpass.model.change import Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.plan import NicState
    from nicpass.model.request import UndoRequest
    from nicpass.planner.undo import Kept


class Undoing(NamedTuple):
    """The plan by which goes what a change has brought, and the host as it leaves it."""

    plan: Plan
    host: Host


def nics_given(change: Change) -> tuple[Address, ...]:
    """The NICs that the change has given to VMs."""
    return tuple(dict.fromkeys(s.address for s in steps_of(change) if isinstance(s, DefineDevice | PlugDevice)))


def nics_taken(change: Change) -> tuple[Address, ...]:
    """The NICs that the change has taken out of VMs."""
    return tuple(dict.fromkeys(s.address for s in steps_of(change) if isinstance(s, UndefineDevice | UnplugDevice)))


def interfaces_joined(change: Change) -> tuple[tuple[str, str], ...]:
    """The interfaces of pools that the change has given to VMs: each one's VM by its UUID, and its MAC."""
    return tuple(dict.fromkeys((s.uuid, s.mac) for s in steps_of(change) if isinstance(s, JoinPool)))


def restores(change: Change) -> bool:
    """Whether something has gone by the change, and comes again when it is undone."""
    steps = steps_of(change)
    return gives_again(change) or any(
        first.before is not None and essence_of(first.before) != essence_of(less_of(first.before, last.after))
        for first, last in _pools_of(steps).values()
    )


def gives_again(change: Change) -> bool:
    """Whether VMs get something again when the change is undone, so that the guard has to stay."""
    return any(isinstance(step, UndefineDevice | UnplugDevice | LeavePool) for step in steps_of(change))


def must_wait(change: Change) -> bool:
    """Whether what comes again can be planned only when the rest is done: for that, VFs have to be made again."""
    return bool(_pfs_changed(change))


def refuse_restoring(
    host: Host, change: Change, request: UndoRequest, better: Mapping[Address, NicState] | None = None
) -> None:
    """Refuse, before anything is done, what `plan_restoring` would refuse later: of the NICs that are there already.

    Raises:
        NicpassError: as `plan_reattach`.
    """
    pfs = _pfs_changed(change)
    there = {function.address for function in host.pci if function.physfn not in pfs}
    for taken in _taken_of_vms(steps_of(change)):
        if seen := tuple(step for step in taken if step.address in there):
            plan_reattach(host, seen, request, (), better)


def _pfs_changed(change: Change) -> frozenset[Address]:
    """The PFs of which the change made another number of VFs."""
    steps = steps_of(change)
    return frozenset(step.address for step in steps if isinstance(step, SetNumvfs) and step.before != step.after)


def plan_gifts_back(host: Host, change: Change, request: UndoRequest, kept: Kept) -> Undoing:
    """The steps by which goes what the change has brought: interfaces of pools, VFs in pools, NICs, VFs.

    Raises:
        NicpassError: as `plan_leave`, `plan_detach`, `plan_vf`.
        RefusedError: a pool is not as the change left it.
    """
    steps, before = steps_of(change), host
    plans: list[Plan] = []
    for plan in _leave(host, steps, request):
        host = after_steps(host, plan.steps)
        plans.append(plan)
    for pool in _pools_of(steps):
        plan = plan_pool_less(host, _steps_of_pool(steps, pool), request)
        host = after_steps(host, plan.steps)
        plans.append(plan)
    given = take_given_back(host, steps, request, kept)
    taken = tuple(step for plan in given for step in plan.steps if not isinstance(step, RemoveGuard))
    host = without_devices(host, taken)
    # All definitions before the first NIC comes back: from then on there is no turning back.
    ordered = sorted(taken, key=lambda step: isinstance(step, GiveBackNic))
    found = {(s.address, vf.vf_index): vf for s in steps if isinstance(s, SetNumvfs) for vf in s.after_vfs}
    vfs = undo_vfs(with_settings_back(before, host, found), steps, request)
    guard = _guard_goes(steps, kept, host)
    done = tuple(step for plan in plans for step in plan.steps)
    of_vfs = tuple(step for plan in vfs for step in plan.steps)
    notes = dict.fromkeys(note for plan in (*plans, *given, *vfs) for note in plan.notes)
    summary = change.opened.plan.summary if change.opened is not None else ""
    plan = Plan(
        summary=_("Undo {change}: {summary}").format(change=change.identity, summary=summary),
        request=request,
        steps=(*done, *ordered, *guard, *of_vfs),
        notes=tuple(notes),
    )
    return Undoing(with_disarming(plan, change), host)


def plan_restoring(
    host: Host,
    change: Change,
    request: UndoRequest,
    guard: tuple[FileChange, ...],
    better: Mapping[Address, NicState] | None = None,
) -> Plan:
    """The steps by which comes again what the change has taken: VFs of pools, NICs, interfaces of pools.

    The dead man's hand allows what was allowed before; and what a VM cannot have again keeps nothing else from coming.
    `better` has what is on record of NICs of which less is to be seen now (law 10).

    Raises:
        NicpassError: as `plan_pool`, `plan_reattach` and `plan_join`.
    """
    steps = steps_of(change)
    request = _as_allowed(steps, request)
    plans: list[Plan] = []
    lacking: list[str] = []
    for pool, (first, _last) in _pools_of(steps).items():
        if first.before is not None:
            plan = plan_pool_back(host, _steps_of_pool(steps, pool), request, is_less=True)
            host = after_steps(host, plan.steps)
            plans.append(plan)
    terms = {
        step.address: step.owner.allow for step in steps if isinstance(step, GiveBackNic) and step.owner is not None
    }
    for one in _taken_of_vms(steps):
        try:
            plan = _on_terms(plan_reattach(host, one, request, guard, better), terms, request)
        except NicpassError as error:
            if not request.unconfirmed:
                raise
            nics = ", ".join(step.address for step in one)
            text = _("{vm} is not given {nics} again: {why}")
            lacking.append(text.format(vm=printable(one[0].domain), nics=nics, why=error.sentence))
            continue
        host = after_steps(host, plan.steps)
        plans.append(plan)
    for leaves in _leaves_of(steps):
        leave = leaves[-1]
        asked = PoolAttachRequest(vm=leave.uuid, pool=leave.pool, mac=leave.mac, where=where_left(leaves))
        plan = plan_join(host, asked, guard, leave.xml, request)
        host = after_steps(host, plan.steps)
        plans.append(plan)
    notes = dict.fromkeys(note for plan in plans for note in plan.notes)
    every = tuple(step for plan in plans for step in plan.steps)
    return Plan(summary="", request=request, steps=_with_one_guard(every), notes=(*notes, *lacking))


def _as_allowed(steps: Sequence[Step], request: UndoRequest) -> UndoRequest:
    """The request; where nobody is there to allow anything, with what each NIC's record had allowed when it came."""
    if not request.unconfirmed:
        return request
    allowed = (step.owner.allow for step in steps if isinstance(step, GiveBackNic) and step.owner is not None)
    return msgspec.structs.replace(request, allow=request.allow.union(*allowed))


def _on_terms(plan: Plan, terms: Mapping[Address, frozenset[str]], request: UndoRequest) -> Plan:
    """The plan by which each NIC is given on the terms that it was given on; what was not allowed yet, for all."""
    new = request.allow.difference(*terms.values())
    steps: list[Step] = []
    for step in plan.steps:
        if isinstance(step, TakeNic) and step.owner is not None:
            allow = new | terms.get(step.address, frozenset())
            steps.append(msgspec.structs.replace(step, owner=msgspec.structs.replace(step.owner, allow=allow)))
        else:
            steps.append(step)
    return msgspec.structs.replace(plan, steps=tuple(steps))


def _leave(host: Host, steps: Sequence[Step], request: UndoRequest) -> Iterator[Plan]:
    """The plans by which VMs draw from pools no more; a VM that ran before is asked gently where nobody is there."""
    for joins in reversed(_joins_of(steps)):
        join = joins[0]
        wanted = (False, True) if request.unconfirmed else (request.stop,)
        for stop in wanted:
            asked = PoolDetachRequest(vm=join.uuid, pool=join.pool, mac=join.mac, stop=stop, where=where_joined(joins))
            try:
                plan = plan_leave(host, asked, (), request)
            except RefusedError:
                if stop == wanted[-1]:
                    raise
            else:
                break
        host = after_steps(host, plan.steps)
        yield plan


def _guard_goes(steps: Sequence[Step], kept: Kept, host: Host) -> tuple[RemoveGuard, ...]:
    nics = [step.address for step in steps if isinstance(step, NicStep)]
    address = nics[0] if nics else HostIndex(host).host.pci[0].address
    return (RemoveGuard(address=address, files=kept.guard_removal),) if kept.guard_removal else ()


def _pools_of(steps: Sequence[Step]) -> dict[str, tuple[SetPool, SetPool]]:
    """Each pool's first and last step; the one that changed last comes first."""
    found: dict[str, tuple[SetPool, SetPool]] = {}
    for step in steps:
        if isinstance(step, SetPool):
            found[step.name] = (found[step.name][0] if step.name in found else step, step)
    return dict(reversed(found.items()))


def _steps_of_pool(steps: Sequence[Step], pool: str) -> tuple[SetPool, ...]:
    return tuple(step for step in steps if isinstance(step, SetPool) and step.name == pool)


def _taken_of_vms(steps: Sequence[Step]) -> Iterator[tuple[UndefineDevice | UnplugDevice, ...]]:
    """What was taken from each VM, as its definition had it where it stood there, in the order of the giving."""
    taken = [step for step in steps if isinstance(step, UndefineDevice | UnplugDevice)]
    lasting = {(step.uuid, step.address): step for step in taken if isinstance(step, UndefineDevice)}
    for uuid in dict.fromkeys(step.uuid for step in reversed(taken)):
        mine = [step for step in reversed(taken) if step.uuid == uuid]
        each = {step.address: lasting.get((uuid, step.address), step) for step in mine}
        yield tuple(each.values())


def _joins_of(steps: Sequence[Step]) -> list[list[JoinPool]]:
    """The steps of each interface that a VM got, in both of its definitions."""
    found: dict[tuple[str, str], list[JoinPool]] = {}
    for step in steps:
        if isinstance(step, JoinPool):
            found.setdefault((step.uuid, step.mac), []).append(step)
    return list(found.values())


def _leaves_of(steps: Sequence[Step]) -> list[list[LeavePool]]:
    """The steps of each interface that a VM lost, in both of its definitions."""
    found: dict[tuple[str, str], list[LeavePool]] = {}
    for step in steps:
        if isinstance(step, LeavePool):
            found.setdefault((step.uuid, step.mac), []).append(step)
    return list(found.values())


def _with_one_guard(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The guard comes once, before the first of what it guards."""
    first = next((step for step in steps if isinstance(step, InstallGuard)), None)
    return tuple(step for step in steps if step is first or not isinstance(step, InstallGuard))
