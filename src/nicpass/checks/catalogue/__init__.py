# SPDX-License-Identifier: Apache-2.0
"""Every code that a finding can have: how grave, what it means, what mends it. `nicpass explain` reads it.

Codes are part of the interface: they do not change their meaning, and a retired one is not used again.
Each subject has a file of its own here, beside the checks of the same name, and is loaded when the first finding of
it is made: a host has some of them, and the texts of all take as long to load as the checks.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from nicpass.model.finding import Evidence, Finding
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from nicpass.checks.catalogue.entry import Entry
    from nicpass.model.address import Address


class Finder:
    """Makes the findings of some subjects, whose codes it knows by their files here."""

    def __init__(self, *subjects: str) -> None:
        self._subjects = subjects

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        modules = [import_module(f"{__name__}.{subject}") for subject in self._subjects]
        return {code: entry for module in modules for code, entry in module.ENTRIES.items()}

    def __call__(
        self,
        code: str,
        subject: Address | None = None,
        evidence: tuple[tuple[str, object], ...] = (),
        **facts: object,
    ) -> Finding:
        """A finding with its texts filled in. `evidence` is pairs of (where it was read, what stood there)."""
        entry = self._entries[code]
        # Words for people are made fit for a terminal; words that go into a command have been quoted by their check.
        shown = {name: printable(str(fact)) for name, fact in facts.items()}
        return Finding(
            code=code,
            severity=entry.severity,
            subject=subject,
            sentence=_(entry.sentence).format(**shown),
            evidence=tuple(Evidence(printable(source), printable(str(value))) for source, value in evidence),
            meaning=_(entry.meaning),
            mend=_(entry.mend).format(**shown),
            command=entry.command.format(**facts),
        )
