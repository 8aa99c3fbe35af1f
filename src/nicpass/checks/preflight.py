# SPDX-License-Identifier: Apache-2.0
"""All checks of a host and of its NICs, in the order in which they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.device import check_driver, check_group, check_owner, check_reset, check_vf_preferred
from nicpass.checks.platform import check_platform
from nicpass.checks.reserved import check_domain, check_reserved, check_tables, check_unit
from nicpass.checks.usage import check_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.checks.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

NIC_CHECKS: tuple[Callable[[PciFunction, HostIndex], Iterator[Finding]], ...] = (
    check_owner,
    check_usage,
    check_group,
    check_unit,
    check_reserved,
    check_domain,
    check_driver,
    check_reset,
    check_vf_preferred,
)
"""To add one: write it in the file of its subject, name its codes in the catalogue, list it here."""


def check_host(host: Host) -> tuple[Finding, ...]:
    """What is true of the host whichever NIC is meant."""
    return (*check_platform(host), *check_tables(host))


def check_nic(function: PciFunction, index: HostIndex) -> tuple[Finding, ...]:
    """What is true of one NIC, apart from the host's own findings."""
    return tuple(finding for check in NIC_CHECKS for finding in check(function, index))
