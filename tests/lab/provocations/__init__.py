# SPDX-License-Identifier: Apache-2.0
"""How the lab provokes every finding that it can, and why it cannot provoke the others. A file a subject."""

from __future__ import annotations

import dataclasses

from tests.lab.provocations import device, iommu, leftovers, platform, security, usage, vm
from tests.lab.provocations.provocation import MendedBy, Provocation

__all__ = ["PROVOCATIONS", "UNIT_ONLY", "MendedBy", "Provocation"]

_SUBJECTS = (platform, iommu, usage, device, leftovers, vm, security)
# What no attach would be safe without is seen in every run; advice about a VM or for an auditor in `make test-full`.
_ADVICE = (vm, security)

PROVOCATIONS: tuple[Provocation, ...] = tuple(
    dataclasses.replace(found, full=found.full or subject in _ADVICE)
    for subject in _SUBJECTS
    for found in subject.PROVOCATIONS
)
UNIT_ONLY: dict[str, str] = {code: why for subject in _SUBJECTS for code, why in subject.UNIT_ONLY.items()}
