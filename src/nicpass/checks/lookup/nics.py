# SPDX-License-Identifier: Apache-2.0
"""The kind of a NIC (plain, PF or VF), and how it is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nicpass.checks.lookup.functions import VF_DRIVERS
from nicpass.model.fact import known

if TYPE_CHECKING:
    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

Kind = Literal["nic", "pf", "vf"]

_NETWORK_CONTROLLER = 0x02  # base class, PCI Code and ID Assignment Specification, 1.3
_BRIDGE = 0x06


def is_nic(function: PciFunction) -> bool:
    """Whether the function is a NIC: Ethernet, InfiniBand and every other network controller."""
    return known(function.class_code) and function.class_code >> 16 == _NETWORK_CONTROLLER


def is_bridge(function: PciFunction) -> bool:
    """Whether the function is a bridge of any kind, to the processor or to ISA too: nobody gives such a thing away."""
    return known(function.class_code) and function.class_code >> 16 == _BRIDGE


def list_nics(host: Host) -> list[PciFunction]:
    """The NICs of the host, in the order of their addresses."""
    return [function for function in host.pci if is_nic(function)]


def kind_of(function: PciFunction, index: HostIndex) -> Kind:
    """The function's kind: `vf` by its link to a PF, by its PF's link to it, or by a driver that binds nothing else."""
    if known(function.physfn) or function.address in index.vf_indices or function.driver in VF_DRIVERS:
        return "vf"
    return "pf" if known(function.totalvfs) and function.totalvfs > 0 else "nic"


def pf_of(function: PciFunction, index: HostIndex) -> tuple[Address, int | None] | None:
    """(PF, VF index) of a VF; the index is None where the PF does not show its links. None for what is no VF."""
    if function.address in index.vf_indices:
        return index.vf_indices[function.address]
    return (function.physfn, None) if known(function.physfn) else None


def on_vfio(function: PciFunction) -> bool:
    """Whether the driver is vfio-pci, or a variant for one kind of device (`mlx5_vfio_pci`) that libvirt prefers."""
    driver = function.driver
    return isinstance(driver, str) and driver.endswith(("vfio-pci", "vfio_pci"))


def label(function: PciFunction) -> str:
    """How a sentence names the function: `eth1 (0000:01:00.0)`, or the address alone."""
    names = function.netdevs
    return f"{names[0]} ({function.address})" if known(names) and names else function.address


def attribute(function: PciFunction, name: str) -> str:
    """The path in sysfs of the function's attribute `name`, for evidence."""
    return f"/sys/bus/pci/devices/{function.address}/{name}"


def permanent_mac_of(function: PciFunction, index: HostIndex) -> str | None:
    """The MAC that is burnt into the card, by the first of its interfaces that tells one."""
    macs = (link.permanent_mac for link in index.netdevs(function))
    return next((mac for mac in macs if mac is not None), None)
