# SPDX-License-Identifier: Apache-2.0
"""All that was observed of a host, as one frozen value that goes to JSON and back."""

from __future__ import annotations

from typing import Literal

import msgspec

from nicpass.model.address import Address, parse_address
from nicpass.model.fact import Fact

SCHEMA: Literal["nicpass.host/1"] = "nicpass.host/1"


class PciFunction(msgspec.Struct, frozen=True, kw_only=True):
    """One PCI function, as /sys/bus/pci/devices/ADDRESS shows it (Documentation/ABI/testing/sysfs-bus-pci)."""

    address: Address
    class_code: Fact[int] = None
    """24 bits: base class, sub-class, programming interface; 0x020000 is an Ethernet controller."""
    vendor_id: Fact[int] = None
    device_id: Fact[int] = None
    subsystem_vendor_id: Fact[int] = None
    subsystem_device_id: Fact[int] = None
    driver: Fact[str] = None
    driver_override: Fact[str] = None
    bridge: Address | None = None
    """The bridge directly above; None on a root bus."""
    iommu_group: Fact[int] = None
    numa_node: Fact[int] = None
    reset_methods: Fact[tuple[str, ...]] = None
    totalvfs: Fact[int] = None
    """How many VFs it can make; None for what has no SR-IOV (Documentation/PCI/pci-iov-howto.rst)."""
    numvfs: Fact[int] = None
    physfn: Fact[Address] = None
    virtfns: tuple[Address, ...] = ()
    """The VFs of this PF; the place in the tuple is the VF's index."""
    netdevs: Fact[tuple[str, ...]] = None
    block_devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A snapshot comes from elsewhere, and addresses are printed into lines to paste."""
        if parse_address(self.address) != self.address:
            raise ValueError(f"not a PCI address: {self.address!r}")


class VfSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the PF enforces on one VF (IFLA_VF_* in linux/if_link.h)."""

    vf_index: int
    mac: str
    vlan: int = 0
    spoofchk: bool | None = None
    trust: bool | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One network interface of the host, as `ip -details link` shows it."""

    name: str
    mac: str | None = None
    permanent_mac: str | None = None
    mtu: int | None = None
    up: bool = False
    """The administrator's wish (IFF_UP); `operstate` and `carrier` say what came of it."""
    operstate: str | None = None
    carrier: bool | None = None
    master: str | None = None
    """The bridge, bond, team or VRF that has enslaved it."""
    lower: str | None = None
    """The interface that this one stands on: a VLAN's or macvlan's parent."""
    kind: str | None = None
    altnames: tuple[str, ...] = ()
    driver_version: str | None = None
    firmware_version: str | None = None
    vfs: tuple[VfSettings, ...] = ()


class IpAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One address on an interface, `10.0.0.5/24`; without lifetimes, which change by themselves."""

    netdev: str
    address: str
    prefix_length: int
    scope: str = "global"
    """`global`, `site`, `link` or `host` (rtnetlink(7))."""
    peer: str | None = None
    """The other end of a point-to-point link."""
    broadcast: str | None = None
    label: str | None = None
    tentative: bool = False
    """Nobody else must have it, and that is still being asked (RFC 4862, 5.4)."""
    dynamic: bool = False
    """It has a lifetime: DHCP or a router advertisement gave it."""

    @property
    def text(self) -> str:
        return f"{self.address}/{self.prefix_length}"

    @property
    def comes_with_link(self) -> bool:
        """The address that IPv6 gives every interface that is up (RFC 4291, 2.5.6); it serves nobody by itself."""
        return self.scope == "link" and self.address.startswith("fe80:")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route of any table. Source: rtnetlink(7)."""

    netdev: str
    destination: str
    """`default`, or `10.0.0.0/24`."""
    table: int = 254
    gateway: str | None = None
    protocol: str = "boot"
    """Who made it: `kernel` routes follow their address and are never written by us."""
    metric: int | None = None
    scope: str = "global"
    source: str | None = None
    family: Literal["inet", "inet6"] = "inet"
    multipath: bool = False


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The host's own network namespace, from rtnetlink and ethtool; of a capture, what its sysfs has."""

    links: tuple[Link, ...] = ()
    addresses: Fact[tuple[IpAddress, ...]] = None
    routes: Fact[tuple[Route, ...]] = None


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


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """Processor, firmware and kernel, as far as passthrough depends on them."""

    hostname: Fact[str] = None
    kernel: Fact[str] = None
    boot_id: Fact[str] = None
    cmdline: Fact[str] = None
    cpu_vendor: Fact[str] = None
    virtualization: Fact[str] = None
    """`vmx` or `svm` in the flags of /proc/cpuinfo."""
    kvm_device: Fact[bool] = None
    iommu_tables: Fact[tuple[str, ...]] = None
    """Which of DMAR (Intel), IVRS (AMD), IORT (Arm) and VIOT (virtio) the firmware publishes."""
    iommu_units: Fact[tuple[str, ...]] = None
    """Names in /sys/class/iommu: those that a kernel driver has taken into use."""
    iommu_groups: Fact[int] = None
    modules: Fact[tuple[str, ...]] = None
    """Those of the modules that passthrough needs that are loaded or built in."""
    available_modules: Fact[tuple[str, ...]] = None
    """Those that modules.dep or modules.builtin of the running kernel names."""
    unsafe_interrupts: Fact[bool] = None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A host, read once. `pci` is in the order of the addresses."""

    schema: Literal["nicpass.host/1"] = SCHEMA
    pci: tuple[PciFunction, ...]
    platform: Platform = Platform()
    network: Network = Network()
    domains: Fact[tuple[Domain, ...]] = None
