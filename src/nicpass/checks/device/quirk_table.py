# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of single models of network cards and of the ports above them.

Source: drivers/pci/quirks.c of Linux 6.18, by the names of its functions; a kernel that is older has fewer.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from nicpass.model.fact import known

if TYPE_CHECKING:
    from nicpass.model.pci import PciFunction

Model = tuple[int, int]
"""(Vendor id, device id)."""

_INTEL, _MELLANOX, _CHELSIO, _CAVIUM, _ZHAOXIN, _WANGXUN = 0x8086, 0x15B3, 0x1425, 0x177D, 0x1D17, 0x8088


class Models:
    """Models by their vendors: (vendor, `"1502 1503 1c10-1c1f"`). Spelled out only when one is asked for."""

    def __init__(self, *lines: tuple[int, str]) -> None:
        self._lines = lines

    def __contains__(self, model: Model) -> bool:
        return model in self._all

    @cached_property
    def _all(self) -> frozenset[Model]:
        return frozenset(
            (vendor, device) for vendor, words in self._lines for word in words.split() for device in _range_of(word)
        )


def _range_of(word: str) -> range:
    first, _, last = word.partition("-")
    return range(int(first, 16), int(last or first, 16) + 1)


# quirk_no_flr: the 82579LM, the 82579V and the MT7922 hang at a function level reset.
NO_FLR = Models((_INTEL, "1502 1503"), (0x14C3, "0616"))

# quirk_no_bus_reset: wireless chips of Atheros, and Cavium's root port, which is the bridge of such a bus.
NO_BUS_RESET = Models((0x168C, "0030 0032 0033 0034 003c 003e"))
NO_BUS_RESET_BELOW = Models((_CAVIUM, "a100"))

# quirk_broken_intx_masking; of Mellanox mellanox_broken_intx_devs[], ConnectX to ConnectX-3 Pro.
BROKEN_INTX = Models(
    (_CHELSIO, "0030"),
    (0x1814, "0601"),
    (0x10EC, "8169"),
    (_INTEL, "1572 1574 1580 1581 1583-158b 37d0-37d2"),
    (_MELLANOX, "1003 1007"),
)

# pci_dev_reset_methods[]: the 82599's VF and Huawei's; Chelsio's T4 is told by a mask.
_DEVICE_RESET = Models((_INTEL, "10ed"), (0x19E5, "375e"))

# pci_dev_acs_enabled[], pci_quirk_mf_endpoint_acs and pci_quirk_wangxun_nic_acs: the makers say that the functions
# of these cards do not talk to each other.
ISOLATED_FUNCTIONS = Models(
    (0x1924, "0903 0923 0a03"),
    (_INTEL, "10c6 10db 10dd 10e1 10f1 10f7-10fc 1507 1514 151c 1529 152a 154d 154f 1551 1558"),
    (_INTEL, "1509 150e-1511 1516 1527 10c9 10e6-10e8 150a 150d 1518 1526 10a7 10a9 10d6 1521-1524"),
    (_INTEL, "105e-1060 10d9 15b7 15b8"),
    (0x19A2, "0710"),
    (0x10DF, "0720"),
    (_CAVIUM, "a026 a059 a060"),
    (0x14E4, "16d7 1750-1752 1760-1763"),
    (_WANGXUN, "0100-010f 1001 2001 5010 5025 5040 5110 5125 5140"),
)

# Ports that isolate without the ACS capability (pci_quirk_intel_pch_acs and its kin), or have its control
# register where the specification has none (pci_quirk_intel_spt_pch_acs).
ISOLATING_PORTS = Models(
    (_INTEL, "3b42-3b51 1c10-1c1f 1e10-1e1f 8c10-8c1f 9c10-9c1b 9c90-9c9b 8d10-8d1e a110-a11f a167-a16a"),
    (_INTEL, "1d10 1d12 1d14 1d16 1d18 1d1a 1d1c 1d1e 8c90 8c92 8c94 8c96 8c98 8c9a 8c9c 8c9e"),
    (_INTEL, "a290-a29f a2e7-a2ee 9d10-9d1b"),
    (0x17CB, "0115 0400 0401"),
    (0x1DBF, "0401"),
    (_CAVIUM, "a000-a7ff af84 b884"),
    (0x10E8, "e004"),
    (0x1DEF, "e005-e00c"),
    (0x14E4, "d714"),
    (0x0014, "3c09 3c19 3c29 7a09 7a19 7a29 7a39 7a49 7a59 7a69"),
    (0x1C36, "0031"),
    (0x1957, "8d80-8d83 8d88-8d8b 8d90-8d93 8d98-8d9b 8da0 8da1 8da8 8da9 8db0 8db1 8db8 8db9"),
    (_ZHAOXIN, "0710-071e 0721 0723-0752"),
)


def is_one_of(function: PciFunction, models: Models) -> bool:
    return (
        known(function.vendor_id) and known(function.device_id) and (function.vendor_id, function.device_id) in models
    )


def has_device_reset(function: PciFunction) -> bool:
    """Whether the kernel has a reset of its own for this model; of Chelsio's only T4 (`reset_chelsio_generic_dev`)."""
    if known(function.device_id) and function.vendor_id == _CHELSIO:
        return function.device_id & 0xF000 == 0x4000
    return is_one_of(function, _DEVICE_RESET)
