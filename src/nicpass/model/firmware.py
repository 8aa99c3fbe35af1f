# SPDX-License-Identifier: Apache-2.0
"""What the firmware says of the IOMMU: the ACPI tables DMAR (Intel) and IVRS (AMD), decoded.

Sources: Intel Virtualization Technology for Directed I/O, chapter 8; AMD I/O Virtualization Technology (IOMMU)
Specification, 48882, chapter 5. Addresses and AMD's flags are hexadecimal text, as in the specifications and
in the kernel's log; JSON readers that keep numbers as doubles would spoil them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec

from nicpass.model.fact import Fact, StructFact, settle_struct_facts

Hex: TypeAlias = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{1,16}$")]
"""A number of up to 64 bits, `0xfed90000`."""

DAMAGED = "damaged: "
"""The beginning of an Unknown's reason when the table could be read and is no table."""

ENDPOINT, SUB_HIERARCHY, IOAPIC, HPET, NAMESPACE_DEVICE = 1, 2, 3, 4, 5
"""Kinds of device scope (VT-d, 8.3.1): a function; a bridge with everything below it; three that are no PCI NIC."""


class Scope(msgspec.Struct, frozen=True, array_like=True):
    """A device scope, `[kind, enumeration_id, start_bus, [[device, function], ...]]` (VT-d, 8.3.1)."""

    kind: int
    enumeration_id: int
    start_bus: int
    path: tuple[tuple[int, int], ...]
    """Hops from the start bus; all but the last are bridges."""


class Drhd(msgspec.Struct, frozen=True, kw_only=True):
    """One remapping unit and what it covers (VT-d, 8.3)."""

    base: Hex
    include_pci_all: bool
    """Whether the unit covers everything in its segment that no other unit names."""
    segment: int
    scopes: tuple[Scope, ...]


class Rmrr(msgspec.Struct, frozen=True, kw_only=True):
    """Memory that the devices in its scopes must reach at all times (VT-d, 8.4); `end` is its last byte."""

    base: Hex
    end: Hex
    segment: int
    scopes: tuple[Scope, ...]


class Atsr(msgspec.Struct, frozen=True, kw_only=True):
    """Root ports below which functions may use ATS (VT-d, 8.5)."""

    all_ports: bool
    segment: int
    scopes: tuple[Scope, ...]


class Rhsa(msgspec.Struct, frozen=True, array_like=True):
    """Which NUMA proximity domain the unit at `base` is in, `[base, domain]` (VT-d, 8.6)."""

    base: Hex
    domain: int


class Andd(msgspec.Struct, frozen=True, kw_only=True):
    """The name, in ACPI, of a device that is no PCI function (VT-d, 8.7)."""

    device_number: int
    """The number that scopes of kind 5 name as their enumeration_id."""
    name: str


class Satc(msgspec.Struct, frozen=True, kw_only=True):
    """Functions of the processor's package that have a translation cache (VT-d, 8.8)."""

    atc_required: bool
    """Whether the functions do not work without the cache: the kernel must turn ATS on."""
    segment: int
    scopes: tuple[Scope, ...]


class Sidp(msgspec.Struct, frozen=True, kw_only=True):
    """Integrated functions with properties of their own (VT-d, 8.9)."""

    segment: int
    scopes: tuple[Scope, ...]
    scope_flags: tuple[int, ...]
    """The flags of each scope, in the same order."""


class OtherRecord(msgspec.Struct, frozen=True, array_like=True):
    """`[kind, length]` of a record beyond DRHD, RMRR, ATSR and RHSA."""

    kind: int
    length: int


class Dmar(msgspec.Struct, frozen=True, kw_only=True):
    """Intel's table DMAR. Records stand in the table's order; overlapping RMRRs stay apart."""

    length: int
    checksum_ok: bool
    revision: int
    oem_id: str
    oem_table_id: str
    oem_revision: int
    host_address_width: int
    """How many bits an address of DMA can have."""
    flags: int
    intr_remap: bool
    x2apic_opt_out: bool
    dma_ctrl_platform_opt_in: bool
    drhd: tuple[Drhd, ...] = ()
    rmrr: tuple[Rmrr, ...] = ()
    atsr: tuple[Atsr, ...] = ()
    rhsa: tuple[Rhsa, ...] = ()
    andd: tuple[Andd, ...] = ()
    satc: tuple[Satc, ...] = ()
    sidp: tuple[Sidp, ...] = ()
    n_drhd: int = 0
    n_atsr: int = 0
    n_rhsa: int = 0
    other_subtables: tuple[OtherRecord, ...] = ()
    problems: tuple[str, ...] = ()
    """The faults of the table; records that a fault concerns have been left out."""


class Ivhd(msgspec.Struct, frozen=True, kw_only=True):
    """One description of an IOMMU (48882, 5.2.2); the same IOMMU may be described by types 10h, 11h and 40h."""

    type: Hex
    flags: Hex
    iommu_devid: Hex
    """The bus, device and function of the IOMMU itself, 16 bits."""
    base: Hex
    segment: int


class IvhdEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Functions that an IOMMU covers, from `first` to `last` (16 bits: bus, device, function), or a special device."""

    type: Hex
    first: Hex
    last: Hex
    settings: Hex
    """LINT, NMI and system management bits (48882, 5.2.2.1)."""
    alias: Hex | None = None
    """The function in whose name the requests of these functions arrive."""
    special: str | None = None
    """A special device: `IOAPIC 2`, `HPET 0`, or an ACPI hardware and unique id; it is no PCI function of its own."""


class IvhdDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The remaining fields of an IOMMU's description, beside those of its `Ivhd`."""

    capability_offset: Hex
    info: Hex
    features: Hex
    efr: Hex | None = None
    """The extended feature register, in types 11h and 40h."""
    efr2: Hex | None = None
    entries: tuple[IvhdEntry, ...] = ()


class Ivmd(msgspec.Struct, frozen=True, kw_only=True):
    """A memory definition (48882, 5.2.2.8); `devid` and `aux` are its device, or the ends of a range of them."""

    type: Hex
    """The type of the definition: 20h for all devices, 21h for one, 22h for a range."""
    flags: Hex
    devid: Hex
    aux: Hex
    start: Hex
    length: Hex
    unity: bool
    exclusion_range: bool


class IvmdDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The decoded meaning of an `Ivmd`: its last byte, its functions, the access that it grants."""

    end: Hex
    first: Hex
    last: Hex
    segment: int
    readable: bool
    writable: bool


class Ivrs(msgspec.Struct, frozen=True, kw_only=True):
    """AMD's table IVRS. `ivhd_details` and `ivmd_details` are in the order of `ivhd` and `ivmd`."""

    length: int
    checksum_ok: bool
    revision: int
    oem_id: str
    oem_table_id: str
    oem_revision: int
    ivinfo: Hex
    efr_sup: bool
    preboot_dma_remap: bool
    """Whether the firmware had the IOMMU on before the kernel came."""
    physical_address_width: int
    virtual_address_width: int
    """The width of a virtual address; both widths are in bits."""
    blocks: tuple[Hex, ...] = ()
    """The types of all blocks of the table."""
    ivhd: tuple[Ivhd, ...] = ()
    ivhd_details: tuple[IvhdDetails, ...] = ()
    ivmd: tuple[Ivmd, ...] = ()
    ivmd_details: tuple[IvmdDetails, ...] = ()
    problems: tuple[str, ...] = ()
    """The faults of the table; blocks that a fault concerns have been left out."""


if TYPE_CHECKING:
    DmarFact: TypeAlias = Fact[Dmar]
    IvrsFact: TypeAlias = Fact[Ivrs]
else:
    DmarFact = Annotated[Any, StructFact(Dmar)]
    IvrsFact = Annotated[Any, StructFact(Ivrs)]


class Firmware(msgspec.Struct, frozen=True, kw_only=True):
    """The firmware's IOMMU tables: decoded, absent, or not to be read."""

    dmar: DmarFact = None
    ivrs: IvrsFact = None

    def __post_init__(self) -> None:
        settle_struct_facts(self, dmar=Dmar, ivrs=Ivrs)


def number_of(text: Hex) -> int:
    """The number that the hexadecimal `text` stands for."""
    return int(text, 16)
