# SPDX-License-Identifier: Apache-2.0
"""pytest with all tests in memory: runs them once to see which lines each runs, then forks itself for each mutant.

A mutant inside of a function is put in place by giving the functions that are there its code, so nothing is loaded
anew. What is kept by `functools.cache` is forgotten first.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import NoReturn

import pytest
from coverage import Coverage
from hypothesis import Phase, settings

from tests.mutation.judge import Trial, Verdict, judge
from tests.mutation.mutants import ROOMS, ROOT, Mutant, code_of, files_of

SOURCE = ROOT / "src" / "nicpass"


@dataclass
class Covered:
    """Which tests run which lines, and how long each takes in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)
    runners: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    """File to line to the names of tests."""
    failed: list[str] = field(default_factory=list)
    """Tests that fail without a mutant already; they judge none."""

    def add(self, path: str, line: int, names: set[str]) -> None:
        """Put down who runs a line."""
        self.runners.setdefault(path, {}).setdefault(line, set()).update(names)

    def quick(self, longest: float) -> Covered:
        """The same without tests that take longer, in seconds."""
        slow = {name for name, seconds in self.seconds.items() if seconds > longest}
        runners = {path: {line: names - slow for line, names in lines.items()} for path, lines in self.runners.items()}
        return Covered(self.seconds, runners, self.failed)

    def tests_of(self, path: str, lines: tuple[int, int]) -> list[str]:
        """Who runs one of these lines: the tests of the file's own street first, the quickest of them first."""
        by_line = self.runners.get(path, {})
        found = set().union(*(by_line.get(line, ()) for line in range(lines[0], lines[1] + 1)))
        street = str(Path(path).parent).replace("src/nicpass", "tests/unit")
        return sorted(found, key=lambda name: (not name.startswith(street), self.seconds[name], name))


class Warm:
    """A plugin of pytest, in the place of its loop over the tests."""

    def __init__(
        self,
        mutants: list[Mutant],
        kept: Covered,
        longest: float,
        most: int,
        tell: Callable[[Covered], None],
        settle: Settle,
    ) -> None:
        self.mutants = mutants
        self.tell = tell
        self.settle = settle
        self.covered = kept
        self.longest = longest
        self.most = most
        self.has_failed = False
        self.sound: dict[str, bool] = {}
        """Of each test that has noticed a mutant, whether it passes without one."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        # A failing property is a mutant noticed; its smallest example is nobody's affair here.
        few = settings(settings.get_profile("unit"), phases=(Phase.explicit, Phase.generate))
        settings.register_profile("mutation", few)
        settings.load_profile("mutation")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.has_failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _load_all()
        self._cover([item for item in session.items if item.nodeid not in self.covered.seconds])
        self.tell(self.covered)
        self.covered = self.covered.quick(self.longest)
        items = {item.nodeid: item for item in session.items}
        memory = _Memory.read()
        gc.collect()
        gc.freeze()
        self.settle(self.mutants, lambda mutant: self._judge(mutant, items, memory))
        return True

    def _cover(self, items: list[pytest.Item]) -> None:
        if not items:
            return
        coverage = Coverage(data_file=None, config_file=False, include=[f"{SOURCE}/*"])
        with tempfile.TemporaryDirectory() as folder, _covering_children(coverage, Path(folder)) as children:
            memory = _Memory.read()
            coverage.start()
            # The last is told that the first comes next, so what was made for the whole session stays.
            for item, following in zip(items, [*items[1:], *items[:1]], strict=True):
                children.begin(item.nodeid)
                memory.forget()  # else what is kept would be run by the first test alone
                coverage.switch_context(item.nodeid)
                start = time.monotonic()
                if self._fails(item, following):
                    self.covered.failed.append(item.nodeid)
                self.covered.seconds[item.nodeid] = time.monotonic() - start
            coverage.stop()
            for path, line, names in (*_runners(coverage), *children.read()):
                self.covered.add(path, line, names - set(self.covered.failed))

    def _fails(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        self.has_failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return self.has_failed

    def _judge(self, mutant: Mutant, items: dict[str, pytest.Item], memory: _Memory) -> Verdict:
        names = [name for name in self.covered.tests_of(mutant.path, mutant.lines) if name in items]
        while True:
            chosen = [items[name] for name in names if self.sound.get(name, True)][: self.most]
            verdict = self._try(mutant.key, chosen, functools.partial(memory.put_in_place, mutant))
            if not verdict.noticed or self._is_sound(items[verdict.by], memory):
                return verdict

    def _is_sound(self, item: pytest.Item, memory: _Memory) -> bool:
        """Whether the test passes in a fork without a mutant; one may know which process has loaded it."""
        if item.nodeid not in self.sound:
            self.sound[item.nodeid] = not self._try("", [item], memory.forget).noticed
        return self.sound[item.nodeid]

    def _try(self, key: str, line: list[pytest.Item], put_in_place: Callable[[], None]) -> Verdict:
        trials = [
            Trial(item.nodeid, self.covered.seconds[item.nodeid], functools.partial(self._fails, item, following))
            for item, following in zip(line, [*line[1:], None], strict=False)
        ]

        def prepare(folder: str) -> None:
            item = line[0]
            item.config._tmp_path_factory._basetemp = Path(folder)  # type: ignore[attr-defined]
            item.session._setupstate.teardown_exact(item)
            put_in_place()

        return judge(key, trials, prepare)


Settle = Callable[[list[Mutant], Callable[[Mutant], Verdict]], None]


class _Children:
    """What is run by forks of a test, the first of them: simulated hosts are such, and children that may hang."""

    most = 8

    def __init__(self, coverage: Coverage, folder: Path) -> None:
        self.coverage = coverage
        self.folder = folder
        self.name = ""
        self.forks = 0
        self.parent = os.getpid()

    def begin(self, name: str) -> None:
        self.name, self.forks = name, 0

    def forked(self) -> None:
        self.forks += 1

    def write(self) -> None:
        """Called in the child, before it ends."""
        if os.getpid() == self.parent or self.forks > self.most:
            return
        with contextlib.suppress(Exception):
            self.coverage.stop()
            data = self.coverage.get_data()
            lines = {path: data.lines(path) or [] for path in data.measured_files()}
            (self.folder / str(os.getpid())).write_bytes(pickle.dumps((self.name, lines)))

    def read(self) -> Iterator[tuple[str, int, set[str]]]:
        for file in self.folder.iterdir():
            name, lines = pickle.loads(file.read_bytes())  # noqa: S301
            for path, numbers in lines.items():
                for line in numbers:
                    yield str(Path(path).relative_to(ROOT)), line, {name}


@contextlib.contextmanager
def _covering_children(coverage: Coverage, folder: Path) -> Iterator[_Children]:
    children = _Children(coverage, folder)
    os.register_at_fork(after_in_parent=children.forked)
    end = os._exit

    def write_and_end(status: int) -> NoReturn:
        children.write()
        end(status)

    os._exit = write_and_end
    try:
        yield children
    finally:
        os._exit = end


def _runners(coverage: Coverage) -> Iterator[tuple[str, int, set[str]]]:
    data = coverage.get_data()
    for path in data.measured_files():
        for line, names in data.contexts_by_lineno(path).items():
            yield str(Path(path).relative_to(ROOT)), line, set(names) - {""}


def _load_all() -> None:
    """Load what tests have not: a mutant needs its function in memory."""
    for path in files_of(ROOMS):
        importlib.import_module(".".join(path.relative_to(SOURCE.parent).with_suffix("").parts))


@dataclass
class _Memory:
    functions: dict[tuple[str, str], list[FunctionType]]
    """File and name to every function of them that is in memory."""
    caches: list[functools._lru_cache_wrapper[object]]

    @classmethod
    def read(cls) -> _Memory:
        memory = cls(defaultdict(list), [])
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(str(SOURCE)):
                memory.functions[thing.__code__.co_filename, thing.__code__.co_qualname].append(thing)
            elif isinstance(thing, functools._lru_cache_wrapper) and thing.__module__.startswith("nicpass"):
                memory.caches.append(thing)
        return memory

    def put_in_place(self, mutant: Mutant) -> None:
        code = next(code for code in _codes(code_of(mutant)) if code.co_qualname == mutant.function)
        there = self.functions[str(ROOT / mutant.path), mutant.function]
        assert there, f"no such function in memory: {mutant.key}"
        for function in there:
            # A function that `super()` has given its class keeps the cell, though the mutant may not ask for it.
            function.__code__ = code.replace(co_freevars=function.__code__.co_freevars)
        self.forget()

    def forget(self) -> None:
        """Empty everything that `functools.cache` keeps."""
        for cache in self.caches:
            cache.cache_clear()


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def workers(
    count: int, mutants: list[Mutant], judging: Callable[[Mutant], Verdict], done: Callable[[Verdict], None]
) -> None:
    """Judge all by so many processes; `done` is called in them."""
    reading, writing = os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if not child:
            os.close(writing)
            try:
                while piece := os.read(reading, 4):
                    done(judging(mutants[int.from_bytes(piece)]))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(reading)
    for place in range(len(mutants)):
        os.write(writing, place.to_bytes(4))
    os.close(writing)
    if sum(os.waitpid(child, 0)[1] for child in children):
        sys.exit("A worker ended early.")
