# SPDX-License-Identifier: Apache-2.0
"""Virtual machines: the NICs in their definitions, and what else in there decides how passthrough goes.

The words are libvirt's: https://libvirt.org/formatdomain.html. Sizes are in bytes.
"""

from __future__ import annotations

from typing import Literal, NewType

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact

GuestPlace = NewType("GuestPlace", str)
"""Where a device stands in the guest, whose PCI domain is 0: `bus:slot` in lower-case hex, `05:00`."""


def guest_place(bus: int, slot: int) -> GuestPlace:
    return GuestPlace(f"{bus:02x}:{slot:02x}")


class DomainDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A PCI function in a VM's definition: `<hostdev>`, or `<interface type='hostdev'>`."""

    address: Address
    element: Literal["hostdev", "interface"]
    managed: bool
    mac: str | None = None
    vlan: int | None = None
    teaming: str | None = None
    """`transient` (it may be unplugged for a migration) or `persistent`: `<teaming type=>`."""
    rom_bar: bool | None = None
    """Whether the guest sees the option ROM: `<rom bar=>`; None where the definition leaves it to the hypervisor."""
    rom_file: str | None = None
    place: GuestPlace | None = None
    """Where the guest sees it, as its first function; None where the definition leaves that to the hypervisor."""
    xml: str | None = None
    """The whole element, in the hypervisor's own words."""


class DomainInterface(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface of a VM that is no function of the host: `<interface>` of every other type."""

    type: str
    model: str | None = None
    source: str | None = None
    """The bridge, network or interface of the host that it stands on."""
    dev: str | None = None
    """The host's interface, or the file in /dev, that it is plugged into: `<source dev=>`, of macvtap, vDPA, passt."""
    network: str | None = None
    """The network of libvirt's that gives it one, also while the VM runs on what it was given."""
    mac: str | None = None
    xml: str | None = None
    """The whole element, in the hypervisor's own words, where a network gives it what it is plugged into."""
    filter: str | None = None
    """The network filter of libvirt's that applies to it: `<filterref filter=>`."""
    teaming: str | None = None


class CpuPin(msgspec.Struct, frozen=True):
    """One virtual CPU and the host's CPUs that it may run on, as a list such as `0-3,8`."""

    vcpu: int
    cpus: str


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where on the host a definition puts the VM: its CPUs, and the memory that it gets."""

    vcpus: int
    """How many virtual CPUs it is for; with another number of them it says something else."""
    pins: tuple[CpuPin, ...] = ()
    emulator: str | None = None
    """The CPUs of QEMU's own threads: `<emulatorpin>`."""
    by_hand: bool = True
    """Whether the definition says where it runs, not a daemon at each start (`<vcpu placement='auto'>`)."""
    mode: str | None = None
    nodes: str | None = None
    hugepages: bool = False
    page_size: int | None = None
    """The size of the huge pages, in bytes; None for the host's own, or for several."""
    numatune_xml: str | None = None
    """As in Definition; None in a placement that is still to be written."""
    hugepages_xml: str | None = None


class VirtualIommu(msgspec.Struct, frozen=True, kw_only=True):
    """`<iommu model=>`: an IOMMU that the guest sees. A switch that is not there is None."""

    model: str | None = None
    caching_mode: bool | None = None
    intremap: bool | None = None
    aw_bits: Fact[int] = None


class PciPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """Where a PCI device can be plugged into the VM, as far as the definition shows it."""

    root_ports: int = 0
    """`pcie-root-port` and `pcie-switch-downstream-port`: each takes one device."""
    free_root_ports: int = 0
    hotplug_slots: int = 0
    """Free places that a running VM can take a device in: ports without `hotplug='off'`, or slots of a `pci-root`."""
    hotplug_places: tuple[GuestPlace, ...] = ()
    """Those places by name, the lowest first."""
    next_index: int = 0
    """The index of the next controller of PCI devices; 0 where there is no PCI Express that root ports could be on."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a VM's definition that matters here. None: the definition does not say; Unknown: it says no value."""

    machine: Fact[str] = None
    arch: Fact[str] = None
    firmware: Fact[str] = None
    """The kind of firmware, `efi` or `bios`."""
    secure_boot: Fact[bool] = None
    memory: Fact[int] = None
    """All memory that the guest may have at its start (`<memory>`); `current_memory` is what the balloon leaves it."""
    current_memory: Fact[int] = None
    max_memory: Fact[int] = None
    """The guest's memory with what may be plugged in later (`<maxMemory>`)."""
    memory_limit: Fact[int] = None
    """`<memtune><hard_limit>`; libvirt then also takes it as the limit of locked memory."""
    memory_nodes: Fact[str] = None
    """The host's NUMA nodes that the guest's memory comes from: `<numatune>`, a list such as `0-1`."""
    memory_mode: Fact[str] = None
    numatune_xml: str | None = None
    """All of `<numatune>`, in the hypervisor's own words, so that it can be put back; and so of `<hugepages>`."""
    hugepages_xml: str | None = None
    hugepages: bool = False
    hugepage_sizes: Fact[tuple[int, ...]] = None
    """The page sizes that the definition names; with `hugepages` and none named it is the host's default size."""
    locked: bool = False
    nosharepages: bool = False
    vcpus: Fact[int] = None
    cpuset: Fact[str] = None
    """`<vcpu cpuset=>`: where virtual CPUs without a pin of their own may run."""
    placement: Fact[str] = None
    vcpu_pins: Fact[tuple[CpuPin, ...]] = ()
    emulator_pin: Fact[str] = None
    cpu_mode: Fact[str] = None
    address_bits: Fact[int] = None
    """Bits of a physical address of the virtual processor: `<maxphysaddr bits=>`."""
    address_bits_mode: Fact[str] = None
    """`passthrough` (the host's own width) or `emulate`."""
    pci: PciPlaces = PciPlaces()
    iommu: VirtualIommu | None = None
    interfaces: tuple[DomainInterface, ...] = ()
    other_hostdevs: tuple[str, ...] = ()
    """Types of the host's devices in the definition that are no PCI functions: `usb`, `mdev`, `scsi`."""
    argument_devices: tuple[Address, ...] = ()
    """The host's PCI functions that `<qemu:arg>` gives to QEMU past libvirt, which then knows nothing of them."""
    unread_devices: tuple[str, ...] = ()
    """Why it may have more of the host's NICs than the rest shows: elements that name one in no way known here."""
    os_id: Fact[str] = None
    """The guest's system by libosinfo's id: `http://debian.org/debian/12`."""


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual machine, as its hypervisor knows it."""

    name: str
    uuid: str
    running: bool = False
    paused: bool = False
    """Whether it runs, and its guest does not: paused by somebody, crashed, or asleep."""
    persistent: bool = True
    config_devices: tuple[DomainDevice, ...] = ()
    """The devices in the lasting definition; `live_devices` are in the running machine."""
    live_devices: tuple[DomainDevice, ...] = ()
    config: Definition | None = None
    """The lasting definition; `live` is the running machine's. None where nobody has read it."""
    live: Definition | None = None
    saved_image: Fact[bool] = None
    """Whether the VM's memory lies on disk (`virsh managedsave`), from which the next start would go on."""
    snapshots: Fact[int] = None

    @property
    def definition(self) -> Definition | None:
        """The running machine's definition where there is one, else the lasting definition."""
        return self.live or self.config
