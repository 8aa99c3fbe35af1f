# SPDX-License-Identifier: Apache-2.0
"""PCI functions, as sysfs shows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec

from nicpass.model.address import Address, parse_address
from nicpass.model.config_space import ConfigSpace, PcieLink
from nicpass.model.fact import Fact, StructFact, Unknown, settle_struct_facts

NOT_READ = Unknown("not read: no network controller depends on it")
IS_VF = Unknown("not read: it is a VF, see its PF")


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One region of a function's address space, as sysfs's `resource` has it; sizes are in bytes."""

    index: int
    """The number of the BAR, 0 to 5; of VF BARs too."""
    address: int
    """Where the region lies; zero where nobody has given it a place."""
    size: int
    is_io: bool = False
    is_64bit: bool = False
    prefetchable: bool = False
    assigned: bool = True


if TYPE_CHECKING:
    ConfigFact: TypeAlias = Fact[ConfigSpace]
    LinkFact: TypeAlias = Fact[PcieLink]
else:
    ConfigFact = Annotated[Any, StructFact(ConfigSpace)]
    LinkFact = Annotated[Any, StructFact(PcieLink)]


class Representor(msgspec.Struct, frozen=True, kw_only=True):
    """An interface of a PF in switchdev mode that is the other end of a VF or subfunction.

    Source: Documentation/networking/switchdev.rst, `devlink_port_phys_port_name_get()` in net/devlink/port.c.
    """

    netdev: str
    port: str
    """The kernel's name of its port: `pf0vf3`, `pf0sf88`, with `c1` before it for the host that a card serves."""

    @property
    def vf_index(self) -> int | None:
        """Which VF it stands for; None for what is no VF of this machine."""
        match = re.fullmatch(r"pf[0-9]+vf([0-9]+)", self.port)
        return int(match[1]) if match else None


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
    """How many VFs the function can make; None where it has no SR-IOV (Documentation/PCI/pci-iov-howto.rst)."""
    numvfs: Fact[int] = None
    vf_autoprobe: Fact[bool] = None
    """Whether the host's drivers take the VFs of this PF as they are made (`sriov_drivers_autoprobe`)."""
    physfn: Fact[Address] = None
    virtfns: tuple[Address, ...] = ()
    """The VFs of this PF, in the order of their indices."""
    virtfn_indices: tuple[int, ...] | None = None
    """The VFs' indices, by the names of the links (`virtfn7`); None where these are 0, 1, 2 and so on."""
    netdevs: Fact[tuple[str, ...]] = None
    """Its own interfaces; those that stand for its VFs are `representors`."""
    representors: tuple[Representor, ...] = ()
    """Other ends of its VFs and subfunctions: there are some in switchdev mode only."""
    rdma: Fact[tuple[str, ...]] = None
    """Its RDMA devices; empty where they are in another network namespace, None where it has none."""
    board_label: Fact[str] = None
    """What the firmware calls it, of a device on the board: `NIC1` (Documentation/ABI/testing/sysfs-bus-pci, label)."""
    block_devices: tuple[str, ...] = ()
    config: ConfigFact = NOT_READ
    sysfs_link: LinkFact = NOT_READ
    """The function's PCIe link as sysfs tells it; asked for only where `config` does not show it."""
    bars: Fact[tuple[Bar, ...]] = NOT_READ
    vf_bars: Fact[tuple[Bar, ...]] = NOT_READ
    """The VF BARs of a PF: each as big as the BARs of all its VFs together."""
    rom_size: Fact[int] = NOT_READ
    """The size of the option ROM, in bytes."""
    d3cold_allowed: Fact[bool] = NOT_READ
    """Whether the function may be powered off altogether while it idles."""
    power_state: Fact[str] = NOT_READ
    """The function's power state: `D0` to `D3hot`, `D3cold`, `unknown` or `error`."""
    runtime_pm: Fact[str] = NOT_READ
    """`auto`: the function is suspended while it idles; `on`: it is not (Documentation/power/runtime_pm.rst)."""

    def __post_init__(self) -> None:
        """Check the address: a snapshot comes from elsewhere, and addresses are printed into lines to paste."""
        if parse_address(self.address) != self.address:
            raise ValueError(f"not a PCI address: {self.address!r}")
        settle_struct_facts(self, config=ConfigSpace, sysfs_link=PcieLink)


IDS = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id", "class_code")


def modalias_of(function: PciFunction) -> str | None:
    """The function's modalias as pci_uevent() in drivers/pci/pci-driver.c writes it; None where an id is unknown."""
    values = [getattr(function, field) for field in IDS]
    if not all(isinstance(value, int) for value in values):
        return None
    vendor, device, sub_vendor, sub_device, class_code = values
    ids = f"pci:v{vendor:08X}d{device:08X}sv{sub_vendor:08X}sd{sub_device:08X}"
    return f"{ids}bc{class_code >> 16:02X}sc{class_code >> 8 & 255:02X}i{class_code & 255:02X}"
