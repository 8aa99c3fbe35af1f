# SPDX-License-Identifier: Apache-2.0
"""Where QEMU lays a guest's memory, by the machine type: it must not lie across what the NIC's group cannot map.

Source: `pc_q35_init()` in hw/i386/pc_q35.c, `pc_init1()` in hw/i386/pc_piix.c, `pc_memory_init()` in hw/i386/pc.c
(`enforce_amd_1tb_hole`, since the types of 7.1), `base_memmap` in hw/arm/virt.c.
"""

from __future__ import annotations

import re

_GIB = 1 << 30
_HIGH = 4 * _GIB
"""Where memory goes on, above the windows of the devices."""
_HOLE = range(0xFD_0000_0000, 0x100_0000_0000)
"""HyperTransport's addresses, which no device below an AMD IOMMU can use (48882, 2.1.2)."""
_LEAVES_HOLE = (7, 1)
_VIRT_BASE = _GIB

# Distributions' names of types to QEMU's release; of Ubuntu by its code names, of RHEL by what its release brings.
_UBUNTU_OLD = (
    *("trusty", "utopic", "vivid", "wily", "xenial", "yakkety", "zesty", "artful", "bionic", "cosmic", "disco"),
    *("eoan", "focal", "groovy"),
)
_UBUNTU = dict.fromkeys(_UBUNTU_OLD, (4, 2)) | {
    "hirsute": (5, 2),
    "impish": (6, 0),
    "jammy": (6, 2),
    "kinetic": (7, 0),
    "lunar": (7, 2),
    "mantic": (8, 0),
    "noble": (8, 2),
    "oracular": (9, 0),
    "plucky": (9, 2),
}
_RHEL_LEAVES_HOLE = (9, 2)


def memory_ranges(machine: str, memory: int) -> tuple[range, ...] | None:
    """The guest's addresses that are memory, of `memory` bytes; None for a machine type that is not known here."""
    if machine == "virt" or machine.startswith("virt-"):
        return (range(_VIRT_BASE, _VIRT_BASE + memory),)
    low = _low_of(machine, memory)
    leaves = leaves_hole(machine)
    if low is None or leaves is None:
        return None
    if memory <= low:
        return (range(memory),)
    high = range(_HIGH, _HIGH + memory - low)
    if leaves and high.stop > _HOLE.start:
        high = range(_HOLE.stop, _HOLE.stop + memory - low)
    return range(low), high


def most_below(machine: str, start: int) -> int:
    """How many bytes of memory a guest of this type can have without reaching the address `start`."""
    low = _low_of(machine, start)
    if low is None:
        return max(0, start - _VIRT_BASE)
    return start if start < low else low + max(0, start - _HIGH)


def leaves_hole(machine: str) -> bool | None:
    """Whether the type leaves out the addresses that AMD's IOMMU cannot map; None where that is not known."""
    if machine in ("q35", "pc"):  # the newest that this QEMU has
        return True
    match = re.fullmatch(r"pc-(?:q35|i440fx)-([a-z]*)([0-9]*)\.?([0-9]*)(?:[.-].*)?", machine)
    if match is None:
        return None
    name, numbers = match[1], (int(match[2] or 0), int(match[3] or 0))
    if name == "rhel":
        return numbers >= _RHEL_LEAVES_HOLE
    if name:
        return _UBUNTU[name] >= _LEAVES_HOLE if name in _UBUNTU else None
    return numbers >= _LEAVES_HOLE


def newer_type(machine: str) -> str:
    """The first type of the same family that leaves the hole out; of distributions' types they have their own."""
    family = "pc-i440fx" if "i440fx" in machine else "pc-q35"
    return f"{family}-{_LEAVES_HOLE[0]}.{_LEAVES_HOLE[1]}"


def _low_of(machine: str, memory: int) -> int | None:
    """How much of the memory lies below 4 GiB at most; None for a family that is not known here."""
    if machine == "q35" or machine.startswith("pc-q35-"):
        return 0x8000_0000 if memory >= 0xB000_0000 else 0xB000_0000
    if machine == "pc" or machine.startswith("pc-i440fx-"):
        return 0xC000_0000 if memory >= 0xE000_0000 else 0xE000_0000
    return None
