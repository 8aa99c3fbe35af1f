# SPDX-License-Identifier: Apache-2.0
"""Ends the run that the dead man's hand is to undo, when that hangs with the lock in its hand (law 12)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nicpass.engine.journal import read_boot_id, read_changes
from nicpass.host.doors.running import age_of, end_process
from nicpass.model.change import Change, Outcome
from nicpass.model.plan import ArmTimer

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.host.doors.running import Running

_LOOK_SECONDS = 5.0
"""Between two looks into the journals."""
_GENTLY = 120.0
"""Asked to end, it takes its change back in order, and asks a libvirt that hangs for some seconds a call."""
_BY_FORCE = 10.0


class OverdueRun:
    """Who holds the lock, measured by the change that it has begun."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._next_look = 0.0

    def end(self, holder: Running) -> bool:
        """End it if its change awaits confirmation and is past the time that it has; whether it is gone."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + _LOOK_SECONDS
        bound = self._bound_of(holder)
        return bound is not None and age_of(holder) >= bound and end_process(holder, gently=_GENTLY, by_force=_BY_FORCE)

    def _bound_of(self, holder: Running) -> float | None:
        """How old this run may become; None for one that has no such change."""
        here = read_boot_id(self.files)
        for change in reversed(read_changes(self.files)):
            opened = change.opened
            if opened is not None and opened.actor.process == holder.process and opened.boot_id == here:
                return _bound_of(change)
        return None


def _bound_of(change: Change) -> float | None:
    """From its beginning, which was before the timer was set; of one that is made only the time to confirm counts."""
    steps = change.opened.plan.steps if change.opened is not None else ()
    armed = next((step for step in steps if isinstance(step, ArmTimer)), None)
    if armed is None:
        return None
    if change.outcome == Outcome.UNCONFIRMED:
        return armed.seconds
    return armed.seconds + armed.allowance if change.outcome == Outcome.UNFINISHED else None
