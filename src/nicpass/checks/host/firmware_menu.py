# SPDX-License-Identifier: Apache-2.0
"""The words of a firmware's menu for what passthrough needs, by who made the board.

Menus differ from one generation to the next, so the words are where to look, not a promise. Sources: the vendors'
setup manuals, such as Supermicro's for X11 boards (UEFI BIOS, IIO Configuration), HPE's UEFI System Utilities
guide for ProLiant Gen10 (Virtualization Options), Lenovo Press LP1836 and Dell's BIOS reference for PowerEdge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.model.platform import Dmi

Feature = Literal["iommu", "interrupt_remapping", "virtualization", "sriov", "acs", "above_4g"]

_DELL = "System BIOS > Integrated Devices > "
_HPE = "System Configuration > BIOS/Platform Configuration (RBSU) > Virtualization Options > "
_LENOVO = "System Settings > Devices and I/O Ports > "
_SUPERMICRO = (
    "Advanced > Chipset Configuration > North Bridge > IIO Configuration > Intel VT for Directed I/O (VT-d) > "
)
_INTEL = "Socket Configuration > IIO Configuration > Intel VT for Directed I/O (VT-d) > "
_AMD_CBS = "Advanced > AMD CBS > NBIO Common Options > "
_ASUS = "Advanced > PCI Subsystem Settings > "

_MENUS: dict[str, dict[Feature, str]] = {
    "Dell": {
        "iommu": "System BIOS > Processor Settings > Virtualization Technology; on AMD also IOMMU Support",
        "virtualization": "System BIOS > Processor Settings > Virtualization Technology",
        "sriov": f"{_DELL}SR-IOV Global Enable",
        "above_4g": f"{_DELL}Memory Mapped I/O above 4GB",
    },
    "HPE": {
        "iommu": f"{_HPE}Intel VT-d, or AMD I/O Virtualization Technology",
        "virtualization": f"{_HPE}Intel Virtualization Technology (Intel VT), or AMD Virtualization Technology",
        "sriov": f"{_HPE}SR-IOV",
        "acs": f"{_HPE}Access Control Service",
    },
    "Lenovo": {
        "iommu": f"{_LENOVO}Intel VT for Directed I/O (VT-d), or AMD IOMMU",
        "sriov": f"{_LENOVO}SR-IOV",
    },
    "Supermicro": {
        "iommu": f"{_SUPERMICRO}Intel VT for Directed I/O (VT-d); on AMD {_AMD_CBS}IOMMU",
        "interrupt_remapping": f"{_SUPERMICRO}Interrupt Remapping",
        "acs": f"{_SUPERMICRO}ACS Control",
        "sriov": "Advanced > PCIe/PCI/PnP Configuration > SR-IOV Support",
        "above_4g": "Advanced > PCIe/PCI/PnP Configuration > Above 4G Decoding",
    },
    "Intel": {
        "iommu": f"{_INTEL}Intel VT for Directed I/O",
        "interrupt_remapping": f"{_INTEL}Interrupt Remapping",
        "sriov": "Platform Configuration > Miscellaneous Configuration > SR-IOV Support",
    },
    "ASUS": {
        "iommu": f"Advanced > System Agent (SA) Configuration > VT-d; on AMD {_AMD_CBS}IOMMU",
        "acs": f"{_AMD_CBS}ACS Enable",
        "sriov": f"{_ASUS}SR-IOV Support",
        "above_4g": f"{_ASUS}Above 4G Decoding",
    },
}

_MAKERS = {
    "dell": "Dell",
    "hp": "HPE",
    "hpe": "HPE",
    "hewlett": "HPE",
    "lenovo": "Lenovo",
    "supermicro": "Supermicro",
    "super": "Supermicro",
    "intel": "Intel",
    "asus": "ASUS",
    "asustek": "ASUS",
}
"""First word of the board's vendor, in lower case and letters only, to the maker whose menus the board has."""


def _generic(feature: Feature) -> str:
    words: dict[Feature, str] = {
        "iommu": _("In the firmware setup turn on VT-d (Intel), or AMD-Vi, which is also called IOMMU (AMD)."),
        "interrupt_remapping": _(
            "In the firmware setup turn on Interrupt Remapping, near VT-d, and update the firmware."
        ),
        "virtualization": _("In the firmware setup turn on VT-x (Intel) or SVM (AMD)."),
        "sriov": _("In the firmware setup turn on SR-IOV."),
        "acs": _("In the firmware setup turn on ACS (Access Control Services) if it has such a switch."),
        "above_4g": _("In the firmware setup turn on Above 4G Decoding, which is also called 64-bit MMIO."),
    }
    return words[feature]


def maker_of(dmi: Dmi) -> str | None:
    """The maker whose menus the board has; None for a maker without a table here."""
    for vendor in (dmi.board_vendor, dmi.sys_vendor):
        words = vendor.split() if known(vendor) else []
        first = "".join(letter for letter in words[0].lower() if letter.isalpha()) if words else ""
        if first in _MAKERS:
            return _MAKERS[first]
    return None


def describe_menu(dmi: Dmi, feature: Feature) -> str:
    """One sentence: what to turn on, and where it stands in this board's menus if that is known."""
    menu = _MENUS.get(maker_of(dmi) or "", {}).get(feature)
    if menu is None:
        return _generic(feature)
    return _("{general} On {maker} boards it stands at: {menu}.").format(
        general=_generic(feature), maker=maker_of(dmi), menu=menu
    )
