# SPDX-License-Identifier: Apache-2.0
"""Codes about VFs that are to be there at every boot."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "VFS_MISSING": Entry(
        severity=Severity.WARNING,
        sentence="{nic} is to have {count} VFs, and has {numvfs}.",
        meaning="A VM that has one of the missing VFs in its definition does not start.",
        background="nicpass vf create keeps in /etc/nicpass/vfs.d what VFs a PF is to have. The unit "
        "nicpass-vfs.service makes them at each boot before a network manager and libvirt start, and again when the "
        "PF's driver comes back. It makes none where the driver did not come in time or refused them, where another "
        "card stands in the PF's place, while a change of these VFs is not settled, and where somebody else has set "
        "another number.",
        mend="nicpass vf restore makes them, or says why not; journalctl -b -u nicpass-vfs.service has what it said.",
        command="nicpass vf restore",
    ),
    "VFS_TOO_MANY": Entry(
        severity=Severity.WARNING,
        sentence="{nic} is to have {count} VFs, and has {numvfs}: somebody else has set that.",
        meaning="Neither of the two gives way: at each boot it is decided by who comes first.",
        background="The number of VFs can be set by a .link file, netplan, an option of the driver's module, a udev "
        "rule, a script, the SR-IOV operator and others; nicpass changes no number that it has not set itself.",
        mend="If {numvfs} is right: nicpass vf create {address} --count {numvfs}. Else take out who sets it, and: "
        "nicpass vf remove {address}, then nicpass vf create {address} --count {count}",
    ),
    "PF_OF_VFS_ABSENT": Entry(
        severity=Severity.WARNING,
        sentence="The PF that was {address} when {count} VFs were asked for is not there: {reason}.",
        meaning="Its VFs were not made, so a VM that has one in its definition does not start.",
        background="A PF is known by the serial number in its configuration space wherever it stands, or, without one, "
        "by its ids and its slots, from the root down. What stands in its place is left alone.",
        mend="If the card was moved, ask for its VFs where it stands now: nicpass vf create. Then take the old file "
        "away: rm {file}",
    ),
    "VF_FILE_DAMAGED": Entry(
        severity=Severity.WARNING,
        sentence="{path} cannot be what nicpass wrote: {reason}.",
        meaning="The VFs that it was about are not made at boot.",
        background="A file in /etc/nicpass/vfs.d is JSON, of the schema nicpass.declared-vfs/1. Nothing that is not "
        "plain is guessed.",
        mend="Mend it or take it away (rm {file}), then ask for the VFs anew: nicpass vf create.",
    ),
    "VF_FILES_UNREAD": Entry(
        severity=Severity.WARNING,
        sentence="Which VFs are to be there at boot could not be read: {reason}.",
        meaning="It is not known whether all of them are there.",
        background="Each PF has a file in /etc/nicpass/vfs.d, which anybody may read.",
        mend="Run it as root.",
    ),
}
