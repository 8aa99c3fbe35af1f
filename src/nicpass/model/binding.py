# SPDX-License-Identifier: Apache-2.0
"""Boot bindings as they were found on a host: their files, and what the last boot made of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from nicpass.model.address import Address
from nicpass.model.boot import BootBinding
from nicpass.model.fact import Fact

MatchOutcome = Literal["found", "absent", "other", "ambiguous", "unread"]
"""One device answers; none, and its slots are empty; none, and another device stands there; several answer;
a device may be the one, but its serial number could not be read."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Which device an identity means."""

    outcome: MatchOutcome
    addresses: tuple[Address, ...] = ()
    """The one that was found; those that stand there instead; those that answer; those that could not be read."""


class BindingOutcome(StrEnum):
    """What the boot's script says of one binding."""

    BOUND = "bound"
    TAKEN = "taken"
    """Another driver had the device first."""
    FAILED = "failed"
    """The device is the right one and free, but the driver did not take it."""
    ABSENT = "absent"
    OTHER = "other"
    AMBIGUOUS = "ambiguous"
    UNREAD = "unread"
    DAMAGED = "damaged"
    """Of its file."""


class BindingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What this boot made of one binding, from /run/nicpass/boot.d."""

    name: str
    outcome: BindingOutcome
    boot_pass: str = ""
    """`initramfs`, or `unit` for the one of systemd."""
    addresses: tuple[Address, ...] = ()
    """As in `Match`."""
    driver: str | None = None
    """The one that has the device."""
    detail: str = ""
    """In English, as programs and the script say it."""


class DamagedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that cannot be what it is for."""

    path: str
    reason: str


class BuiltinDriver(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC whose own driver is part of the kernel, so it has the NIC before anything else runs."""

    address: Address
    module: str
    """With underscores, as the kernel names it."""


class BootBindings(msgspec.Struct, frozen=True, kw_only=True):
    """All about boot bindings on a host."""

    bindings: Fact[tuple[BootBinding, ...]] = ()
    """In the order of their names; Unknown where the folder could not be listed."""
    damaged: tuple[DamagedFile, ...] = ()
    """Of the bindings and of the reports."""
    reports: Fact[tuple[BindingReport, ...]] = None
    """None: the script did not run in this boot, or had nothing to do."""
    builtin_drivers: tuple[BuiltinDriver, ...] = ()
