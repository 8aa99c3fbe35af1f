# SPDX-License-Identifier: Apache-2.0
"""From findings to an answer: ready, ready after so many mends, or not on this host."""

from __future__ import annotations

import enum

import msgspec

from nicpass.checks.blocking import blocking
from nicpass.model.address import Address
from nicpass.model.finding import Finding


class Verdict(enum.StrEnum):
    """Whether a NIC can be given to a VM."""

    READY = "ready"
    MENDABLE = "mendable"
    """Something stands in the way, and all of it can be mended."""
    IMPOSSIBLE = "impossible"
    """Something stands in the way that nothing mends on this host."""


class NicReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one NIC. `findings` are the NIC's own; those of the host count for the verdict too."""

    address: Address
    name: str
    """The NIC as people call it: `enp3s0f0 (0000:03:00.0)`."""
    verdict: Verdict
    ready: bool
    mends: tuple[str, ...]
    """Codes of the findings to be mended, in the order in which to mend them."""
    findings: tuple[Finding, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report that `nicpass check --json` prints."""

    schema: str = "nicpass.check/1"
    host: tuple[Finding, ...]
    nics: tuple[NicReport, ...]
    owed: tuple[Address, ...] = ()
    """NICs that have come back from a VM and are not what they were: `nicpass recover`. Root alone is told."""


class SecurityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report that `nicpass check --security --json` prints."""

    schema: str = "nicpass.security/1"
    passed: bool
    findings: tuple[Finding, ...]


def judge(address: Address, name: str, common: tuple[Finding, ...], own: tuple[Finding, ...]) -> NicReport:
    """The verdict on one NIC from the host's findings and its own.

    The host is mended before the NIC, and what is graver comes first: firmware, then a reboot, then the rest.
    """
    standing = (*blocking(common), *blocking(own))
    verdict = Verdict.READY
    if standing:
        mendable = all(finding.mend or finding.command for finding in standing)
        verdict = Verdict.MENDABLE if mendable else Verdict.IMPOSSIBLE
    return NicReport(
        address=address,
        name=name,
        verdict=verdict,
        ready=not standing,
        mends=tuple(dict.fromkeys(finding.code for finding in standing)),
        findings=own,
    )
