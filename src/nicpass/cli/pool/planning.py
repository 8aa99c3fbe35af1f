# SPDX-License-Identifier: Apache-2.0
"""From a request about pools to its plan, with the guard that comes and goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.plan import JoinPool
from nicpass.model.request import PoolAttachRequest, PoolDetachRequest, PoolRequest
from nicpass.planner.pool.member import plan_join, plan_leave
from nicpass.planner.pool.network import plan_pool
from nicpass.planner.pool.undo import plan_pool_undo

if TYPE_CHECKING:
    from nicpass.cli.source import Source
    from nicpass.model.change import Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.plan import Plan, Step
    from nicpass.model.request import UndoRequest


def plan_pool_request(request: PoolRequest | PoolAttachRequest | PoolDetachRequest, source: Source) -> Plan:
    match request:
        case PoolRequest():
            return plan_pool(source.host, request)
        case PoolAttachRequest():
            return plan_join(source.host, request, _guard(source))
        case PoolDetachRequest():
            plan = plan_leave(source.host, request)
            return plan_leave(source.host, request, _removal(source, plan.steps))


def plan_undo_of_pools(change: Change, request: UndoRequest, source: Source) -> Plan:
    steps = change.opened.plan.steps if change.opened is not None else ()
    return plan_pool_undo(source.host, change, request, _guard(source), _removal(source, steps))


def _guard(source: Source) -> tuple[FileChange, ...]:
    """The changes by which the guard comes; a tree or a snapshot has nobody to guard."""
    if not source.is_live:
        return ()
    from nicpass.hypervisor.libvirt.guard import plan_guard

    return plan_guard(source.files)


def _removal(source: Source, steps: tuple[Step, ...]) -> tuple[FileChange, ...]:
    """The changes by which the guard goes, if it goes with the interface that these steps are about."""
    if not source.is_live:
        return ()
    from nicpass.hypervisor.libvirt.guard import plan_guard_removal
    from nicpass.model.plan import LeavePool

    meant = next(((s.uuid, s.mac) for s in steps if isinstance(s, JoinPool | LeavePool)), None)
    return plan_guard_removal(source.files, interfaces=(meant,)) if meant is not None else ()
