# SPDX-License-Identifier: Apache-2.0
"""The same host, seen as an auditor would."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host


def check_security(host: Host) -> tuple[Finding, ...]:
    """What weakens the isolation between guests, NICs and the host."""
    return ()
