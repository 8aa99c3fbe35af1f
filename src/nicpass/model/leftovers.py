# SPDX-License-Identifier: Apache-2.0
"""Leftovers of earlier hands in files and arguments: bindings, overrides, blacklists."""

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
    """The module's name, with underscores, as the kernel has it."""
    value: str = ""
    """The rest of the line: options of the module, or the command that is run in place of it."""


class DriverctlOverride(msgspec.Struct, frozen=True, kw_only=True):
    """A file of driverctl(8), by which a device gets its driver at every boot."""

    path: str
    address: Address
    driver: str


class UdevRule(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an administrator's udev rule that gives devices to VFIO (udev(7))."""

    path: str
    text: str


class BootLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that gives devices their driver, or PFs their VFs, of what a boot runs or goes by: rc.local, udev, ..."""

    path: str
    text: str
    devices: tuple[str, ...] = ()
    """Addresses and interfaces that the file names: the line may mean them by a variable."""


class ModuleAlias(msgspec.Struct, frozen=True, kw_only=True):
    """A line of modules.alias: for which PCI devices a blacklisted module would be loaded."""

    pattern: str
    module: str


PROXMOX: Final = "Proxmox VE"
SRIOV_OPERATOR: Final = "SR-IOV operator"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim of another manager of devices: by a file of its own it has a device for itself."""

    manager: Literal["Proxmox VE", "SR-IOV operator"]
    device: str
    """The device, `0000:3b:00.0`; the operator's includes the PF's VFs; Proxmox also has `0000:3b:00`, a whole slot."""
    path: str
    holder: str
    """The claim's holder: the number of Proxmox' VM, the name of its mapping, the PF."""
    entry: str | None = None
    """The key in the VM's configuration, `hostpci0`; None where the claim is no VM's."""


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """All leftovers on a host. A folder that is not there holds nothing; one that may not be read is in `unread`."""

    directives: tuple[Directive, ...] = ()
    loaded_ids: Fact[str] = None
    """The ids that the loaded vfio-pci was given, where the kernel shows them; the stock kernel does not."""
    driverctl: tuple[DriverctlOverride, ...] = ()
    udev_rules: tuple[UdevRule, ...] = ()
    boot_lines: tuple[BootLine, ...] = ()
    blacklisted_aliases: tuple[ModuleAlias, ...] = ()
    claims: tuple[Claim, ...] = ()
    unread: tuple[str, ...] = ()
