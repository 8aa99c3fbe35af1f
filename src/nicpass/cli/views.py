# SPDX-License-Identifier: Apache-2.0
"""What `nicpass list` says of one NIC: the shape of its JSON, and what its table is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from nicpass.checks.dependence.machines import uses_of
from nicpass.checks.dependence.usage import summarize_usage
from nicpass.checks.lookup.groups import group_companions
from nicpass.checks.lookup.machines import MachineUse
from nicpass.checks.lookup.nics import kind_of, pf_of
from nicpass.checks.preflight import check_host, check_nic
from nicpass.checks.verdict import blocking
from nicpass.model.address import Address
from nicpass.model.fact import Fact, Unknown, known, value_or
from nicpass.planner.words import describe_link_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.host.pci.ids import PciIds
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction


class NetdevView(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of a NIC."""

    name: str
    mac: str | None
    permanent_mac: str | None
    mtu: int | None
    link: str
    driver_version: str | None
    firmware_version: str | None


class NicView(msgspec.Struct, frozen=True, kw_only=True):
    """One network function."""

    address: Address
    kind: Literal["nic", "pf", "vf"]
    netdevs: tuple[NetdevView, ...]
    vendor: str | None
    device: str | None
    vendor_id: str | None
    device_id: str | None
    driver: Fact[str]
    totalvfs: Fact[int]
    numvfs: Fact[int]
    pf: Address | None
    vf_index: int | None
    iommu_group: Fact[int]
    group_members: tuple[Address, ...]
    numa_node: Fact[int]
    used_for: Fact[str]
    vms: Fact[tuple[str, ...]]
    """Those that have it as a PCI device."""
    machine_uses: Fact[tuple[MachineUse, ...]]
    """VMs and networks of libvirt's that use it in other ways."""
    may_go: bool
    why_not: tuple[str, ...]
    """Codes of the findings that stand in the way; `nicpass check NIC` has their sentences."""


class NicList(msgspec.Struct, frozen=True):
    """What `nicpass list --json` prints."""

    nics: tuple[NicView, ...]
    owed: tuple[Address, ...] = ()
    """NICs that have come back from a VM and are not what they were: `nicpass recover`. Root alone is told."""


def view_nics(functions: Iterable[PciFunction], index: HostIndex, names: PciIds) -> tuple[NicView, ...]:
    """A view of each function. The host's own findings stand in the way of every NIC, so they are looked for once."""
    common = check_host(index.host, index)
    return tuple(_view_nic(function, index, names, common) for function in functions)


def _view_nic(function: PciFunction, index: HostIndex, names: PciIds, common: tuple[Finding, ...]) -> NicView:
    vendor_id, device_id = function.vendor_id, function.device_id
    vendor = device = None
    if known(vendor_id) and known(device_id):
        vendor, device = names.names(vendor_id, device_id)
    pf = pf_of(function, index)
    standing = blocking((*common, *check_nic(function, index)))
    return NicView(
        address=function.address,
        kind=kind_of(function, index),
        netdevs=_view_netdevs(function, index),
        vendor=vendor,
        device=device,
        vendor_id=f"{vendor_id:04x}" if known(vendor_id) else None,
        device_id=f"{device_id:04x}" if known(device_id) else None,
        driver=function.driver,
        totalvfs=function.totalvfs,
        numvfs=function.numvfs,
        pf=pf[0] if pf else None,
        vf_index=pf[1] if pf else None,
        iommu_group=function.iommu_group,
        group_members=tuple(member.address for member in group_companions(function, index)),
        numa_node=function.numa_node,
        used_for=_view_usage(function, index),
        vms=_view_owners(function, index),
        machine_uses=_view_machines(function, index),
        may_go=not standing,
        why_not=tuple(dict.fromkeys(finding.code for finding in standing)),
    )


def _view_usage(function: PciFunction, index: HostIndex) -> Fact[str]:
    """The host's use of a NIC: None where it is unused, Unknown where addresses or routes cannot be read."""
    network = index.host.network
    unknown = next((fact for fact in (network.addresses, network.routes) if isinstance(fact, Unknown)), None)
    return summarize_usage(function, index) or unknown


def _view_owners(function: PciFunction, index: HostIndex) -> Fact[tuple[str, ...]]:
    domains = index.host.domains
    if isinstance(domains, Unknown):
        return domains
    return tuple(domain.name for domain in index.owners.get(function.address, ()))


def _view_machines(function: PciFunction, index: HostIndex) -> Fact[tuple[MachineUse, ...]]:
    facts = (index.host.domains, index.host.libvirt_networks)
    unknown = next((fact for fact in facts if isinstance(fact, Unknown)), None)
    return uses_of(function, index) or unknown or ()


def _view_netdevs(function: PciFunction, index: HostIndex) -> tuple[NetdevView, ...]:
    shown = {link.name: link for link in index.netdevs(function)}
    views = []
    for name in value_or(function.netdevs, ()):
        link = shown.get(name)
        views.append(
            NetdevView(
                name=name,
                mac=link.mac if link else None,
                permanent_mac=link.permanent_mac if link else None,
                mtu=link.mtu if link else None,
                link=describe_link_state(link) if link else "unknown",
                driver_version=(link.driver_version or None) if link else None,
                firmware_version=(link.firmware_version or None) if link else None,
            )
        )
    return tuple(views)
