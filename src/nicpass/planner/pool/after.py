# SPDX-License-Identifier: Apache-2.0
"""The host as it will be to the plans that follow, once steps about pools are done: nothing is read for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import on_vfio
from nicpass.checks.lookup.pools import find_pool
from nicpass.model.domain import DomainDevice, DomainInterface
from nicpass.model.libvirt_network import POOL_MODE, LibvirtNetwork
from nicpass.model.plan import DefineDevice, JoinPool, LeavePool, PlugDevice, SetPool, StopDomain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nicpass.model.domain import Definition, Domain, GuestPlace
    from nicpass.model.host import Host
    from nicpass.model.libvirt_network import PoolState
    from nicpass.model.plan import Step


def after_steps(host: Host, steps: Iterable[Step]) -> Host:
    """The host with the pools, the VMs' interfaces of them, and the VMs' free places as these steps leave them.

    Of steps that give a VM a NIC of its own only the place that it takes in the VM counts here.
    """
    for step in steps:
        match step:
            case SetPool():
                host = _with_pool(host, step.name, step.after)
            case JoinPool():
                host = _joined(host, step)
            case LeavePool():
                host = _released(host, step.uuid, {step.mac} if step.live else set())
                host = _of_domain(host, step.uuid, lambda domain, step=step: _left(domain, step))  # type: ignore[misc]
            case StopDomain():
                host = _released(host, step.uuid, set(step.pool_macs))
                host = _of_domain(host, step.uuid, _stopped)
            case DefineDevice() | PlugDevice():
                live, place = isinstance(step, PlugDevice), step.device.place
                host = _of_domain(host, step.uuid, lambda domain, a=live, b=place: _took(domain, b, live=a))  # type: ignore[misc]
    return host


def _with_pool(host: Host, name: str, after: PoolState | None) -> Host:
    networks = host.libvirt_networks if isinstance(host.libvirt_networks, tuple) else ()
    now = next((network for network in networks if network.name == name), None)
    others = tuple(network for network in networks if network is not now)
    if after is None:
        return msgspec.structs.replace(host, libvirt_networks=others)
    base = now or LibvirtNetwork(
        name=after.name,
        forward=POOL_MODE,
        managed=True,
        vlans=() if after.vlan is None else (after.vlan,),
    )
    network = msgspec.structs.replace(
        base, uuid=after.uuid, addresses=after.addresses, active=after.active, autostart=after.autostart, xml=after.xml
    )
    return msgspec.structs.replace(host, libvirt_networks=(*others, network))


def _of_domain(host: Host, uuid: str, change: Callable[[Domain], Domain]) -> Host:
    domains = host.domains if isinstance(host.domains, tuple) else ()
    return msgspec.structs.replace(
        host, domains=tuple(change(domain) if domain.uuid == uuid else domain for domain in domains)
    )


def _released(host: Host, uuid: str, macs: set[str]) -> Host:
    """The host whose VFs, lent to the VM for interfaces of these MACs, have left vfio-pci, as libvirt leaves them."""
    domains = host.domains if isinstance(host.domains, tuple) else ()
    devices = (device for domain in domains if domain.uuid == uuid for device in domain.live_devices)
    lent = {device.address for device in devices if device.mac in macs}
    return msgspec.structs.replace(
        host,
        pci=tuple(
            msgspec.structs.replace(function, driver=None)
            if function.address in lent and on_vfio(function)
            else function
            for function in host.pci
        ),
    )


def _joined(host: Host, step: JoinPool) -> Host:
    """The VM with the interface; a running one with the VF that libvirt takes: the first that no running VM has."""
    if not step.live:
        interface = DomainInterface(type="network", source=step.pool, network=step.pool, mac=step.mac, xml=step.xml)

        def define(domain: Domain) -> Domain:
            if domain.config is None:
                return domain
            config = msgspec.structs.replace(domain.config, interfaces=(*domain.config.interfaces, interface))
            return _took(msgspec.structs.replace(domain, config=config), step.place, live=False)

        return _of_domain(host, step.uuid, define)
    pool = find_pool(HostIndex(host), step.pool)
    held = {member.vf for member in pool.holders} if pool is not None else set()
    free = next((vf for vf in pool.vfs if vf not in held), None) if pool is not None else None
    if free is None:
        return host
    device = DomainDevice(address=free, element="interface", managed=True, mac=step.mac, place=step.place)

    def plug(domain: Domain) -> Domain:
        plugged = msgspec.structs.replace(domain, live_devices=(*domain.live_devices, device))
        return _took(plugged, step.place, live=True)

    return _of_domain(host, step.uuid, plug)


def _left(domain: Domain, step: LeavePool) -> Domain:
    if step.live:
        return msgspec.structs.replace(
            domain, live_devices=tuple(device for device in domain.live_devices if device.mac != step.mac)
        )
    if domain.config is None:
        return domain
    left = tuple(each for each in domain.config.interfaces if (each.network, each.mac) != (step.pool, step.mac))
    return msgspec.structs.replace(domain, config=msgspec.structs.replace(domain.config, interfaces=left))


def _stopped(domain: Domain) -> Domain:
    return msgspec.structs.replace(domain, running=False, paused=False, live=None, live_devices=())


def _took(domain: Domain, place: GuestPlace | None, *, live: bool) -> Domain:
    """The VM with one place less, in the definition that the device came into."""
    if live:
        return msgspec.structs.replace(domain, live=_without_place(domain.live, place))
    return msgspec.structs.replace(domain, config=_without_place(domain.config, place))


def _without_place(definition: Definition | None, place: GuestPlace | None) -> Definition | None:
    if definition is None:
        return None
    pci = definition.pci
    taken = place or next(iter(pci.hotplug_places), None)
    left = msgspec.structs.replace(
        pci,
        free_root_ports=max(0, pci.free_root_ports - 1),
        hotplug_slots=max(0, pci.hotplug_slots - 1),
        hotplug_places=tuple(other for other in pci.hotplug_places if other != taken),
    )
    return msgspec.structs.replace(definition, pci=left)
