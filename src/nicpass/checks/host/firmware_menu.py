# SPDX-License-Identifier: Apache-2.0
"""The words of a firmware's menu for what passthrough needs, by who made the board.

Menus differ from one generation to the next, so the words are where to look, not a promise. Sources: the vendors'
setup manuals, such as Supermicro's for X11 boards (UEFI BIOS, IIO Configuration), HPE's UEFI System Utilities
guide for ProLiant Gen10 (Virtualization Options), Lenovo Press LP1836 and Dell's BIOS reference for PowerEdge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nicpass.model.fact import known, value_or
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.model.fact import Fact
    from nicpass.model.platform import Dmi, Platform

Feature = Literal["iommu", "interrupt_remapping", "virtualization", "acs"]

_INTELS, _AMDS = "GenuineIntel", "AuthenticAMD"
_HPE = "System Configuration > BIOS/Platform Configuration (RBSU) > Virtualization Options > "
_LENOVO = "System Settings > Devices and I/O Ports > "
_SUPERMICRO = (
    "Advanced > Chipset Configuration > North Bridge > IIO Configuration > Intel VT for Directed I/O (VT-d) > "
)
_INTEL = "Socket Configuration > IIO Configuration > Intel VT for Directed I/O (VT-d) > "
_AMD_CBS = "Advanced > AMD CBS > NBIO Common Options > "

_MENUS: dict[str, dict[Feature, tuple[str, str]]] = {
    "Dell": {
        "iommu": (
            "System BIOS > Processor Settings > Virtualization Technology",
            "System BIOS > Processor Settings > Virtualization Technology and IOMMU Support",
        ),
        "virtualization": ("System BIOS > Processor Settings > Virtualization Technology",) * 2,
    },
    "HPE": {
        "iommu": (f"{_HPE}Intel VT-d", f"{_HPE}AMD I/O Virtualization Technology"),
        "virtualization": (
            f"{_HPE}Intel Virtualization Technology (Intel VT)",
            f"{_HPE}AMD Virtualization Technology",
        ),
        "acs": (f"{_HPE}Access Control Service",) * 2,
    },
    "Lenovo": {"iommu": (f"{_LENOVO}Intel VT for Directed I/O (VT-d)", f"{_LENOVO}AMD IOMMU")},
    "Supermicro": {
        "iommu": (f"{_SUPERMICRO}Intel VT for Directed I/O (VT-d)", f"{_AMD_CBS}IOMMU"),
        "interrupt_remapping": (f"{_SUPERMICRO}Interrupt Remapping", ""),
        "acs": (f"{_SUPERMICRO}ACS Control", f"{_AMD_CBS}ACS Enable"),
    },
    "Intel": {
        "iommu": (f"{_INTEL}Intel VT for Directed I/O", ""),
        "interrupt_remapping": (f"{_INTEL}Interrupt Remapping", ""),
    },
    "ASUS": {
        "iommu": ("Advanced > System Agent (SA) Configuration > VT-d", f"{_AMD_CBS}IOMMU"),
        "acs": ("", f"{_AMD_CBS}ACS Enable"),
    },
}
"""Maker to where a feature stands on its boards for Intel's and for AMD's processors; empty where that is not known."""

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


def _generic(feature: Feature, vendor: Fact[str]) -> str:
    """In general words; those of both makers where the processor's is not known."""
    intel: dict[Feature, str] = {
        "iommu": _("In the firmware setup turn on VT-d."),
        "virtualization": _("In the firmware setup turn on VT-x."),
    }
    amd: dict[Feature, str] = {
        "iommu": _("In the firmware setup turn on AMD-Vi, which is also called IOMMU."),
        "interrupt_remapping": _("In the firmware setup turn on the IOMMU, and update the firmware."),
        "virtualization": _("In the firmware setup turn on SVM."),
    }
    words: dict[Feature, str] = {
        "iommu": _("In the firmware setup turn on VT-d (Intel), or AMD-Vi, which is also called IOMMU (AMD)."),
        "interrupt_remapping": _(
            "In the firmware setup turn on Interrupt Remapping, near VT-d, and update the firmware."
        ),
        "virtualization": _("In the firmware setup turn on VT-x (Intel) or SVM (AMD)."),
        "acs": _("In the firmware setup turn on ACS (Access Control Services) if it has such a switch."),
    }
    own = {_INTELS: intel, _AMDS: amd}.get(value_or(vendor, ""), {})
    return own.get(feature) or words[feature]


def _menu_of(platform: Platform, feature: Feature) -> str:
    """Where the feature stands in this board's menus; of both makers where the processor's is not known."""
    intel, amd = _MENUS.get(maker_of(platform.dmi) or "", {}).get(feature, ("", ""))
    vendor = value_or(platform.cpu_vendor, "")
    if vendor in (_INTELS, _AMDS):
        return intel if vendor == _INTELS else amd
    if not intel or not amd or intel == amd:
        return intel or amd
    return _("{intel}; on AMD {amd}").format(intel=intel, amd=amd)


def maker_of(dmi: Dmi) -> str | None:
    """The maker whose menus the board has; None for a maker without a table here."""
    for vendor in (dmi.board_vendor, dmi.sys_vendor):
        words = vendor.split() if known(vendor) else []
        first = "".join(letter for letter in words[0].lower() if letter.isalpha()) if words else ""
        if first in _MAKERS:
            return _MAKERS[first]
    return None


def describe_menu(platform: Platform, feature: Feature) -> str:
    """One sentence: what to turn on, and where it stands in this board's menus if that is known.

    A host that is a VM has no such menus, but a hypervisor outside; other processors than x86 have other words.
    """
    if is_guest(platform):
        return _outside(feature, platform.architecture)
    if is_other(platform):
        return _other(feature, platform.architecture)
    general, menu = _generic(feature, platform.cpu_vendor), _menu_of(platform, feature)
    if not menu:
        return general
    return _("{general} On {maker} boards it stands at: {menu}.").format(
        general=general, maker=maker_of(platform.dmi), menu=menu
    )


def is_guest(platform: Platform) -> bool:
    """Whether this host is itself a virtual machine, as far as it is known."""
    return platform.is_guest is True or platform.xen == "guest"


def is_other(platform: Platform) -> bool:
    """Whether the processor is known, and none of Intel's or AMD's kind."""
    return known(platform.architecture) and platform.architecture != "x86"


def _outside(feature: Feature, architecture: Fact[str]) -> str:
    model = "smmuv3" if architecture == "arm" else "intel"
    words: dict[Feature, str] = {
        "iommu": _(
            "This host is a VM, and its IOMMU comes from the hypervisor outside: in libvirt, with the machine q35, "
            "<iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu> and <ioapic driver='qemu'/>; in "
            "Proxmox VE machine: q35,viommu=intel."
        )
        if model == "intel"
        else _(
            "This host is a VM, and its IOMMU comes from the hypervisor outside: in libvirt <iommu model='smmuv3'/>."
        ),
        "interrupt_remapping": _(
            "This host is a VM: the hypervisor outside has to remap interrupts, in libvirt <driver intremap='on'/> in "
            "its <iommu> and <ioapic driver='qemu'/>."
        ),
        "virtualization": _(
            "This host is a VM: the hypervisor outside has to let it nest virtualization, in libvirt "
            "<cpu mode='host-passthrough'/> where kvm_intel or kvm_amd has nested=1."
        ),
        "acs": _("This host is a VM: the hypervisor outside can put each NIC behind a pcie-root-port of its own."),
    }
    return words[feature]


def _other(feature: Feature, architecture: Fact[str]) -> str:
    """What makes it for other processors: there are no common menus, and often no switch."""
    if architecture == "arm":
        arm: dict[Feature, str] = {
            "iommu": _(
                "In the firmware setup turn on the SMMU if it has such a switch; many Arm boards have none that serves "
                "PCI Express."
            ),
            "interrupt_remapping": _(
                "On Arm the GIC's ITS isolates interrupts; the firmware has to describe it, so look for a newer one."
            ),
            "virtualization": _("On Arm the firmware has to start the kernel at EL2; look for a newer firmware."),
            "acs": _generic("acs", None),
        }
        return arm[feature]
    return (
        _generic("acs", None)
        if feature == "acs"
        else _("Only the firmware of this machine can offer it: look for a newer one.")
    )
