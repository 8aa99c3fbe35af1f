# SPDX-License-Identifier: Apache-2.0
"""Plans taking back a change of a pool, or of who draws from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.plan import JoinPool, LeavePool, SetPool, StartDomain
from nicpass.model.request import PoolAttachRequest, PoolDetachRequest
from nicpass.planner.nic.detach import plan_stop, refuse_to_go_on
from nicpass.planner.pool.member import plan_join, plan_leave
from nicpass.planner.pool.network import plan_pool_back
from nicpass.planner.undo import steps_of

if TYPE_CHECKING:
    from nicpass.model.change import Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.plan import Plan, Step
    from nicpass.model.request import UndoRequest, Where


def plan_pool_undo(
    host: Host,
    change: Change,
    request: UndoRequest,
    guard: tuple[FileChange, ...] = (),
    removal: tuple[FileChange, ...] = (),
) -> Plan:
    """As `plan_undo`, for a change of pools; `guard` and `removal` are how the guard comes and goes."""
    plan = _plan_inverse(host, steps_of(change), request, guard, removal)
    summary = _("Undo {change}: {summary}").format(change=change.identity, summary=plan.summary)
    return msgspec.structs.replace(plan, summary=summary, request=request)


def _plan_inverse(
    host: Host,
    steps: tuple[Step, ...],
    request: UndoRequest,
    guard: tuple[FileChange, ...],
    removal: tuple[FileChange, ...],
) -> Plan:
    starts = [step for step in steps if isinstance(step, StartDomain)]
    if of_pool := [step for step in steps if isinstance(step, SetPool)]:
        return plan_pool_back(host, of_pool, request)
    if joins := [step for step in steps if isinstance(step, JoinPool)]:
        for start in starts:
            refuse_to_go_on(host, start, stop=request.stop)
        join = joins[0]
        detach = PoolDetachRequest(
            vm=join.uuid, pool=join.pool, mac=join.mac, stop=request.stop, where=where_joined(joins)
        )
        return plan_leave(host, detach, removal, request)
    if leaves := [step for step in steps if isinstance(step, LeavePool)]:
        leave = leaves[-1]
        attach = PoolAttachRequest(vm=leave.uuid, pool=leave.pool, mac=leave.mac, where=where_left(leaves))
        return plan_join(host, attach, guard, leave.xml, request)
    for start in starts:
        return plan_stop(host, start, request)
    raise BadInputError(_("This change has nothing that could be undone."))


def where_joined(joins: list[JoinPool]) -> Where:
    """The definitions into which the interface came; one of a VM that was off has to leave both since."""
    if all(join.live for join in joins):
        return "live"
    return "config" if len(joins) == 1 and joins[0].running else "both"


def where_left(leaves: list[LeavePool]) -> Where:
    """The definitions that the interface left."""
    if all(leave.live for leave in leaves):
        return "live"
    return "config" if len(leaves) == 1 and leaves[0].running else "both"
