# SPDX-License-Identifier: Apache-2.0
"""Virtual machines, and the NICs in their definitions."""

from __future__ import annotations

from typing import Literal

import msgspec

from nicpass.model.address import Address


class DomainDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A PCI function in a VM's definition: `<hostdev>`, or `<interface type='hostdev'>`."""

    address: Address
    element: Literal["hostdev", "interface"]
    managed: bool
    mac: str | None = None
    vlan: int | None = None
    xml: str | None = None
    """The whole element, in the hypervisor's own words."""


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual machine, as its hypervisor knows it."""

    name: str
    uuid: str
    running: bool = False
    persistent: bool = True
    config_devices: tuple[DomainDevice, ...] = ()
    """In the lasting definition; `live_devices` are in the running machine."""
    live_devices: tuple[DomainDevice, ...] = ()
