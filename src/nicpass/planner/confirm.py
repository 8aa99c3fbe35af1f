# SPDX-License-Identifier: Apache-2.0
"""When a change gets a dead man's hand: when it was asked for, or when the administrator's own session hangs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.plan import ArmTimer, StartWindow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.address import Address
    from nicpass.model.finding import Finding
    from nicpass.model.plan import Step

DEFAULT_SECONDS = 120
"""Seconds to confirm a change in: long enough to log in anew and look; short enough to wait for."""
_LONGEST = 24 * 3600
_SHORTEST = 5
SESSION_CODES = frozenset(
    {"CARRIES_DEFAULT_ROUTE", "CARRIES_SESSION", "CARRIES_TUNNEL", "RULE_NAMES_NIC", "SESSION_UNPLACED"}
)
"""Findings by which the administrator's own way to the host may go through the NIC."""


_ALLOWANCE = 600
"""Seconds that a change may take: libvirt has 300 of them for a start, and what else it is asked has less."""


def confirmed(
    address: Address, seconds: int | None, findings: Iterable[Finding], steps: Iterable[Step]
) -> tuple[Step, ...]:
    """`steps` with those around them that set the timer, if there is to be one; `seconds` as in AttachRequest.

    The timer stands before anything is done; the time to confirm begins when all is done.

    Raises:
        BadInputError: no such time can be waited for.
    """
    if seconds is None:
        seconds = DEFAULT_SECONDS if any(finding.code in SESSION_CODES for finding in findings) else 0
    if seconds == 0:
        return tuple(steps)
    check_seconds(seconds)
    return (
        ArmTimer(address=address, seconds=seconds, allowance=_ALLOWANCE),
        *steps,
        StartWindow(address=address, seconds=seconds, allowance=_ALLOWANCE),
    )


def check_seconds(seconds: int) -> None:
    """Pass if a change can be confirmed in this time, or need not be (0). Raises BadInputError."""
    if seconds and not _SHORTEST <= seconds <= _LONGEST:
        raise BadInputError(
            _("{seconds} s is no time to confirm a change in.").format(seconds=seconds),
            _("--confirm-within takes {shortest} to {longest} s, or 0 for never.").format(
                shortest=_SHORTEST, longest=_LONGEST
            ),
        )
