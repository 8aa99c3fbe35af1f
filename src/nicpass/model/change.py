# SPDX-License-Identifier: Apache-2.0
"""One change of the host as its journal tells it: the records on disk, and what they add up to."""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from nicpass.model.errors import ExitCode
from nicpass.model.fact import Fact
from nicpass.model.plan import ArmTimer, GiveBackNic, Plan, Step
from nicpass.model.request import ApplyRequest, AttachRequest, UndoRequest


class Phase(enum.StrEnum):
    """How far a step has come. `doing` is on disk before the step acts."""

    DOING = "doing"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"

    @property
    def is_backwards(self) -> bool:
        return self in (Phase.UNDOING, Phase.UNDONE, Phase.UNDO_FAILED)


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a change, and with which words."""

    user: str = "unknown"
    """The user who logged in, `alice`; sudo and su do not change it (/proc/PID/loginuid)."""
    process: int = 0
    command: tuple[str, ...] = ()


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The first record of a change: the whole plan, by whom, and in which boot it was begun."""

    time: float
    boot_id: Fact[str]
    plan: Plan
    actor: Actor = Actor()
    version: str = ""


class Extended(msgspec.Struct, frozen=True, kw_only=True, tag="extended"):
    """The record that further steps were planned, once those before were done."""

    time: float
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    more: bool = False
    """As in Plan."""


class StepRecord(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """One step entering a phase; the step itself holds the previous value."""

    time: float
    number: int
    phase: Phase
    step: Step
    error: str = ""
    """Why undoing the step failed."""


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, tag="confirmed"):
    """The record that the administrator can still reach the host, and keeps the change."""

    time: float
    actor: Actor = Actor()


class Resumed(msgspec.Struct, frozen=True, kw_only=True, tag="resumed"):
    """The record that a run that was cut off is finished or taken back from here on."""

    time: float
    boot_id: Fact[str]
    finishing: bool
    actor: Actor = Actor()


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """The last record of a change. A journal without one was cut off."""

    time: float
    exit_code: int
    sentence: str = ""
    abandoned: bool = False
    """Whether somebody decided that the host stays as it is, whatever that is."""


Record: TypeAlias = Opened | Extended | StepRecord | Confirmed | Resumed | Closed


class Outcome(enum.StrEnum):
    """The outcome of a change."""

    DONE = "done"
    UNCONFIRMED = "unconfirmed"
    """The change is done, and is to be taken back unless it is confirmed in time."""
    TAKEN_BACK = "taken back"
    NEEDS_PERSON = "needs a person"
    """The change is done or taken back with a difference that stands in the sentence."""
    UNFINISHED = "unfinished"
    """The change was cut off, or not wholly taken back: `nicpass recover` settles it."""
    ABANDONED = "abandoned"
    DAMAGED = "damaged"
    """The change's first record cannot be read, so what it was to do is not known."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change as read from its journal. `opened` is None where the first record is broken."""

    identity: str
    opened: Opened | None = None
    steps: tuple[StepRecord, ...] = ()
    confirmed: Confirmed | None = None
    resumed: tuple[Resumed, ...] = ()
    closed: Closed | None = None
    damage: str = ""
    """The part of the journal that could not be read; a line that the power cut off at the end is no damage."""

    @property
    def phases(self) -> dict[int, Phase]:
        """The last phase of each step that was begun, by its number."""
        return {record.number: record.phase for record in self.steps}

    @property
    def outcome(self) -> Outcome:
        if self.closed is not None and self.closed.abandoned:
            return Outcome.ABANDONED
        if self.opened is None:
            return Outcome.DAMAGED
        if self.closed is None or Phase.UNDO_FAILED in self.phases.values():
            return Outcome.UNFINISHED
        if self.closed.exit_code == ExitCode.NEEDS_PERSON:
            return Outcome.NEEDS_PERSON
        if self.closed.exit_code != ExitCode.DONE:
            return Outcome.TAKEN_BACK
        return Outcome.UNCONFIRMED if self.awaits_confirmation else Outcome.DONE

    @property
    def owes_the_nic(self) -> bool:
        """Whether a NIC came back with a difference, or its further way back failed: another try may end it well."""
        steps = self.opened.plan.steps if self.opened is not None else ()
        left = any(phase != Phase.DONE for phase in self.phases.values())
        gives_back = any(isinstance(step, GiveBackNic) for step in steps)
        return self.outcome == Outcome.NEEDS_PERSON and gives_back and left

    @property
    def awaits_confirmation(self) -> bool:
        """Whether the change set a dead man's hand, and nobody has confirmed it."""
        return self.opened is not None and self.confirmed is None and self.confirm_within is not None

    @property
    def confirm_within(self) -> int | None:
        """Seconds from the moment that the change is made; None where nothing is to be confirmed."""
        steps = self.opened.plan.steps if self.opened is not None else ()
        return next((step.seconds for step in steps if isinstance(step, ArmTimer)), None)

    @property
    def overrides(self) -> frozenset[str]:
        """Codes of the findings that were overridden, each by its name."""
        request = self.opened.plan.request if self.opened is not None else None
        if isinstance(request, ApplyRequest):
            boot = request.state.boot.allow if request.state.boot is not None else ()
            return frozenset((*boot, *(code for vm in request.state.vms.values() for code in vm.allow)))
        return request.allow if isinstance(request, AttachRequest | UndoRequest) else frozenset()

    @property
    def changed_nothing(self) -> bool:
        """Whether no step was ever begun: the first record is on disk before any step acts."""
        return not self.steps
