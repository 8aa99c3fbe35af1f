# SPDX-License-Identifier: Apache-2.0
"""Waits that several lab tests need before a host can be compared."""

from __future__ import annotations

from lab.machine import Machine

_LONG = 400


def wait_for_own_address(host: Machine, netdev: str) -> None:
    """Wait until the interface has carrier, and IPv6 has made its address, which nobody else has (RFC 4862, 5.4)."""
    host.wait_for_link(netdev)
    host.wait_until_succeeds(f"ip -6 address show dev {netdev} -tentative | grep fe80", _LONG)
