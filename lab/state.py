# SPDX-License-Identifier: Apache-2.0
"""The whole state of a host, read without nicpass, and the difference between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lab.agent import Result
from lab.errors import LabError

SCRIPT = Path(__file__).parent / "files" / "read_state.py"
Tree = Mapping[str, Any]


class Absent:
    """Stands for a value that one of two states does not have; None is a value that may be there."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = Absent()


class HostState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state that a test may want to see unchanged. Keys are names, leaves are values; see `files/read_state.py`."""

    pci: dict[str, dict[str, Any]]  # by address
    links: dict[str, dict[str, Any]]  # by name
    addresses: dict[str, dict[str, Any]]  # by "name address/length"
    routes: dict[str, dict[str, str]]  # of all tables
    rules: dict[str, bool]
    neighbours: dict[str, str | None]  # permanent ones only
    domains: dict[str, dict[str, Any]]  # by name
    files: dict[str, str]  # below /etc and /var/lib/nicpass
    modules: dict[str, bool]  # recorded, not compared: a module that was loaded once does no harm

    def to_tree(self) -> Tree:
        """The part of the state that is compared: all but the modules."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "modules"}


@dataclass(frozen=True)
class Difference:
    """One leaf, or one branch, in which two states differ. ABSENT stands for a value that is not there."""

    path: tuple[str, ...]
    before: object
    after: object

    def __str__(self) -> str:
        return f"{' / '.join(self.path)}: {self.before!r} -> {self.after!r}"


def read_state(execute: Callable[..., Result]) -> HostState:
    """Read the host's state by running `files/read_state.py` on it, once udev has nothing left to do."""
    result = execute("udevadm settle --timeout=30 && exec python3 -I -", 90, stdin=SCRIPT.read_bytes())
    if result.exit_code != 0:
        raise LabError("the state could not be read", exit_code=result.exit_code, output=result.stderr)
    return msgspec.json.decode(result.stdout, type=HostState)


def state_difference(before: HostState, after: HostState) -> list[Difference]:
    """Where the states differ, by path. An empty list: the host is as it was."""
    return list(_walk((), before.to_tree(), after.to_tree()))


def without_files(state: HostState, folder: str) -> HostState:
    """The state as it would be if nothing stood in `folder`."""
    kept = {path: value for path, value in state.files.items() if not path.startswith(f"{folder}/")}
    return msgspec.structs.replace(state, files=kept)


def _walk(path: tuple[str, ...], before: object, after: object) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            yield from _walk((*path, name), before.get(name, ABSENT), after.get(name, ABSENT))
    elif before != after:
        yield Difference(path, before, after)


def render_difference(differences: list[Difference]) -> str:
    """One line for each difference."""
    return "\n".join(str(difference) for difference in differences)
