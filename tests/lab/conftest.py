# SPDX-License-Identifier: Apache-2.0
"""Hosts for tests. `host` is shared and must be left as it was found; `fresh_host` is a test's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.cache import Cache, hash_code
from lab.errors import LabError
from lab.image import find_base
from lab.machine import Machine
from lab.shape import GRUB_BIOS, INTEL, SHAPES
from lab.signals import end_in_order
from lab.stages import Further
from lab.stages import fresh_host as open_fresh_host
from lab.state import HostState, render_difference, state_difference, without_files
from lab.versions import compare_versions, read_installed
from lab.wheel import build_wheel
from tests.lab import boots

# What nicpass remembers of its runs may grow; everything else must be as before.
JOURNAL = "/var/lib/nicpass"
READY = Further(f"ready-{hash_code(Path(boots.__file__))}", boots.make_ready)
FIRST = ("test_prepare_journey.py",)
"""Files with one test that takes minutes: begun last, it would keep one worker busy while the others have nothing."""


class SharedHost:
    """A host that is lent to one test after the other, and thrown away when one leaves it changed."""

    def __init__(self, cache: Cache, wheel: Path) -> None:
        self._cache = cache
        self._wheel = wheel
        self._stack = ExitStack()
        self._machine: Machine | None = None
        self._state: HostState | None = None

    def lend(self) -> Machine:
        if self._machine is None:
            self._machine = self._stack.enter_context(open_fresh_host(self._cache, INTEL, self._wheel))
            self._state = without_files(self._machine.read_state(), JOURNAL)
        return self._machine

    def take_back(self) -> str:
        """Compare with the state at lending; the differences as text, empty if there are none."""
        assert self._machine is not None
        assert self._state is not None
        try:
            state = without_files(self._machine.read_state(), JOURNAL)
        except LabError as error:
            self.discard()
            return f"its state could not be read: {error}"
        differences = state_difference(self._state, state)
        if differences:
            self.discard()
        return render_difference(differences)

    def discard(self) -> None:
        self._machine = None
        self._stack.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order whole files: those that come first, then those with the most tests, as `--dist loadfile` does by itself.

    It does so by the number of tests alone, so `make test` has it keep to this order (`--no-loadscope-reorder`).
    """
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in FIRST, -counts[item.path]))


@pytest.fixture(scope="session", autouse=True)
def _orderly_end() -> None:
    end_in_order()


@pytest.fixture(scope="session")
def cache() -> Cache:
    return Cache()


@pytest.fixture(scope="session")
def wheel(cache: Cache) -> Path:
    with cache.locked("wheel"):  # parallel workers build the same file
        return build_wheel()


@pytest.fixture(scope="session")
def _shared_host(cache: Cache, wheel: Path) -> Iterator[SharedHost]:
    shared = SharedHost(cache, wheel)
    yield shared
    shared.discard()


@pytest.fixture
def host(_shared_host: SharedHost) -> Iterator[Machine]:
    """The standard host with nicpass. A test that leaves it changed fails, and the next one gets another host."""
    yield _shared_host.lend()
    if differences := _shared_host.take_back():
        pytest.fail(f"the test left the host changed:\n{differences}", pytrace=False)


@pytest.fixture
def fresh_host(request: pytest.FixtureRequest, cache: Cache, wheel: Path) -> Iterator[Machine]:
    """A host of the test's own with nicpass. `parametrize("fresh_host", ["amd"], indirect=True)` chooses its shape."""
    shape = SHAPES[getattr(request, "param", INTEL.name)]
    with open_fresh_host(cache, shape, wheel) as machine:
        yield machine


@pytest.fixture
def ready_host(request: pytest.FixtureRequest, cache: Cache, wheel: Path) -> Iterator[Machine]:
    """A host that boots from its own disk, was prepared for passthrough, and came up so."""
    shape = SHAPES[getattr(request, "param", GRUB_BIOS.name)]
    with open_fresh_host(cache, shape, wheel, READY) as machine:
        yield machine


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what of the lab is not as it was when all tests last passed: Debian's corrections turn no test red."""
    base = find_base(Cache())
    for difference in [] if base is None else compare_versions(read_installed(base)):
        terminalreporter.line(f"lab: {difference}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of all consoles with a failure."""
    report = yield
    if call.when == "call" and report.failed:
        funcargs: dict[str, object] = getattr(item, "funcargs", {})
        for machine in (value for value in funcargs.values() if isinstance(value, Machine)):
            report.sections += list(machine.console_tails().items())
    return report
