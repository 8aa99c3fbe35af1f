# SPDX-License-Identifier: Apache-2.0
"""What the simulated kernel knows beside its tree, on disk after every change of it: what is still to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.clock import Clock

LateKind = Literal["rename", "carrier", "address", "bind", "numvfs"]


class Late(msgspec.Struct, frozen=True):
    """Something that the kernel or udev does by itself, later."""

    due: float
    kind: LateKind
    subject: str
    detail: str = ""


class _Contents(msgspec.Struct):
    next_index: int = 100
    late: list[Late] = []


class KernelState:
    """The simulated kernel's own knowledge, which outlives every program, as the kernel does."""

    def __init__(self, base: Path, clock: Clock) -> None:
        self.clock = clock
        self.path = base / "kernel.json"
        self.contents = (
            msgspec.json.decode(self.path.read_bytes(), type=_Contents) if self.path.exists() else _Contents()
        )

    def take_index(self) -> int:
        """An interface's index, never given twice."""
        self.contents.next_index += 1
        self._save()
        return self.contents.next_index

    def later(self, seconds: float, kind: LateKind, subject: str, detail: str = "") -> None:
        self.contents.late.append(Late(self.clock.now + seconds, kind, subject, detail))
        self._save()

    def take_due(self, *, everything: bool = False, only: LateKind | None = None) -> list[Late]:
        """Take the events that have come due, in the order of their time; they are no longer to come."""
        due = [
            late
            for late in self.contents.late
            if only in (None, late.kind) and (everything or late.due <= self.clock.now)
        ]
        if due:
            self.contents.late = [late for late in self.contents.late if late not in due]
            self._save()
        return sorted(due, key=lambda late: late.due)

    def _save(self) -> None:
        self.path.write_bytes(msgspec.json.encode(self.contents))
