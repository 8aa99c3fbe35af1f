# SPDX-License-Identifier: Apache-2.0
"""Reads, of a host with a thousand functions, the few on which one NIC depends: where there is no time for all.

Near are: the NIC, its slot, its bus, its IOMMU group, its PF or its VFs, the bridges above all of these, and what
stands in a VM's definition. Where what is near cannot be told for certain, everything is to be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.host.pci.function_devices import function_of
from nicpass.host.pci.functions import DEVICES, read_function, read_functions
from nicpass.host.pci.groups import GROUPS
from nicpass.model.address import Address, is_netdev_name, parse_address, parse_mac
from nicpass.model.fact import Fact, known, value_or

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files
    from nicpass.model.domain import Domain
    from nicpass.model.network import Network
    from nicpass.model.pci import PciFunction


def read_near(
    files: Files, nic: str, network: Network, domains: Fact[tuple[Domain, ...]]
) -> tuple[PciFunction, ...] | None:
    """The functions near `nic`, which is an address, a name or a MAC, in the order of their addresses.

    None where everything is to be read: `nic` names none or several, what is near it is not shown, or what is to be
    said of it has to do with others far away.
    """
    names = frozenset(value_or(files.list_directory(DEVICES), ()))
    address = _find_address(files, nic, network)
    if address is None or address not in names:
        return None
    function = read_function(files, address)
    group = _read_group(files, function)
    # A NIC on vfio-pci may be there for its ids, which other functions share: these have to be read too.
    if group is None or (known(function.driver) and "vfio" in function.driver):
        return None
    near = {*group, *_on_its_bus(function, names), *function.virtfns, *_in_definitions(domains)}
    near |= {function.physfn} if known(function.physfn) else set()
    near |= {above for member in near for above in _bridges_above(files, member)}
    found = read_functions(files, near & names)
    # That no function shows its reset methods is a matter of the kernel, and only all functions can tell it.
    return found if any(known(member.reset_methods) for member in found) else None


def _find_address(files: Files, nic: str, network: Network) -> Address | None:
    """The one function that `nic` can mean; None for none or several."""
    if (address := parse_address(nic)) is not None:
        return address
    mac = parse_mac(nic)
    names = {nic} if is_netdev_name(nic) else set()
    names |= {
        link.name
        for link in network.links
        if nic in link.altnames or (mac is not None and mac in (link.mac, link.permanent_mac))
    }
    found = {function_of(files, f"/sys/class/net/{name}") for name in names if is_netdev_name(name)} - {None}
    return found.pop() if len(found) == 1 else None


def _read_group(files: Files, function: PciFunction) -> frozenset[Address] | None:
    """The members of the function's IOMMU group, itself among them; None where the group or its folder is not shown."""
    if not known(function.iommu_group):
        return None
    names = value_or(files.list_directory(f"{GROUPS}/{function.iommu_group}/devices"), ())
    members = frozenset(_addresses_in(names))
    return members if function.address in members else None


def _on_its_bus(function: PciFunction, names: Iterable[str]) -> frozenset[Address]:
    """Functions that a bus reset reaches. A VF is reset by itself (PCI Express 5.0, 9.2.2.3): its slot is enough."""
    end = -2 if known(function.physfn) else -5
    return frozenset(_addresses_in(name for name in names if name[:end] == function.address[:end]))


def _in_definitions(domains: Fact[tuple[Domain, ...]]) -> frozenset[Address]:
    return frozenset(
        device.address for domain in value_or(domains, ()) for device in (*domain.config_devices, *domain.live_devices)
    )


def _bridges_above(files: Files, address: Address) -> frozenset[Address]:
    """The functions on the path of a function's link: `../../../devices/pci0000:00/0000:00:1c.0/0000:01:00.0`."""
    link = files.read_link(f"{DEVICES}/{address}")
    return frozenset(_addresses_in(link.split("/") if isinstance(link, str) else ()))


def _addresses_in(words: Iterable[str]) -> Iterable[Address]:
    return (address for word in words if (address := parse_address(word)) is not None)
