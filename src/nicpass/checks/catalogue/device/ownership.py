# SPDX-License-Identifier: Apache-2.0
"""Codes about one NIC as a device."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "DRIVER_ABSENT": Entry(
        severity=Severity.INFO,
        sentence="{nic} has no driver on the host.",
        meaning="That does not stand in the way; there is only no state that could be compared when it comes back.",
    ),
    "VF_PREFERRED": Entry(
        severity=Severity.INFO,
        sentence="{nic} can make {totalvfs} VFs; giving away one of them is mostly better than the whole card.",
        meaning="With a VF the host keeps the card, more VMs can share it, and MAC and VLAN are enforced by it.",
        mend="nicpass vf create {address} --count 1",
    ),
}
