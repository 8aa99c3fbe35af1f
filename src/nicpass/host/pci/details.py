# SPDX-License-Identifier: Apache-2.0
"""Reads the rest of a function from sysfs: configuration space, BARs, link, power.

Only functions that matter to a network controller are read: itself, what shares its slot or its IOMMU group, and
the bridges above it. Source: Documentation/ABI/testing/sysfs-bus-pci, sysfs-devices-power.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicpass.host.pci.config_space import read_config
from nicpass.model.config_space import PcieLink
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.pci import IS_VF, Bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address

    class Attributes(Protocol):
        """One function's folder, as `pci/functions.py` has listed it."""

        files: Files
        folder: str
        names: frozenset[str]

        def text(self, name: str) -> Fact[str]: ...

        def number(self, name: str) -> Fact[int]: ...


_NETWORK_CONTROLLER = 0x02  # base class, PCI Code and ID Assignment Specification, 1.3

# Lines of `resource`: six BARs, the option ROM, six VF BARs where the kernel knows SR-IOV (linux/pci.h,
# PCI_ROM_RESOURCE, PCI_IOV_RESOURCES), then the windows of a bridge.
_ROM, _FIRST_VF_BAR, _AFTER_VF_BARS = 6, 7, 13
_EMPTY_LINE = " ".join(["0x" + "0" * 16] * 3)  # most lines are so; the format is that of resource_show()
# linux/ioport.h
_IORESOURCE_IO, _IORESOURCE_PREFETCH, _IORESOURCE_MEM_64, _IORESOURCE_UNSET = 0x100, 0x2000, 0x100000, 0x20000000

# A VF's details are its PF's or as the specification has them, and a host may have thousands of VFs: reading them
# too takes a fifth of the time of `nicpass list` on a generated tree.
OF_A_VF = dict.fromkeys(
    (
        "config",
        "sysfs_link",
        "bars",
        "vf_bars",
        "rom_size",
        "d3cold_allowed",
        "power_state",
        "runtime_pm",
    ),
    IS_VF,
)


def needing_details(functions: Sequence[Mapping[str, Any]]) -> set[Address]:
    """Addresses of NICs, of functions that share a slot or a group with one, and of bridges above one.

    `functions` are the fields of a PciFunction each.
    """
    nics = [f for f in functions if known(f["class_code"]) and f["class_code"] >> 16 == _NETWORK_CONTROLLER]
    groups = {f["iommu_group"] for f in nics if known(f["iommu_group"])}
    slots = {_slot_of(f["address"]) for f in nics}
    wanted = {f["address"] for f in functions if f["iommu_group"] in groups or _slot_of(f["address"]) in slots}
    bridges = {f["address"]: f["bridge"] for f in functions}
    for nic in nics:
        above = nic["bridge"]
        while above in bridges and above not in wanted:
            wanted.add(above)
            above = bridges[above]
    return wanted


def _slot_of(address: Address) -> str:
    return address[:-2]


def read_details(attributes: Attributes) -> dict[str, Any]:
    """The fields of a PciFunction that `pci/functions.py` leaves out at first."""
    if "physfn" in attributes.names:
        return OF_A_VF
    config = read_config(attributes.files, f"{attributes.folder}/config") if "config" in attributes.names else None
    resources = parse_resources(attributes.text("resource"))
    allowed = attributes.number("d3cold_allowed")
    return {
        "config": config,
        "sysfs_link": None if known(config) and known(config.pcie) else _read_link(attributes),
        "bars": _pick(resources, 0, _ROM),
        "vf_bars": _pick(resources, _FIRST_VF_BAR, _AFTER_VF_BARS) if "sriov_totalvfs" in attributes.names else None,
        "rom_size": _rom_size(resources),
        "d3cold_allowed": bool(allowed) if known(allowed) else allowed,
        "power_state": attributes.text("power_state"),
        "runtime_pm": _read_runtime_pm(attributes),
    }


def parse_resources(text: Fact[str]) -> Fact[dict[int, Bar]]:
    """Number of each line of `resource` to its BAR; lines of zeros, which are most, are left out."""
    if not isinstance(text, str):
        return text
    found: dict[int, Bar] = {}
    try:
        for number, line in enumerate(text.splitlines()):
            if line != _EMPTY_LINE:
                start, end, flags = (int(word, 16) for word in line.split())
                found[number] = _make_bar(number, start, end, flags)
    except ValueError:
        return Unknown("not three numbers a line: resource")
    return found


def _make_bar(number: int, start: int, end: int, flags: int) -> Bar:
    return Bar(
        index=number - _FIRST_VF_BAR if number >= _FIRST_VF_BAR else number,
        address=start,
        size=end - start + 1 if end > start else 0,
        is_io=bool(flags & _IORESOURCE_IO),
        is_64bit=bool(flags & _IORESOURCE_MEM_64),
        prefetchable=bool(flags & _IORESOURCE_PREFETCH),
        assigned=start > 0 and not flags & _IORESOURCE_UNSET,
    )


def _pick(resources: Fact[dict[int, Bar]], first: int, after: int) -> Fact[tuple[Bar, ...]]:
    if not isinstance(resources, dict):
        return resources
    return tuple(bar for number, bar in resources.items() if first <= number < after)


def _rom_size(resources: Fact[dict[int, Bar]]) -> Fact[int]:
    if not isinstance(resources, dict):
        return resources
    rom = resources.get(_ROM)
    return rom.size or None if rom is not None else None


def _read_runtime_pm(attributes: Attributes) -> Fact[str]:
    if "power" not in attributes.names:
        return None
    return attributes.files.read_attribute(f"{attributes.folder}/power/control")


def _read_link(attributes: Attributes) -> Fact[PcieLink]:
    """The link by `current_link_speed` and its kin, since Linux 4.13; a function without a PCIe link has none."""
    if "current_link_speed" not in attributes.names:
        return None
    width, max_width = attributes.number("current_link_width"), attributes.number("max_link_width")
    return PcieLink(
        speed=parse_link_speed(attributes.text("current_link_speed")),
        width=width or None if known(width) else None,
        max_speed=parse_link_speed(attributes.text("max_link_speed")),
        max_width=max_width or None if known(max_width) else None,
    )


def parse_link_speed(text: Fact[str]) -> int | None:
    """The speed in MT/s of `8.0 GT/s PCIe`, or of `8 GT/s`, as older kernels write it; None of `Unknown`."""
    if not isinstance(text, str):
        return None
    number, _, unit = text.partition(" ")
    whole, _, tenths = number.partition(".")
    if not unit.startswith("GT/s") or not (whole.isdecimal() and len(whole) < 4) or (tenths and tenths not in "05"):
        return None
    return int(whole) * 1000 + (500 if tenths == "5" else 0)
