# SPDX-License-Identifier: Apache-2.0
"""What `nicpass list` says of one NIC: the shape of its JSON, and what its table is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from nicpass.checks.blocking import blocking
from nicpass.checks.dependence.machines import uses_of
from nicpass.checks.dependence.usage import Use, list_uses, summarize_uses
from nicpass.checks.host.orphans import why_card_gone
from nicpass.checks.lookup.groups import group_companions
from nicpass.checks.lookup.machines import MachineUse
from nicpass.checks.lookup.nics import kind_of, pf_of
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.address import Address
from nicpass.model.fact import Fact, Unknown, known, value_or
from nicpass.model.finding import Finding
from nicpass.planner.nic_state.words import describe_link_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.host.pci.ids import PciIds
    from nicpass.model.given import GivenNic
    from nicpass.model.network import Link
    from nicpass.model.pci import PciFunction


class NetdevView(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of a NIC."""

    name: str
    mac: str | None
    permanent_mac: str | None
    mtu: int | None
    link: str
    """In words: `down`; `up, carrier`; `up, no carrier`; `unknown`."""
    link_state: Literal["up", "down", "unknown"]
    """Whether there is a link to the other end; `down` also where the interface is."""
    link_speed: int | None
    """In Mbit/s, as the driver tells it; null where there is no link, and of a snapshot, which does not have it."""
    driver_version: str | None
    firmware_version: str | None


class GivenView(msgspec.Struct, frozen=True, kw_only=True):
    """What the record of a NIC tells that nicpass has given to a VM."""

    vm: str
    names: tuple[str, ...]
    """The names that the NIC's interfaces have on the host, where they are there."""
    macs: tuple[str, ...]
    gone: str | None = None
    """What became of the NIC, where it is not there any more."""


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
    """The host's use in words; null where it does not use the NIC."""
    use: Fact[tuple[Use, ...]]
    """The same, one by one."""
    vms: Fact[tuple[str, ...]]
    """Those that have it as a PCI device."""
    machine_uses: Fact[tuple[MachineUse, ...]]
    """VMs and networks of libvirt's that use it in other ways."""
    given: GivenView | None = None
    """None also where this is not known: root alone may read the records."""
    may_go: bool
    why_not: tuple[str, ...]
    """Codes of the findings that stand in the way; `nicpass check NIC` has their sentences."""


class NicList(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass list --json` prints."""

    schema: str = "nicpass.list/1"
    nics: tuple[NicView, ...]
    owed: tuple[Address, ...] = ()
    """NICs that have come back from a VM and are not what they were: `nicpass recover`. Root alone is told."""
    findings: tuple[Finding, ...] = ()
    """About NICs that were given away: records that have outlived their VM or NIC, starts that were vetoed."""


class Around(NamedTuple):
    """What every view is made with: the host, the names of devices, and the host's own findings."""

    lookup: HostIndex
    names: PciIds
    common: tuple[Finding, ...]
    speed_of: Callable[[str], int | None]


def view_nics(
    functions: Iterable[PciFunction], index: HostIndex, names: PciIds, speed_of: Callable[[str], int | None]
) -> tuple[NicView, ...]:
    """A view of each function. The host's own findings stand in the way of every NIC, so they are looked for once.

    `speed_of` is asked for the speed of an interface that has a link.
    """
    around = Around(index, names, check_host(index.host, index), speed_of)
    return tuple(_view_nic(function, around) for function in functions)


def _view_nic(function: PciFunction, around: Around) -> NicView:
    index = around.lookup
    vendor_id, device_id = function.vendor_id, function.device_id
    vendor = device = None
    if known(vendor_id) and known(device_id):
        vendor, device = around.names.names(vendor_id, device_id)
    pf = pf_of(function, index)
    standing = blocking((*around.common, *check_nic(function, index)))
    use = _view_use(function, index)
    return NicView(
        address=function.address,
        kind=kind_of(function, index),
        netdevs=_view_netdevs(function, around),
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
        used_for=(summarize_uses(use) or None) if isinstance(use, tuple) else use,
        use=use,
        vms=_owners_of(function.address, index),
        machine_uses=_view_machines(function, index),
        given=_view_given(index.given.get(function.address), None),
        may_go=not standing,
        why_not=tuple(dict.fromkeys(finding.code for finding in standing)),
    )


def view_gone(index: HostIndex) -> tuple[NicView, ...]:
    """A view of each NIC that a VM was given and that is not on the host any more."""
    lost = ((nic, why_card_gone(nic, index)) for nic in index.given.values())
    return tuple(_view_gone(nic, gone, index) for nic, gone in lost if gone and nic.address not in index.functions)


def _view_gone(nic: GivenNic, gone: str, index: HostIndex) -> NicView:
    identity = nic.identity
    return NicView(
        address=nic.address,
        kind="vf" if nic.vf_index is not None else "nic",
        netdevs=(),
        vendor=None,
        device=None,
        vendor_id=f"{identity.vendor_id:04x}" if identity is not None else None,
        device_id=f"{identity.device_id:04x}" if identity is not None else None,
        driver=None,
        totalvfs=None,
        numvfs=None,
        pf=nic.pf,
        vf_index=nic.vf_index,
        iommu_group=None,
        group_members=(),
        numa_node=None,
        used_for=None,
        use=(),
        vms=_owners_of(nic.address, index),
        machine_uses=(),
        given=_view_given(nic, gone),
        may_go=False,
        why_not=("RECORD_WITHOUT_NIC",),
    )


def _view_given(nic: GivenNic | None, gone: str | None) -> GivenView | None:
    if nic is None:
        return None
    macs = dict.fromkeys(mac for link in nic.links for mac in sorted(link.macs))
    return GivenView(vm=nic.vm, names=tuple(link.name for link in nic.links), macs=tuple(macs), gone=gone)


def _view_use(function: PciFunction, index: HostIndex) -> Fact[tuple[Use, ...]]:
    """The host's uses of a NIC: none where it is unused, Unknown where addresses or routes cannot be read."""
    network = index.host.network
    unknown = next((fact for fact in (network.addresses, network.routes) if isinstance(fact, Unknown)), None)
    return list_uses(function, index) or unknown or ()


def _owners_of(address: Address, index: HostIndex) -> Fact[tuple[str, ...]]:
    domains = index.host.domains
    if isinstance(domains, Unknown):
        return domains
    return tuple(domain.name for domain in index.owners.get(address, ()))


def _view_machines(function: PciFunction, index: HostIndex) -> Fact[tuple[MachineUse, ...]]:
    facts = (index.host.domains, index.host.libvirt_networks)
    unknown = next((fact for fact in facts if isinstance(fact, Unknown)), None)
    return uses_of(function, index) or unknown or ()


def _view_netdevs(function: PciFunction, around: Around) -> tuple[NetdevView, ...]:
    shown = {link.name: link for link in around.lookup.netdevs(function)}
    return tuple(_view_netdev(name, shown.get(name), around) for name in value_or(function.netdevs, ()))


def _view_netdev(name: str, link: Link | None, around: Around) -> NetdevView:
    state = _state_of(link)
    return NetdevView(
        name=name,
        mac=link.mac if link else None,
        permanent_mac=link.permanent_mac if link else None,
        mtu=link.mtu if link else None,
        link=describe_link_state(link) if link else "unknown",
        link_state=state,
        link_speed=around.speed_of(name) if state == "up" else None,
        driver_version=(link.driver_version or None) if link else None,
        firmware_version=(link.firmware_version or None) if link else None,
    )


def _state_of(link: Link | None) -> Literal["up", "down", "unknown"]:
    if link is None or (link.up and link.carrier is None):
        return "unknown"
    return "up" if link.up and link.carrier else "down"
