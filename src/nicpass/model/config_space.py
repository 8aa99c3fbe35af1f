# SPDX-License-Identifier: Apache-2.0
"""A function's PCI configuration space, decoded as far as passthrough needs it.

Names and layout: PCI Express Base Specification 5.0, chapters 7 and 9; linux/pci_regs.h has the offsets.
In each field a value says that the capability is there, None that the function has none, and Unknown that
nobody could look: an unprivileged reader gets 64 bytes, which hold none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec

from nicpass.model.fact import Fact, StructFact, settle_struct_facts

PortType = Literal[
    "endpoint",
    "legacy endpoint",
    "root port",
    "upstream switch port",
    "downstream switch port",
    "PCIe-to-PCI bridge",
    "PCI-to-PCIe bridge",
    "root complex integrated endpoint",
    "root complex event collector",
    "reserved",
]
"""Device/Port Type of the PCI Express Capabilities Register (7.5.3.2)."""

AcsControl = Literal["SV", "TB", "RR", "CR", "UF", "EC", "DT"]
"""Source Validation, Translation Blocking, P2P Request Redirect, P2P Completion Redirect, Upstream Forwarding,
P2P Egress Control, Direct Translated P2P (7.7.8.2)."""


class PcieLink(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a link: both ends share the current values, and each has its own maxima. Speeds are in MT/s a lane."""

    speed: int | None = None
    """The current speed; None where the link is down, or the speed is newer than this program."""
    width: int | None = None
    max_speed: int | None = None
    max_width: int | None = None


class Pcie(msgspec.Struct, frozen=True, kw_only=True):
    """The PCI Express capability."""

    port_type: PortType
    flr: bool = False
    """Whether the function has Function Level Reset; bridges have none."""
    link: PcieLink | None = None
    """The function's end of its link; None where it has no link of its own: a VF, or a part of the root complex."""
    slot: int | None = None
    """The physical slot's number, where a slot lies below this port and the firmware has numbered it."""
    ari_forwarding: bool | None = None
    """Whether the port below which the function lies can forward to function numbers above 7; None for endpoints."""
    ari_forwarding_enabled: bool | None = None


class PowerManagement(msgspec.Struct, frozen=True, kw_only=True):
    """The power management capability. Every function that has it can do D3hot."""

    no_soft_reset: bool
    """Whether D3hot and back to D0 leaves the function as it was, so that this is no reset."""
    d1: bool = False
    d2: bool = False
    pme_from_d3cold: bool = False
    state: int = 0
    """The function's power state, 0 to 3: D0 to D3hot."""


class Msi(msgspec.Struct, frozen=True, kw_only=True):
    """The MSI capability: message signalled interrupts."""

    vectors: int
    enabled: bool = False


class Msix(msgspec.Struct, frozen=True, kw_only=True):
    """The MSI-X capability."""

    table_size: int
    enabled: bool = False


class VfBar(msgspec.Struct, frozen=True, kw_only=True):
    """One VF BAR of the SR-IOV capability; where it ends only sysfs says."""

    index: int
    address: int
    """The BAR's address for VF 0; zero where nobody has given it a place."""
    is_64bit: bool = False
    prefetchable: bool = False


class Sriov(msgspec.Struct, frozen=True, kw_only=True):
    """The SR-IOV capability of a PF (9.3.3)."""

    initial_vfs: int
    total_vfs: int
    num_vfs: int
    first_vf_offset: int
    vf_stride: int
    vf_device_id: int
    vf_enable: bool = False
    memory_enable: bool = False
    ari_hierarchy: bool = False
    supported_page_sizes: int = 1
    """Bit n: the function can do pages of 2^(n+12) bytes."""
    system_page_size: int = 1
    vf_bars: tuple[VfBar, ...] = ()


class Ari(msgspec.Struct, frozen=True, kw_only=True):
    """Alternative Routing-ID Interpretation of an endpoint: function numbers up to 255."""

    next_function: int


class Acs(msgspec.Struct, frozen=True, kw_only=True):
    """Access Control Services: the controls that the function has, and those of them that are switched on."""

    capable: tuple[AcsControl, ...] = ()
    enabled: tuple[AcsControl, ...] = ()


if TYPE_CHECKING:
    PmFact: TypeAlias = Fact[PowerManagement]
    MsiFact: TypeAlias = Fact[Msi]
    MsixFact: TypeAlias = Fact[Msix]
    PcieFact: TypeAlias = Fact[Pcie]
    SriovFact: TypeAlias = Fact[Sriov]
    AriFact: TypeAlias = Fact[Ari]
    AcsFact: TypeAlias = Fact[Acs]
else:
    PmFact = Annotated[Any, StructFact(PowerManagement)]
    MsiFact = Annotated[Any, StructFact(Msi)]
    MsixFact = Annotated[Any, StructFact(Msix)]
    PcieFact = Annotated[Any, StructFact(Pcie)]
    SriovFact = Annotated[Any, StructFact(Sriov)]
    AriFact = Annotated[Any, StructFact(Ari)]
    AcsFact = Annotated[Any, StructFact(Acs)]


class ConfigSpace(msgspec.Struct, frozen=True, kw_only=True):
    """One function's configuration space; see the module for what None and Unknown mean."""

    bytes_read: int
    """How many bytes were read: 64 without root, 256 of conventional PCI, 4096 of PCI Express."""
    responds: bool = True
    """Whether the function answers; where it does not, every byte reads as ones and all capabilities are unknown."""
    vendor_id: int = 0xFFFF
    """The vendor id as it stands in configuration space: a VF's own ids read as ones (9.3.4.1.1)."""
    device_id: int = 0xFFFF
    header_type: int = 0
    """The layout of the header, 0: a device, 1: a PCI bridge, 2: a CardBus bridge."""
    multifunction: bool = False
    interrupt_pin: int = 0
    """The interrupt pin, 1 to 4: INTA to INTD; 0: none."""
    secondary_bus: int | None = None
    subordinate_bus: int | None = None
    pm: PmFact = None
    msi: MsiFact = None
    msix: MsixFact = None
    pcie: PcieFact = None
    af_flr: Fact[bool] = None
    """Whether the function can do FLR by Advanced Features, which conventional functions have."""
    sriov: SriovFact = None
    ari: AriFact = None
    acs: AcsFact = None
    ats: Fact[bool] = None
    """Whether Address Translation Services are on, by which the function caches the IOMMU's translations."""
    pri: Fact[bool] = None
    """Page Request Interface: whether it is switched on."""
    pasid: Fact[bool] = None
    """Process Address Space IDs: whether they are switched on."""
    serial_number: Fact[str] = None
    """The Device Serial Number, an EUI-64, as `lspci` writes it: `a0-36-9f-ff-ff-12-34-56`."""
    problems: tuple[str, ...] = ()
    """The damages of the configuration space; a capability that a damage hides is unknown."""

    def __post_init__(self) -> None:
        settle_struct_facts(self, pm=PowerManagement, msi=Msi, msix=Msix, pcie=Pcie, sriov=Sriov, ari=Ari, acs=Acs)
