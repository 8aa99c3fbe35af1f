# SPDX-License-Identifier: Apache-2.0
"""Every code that a finding can have: how grave, what it means, what mends it. `nicpass explain` reads it.

Codes are part of the interface: they do not change their meaning, and a retired one is not used again.
Each subject has a file of its own here, beside the checks of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import (
    boot_bindings,
    capabilities,
    device,
    group,
    holders,
    interrupts,
    iommu,
    kernel,
    kvm,
    leftovers,
    path,
    platform,
    quirks,
    reserved,
    reset,
    security,
    sessions,
    sriov,
    storage,
    usage,
    vm,
    vm_memory,
)
from nicpass.model.finding import Evidence, Finding
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from nicpass.checks.catalogue.entry import Entry
    from nicpass.model.address import Address

_SUBJECTS = (
    platform,
    iommu,
    reserved,
    interrupts,
    kvm,
    kernel,
    usage,
    sessions,
    storage,
    holders,
    group,
    device,
    reset,
    capabilities,
    sriov,
    path,
    quirks,
    leftovers,
    boot_bindings,
    vm,
    vm_memory,
    security,
)

CATALOGUE: dict[str, Entry] = {code: entry for subject in _SUBJECTS for code, entry in subject.ENTRIES.items()}


def make_finding(
    code: str,
    subject: Address | None = None,
    evidence: tuple[tuple[str, object], ...] = (),
    **facts: object,
) -> Finding:
    """A finding with its texts filled in. `evidence` is pairs of (where it was read, what stood there)."""
    entry = CATALOGUE[code]
    # Words for people are made fit for a terminal; what goes into a command has been quoted by its check.
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
