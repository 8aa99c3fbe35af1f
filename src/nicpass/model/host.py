# SPDX-License-Identifier: Apache-2.0
"""All that was observed of a host, as one frozen value that goes to JSON and back."""

from __future__ import annotations

from typing import Literal

import msgspec

from nicpass.model.access import Access
from nicpass.model.activity import Activity
from nicpass.model.binding import BootBindings
from nicpass.model.boot import Boot
from nicpass.model.class_devices import ClassDevice
from nicpass.model.cpus import Cpus
from nicpass.model.declared_vfs import VfDeclarations
from nicpass.model.domain import Domain
from nicpass.model.fact import Fact
from nicpass.model.firmware import Firmware
from nicpass.model.given import GivenNic, VetoedVm
from nicpass.model.groups import IommuGroup
from nicpass.model.guard import Guard
from nicpass.model.leftovers import Leftovers
from nicpass.model.libvirt_network import LibvirtNetwork
from nicpass.model.memory import Memory
from nicpass.model.network import Network
from nicpass.model.pci import PciFunction
from nicpass.model.platform import Platform

SCHEMA: Literal["nicpass.host/1"] = "nicpass.host/1"


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A host, read once. `pci` is in the order of the addresses."""

    schema: Literal["nicpass.host/1"] = SCHEMA
    pci: tuple[PciFunction, ...]
    pci_unread: str | None = None
    """Why there may be more functions than in `pci`; None where the bus was listed in full."""
    platform: Platform = Platform()
    memory: Memory = Memory()
    access: Access = Access()
    firmware: Firmware = Firmware()
    iommu_groups: Fact[tuple[IommuGroup, ...]] = None
    network: Network = Network()
    class_devices: Fact[tuple[ClassDevice, ...]] = None
    """The devices that hang on the PCI functions: disks and what is mounted from them, keyboards, screens."""
    leftovers: Leftovers = Leftovers()
    boot_bindings: BootBindings = BootBindings()
    vf_declarations: VfDeclarations = VfDeclarations()
    """The VFs that nicpass is to make at every boot."""
    activity: Activity = Activity()
    domains: Fact[tuple[Domain, ...]] = None
    libvirt_networks: Fact[tuple[LibvirtNetwork, ...]] = None
    """Which of them lend NICs of this host to VMs; None also in a snapshot from before they were read."""
    guard: Guard = Guard()
    given: Fact[tuple[GivenNic, ...]] = None
    """The NICs that nicpass has given to VMs; None also in a snapshot from before they were read."""
    vetoes: Fact[tuple[VetoedVm, ...]] = None
    """The VMs of which the guard has vetoed a start."""
    boot: Boot = Boot(unread="not asked for")
    """The boot configuration that the next boots go by."""
    cpus: Cpus = Cpus(unread="not asked for")
    """The CPUs beyond which node each is on, for who places a VM."""
