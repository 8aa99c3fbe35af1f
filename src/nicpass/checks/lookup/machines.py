# SPDX-License-Identifier: Apache-2.0
"""What VMs and libvirt's networks use of the host without having it as a PCI device, by the names that they give.

A macvtap (`<interface type='direct'>`) and passt name an interface, vDPA the file of a device, an argument for QEMU a
PCI function; a network names
interfaces, PFs whose VFs it lends, or PCI functions. VMs that are off count like those that run (law 9).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec

from nicpass.model.fact import known
from nicpass.model.libvirt_network import POOL_MODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.address import Address
    from nicpass.model.domain import Domain, DomainInterface
    from nicpass.model.host import Host
    from nicpass.model.libvirt_network import LibvirtNetwork


class MachineUse(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a NIC by a VM, or by a network of libvirt's."""

    kind: Literal["vm", "network"]
    name: str
    uuid: str | None = None
    how: str
    """What says so in its definition: `<interface type='direct'>`, `<forward mode='hostdev'><pf dev='eth1'/>`."""
    takers: tuple[str, ...] = ()
    """Of a network: the VMs that have an interface on it."""

    @property
    def is_pool(self) -> bool:
        """Whether it is a network that lends PCI functions to VMs."""
        return self.kind == "network" and self.how.startswith(f"<forward mode='{POOL_MODE}'>")


class MachineUses:
    """All of them, each under what it names."""

    def __init__(self, host: Host) -> None:
        self.by_dev: dict[str, list[MachineUse]] = defaultdict(list)
        """Interface, or file of a device, to its users."""
        self.by_pf: dict[str, list[MachineUse]] = defaultdict(list)
        """Interface of a PF to those whose pool its VFs are."""
        self.by_address: dict[Address, list[MachineUse]] = defaultdict(list)
        self.unread: list[str] = []
        """Of what these name, nobody knows which NIC it is."""
        takers: dict[str, list[str]] = defaultdict(list)
        for domain in host.domains if known(host.domains) else ():
            self._add_domain(domain, takers)
        for network in host.libvirt_networks if known(host.libvirt_networks) else ():
            self._add_network(network, tuple(takers.get(network.name, ())))

    def __bool__(self) -> bool:
        return bool(self.by_dev or self.by_pf or self.by_address)

    def _add_domain(self, domain: Domain, takers: dict[str, list[str]]) -> None:
        for interface in _interfaces_of(domain):
            if interface.dev is not None:
                how = f"<interface type='{interface.type}'>"
                use = MachineUse(kind="vm", name=domain.name, uuid=domain.uuid, how=how)
                _add(self.by_dev[interface.dev], use)
            if interface.network is not None and domain.name not in takers[interface.network]:
                takers[interface.network].append(domain.name)
        for address in _arguments_of(domain):
            how = f"<qemu:arg value='vfio-pci,host={address}'/>"
            _add(self.by_address[address], MachineUse(kind="vm", name=domain.name, uuid=domain.uuid, how=how))
        found = (
            each for definition in (domain.config, domain.live) if definition for each in definition.unread_devices
        )
        self.unread += [f"{domain.name}: {reason}" for reason in dict.fromkeys(found)]

    def _add_network(self, network: LibvirtNetwork, takers: tuple[str, ...]) -> None:
        def use(element: str) -> MachineUse:
            how = f"<forward mode='{network.forward}'>{element}"
            return MachineUse(kind="network", name=network.name, uuid=network.uuid, how=how, takers=takers)

        for name in network.netdevs:
            _add(self.by_dev[name], use(f"<interface dev='{name}'/>"))
        for name in network.pfs:
            _add(self.by_pf[name], use(f"<pf dev='{name}'/>"))
        for address in network.addresses:
            _add(self.by_address[address], use("<address type='pci'/>"))
        self.unread += [f"{network.name}: {reason}" for reason in network.unread]


def _interfaces_of(domain: Domain) -> Iterator[DomainInterface]:
    for definition in (domain.config, domain.live):
        if definition is not None:
            yield from definition.interfaces


def _arguments_of(domain: Domain) -> dict[Address, None]:
    definitions = [definition for definition in (domain.config, domain.live) if definition is not None]
    return dict.fromkeys(address for definition in definitions for address in definition.argument_devices)


def _add(uses: list[MachineUse], use: MachineUse) -> None:
    if use not in uses:
        uses.append(use)
