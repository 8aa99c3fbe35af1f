# SPDX-License-Identifier: Apache-2.0
"""Boot bindings as they were found on a host: their files, and what the last boot made of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

import msgspec

from nicpass.model.address import Address
from nicpass.model.boot import BootBinding
from nicpass.model.fact import Fact

FOLDER: Final = "/etc/nicpass/boot.d"
REPORTS: Final = "/run/nicpass/boot.d"
SUFFIX: Final = ".conf"

MatchOutcome = Literal["found", "absent", "other", "ambiguous", "unread"]
"""How the search for an identity's device ended, in this order: one device answers; none, and its slots are empty;
none, and another device stands there; several answer; one may be it, but its serial number could not be read."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Which device on this host an identity means."""

    outcome: MatchOutcome
    addresses: tuple[Address, ...] = ()
    """The devices by outcome: the one found; those there instead; those that answer; those that could not be read."""


class BindingOutcome(StrEnum):
    """How one binding ended at boot, in the word of the boot's script."""

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
    """The binding's own file is damaged."""


def path_of(binding: BootBinding) -> str:
    """The path of the binding's file in /etc/nicpass/boot.d."""
    return f"{FOLDER}/{binding.name}{SUFFIX}"


class BindingReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of this boot on one binding, from /run/nicpass/boot.d."""

    name: str
    outcome: BindingOutcome
    boot_pass: str = ""
    """The pass that reports: `initramfs`, or `unit` for the one of systemd."""
    addresses: tuple[Address, ...] = ()
    """The devices that the outcome speaks of, as in `Match`."""
    driver: str | None = None
    """The driver that has the device."""
    detail: str = ""
    """The details in English, as programs and the script say them."""


class DamagedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a binding or a report that cannot be read as one, and why."""

    path: str
    reason: str


class BuiltinDriver(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC whose own driver is part of the kernel, so it has the NIC before anything else runs."""

    address: Address
    module: str
    """The driver's module, with underscores, as the kernel names it."""


class BootBindings(msgspec.Struct, frozen=True, kw_only=True):
    """All about boot bindings on a host."""

    bindings: Fact[tuple[BootBinding, ...]] = ()
    """The bindings in the order of their names; Unknown where the folder could not be listed."""
    damaged: tuple[DamagedFile, ...] = ()
    """The damaged files among those of the bindings and of the reports."""
    reports: Fact[tuple[BindingReport, ...]] = None
    """The reports of this boot; None where the script did not run in it, or had nothing to do."""
    builtin_drivers: tuple[BuiltinDriver, ...] = ()
