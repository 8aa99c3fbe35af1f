# SPDX-License-Identifier: Apache-2.0
"""The way out of a change that was cut off: finish it or take it back, whichever is nearer to safe."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.change import Phase
from nicpass.model.inverse import invert_step
from nicpass.model.plan import (
    ArmTimer,
    DisarmTimer,
    GiveBackNic,
    JoinPool,
    LeavePool,
    PlugDevice,
    SetNumvfs,
    StartDomain,
    StartWindow,
    SteerInterrupts,
    Step,
    StopDomain,
    UnplugDevice,
)

if TYPE_CHECKING:
    from nicpass.model.change import Change

_GONE_WITH_THE_BOOT = (
    *(StartDomain, StopDomain, PlugDevice, UnplugDevice),
    *(SetNumvfs, ArmTimer, StartWindow, DisarmTimer, SteerInterrupts),
)
"""Steps whose effect ends with the boot; after another there is nothing of them to take back or to finish."""


def _is_gone_with_the_boot(step: Step) -> bool:
    if isinstance(step, JoinPool | LeavePool):
        return step.live
    return isinstance(step, _GONE_WITH_THE_BOOT)


class Direction(enum.StrEnum):
    """Where a change that was cut off goes from here."""

    CLOSE = "close"
    """Nothing was begun, so the change is closed."""
    FINISH = "finish"
    TAKE_BACK = "take back"


def choose_direction(change: Change) -> Direction:
    """The direction of a change that was cut off, where not all of its steps are done already.

    A change that gives a NIC back to the host is finished: the host is safe with its NIC. All others are taken back,
    and a change that was being taken back goes on being taken back.
    """
    if change.opened is None or change.changed_nothing:
        return Direction.CLOSE
    if any(phase.is_backwards for phase in change.phases.values()):
        return Direction.TAKE_BACK
    gives_back = any(isinstance(step, GiveBackNic) for step in change.opened.plan.steps)
    return Direction.FINISH if gives_back else Direction.TAKE_BACK


def steps_to_finish(
    change: Change, *, same_boot: bool, lost: frozenset[int] = frozenset()
) -> tuple[tuple[int, Step], ...]:
    """The steps not seen done, with their numbers; after another boot without those that the boot has settled.

    `lost` are the numbers of steps that were seen done and are not so any more: taken back while no record of that
    could be written, for the disk was full.
    """
    steps = enumerate(change.opened.plan.steps if change.opened is not None else ())
    left = ((n, step) for n, step in steps if change.phases.get(n) != Phase.DONE or n in lost)
    if same_boot:
        return tuple(left)
    return tuple((n, _after_boot(step)) for n, step in left if not _is_gone_with_the_boot(step))


def steps_begun(change: Change) -> tuple[tuple[int, Step], ...]:
    """The steps that may have acted and were not seen undone, in the order of the plan."""
    steps = enumerate(change.opened.plan.steps if change.opened is not None else ())
    phases = change.phases
    return tuple((n, step) for n, step in steps if n in phases and phases[n] != Phase.UNDONE)


def invert_unattended(step: Step) -> Step:
    """The step by which the dead man's hand takes `step` back; it stops the VM that has the NIC, whoever started it."""
    if isinstance(step, StartDomain):
        return StopDomain(
            address=step.address,
            domain=step.domain,
            uuid=step.uuid,
            more=step.more,
            for_all=True,
            unattended=True,
            guarded=step.guarded,
            pool_macs=step.pool_macs,
        )
    inverse = invert_step(step)
    return msgspec.structs.replace(inverse, forced=True) if isinstance(inverse, UnplugDevice) else inverse


def invert_after_boot(step: Step) -> Step | None:
    """The step that takes `step` back when the machine was started anew since; None where the boot has done it."""
    return None if _is_gone_with_the_boot(step) else _after_boot(invert_step(step))


def _after_boot(step: Step) -> Step:
    """The step after a boot, which sets NICs up by the host's own configuration: settings by hand are not put back."""
    if isinstance(step, GiveBackNic):
        return msgspec.structs.replace(step, after_boot=True)
    return step
