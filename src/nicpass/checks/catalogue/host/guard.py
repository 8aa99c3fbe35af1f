# SPDX-License-Identifier: Apache-2.0
"""Codes about the guard, and about what happened while it could not do its work."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

_WHAT_IT_IS = (
    "libvirt takes a NIC from the host at every start of its VM and brings it back at every stop without its addresses."
    " So nicpass puts a script into libvirt's hooks, which looks at the host again before a start and restores it after"
    " a stop. "
)
_ALONE = (
    _WHAT_IT_IS + "Where nicpass cannot run (it was removed, or its Python was upgraded), the script decides alone: a "
    "start goes on, unless a default route of the host, or somebody who is here by ssh, depends on the NIC as far as "
    "/sys and /proc show it. What it decided is in the system's journal (journalctl -t nicpass), and is told here "
    "until nicpass recover has run."
)
_RENEW = "nicpass recover puts the guard of this nicpass there, and has it tried."

ENTRIES: dict[str, Entry] = {
    "GUARD_MISSING": Entry(
        severity=Severity.WARNING,
        sentence="The guard is missing, though VMs have NICs that it is for: {nics}.",
        meaning="Their next start is not looked at, also where the host depends on the NIC by then, and after a stop "
        "the NIC stays without its addresses.",
        background=_WHAT_IT_IS + "It goes with the last NIC that comes back; somebody has taken it away before that.",
        mend=_RENEW,
        command="nicpass recover",
    ),
    "GUARD_NOT_EXECUTABLE": Entry(
        severity=Severity.WARNING,
        sentence="The guard looks installed and is not run: its file in libvirt's hooks is not executable.",
        meaning="libvirt passes over such a file in silence, so the next start of a VM with a NIC is not looked at.",
        background=_WHAT_IT_IS + "libvirt runs those files of /etc/libvirt/hooks/qemu.d that may be executed.",
        mend=_RENEW,
        command="nicpass recover",
    ),
    "GUARD_BROKEN": Entry(
        severity=Severity.WARNING,
        sentence="The guard cannot run the nicpass that it names: {reason}.",
        meaning="Of a start of a VM with a NIC only the script can say something, which sees little of the host; after "
        "a stop nothing is restored.",
        background=_ALONE,
        mend=_RENEW,
        command="nicpass recover",
    ),
    "GUARD_CHANGED": Entry(
        severity=Severity.WARNING,
        sentence="The guard is not the one of this nicpass: another installation or version wrote it, or it was changed"
        " by hand.",
        meaning="Whether it can do its work is not known here.",
        background=_WHAT_IT_IS + "Its files name the very installation that wrote them.",
        mend=_RENEW,
        command="nicpass recover",
    ),
    "STARTED_UNGUARDED": Entry(
        severity=Severity.WARNING,
        sentence="{vm} was started at {when}, and its NICs ({nics}) were not looked at: nicpass was broken, for "
        "{reason}.",
        meaning="Whether the host depends on one of them was seen only as far as a script can tell.",
        background=_ALONE,
        mend="Look whether the host misses something; nicpass recover then clears this.",
        command="nicpass recover",
    ),
    "VETOED_UNGUARDED": Entry(
        severity=Severity.WARNING,
        sentence="{vm} was not started at {when}: nicpass was broken, for {reason}, and {loss}.",
        meaning="To be sure of the host the VM was kept from its start.",
        background=_ALONE,
        mend="nicpass recover clears this; then start the VM, and nicpass looks at the host again.",
        command="nicpass recover",
    ),
    "STOPPED_UNGUARDED": Entry(
        severity=Severity.WARNING,
        sentence="{vm} was stopped at {when}, and its NICs ({nics}) were not restored: nicpass was broken, for "
        "{reason}.",
        meaning="Their addresses and settings are missing until they are restored, or until the next boot.",
        background=_ALONE,
        mend="nicpass recover restores them, and clears this.",
        command="nicpass recover",
    ),
    "HOOKS_CONFINED": Entry(
        severity=Severity.WARNING,
        sentence="SELinux confines libvirt's hooks: virt_hooks_unconfined is off.",
        meaning="The guard cannot see the host nor write its records, so it can neither look at a start nor restore "
        "after a stop.",
        background="The policies of Fedora 40 and later and of RHEL 10 give libvirt's hooks a domain of their own, "
        "virt_hook_t, which may do next to nothing unless the boolean virt_hooks_unconfined is on. nicpass does not "
        "set it: what SELinux lets through is the administrator's to decide.",
        mend="This lets all of libvirt's hooks run as root's own programs do.",
        command="setsebool -P virt_hooks_unconfined on",
    ),
}
