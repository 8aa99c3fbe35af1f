# SPDX-License-Identifier: Apache-2.0
"""All codes of findings together, for the users of each of them: `nicpass explain`, the tables, the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import security
from nicpass.checks.catalogue.dependence import group, holders, intent, machines, sessions, storage, usage
from nicpass.checks.catalogue.device import (
    boot_bindings,
    capabilities,
    declared_vfs,
    path,
    quirks,
    reserved,
    reset,
    sriov,
)
from nicpass.checks.catalogue.device import ownership as device
from nicpass.checks.catalogue.host import given, guard, interrupts, iommu, kernel, kvm, leftovers, platform
from nicpass.checks.catalogue.vm import definition as vm
from nicpass.checks.catalogue.vm import memory as vm_memory

if TYPE_CHECKING:
    from nicpass.checks.catalogue.entry import Entry

_SUBJECTS = (
    platform,
    iommu,
    reserved,
    interrupts,
    kvm,
    kernel,
    usage,
    intent,
    sessions,
    storage,
    holders,
    machines,
    group,
    device,
    reset,
    capabilities,
    sriov,
    path,
    quirks,
    leftovers,
    guard,
    given,
    boot_bindings,
    declared_vfs,
    vm,
    vm_memory,
    security,
)

CATALOGUE: dict[str, Entry] = {code: entry for subject in _SUBJECTS for code, entry in subject.ENTRIES.items()}
