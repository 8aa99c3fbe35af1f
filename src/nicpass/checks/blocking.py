# SPDX-License-Identifier: Apache-2.0
"""Which findings stand in the way of giving a NIC."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.finding import Finding

_INCLUDED = {"HAS_ADDRESS": frozenset({"TO_BE_CONFIGURED", "NAMED_UNCLEARLY", "WAITED_FOR"})}
"""Who has allowed the host's address to go has allowed the one that is about to come there again: the same NIC may be
between the two at a VM's next start."""


def blocking(findings: Iterable[Finding], allow: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """The findings that stand in the way, the gravest first."""
    allowed = allow.union(*(_INCLUDED.get(code, ()) for code in allow)) if allow else allow
    found = [finding for finding in findings if finding.severity.blocks and finding.code not in allowed]
    return tuple(sorted(found, key=lambda finding: -finding.severity.rank))
