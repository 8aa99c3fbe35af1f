# SPDX-License-Identifier: Apache-2.0
"""Every effect on the simulated host passes here, is counted, and may be the last one or fail.

An effect is one write that nicpass asks for: a record, a file, an attribute of sysfs, a program, a netlink request,
a call of libvirt that changes something.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

Moment = Literal["before", "middle", "after"]
FaultKind = Literal["EBUSY", "EOPNOTSUPP", "EIO", "ENODEV", "ENOSPC", "hangs", "late", "probe fails"]


class Effect(msgspec.Struct, frozen=True):
    """One effect of a run: through which door, on what; `divisible` has a middle at which death may come."""

    door: str
    subject: str
    divisible: bool = False
    probes: bool = False
    """Whether a driver may bind in this effect."""

    @property
    def text(self) -> str:
        return f"{self.door} {self.subject}"


@dataclasses.dataclass(frozen=True)
class Death:
    """SIGKILL at effect `number`, counted from 0."""

    number: int
    moment: Moment


@dataclasses.dataclass(frozen=True)
class Fault:
    """Effect `number` fails."""

    number: int
    kind: FaultKind
    acted: bool = False
    """Whether the effect fails after it has acted."""
    lasting: bool = False
    """Whether every later effect on the same subject fails too."""

    @property
    def text(self) -> str:
        return f"{self.kind}{' having acted' if self.acted else ''}{' lastingly' if self.lasting else ''}"


class Failed(Exception):  # noqa: N818  it is no error yet: each door tells it in its own way
    """A fault, which a door has to turn into the error that its caller knows; `number` None is a hang."""

    def __init__(self, kind: FaultKind) -> None:
        super().__init__(kind)
        self.number: int | None = None if kind == "hangs" else getattr(errno, kind)

    @property
    def reason(self) -> str:
        return "no answer" if self.number is None else os.strerror(self.number)


class Effects:
    """Counts the effects of one run, and lets the run die or an effect fail as it was told."""

    def __init__(self, death: Death | None = None, faults: tuple[Fault, ...] = ()) -> None:
        self.death = death
        self.faults = {fault.number: fault for fault in faults}
        self.lasting: dict[str, Fault] = {}
        self.log: list[Effect] = []
        self.probing: Fault | None = None
        """While a driver binds: the fault that befalls its probe."""

    def perform(self, effect: Effect, act: Callable[[], T], half: Callable[[], None] | None = None) -> T:
        """Do `act`, unless death or a fault is due; `half` is what is there when death comes in the middle.

        Raises:
            Failed: as a fault wants it.
        """
        number = len(self.log)
        self.log.append(msgspec.structs.replace(effect, divisible=half is not None))
        self._die(number, "before")
        if self.death == Death(number, "middle") and half is not None:
            half()
            self._die(number, "middle")
        fault = self._fault(number, effect)
        done = self._act(effect, act, fault)
        self._die(number, "after")
        return done

    def _act(self, effect: Effect, act: Callable[[], T], fault: Fault | None) -> T:
        if fault is None:
            return act()
        if fault.kind in ("late", "probe fails"):
            self.probing = fault
            try:
                return act()
            finally:
                self.probing = None
        if fault.acted:
            act()
        raise Failed(fault.kind)

    def _fault(self, number: int, effect: Effect) -> Fault | None:
        fault = self.faults.get(number) or self.lasting.get(effect.text)
        if fault is not None and fault.lasting:
            self.lasting[effect.text] = fault
        return fault

    def _die(self, number: int, moment: Moment) -> None:
        if self.death == Death(number, moment):
            os.kill(os.getpid(), signal.SIGKILL)
