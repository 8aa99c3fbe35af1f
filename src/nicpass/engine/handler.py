# SPDX-License-Identifier: Apache-2.0
"""What the engine knows of a step: how to do it and how to see that it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from nicpass.model.plan import StepBase


class Handler(NamedTuple):
    """The two hands of one kind of step. Both may be called again after a crash and must bear that.

    `apply` acts, and does nothing where the step is done already. `verify` reads the host anew.
    Both raise a NicpassError that says what was seen, or an OSError that is the kernel's answer.
    """

    apply: Callable[[Any], None]
    verify: Callable[[Any], None]


Handlers: TypeAlias = Mapping["type[StepBase]", Handler]


def wait_until(is_true: Callable[[], bool], timeout: float, interval: float = 0.05) -> bool:
    """Ask until the answer is yes or `timeout` seconds are over; the last answer counts."""
    deadline = time.monotonic() + timeout
    while not is_true():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
    return True
