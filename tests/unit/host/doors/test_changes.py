# SPDX-License-Identifier: Apache-2.0
"""Waiting hears the real kernel: interfaces are made in a network namespace of the test's own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from nicpass.engine import handler
from nicpass.engine.handler import wait_until
from nicpass.host.doors import changes as changes_module
from nicpass.host.doors.changes import Changes
from tests.support.namespaces import Maker, in_own_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SOON = 0.05


@contextlib.contextmanager
def made_by_another_thread(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def is_there(name: str) -> Callable[[], bool]:
    return lambda: name in [found for _, found in socket.if_nameindex()]


class TestChanges:
    """The source of the wake-ups."""

    def test_a_new_interface_is_heard_of_at_once(self) -> None:
        def work(maker: Maker) -> list[float]:
            delays = []
            with Changes() as changes:
                while changes.wait(0.2):
                    pass  # what making the namespace itself has caused
                for number in range(5):
                    moment = [0.0]

                    def make(number: int = number, moment: list[float] = moment) -> None:
                        moment[0] = time.monotonic()
                        maker.add([f"nic{number}"])

                    with made_by_another_thread(make):
                        assert changes.wait(10)
                        delays.append(time.monotonic() - moment[0])
                    while changes.wait(0.05):
                        pass
            return delays

        delays = in_own_namespace(work)
        assert sorted(delays)[2] < _SOON, delays

    def test_nothing_happens_until_the_time_is_over(self) -> None:
        def work(maker: Maker) -> tuple[bool, float]:
            with Changes() as changes:
                while changes.wait(0.2):
                    pass
                began = time.monotonic()
                return changes.wait(0.1), time.monotonic() - began

        heard, seconds = in_own_namespace(work)
        assert not heard
        assert seconds >= 0.1

    def test_what_happens_before_the_wait_is_not_lost(self) -> None:
        def work(maker: Maker) -> bool:
            with Changes() as changes:
                while changes.wait(0.2):
                    pass
                maker.add(["early"])
                return changes.wait(0)

        assert in_own_namespace(work)

    def test_more_events_than_the_socket_holds_are_one_event(self) -> None:
        def work(maker: Maker) -> tuple[bool, bool, bool]:
            with Changes() as changes:
                maker.add(f"nic{number}" for number in range(1000))
                first = changes.wait(0)
                while changes.wait(0.2):
                    pass
                quiet = changes.wait(0)
                maker.add(["late"])
                return first, quiet, changes.wait(1)

        assert in_own_namespace(work) == (True, False, True)

    def test_a_descriptor_that_becomes_readable_tells_it_once(self) -> None:
        reading, writing = os.pipe()
        try:
            with Changes([reading]) as changes:
                os.write(writing, b"x")
                assert changes.wait(1)
                assert reading not in dict(changes._poll.poll(0))
        finally:
            os.close(reading)
            os.close(writing)

    def test_its_sockets_are_closed_and_a_descriptor_of_the_callers_is_not(self) -> None:
        reading, writing = os.pipe()
        with Changes([reading]) as changes:
            own = list(changes._sockets)
        for descriptor in own:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)
        os.fstat(reading)
        os.close(reading)
        os.close(writing)


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look without an event: who misses one waits too long."""
    monkeypatch.setattr(handler, "_FIRST_PAUSE", 60.0)
    monkeypatch.setattr(handler, "PROMPT", 60.0)


class TestWaitUntil:
    """Looking again when something happened."""

    @pytest.mark.usefixtures("only_events")
    def test_what_becomes_true_by_an_event_is_seen_at_once(self) -> None:

        def work(maker: Maker) -> float:
            moment = [0.0]
            looked = threading.Event()

            def look() -> bool:
                looked.set()
                return is_there("nic0")()

            def make() -> None:
                assert looked.wait(10)
                moment[0] = time.monotonic()
                maker.add(["nic0"])

            with made_by_another_thread(make):
                assert wait_until(look, 10, interval=60)
                return time.monotonic() - moment[0]

        delays = sorted(in_own_namespace(work) for _ in range(3))
        assert delays[1] < _SOON, delays

    @pytest.mark.usefixtures("only_events")
    def test_what_happens_during_the_look_is_looked_at_again(self) -> None:
        """Made right after the look has answered no: only who subscribed before it hears of it."""

        def work(maker: Maker) -> tuple[int, float]:
            looks = [0]

            def look() -> bool:
                looks[0] += 1
                there = is_there("nic0")()
                if looks[0] == 1:
                    maker.add(["nic0"])
                return there

            began = time.monotonic()
            assert wait_until(look, 10, interval=60)
            return looks[0], time.monotonic() - began

        looks, seconds = in_own_namespace(work)
        assert looks == 2
        assert seconds < 5, "it looked again because its time was over"

    @pytest.mark.usefixtures("only_events")
    def test_a_storm_neither_starves_nor_overflows_it(self) -> None:
        def work(maker: Maker) -> tuple[bool, float]:
            done = [0.0]

            def make() -> None:
                maker.add(f"nic{number}" for number in range(1000))
                done[0] = time.monotonic()

            with made_by_another_thread(make):
                found = wait_until(is_there("nic999"), 50, interval=60)
                ended = time.monotonic()
            return found, ended - done[0]

        found, late = in_own_namespace(work)
        assert found
        assert late < 1.0

    @pytest.mark.parametrize("timeout", [0.0, 0.05, 0.2])
    def test_the_deadline_holds_and_the_last_look_is_at_its_end(self, timeout: float) -> None:
        looks: list[float] = []
        began = time.monotonic()

        def look() -> bool:
            looks.append(time.monotonic() - began)
            return False

        assert not wait_until(look, timeout)
        assert looks[-1] >= timeout
        assert time.monotonic() - began < timeout + 1

    def test_looks_without_an_event_become_rarer(self) -> None:
        looks: list[float] = []

        def look() -> bool:
            looks.append(time.monotonic())
            return False

        assert not in_own_namespace(lambda _: wait_until(look, 0.3))
        assert len(looks) <= 12

    @pytest.mark.parametrize("events", [(), (3.0,), (3.0, 3.05, 9.0)], ids=str)
    @pytest.mark.parametrize("interval", [0.2, 1.0, 60.0])
    def test_what_makes_no_event_is_seen_late_by_a_part_of_the_time(
        self, interval: float, events: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = last = 0.0
        pauses: list[tuple[float, float]] = []
        due = list(events)

        class Quiet(Changes):
            def wait(self, seconds: float) -> bool:
                nonlocal now, last
                pauses.append((seconds, now - last))
                if not due or due[0] > now + seconds:
                    now += seconds
                    return False
                now = last = max(now, due.pop(0))
                return True

        monkeypatch.setattr(changes_module, "Changes", Quiet)
        monkeypatch.setattr(handler, "time", SimpleNamespace(monotonic=lambda: now, sleep=lambda _seconds: None))
        assert not wait_until(lambda: False, 20, interval)
        assert all(pause <= max(0.05, quiet / 8 + 1e-9) and pause <= interval for pause, quiet in pauses)
        assert len(pauses) < 20 / interval + 60 * (1 + len(events))

    def test_it_looks_where_nothing_can_be_heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_protocol: int, _groups: int) -> socket.socket:
            raise PermissionError

        monkeypatch.setattr(changes_module, "_subscribe", refuse)
        answers = iter([False, False, True])
        assert wait_until(lambda: next(answers), 10)

    @pytest.mark.usefixtures("only_events")
    def test_a_descriptor_makes_it_look(self) -> None:
        reading, writing = os.pipe()
        looks: list[None] = []

        def look() -> bool:
            looks.append(None)
            if len(looks) == 1:
                os.write(writing, b"x")
            return len(looks) == 2

        assert wait_until(look, 10, interval=60, descriptors=[reading])
        os.close(reading)
        os.close(writing)
