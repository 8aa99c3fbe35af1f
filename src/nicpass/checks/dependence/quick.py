# SPDX-License-Identifier: Apache-2.0
"""Laws 2 and 3 by themselves, for who has to answer quickly: what the host would lose with a NIC, or with its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.group import check_group
from nicpass.checks.dependence.usage import check_usage

if TYPE_CHECKING:
    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction


def check_dependence(function: PciFunction, index: HostIndex) -> tuple[Finding, ...]:
    """The findings about what the host would lose, whatever else is true of the NIC or its host."""
    return (*check_usage(function, index), *check_group(function, index))
