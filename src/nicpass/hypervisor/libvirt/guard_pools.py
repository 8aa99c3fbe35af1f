# SPDX-License-Identifier: Apache-2.0
"""What the guard has to know of pools, from libvirt's files alone: its hook may not ask libvirt.

libvirt calls the hook (`prepare begin`) before it picks a VF (qemuProcessInit, then qemuProcessPrepareHost with
qemuProcessNetworkPrepareDevices, in its src/qemu/qemu_process.c). So which one it will be is not in the definition
that the hook gets, and every VF that it may be is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.pools import Pool, pools_of_host
from nicpass.hypervisor.libvirt.domains import read_definitions
from nicpass.hypervisor.libvirt.networks import read_lending
from nicpass.model.fact import value_or

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.domain import Domain
    from nicpass.model.libvirt_network import LibvirtNetwork


def read_pools(files: Files) -> tuple[LibvirtNetwork, ...]:
    """The networks that lend functions; what cannot be read libvirt has not read either, and lends nothing of it."""
    return tuple(network for network in read_lending(files) if network.is_pool)


def pools_of_vm(domain: Domain, pools: tuple[LibvirtNetwork, ...]) -> tuple[LibvirtNetwork, ...]:
    """Those from which the VM draws."""
    interfaces = domain.config.interfaces if domain.config is not None else ()
    named = {interface.network for interface in interfaces}
    return tuple(pool for pool in pools if pool.name in named)


def resolve(pools: tuple[LibvirtNetwork, ...], index: HostIndex) -> tuple[Pool, ...]:
    """The pools with their VFs, on the host as it is."""
    return pools_of_host(HostIndex(msgspec.structs.replace(index.host, libvirt_networks=pools)))


def interfaces_of_pools(files: Files) -> list[tuple[str, str | None]]:
    """(UUID of a VM, MAC) of each interface of a pool's in a lasting definition: the guard stays for as long."""
    pools = read_pools(files)
    names = {pool.name for pool in pools}
    domains = value_or(read_definitions(files), ()) or () if pools else ()
    return [
        (domain.uuid, interface.mac)
        for domain in domains
        for interface in (domain.config.interfaces if domain.config is not None else ())
        if interface.network in names
    ]
