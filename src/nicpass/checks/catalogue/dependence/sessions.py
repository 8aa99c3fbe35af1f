# SPDX-License-Identifier: Apache-2.0
"""Codes about sessions by which somebody administers the host."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "CARRIES_SESSION": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries a session from another machine: {chain}.",
        meaning="Whoever works in that session is cut off, perhaps in the midst of what needs it.",
        background="Sessions come from systemd-logind, from the connections of the programs above this one, and from "
        "SSH_CONNECTION, so tmux, screen and sudo do not hide them. A session counts for a NIC when the NIC has the "
        "address that the session came to, or the best route back in any routing table; so two NICs may be told for "
        "one session.",
        mend="Come in by another NIC, or by the console; --allow CARRIES_SESSION if the session may break off.",
    ),
    "SESSION_UNPLACED": Entry(
        severity=Severity.UNSAFE,
        sentence="By which NIC {session} came is not known; it may be {nic}.",
        meaning="The session may break off when the NIC goes.",
        background="systemd-logind knows of a session from another machine, and its connection was not found: only "
        "root may see the connections of other users' processes, and the other machine may be known by name only. "
        "Every NIC on which an address or a route stands may carry it.",
        mend="Run it as root; --allow SESSION_UNPLACED if the session may break off.",
    ),
}
