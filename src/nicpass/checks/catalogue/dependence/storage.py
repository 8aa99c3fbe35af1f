# SPDX-License-Identifier: Apache-2.0
"""Codes about storage on other machines."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "CARRIES_ROOT": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries the root file system or swap space of the host: {chain}.",
        meaning="Without it the host freezes: it could not even load the program that would bring the NIC back.",
        background="The root file system or swap space lies on another machine (NFS, iSCSI, NBD, NVMe over TCP). "
        "Every program and library that is not in memory yet comes by this NIC, and what is swapped out too. "
        "Nothing overrides this.",
        mend="Give away another NIC, or a VF of this one if it is a PF and the host keeps the PF.",
    ),
    "ROOT_UNPLACED": Entry(
        severity=Severity.UNSAFE,
        sentence="The root file system or swap space lies on another machine ({storage}), by way perhaps of {nic}.",
        meaning="Without its NIC the host freezes, and which that is could not be learned.",
        background="The host runs on storage of another machine whose address the kernel does not show, or to which "
        "no route was found. So every NIC on which an address or a route stands may be the one that it needs.",
        mend="Find its server's address (findmnt /; cat /proc/cmdline), and give away a NIC that leads nowhere there.",
    ),
    "CARRIES_STORAGE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries storage of the host: {chain}.",
        meaning="Programs that read or write there would hang or fail, and what was not written yet is lost.",
        background="A hard NFS mount waits for its server for ever, and processes that wait for it cannot be killed. "
        "Disks by iSCSI, NBD or NVMe over TCP return errors after a while, and file systems on them become read-only "
        "or damaged. The NIC is the one with the address that is used, or with the best route to the server.",
        mend="Unmount and log out first, or move the storage to another NIC.",
        command="{undo}",
    ),
    "STORAGE_UNPLACED": Entry(
        severity=Severity.UNSAFE,
        sentence="By which NIC the host reaches its storage ({storage}) is not known; it may be {nic}.",
        meaning="Programs that use the storage would hang or fail if it is this one.",
        background="The kernel shows a server by name only, or an address to which there is no route. Names are not "
        "looked up: the answer could be another one than that at the time of the mount. So every NIC on which an "
        "address or a route stands may be the one.",
        mend="Unmount it, or see how the server is reached (ip route get ADDRESS); "
        "--allow STORAGE_UNPLACED if it is not by this NIC.",
        command="{undo}",
    ),
}
