# SPDX-License-Identifier: Apache-2.0
"""The door to other network namespaces: a thread enters one after the other, asks there, and never comes back.

Only a thread changes its namespace, the process stays where it is (setns(2)). It is waited for as long as is said and
then left behind; with it goes nothing that anybody else needs. Source: ioctl_nsfs(2) for whose a namespace is.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Answer = TypeVar("Answer")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_NS_GET_USERNS, _NS_GET_OWNER_UID = 0xB701, 0xB704  # linux/nsfs.h


def ask_within(
    paths: Sequence[str], question: Callable[[int], Answer], seconds: float
) -> dict[str, Answer | OSError | None]:
    """Path of each network namespace to the answer there, or why there is none, or None where it has gone meanwhile.

    `question` is called in the namespace, with a descriptor of the one that the caller is in. All of them together
    get so many seconds.
    """
    import queue  # late: few hosts have another namespace
    import threading
    import time

    found: dict[str, Answer | OSError | None] = {}
    answers: queue.SimpleQueue[tuple[str, Answer | OSError | None]] = queue.SimpleQueue()
    # Of this thread, which need not be in the namespace that the process is in; closed by the one that is sent out.
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    threading.Thread(target=_visit, args=(paths, question, home, answers.put), daemon=True).start()
    end = time.monotonic() + seconds
    while len(found) < len(paths):
        try:
            path, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            late = TimeoutError(f"no answer within {seconds:g} s")
            return {path: found.get(path, late) for path in paths}
        found[path] = answer
    return found


def maker_of(path: str) -> int | None:
    """The user who has made the user namespace to which a namespace belongs; None where the kernel does not tell.

    0 for all that is the host's, and for containers that root has started, whoever is root within.
    """
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            owner = fcntl.ioctl(descriptor, _NS_GET_USERNS)
        finally:
            os.close(descriptor)
        try:
            return int.from_bytes(fcntl.ioctl(owner, _NS_GET_OWNER_UID, bytes(4)), sys.byteorder)
        finally:
            os.close(owner)
    except OSError:
        return None


def _visit(
    paths: Sequence[str],
    question: Callable[[int], Answer],
    home: int,
    tell: Callable[[tuple[str, Answer | OSError | None]], None],
) -> None:
    try:
        for path in paths:
            try:
                _enter(path)
                tell((path, question(home)))
            except (FileNotFoundError, ProcessLookupError):
                tell((path, None))
            except OSError as error:
                tell((path, error))
    finally:
        os.close(home)


def _enter(path: str) -> None:
    import ctypes  # os.setns() came with Python 3.12

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
