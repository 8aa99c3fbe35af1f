# SPDX-License-Identifier: Apache-2.0
"""The finding of a check: a stable code, how bad, what it was read from, what it means, what mends it."""

from __future__ import annotations

import enum

import msgspec

from nicpass.model.address import Address


class Severity(enum.StrEnum):
    """How far a finding goes, mildest first. The last three stand in the way, each in its own manner."""

    INFO = "info"
    WARNING = "warning"
    REBOOT = "reboot"
    """Passthrough is possible after a change that takes a reboot."""
    UNSAFE = "unsafe"
    """Passthrough is possible, and refused: the host would lose something that it uses."""
    IMPOSSIBLE = "impossible"
    """Passthrough is not possible on this host, as it is."""

    @property
    def rank(self) -> int:
        return _RANKS[self]

    @property
    def blocks(self) -> bool:
        return self in _BLOCKING


_BLOCKING = (Severity.REBOOT, Severity.UNSAFE, Severity.IMPOSSIBLE)
_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Evidence(msgspec.Struct, frozen=True):
    """Where a finding was read, and what stood there."""

    source: str
    value: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing worth saying about the host (`subject` None) or about one NIC."""

    code: str
    severity: Severity
    subject: Address | None = None
    sentence: str
    evidence: tuple[Evidence, ...] = ()
    meaning: str = ""
    mend: str = ""
    """How to mend the finding, in words: advice, or those of a firmware menu; empty where there is nothing to mend."""
    command: str = ""
    """Shell lines that mend the finding, to paste as root; empty where no command does."""


def worst(findings: tuple[Finding, ...]) -> Severity | None:
    """The gravest severity among `findings`; None if there are none."""
    return max((f.severity for f in findings), key=lambda severity: severity.rank, default=None)
