# SPDX-License-Identifier: Apache-2.0
"""What a host looks like: its IOMMU, how it boots, its NICs and where they sit on the PCI bus."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

MANAGEMENT_MAC = "52:54:00:ff:00:01"
_FRONT_SLOT = 0xF  # the slots of the NICs' root ports begin after it


class Iommu(StrEnum):
    """The IOMMUs that QEMU can give a host."""

    INTEL = "intel"
    AMD = "amd"
    VIRTIO = "virtio"
    NONE = "none"


class NicModel(StrEnum):
    """NICs by QEMU's names. `igb` is an Intel 82576 with SR-IOV; `e1000` is conventional PCI, not PCIe."""

    IGB = "igb"
    E1000E = "e1000e"
    E1000 = "e1000"


class Place(StrEnum):
    """Where a NIC sits, which decides its IOMMU group."""

    ROOT_PORT = "root port"  # a port of its own, so a group of its own
    ROOT_BUS = "root bus"
    BRIDGE = "bridge"  # all behind the one PCIe-to-PCI bridge, so all in one group
    SWITCH = "switch"  # a port of the one PCIe switch; neither it nor the port above has ACS, so all in one group
    SIBLING = "sibling"  # the next function of the card before it


class Firmware(StrEnum):
    """The firmware, which starts the boot loader. BIOS is SeaBIOS, with an MBR; UEFI is OVMF, with a GPT and an ESP."""

    BIOS = "bios"
    UEFI = "uefi"


class Loader(StrEnum):
    """The boot loader, as Debian packages it."""

    GRUB = "grub"
    SYSTEMD_BOOT = "systemd-boot"


class Initramfs(StrEnum):
    """The program that makes the initramfs, as Debian packages it; the NICs' own drivers are in the initramfs."""

    INITRAMFS_TOOLS = "initramfs-tools"
    DRACUT = "dracut"


@dataclass(frozen=True)
class Boot:
    """How a host boots from its own disk. Without a `loader`, QEMU loads the kernel after all."""

    loader: Loader | None
    firmware: Firmware = Firmware.BIOS
    initramfs: Initramfs = Initramfs.INITRAMFS_TOOLS


@dataclass(frozen=True)
class Nic:
    """A NIC that tests may take from the host.

    Each has a user network of its own, 10.0.2.0/24 with 10.0.2.2, but those with the same `cable` (a number) are
    wired to each other. `ssh` forwards a port of the machine to 10.0.2.15:22, by this NIC. Where a shape has a DMAR
    of its own, a NIC that is not `covered` stands under no IOMMU there.
    """

    model: NicModel
    mac: str
    place: Place = Place.ROOT_PORT
    cable: int | None = None
    ssh: bool = False
    option_rom: bool = False
    covered: bool = True


@dataclass(frozen=True)
class ReservedMemory:
    """A range of memory, `end` its last byte, that the firmware reserves for a NIC: an RMRR of the DMAR table."""

    nic: int  # its index in the shape's NICs
    base: int
    end: int


@dataclass(frozen=True)
class Shape:
    """A kind of host. `migratable` says that QEMU can save and resume such a host.

    A host with `boot` boots from its own disk, through a boot loader whose configuration holds `kernel_arguments` as an
    administrator's own. For all others QEMU loads the kernel.

    A shape with `dmar_flags` (VT-d specification, 8.1) boots with a DMAR table of its own, which the kernel takes in
    place of the firmware's; what is `reserved` for its NICs stands there too.
    """

    name: str
    iommu: Iommu
    nics: tuple[Nic, ...]
    kernel_arguments: tuple[str, ...] = ()
    iommu_options: str = ""
    dmar_flags: int | None = None
    reserved: tuple[ReservedMemory, ...] = ()
    devices: tuple[str, ...] = ()  # more devices, as QEMU's -device takes them; `drive=spare` is a disk to read from
    processors: int = 2
    numa_nodes: int = 1
    memory_mib: int = 4096
    migratable: bool = field(default=True)
    boot: Boot | None = None

    def to_recipe(self) -> dict[str, object]:
        """The shape as a part of an artifact's recipe."""
        recipe = asdict(self)
        if self.boot is None:
            del recipe["boot"]  # the recipes of hosts that QEMU boots are older than this field
        return recipe

    def with_card_in_front(self, mac: str) -> Shape:
        """The shape with one more igb in a slot before all others, so that the bus numbers of those go up by one."""
        port = f"pcie-root-port,id=front-port,bus=pcie.0,addr={_FRONT_SLOT:#x},chassis={_FRONT_SLOT},slot={_FRONT_SLOT}"
        return replace(self, devices=(*self.devices, port, f"igb,id=front,mac={mac},romfile=,bus=front-port,addr=0x0"))


IGB0 = "52:54:00:aa:00:01"
IGB1 = "52:54:00:aa:00:02"
_UNSAFE_INTERRUPTS = "vfio_iommu_type1.allow_unsafe_interrupts=1"

_NICS = (
    Nic(NicModel.IGB, IGB0, ssh=True),
    Nic(NicModel.IGB, IGB1),
    Nic(NicModel.E1000E, "52:54:00:aa:00:03"),
    Nic(NicModel.E1000, "52:54:00:aa:00:04", Place.BRIDGE),
    Nic(NicModel.E1000, "52:54:00:aa:00:05", Place.BRIDGE),
)
# Behind a root port, the DMA of a NIC reaches QEMU's AMD IOMMU with the port's requester id instead of its own.
_NICS_ON_ROOT_BUS = tuple(Nic(nic.model, nic.mac, Place.ROOT_BUS) for nic in _NICS[:3])

INTEL = Shape("intel", Iommu.INTEL, _NICS, ("intel_iommu=on",))
AMD = Shape("amd", Iommu.AMD, _NICS_ON_ROOT_BUS, migratable=False)  # QEMU's amd-iommu is marked unmigratable
VIRTIO = Shape("virtio", Iommu.VIRTIO, _NICS, (_UNSAFE_INTERRUPTS,))  # virtio-iommu has no interrupt remapping
# vfio-pci cannot bind here at all: Debian builds its kernel without VFIO_NOIOMMU.
NONE = Shape("none", Iommu.NONE, _NICS)
# Leftovers of earlier hands, and boards that were not made for passthrough, as far as one boot holds them.
TANGLED = Shape(
    "tangled",
    Iommu.INTEL,
    nics=(
        Nic(NicModel.IGB, IGB0, cable=1),
        Nic(NicModel.IGB, IGB1, cable=1),
        Nic(NicModel.E1000E, "52:54:00:aa:00:03", ssh=True),
        Nic(NicModel.E1000E, "52:54:00:aa:00:04", Place.SIBLING),
        Nic(NicModel.E1000E, "52:54:00:aa:00:05", Place.SWITCH, option_rom=True),
        Nic(NicModel.IGB, "52:54:00:aa:00:06", Place.SWITCH),
        Nic(NicModel.E1000, "52:54:00:aa:00:07", Place.BRIDGE),
        Nic(NicModel.E1000, "52:54:00:aa:00:08", Place.BRIDGE),
        Nic(NicModel.E1000E, "52:54:00:aa:00:09", covered=False),
    ),
    # Nothing turns the IOMMU on: Debian's kernel does so by itself.
    kernel_arguments=("iommu=pt", "amd_iommu=on", "pcie_acs_override=downstream", "vfio-pci.ids=8086:10d3"),
    iommu_options="aw-bits=39",  # the processor has 40
    dmar_flags=0b100,  # DMA_CTRL_PLATFORM_OPT_IN, and no INTR_REMAP
    reserved=(ReservedMemory(1, 0x7FFFF000, 0x7FFFFFFF),),
    devices=(  # in one group with the conventional NICs
        *("virtio-blk-pci,drive=spare,bus=bridge,addr=0x11", "pci-ohci,id=usb,bus=bridge,addr=0x12"),
        "usb-kbd,bus=usb.0",
    ),
    numa_nodes=2,
)
OFF = Shape(
    "off",
    Iommu.INTEL,
    _NICS,
    ("intel_iommu=off", "intremap=off"),
    dmar_flags=0b011,  # INTR_REMAP and X2APIC_OPT_OUT
    reserved=(ReservedMemory(1, 0x7FFFF000, 0x7FFFFFFF),),
)
# A card with two ports: its functions do not keep each other apart, so both are in one group.
PAIR = Shape(
    "pair",
    Iommu.INTEL,
    nics=(
        Nic(NicModel.IGB, IGB0, ssh=True),
        Nic(NicModel.E1000E, "52:54:00:aa:00:03"),
        Nic(NicModel.E1000E, "52:54:00:aa:00:04", Place.SIBLING),
    ),
    kernel_arguments=("intel_iommu=on",),
)
# An administrator's leftover keeps the IOMMU off: Debian's kernel has it on by default.
_LEFTOVER = ("intel_iommu=off",)
GRUB_BIOS = Shape("grub-bios", Iommu.INTEL, _NICS, _LEFTOVER, boot=Boot(Loader.GRUB))
GRUB_UEFI = Shape("grub-uefi", Iommu.INTEL, _NICS, _LEFTOVER, boot=Boot(Loader.GRUB, Firmware.UEFI))
SYSTEMD_BOOT = Shape("systemd-boot", Iommu.INTEL, _NICS, _LEFTOVER, boot=Boot(Loader.SYSTEMD_BOOT, Firmware.UEFI))
DRACUT = Shape("dracut", Iommu.INTEL, _NICS, _LEFTOVER, boot=Boot(Loader.GRUB, Firmware.BIOS, Initramfs.DRACUT))
SHAPES = {
    shape.name: shape
    for shape in (INTEL, AMD, VIRTIO, NONE, TANGLED, OFF, PAIR, GRUB_BIOS, GRUB_UEFI, SYSTEMD_BOOT, DRACUT)
}
