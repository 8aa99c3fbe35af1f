# SPDX-License-Identifier: Apache-2.0
"""Codes about what earlier hands have left behind."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "ON_VFIO": Entry(
        severity=Severity.WARNING,
        sentence="{nic} is bound to {driver}, and no VM that libvirt knows has it.",
        meaning="An earlier hand bound it (driverctl, a kernel argument, DPDK), or a program uses it now.",
        mend="If nothing uses it: driverctl unset-override {address}",
    ),
    "OVERRIDE_LEFT": Entry(
        severity=Severity.WARNING,
        sentence="{nic} has a driver override: {override}.",
        meaning="Only that driver can bind it, so it cannot come back to the host on its own driver.",
        mend="driverctl unset-override {address}",
    ),
}
