# SPDX-License-Identifier: Apache-2.0
"""A host with a PF of four VFs, and pools of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.address import Address
from nicpass.model.domain import DomainDevice
from tests.support.hosts import VM, link, network, pf_with_vfs, ready_host
from tests.support.trees import UUID, Tree, Vm, network_file

if TYPE_CHECKING:
    from nicpass.model.host import Host

PF = "0000:01:00.0"
VFS = tuple(Address(f"0000:01:02.{number}") for number in range(4))
NETDEVS = ("eth1", *(f"eth1v{number}" for number in range(4)))
WEB = Vm(name="web", uuid=UUID.format(7))
PLAIN = ready_host(*pf_with_vfs(PF, "eth1", 4), net=network(*map(link, NETDEVS))).but(vms=(VM, WEB))


def address_xml(vf: str) -> str:
    _domain, bus, slot, function = (int(part, 16) for part in vf.replace(".", ":").split(":"))
    return f"<address type='pci' domain='0' bus='{bus}' slot='{slot}' function='{function}'/>"


def pool_file(*vfs: str, name: str = "blue", vlan: int | None = None) -> dict[str, str]:
    """The definition of a pool with these VFs, by its path."""
    addresses = "".join(map(address_xml, vfs))
    tag = f"<vlan><tag id='{vlan}'/></vlan>" if vlan is not None else ""
    return network_file(name, f"<forward mode='hostdev' managed='yes'>{addresses}</forward>{tag}")


def drawing_xml(mac: str, pool: str = "blue") -> str:
    """An interface of a pool's in a VM's definition."""
    return f"<interface type='network'><mac address='{mac}'/><source network='{pool}'/></interface>"


def with_pool(*vfs: str, web: str = "", tree: Tree = PLAIN, **more: object) -> Tree:
    """The host with a pool of these VFs, and with `web` as the devices of the VM of that name."""
    return tree.but(files=pool_file(*vfs, **more), vms=(VM, Vm(name="web", uuid=WEB.uuid, devices=web)))  # type: ignore[arg-type]


def started(host: Host, *, autostart: bool = True) -> Host:
    """The host whose networks are as a pool of nicpass's is: a tree of files does not tell."""
    networks = tuple(
        msgspec.structs.replace(each, active=True, autostart=autostart)
        for each in host.libvirt_networks  # type: ignore[union-attr]
    )
    return msgspec.structs.replace(host, libvirt_networks=networks)


def holding(host: Host, vm: str, vf: str, mac: str, *, paused: bool = False) -> Host:
    """The host on which this VM runs with this VF, as the running machine says it."""
    device = DomainDevice(address=Address(vf), element="interface", managed=True, mac=mac)
    domains = tuple(
        msgspec.structs.replace(
            domain, running=True, paused=paused, live=domain.config, live_devices=(*domain.config_devices, device)
        )
        if domain.name == vm
        else domain
        for domain in host.domains  # type: ignore[union-attr]
    )
    return msgspec.structs.replace(host, domains=domains)
