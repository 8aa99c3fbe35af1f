# SPDX-License-Identifier: Apache-2.0
"""Asks what may never answer, and goes on without it (law 12).

The call is made by a thread. One that has answered is asked the next time too, for an attach asks libvirt two dozen
times. One whose time is over is left behind: nothing follows from its answer if that comes after all, it is asked
nothing more, and it ends with the process. A process of its own would be no better, for what hangs is the other side,
and would cost a start of Python at each `nicpass list`. The called code must let go of Python's lock while it waits, as
the bindings of C libraries do.
"""

from __future__ import annotations

import _thread
import os
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
    worker = _free.pop() if _free else _Worker()
    if not worker.make(call, seconds):
        raise NoAnswerError(
            _("{what}: no answer within {seconds:g} s. It was left behind, and may still happen.").format(
                what=what, seconds=seconds
            ),
            _("Does the daemon hang? systemctl status libvirtd virtqemud"),
        )
    answer, error = worker.take()
    _free.append(worker)  # here alone: who was left behind, be it by Ctrl-C, is at another call still
    if error is not None:
        raise error
    result: T = answer
    return result


class _Worker:
    """A thread that makes one call after the other, each when the one before was answered."""

    def __init__(self) -> None:
        self._call: Callable[[], Any] = int
        self._answer: Any = None
        self._error: BaseException | None = None
        self._asked, self._answered = _thread.allocate_lock(), _thread.allocate_lock()
        self._asked.acquire()
        self._answered.acquire()
        _thread.start_new_thread(self._serve, ())

    def make(self, call: Callable[[], Any], seconds: float) -> bool:
        """Whether the call came back within `seconds`."""
        self._call = call
        self._asked.release()
        return self._answered.acquire(timeout=seconds)

    def take(self) -> tuple[Any, BaseException | None]:
        """(the answer, the error) of the call that came back; the worker keeps neither."""
        taken = self._answer, self._error
        self._call, self._answer, self._error = int, None, None
        return taken

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            try:
                self._answer = self._call()
            except BaseException as error:
                self._error = error
            self._answered.release()


_free: list[_Worker] = []
"""Those that have answered."""
os.register_at_fork(after_in_child=_free.clear)  # a child has none of its parent's threads
