# SPDX-License-Identifier: Apache-2.0
"""What earlier hands left in files and arguments: bindings, overrides, blacklists."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact


class Directive(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a file in modprobe.d (modprobe.d(5)), or what the kernel's command line says to the same effect."""

    path: str
    text: str
    """The whole line, as it stands in the file; the argument, where `path` is /proc/cmdline."""
    command: str
    """`options`, `blacklist` or `install`."""
    module: str
    """With underscores, as the kernel names it."""
    value: str = ""
    """What follows: options of the module, the command in place of it."""


class DriverctlOverride(msgspec.Struct, frozen=True, kw_only=True):
    """A file of driverctl(8), by which a device gets its driver at every boot."""

    path: str
    address: Address
    driver: str


class UdevRule(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an administrator's udev rule that gives devices to VFIO (udev(7))."""

    path: str
    text: str


class ModuleAlias(msgspec.Struct, frozen=True, kw_only=True):
    """For which PCI devices a blacklisted module would be loaded: a line of modules.alias."""

    pattern: str
    module: str


PROXMOX: Final = "Proxmox VE"
SRIOV_OPERATOR: Final = "SR-IOV operator"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Another manager of devices has a device for its own, by a file of its."""

    manager: Literal["Proxmox VE", "SR-IOV operator"]
    device: str
    """`0000:3b:00.0`, with the operator also the VFs of that PF; of Proxmox also `0000:3b:00`, a slot's functions."""
    path: str
    holder: str
    """For whom: the number of Proxmox' VM, the name of its mapping, the PF."""
    entry: str | None = None
    """The key in the VM's configuration, `hostpci0`; None where it is no VM's."""


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. A folder that is not there holds nothing; one that may not be read is in `unread`."""

    directives: tuple[Directive, ...] = ()
    loaded_ids: Fact[str] = None
    """The ids that the loaded vfio-pci was given, where the kernel shows them; the stock kernel does not."""
    driverctl: tuple[DriverctlOverride, ...] = ()
    udev_rules: tuple[UdevRule, ...] = ()
    blacklisted_aliases: tuple[ModuleAlias, ...] = ()
    claims: tuple[Claim, ...] = ()
    unread: tuple[str, ...] = ()
