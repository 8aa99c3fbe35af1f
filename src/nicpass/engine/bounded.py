# SPDX-License-Identifier: Apache-2.0
"""Asks what may never answer, and goes on without it (law 12).

The call is made by a thread, which is left behind when its time is over: it does nothing but this one call, so if an
answer comes after all, nothing follows from it, and it ends with the process at the latest. A process of its own would
be no better, for what hangs is the other side, and would cost a start of Python at each `nicpass list`. The called code
must let go of Python's lock while it waits, as the bindings of C libraries do.
"""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING, Any, TypeVar

from nicpass.model.errors import NoAnswerError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def ask(call: Callable[[], T], seconds: float, what: str) -> T:
    """What `call` answers, or raises; `what` names it for people: `libvirt: create`.

    Raises:
        NoAnswerError: it did not within `seconds`, and may still do what it was asked to.
    """
    done = _thread.allocate_lock()
    done.acquire()
    answers: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    _thread.start_new_thread(work, ())
    if not done.acquire(timeout=seconds):
        raise NoAnswerError(
            _("{what}: no answer within {seconds:g} s. It was left behind, and may still happen.").format(
                what=what, seconds=seconds
            ),
            _("Does the daemon hang? systemctl status libvirtd virtqemud"),
        )
    if errors:
        raise errors[0]
    answer: T = answers[0]
    return answer
