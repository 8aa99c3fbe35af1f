# SPDX-License-Identifier: Apache-2.0
"""The pools of a host: libvirt's networks that lend VFs, the VFs of each, and the VMs that draw from it.

A VM's lasting definition names the pool; which VF it has is in the running machine's alone, which then says
`<interface type='hostdev'>` with an address and no longer names the pool (libvirt, virDomainActualNetDefContentsFormat
in src/conf/domain_conf.c). So the two are joined by the interface's MAC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import known, value_or
from nicpass.model.libvirt_network import LibvirtNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.domain import Domain


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of a VM that is, or has, one of a pool's."""

    vm: str
    uuid: str
    mac: str | None = None
    lasting: bool = True
    """Whether it stands in the VM's lasting definition."""
    xml: str | None = None
    """Its element in the lasting definition."""
    vf: Address | None = None
    """The VF that libvirt has picked for it; None while the VM does not run with it."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A network of libvirt's with `<forward mode='hostdev'>`."""

    network: LibvirtNetwork
    pfs: tuple[Address, ...]
    """The PFs that its VFs are of, as far as that is known."""
    vfs: tuple[Address, ...]
    """The functions that it lends, in libvirt's order: it takes the first that is free."""
    members: tuple[Member, ...] = ()

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def holders(self) -> tuple[Member, ...]:
        """Those that have a VF at this moment."""
        return tuple(member for member in self.members if member.vf is not None)


def pools_of_host(index: HostIndex) -> tuple[Pool, ...]:
    """Every pool, by name; none where the networks are not known."""
    networks = index.host.libvirt_networks
    found = [network for network in (networks if known(networks) else ()) if network.is_pool]
    return tuple(_pool_of(network, index) for network in sorted(found, key=lambda network: network.name))


def find_pool(index: HostIndex, name: str) -> Pool | None:
    return next((pool for pool in pools_of_host(index) if pool.name == name), None)


def _pool_of(network: LibvirtNetwork, index: HostIndex) -> Pool:
    vfs = tuple(dict.fromkeys((*network.addresses, *_vfs_of_pfs(network, index))))
    pfs = dict.fromkeys(place[0] for vf in vfs if (place := index.vf_indices.get(vf)) is not None)
    domains = value_or(index.host.domains, ()) or ()
    members = tuple(member for domain in domains for member in _members_of(domain, network.name, frozenset(vfs)))
    return Pool(network=network, pfs=tuple(pfs), vfs=vfs, members=members)


def _vfs_of_pfs(network: LibvirtNetwork, index: HostIndex) -> Iterator[Address]:
    """All VFs of the PFs that `<pf dev=>` names."""
    for function in index.host.pci if network.pfs else ():
        names = {name for link in index.netdevs(function) for name in (link.name, *link.altnames)}
        if names.intersection(network.pfs):
            yield from (vf.address for vf in index.vfs.get(function.address, ()))


def _members_of(domain: Domain, pool: str, vfs: frozenset[Address]) -> Iterator[Member]:
    lasting = [i for i in (domain.config.interfaces if domain.config else ()) if i.network == pool]
    holding = [device for device in domain.live_devices if device.address in vfs]
    of_mac = {device.mac: device.address for device in holding}
    for interface in lasting:
        vf = of_mac.get(interface.mac) if interface.mac is not None else None
        yield Member(vm=domain.name, uuid=domain.uuid, mac=interface.mac, xml=interface.xml, vf=vf)
    macs = {interface.mac for interface in lasting}
    for device in holding:
        if device.mac is None or device.mac not in macs:
            yield Member(vm=domain.name, uuid=domain.uuid, mac=device.mac, lasting=False, vf=device.address)
