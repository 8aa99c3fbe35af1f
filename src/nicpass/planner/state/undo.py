# SPDX-License-Identifier: Apache-2.0
"""Takes back what a file has brought: first what came goes again, then what went comes again.

The second part is planned for the host as the first leaves it: at once where nothing has to be read for that, else by a
plan that goes on with the same change.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

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
from nicpass.planner.undo import each_once, steps_of, take_given_back, undo_vfs, with_disarming, without_devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nicpass.model.address import Address
    from nicpass.model.change import Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.plan import NicState
    from nicpass.model.request import UndoRequest
    from nicpass.planner.undo import Kept


_Interface = TypeVar("_Interface", JoinPool, LeavePool)


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

    The dead man's hand allows what was allowed before; and what cannot come again keeps nothing else from coming.
    `better` has what is on record of NICs of which less is to be seen now (law 10).

    Raises:
        NicpassError: as `plan_pool`, `plan_reattach` and `plan_join`; not to the dead man's hand, which notes it.
    """
    steps = steps_of(change)
    terms = {
        step.address: step.owner.allow for step in steps if isinstance(step, GiveBackNic) and step.owner is not None
    }
    asked = request
    if request.unconfirmed:
        asked = msgspec.structs.replace(request, allow=request.allow.union(*terms.values()))
    plans: list[Plan] = []
    lacking: list[str] = []
    for what, plan_one in _what_comes_again(steps, asked, guard, better):
        try:
            plan = plan_one(host)
        except NicpassError as error:
            if not request.unconfirmed:
                raise
            lacking.append(_("{what} does not come again: {why}").format(what=what, why=error.sentence))
            continue
        plan = _on_terms(plan, terms, asked)
        host = after_steps(host, plan.steps)
        plans.append(plan)
    notes = dict.fromkeys(note for plan in plans for note in plan.notes)
    every = tuple(step for plan in plans for step in plan.steps)
    return Plan(summary="", request=request, steps=_with_one_guard(every), notes=(*notes, *lacking))


def _what_comes_again(
    steps: Sequence[Step],
    request: UndoRequest,
    guard: tuple[FileChange, ...],
    better: Mapping[Address, NicState] | None,
) -> Iterator[tuple[str, Callable[[Host], Plan]]]:
    """(what it is, how it is planned for a host): pools first, for VMs draw from them; each VM's NICs in one."""
    for pool, (first, _last) in _pools_of(steps).items():
        if first.before is not None:
            own = _steps_of_pool(steps, pool)
            yield printable(pool), functools.partial(plan_pool_back, steps=own, request=request, is_less=True)
    for one in _taken_of_vms(steps):
        what = ", ".join((printable(one[0].domain), *(step.address for step in one)))
        yield what, functools.partial(plan_reattach, steps=one, request=request, guard=guard, better=better)
    for leaves in _of_each_interface(steps, LeavePool):
        leave = leaves[-1]
        asked = PoolAttachRequest(vm=leave.uuid, pool=leave.pool, mac=leave.mac, where=where_left(leaves))
        what = f"{printable(leave.domain)}, {printable(leave.pool)}"
        yield what, functools.partial(plan_join, request=asked, guard=guard, xml=leave.xml, asked=request)


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
    for joins in reversed(_of_each_interface(steps, JoinPool)):
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
    address = nics[0] if nics else host.pci[0].address
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
    for uuid in dict.fromkeys(step.uuid for step in reversed(taken)):
        yield each_once([step for step in taken if step.uuid == uuid])


def _of_each_interface(steps: Sequence[Step], kind: type[_Interface]) -> list[list[_Interface]]:
    """The steps of each interface of a pool's, in both of its VM's definitions."""
    found: dict[tuple[str, str], list[_Interface]] = {}
    for step in steps:
        if isinstance(step, kind):
            found.setdefault((step.uuid, step.mac), []).append(step)
    return list(found.values())


def _with_one_guard(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The guard comes once, before the first of what it guards."""
    first = next((step for step in steps if isinstance(step, InstallGuard)), None)
    return tuple(step for step in steps if step is first or not isinstance(step, InstallGuard))
