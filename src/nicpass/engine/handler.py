# SPDX-License-Identifier: Apache-2.0
"""What the engine knows of a step: how to do it and how to see that it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from nicpass.model.plan import StepBase


class Handler(msgspec.Struct, frozen=True):
    """The two functions of one kind of step. Both may be called again after a crash and must bear that.

    `apply` acts, and does nothing where the step is done already. `verify` reads the host anew.
    Both raise a NicpassError that says what was seen, or an OSError that is the kernel's answer.
    """

    apply: Callable[[Any], None]
    verify: Callable[[Any], None]


Handlers: TypeAlias = Mapping["type[StepBase]", Handler]


class LateHandlers(Mapping["type[StepBase]", Handler]):
    """Handlers that are ready, and late ones, whose modules are loaded when one of their steps is to be done."""

    def __init__(self, ready: Handlers, late: Mapping[type[StepBase], Callable[[], Handlers]]) -> None:
        self._ready = dict(ready)
        self._late = late

    def __getitem__(self, kind: type[StepBase]) -> Handler:
        if kind not in self._ready:
            self._ready.update(self._late[kind]())
        return self._ready[kind]

    def __iter__(self) -> Iterator[type[StepBase]]:
        return iter({*self._ready, *self._late})

    def __len__(self) -> int:
        return len({*self._ready, *self._late})


PROMPT = 0.04
"""Seconds between two looks for what makes no event, and is to be seen at once: a lock that is let go."""
_FIRST_PAUSE = 0.01
_SHARE = 8
"""What makes no event is seen late by at most this part of the time since the last one."""


def wait_until(
    is_true: Callable[[], bool], timeout: float, interval: float = 1.0, descriptors: Iterable[int] = ()
) -> bool:
    """Ask `is_true` at every event of the host until it answers yes or `timeout` seconds are over; its last answer.

    The last answer is one from the end of that time. `descriptors` as in `Changes`.

    Some facts make no event: an attribute that a driver changes, a libvirt that has not noticed yet. So `is_true` is
    asked without an event too: soon after one, then after pauses that grow with the time that has been quiet, at last
    every `interval` seconds. That is also all there is where events cannot be heard, and on a tree of files.
    """
    deadline = time.monotonic() + timeout
    answer = is_true()
    if answer or timeout <= 0:
        return answer
    from nicpass.host.doors.changes import Changes  # late: mostly there is nothing to wait for

    pause, quiet_since = _FIRST_PAUSE, time.monotonic()
    with Changes(descriptors) as changes:  # before the next look, or what happens between the two would be missed
        while True:
            began = time.monotonic()
            if is_true():
                return True
            ended = time.monotonic()
            if ended >= deadline:
                return False
            longest = min(interval, max(PROMPT, (ended - quiet_since) / _SHARE))
            if changes.wait(min(pause, longest, deadline - ended)):
                pause, quiet_since = _FIRST_PAUSE, time.monotonic()
                # A storm of events must not become a storm of looks: no more than half of the time is spent on them.
                _rest_until(min(ended + (ended - began), deadline))
            else:
                pause *= 2


def _rest_until(moment: float) -> None:
    if (seconds := moment - time.monotonic()) > 0:
        time.sleep(seconds)
