# SPDX-License-Identifier: Apache-2.0
"""libvirt's networks: what hands the NICs of a host out to the VMs that ask for one.

The words are libvirt's: https://libvirt.org/formatnetwork.html.
"""

from __future__ import annotations

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact

POOL_MODE = "hostdev"


class LibvirtNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """One network, with all that its lasting definition and the running one name together."""

    name: str
    uuid: str | None = None
    active: Fact[bool] = None
    persistent: bool = True
    autostart: Fact[bool] = None
    forward: str | None = None
    """`nat`, `route`, `open`, `bridge`, `private`, `vepa`, `passthrough`, `hostdev`; None: it leads nowhere."""
    bridge: str | None = None
    netdevs: tuple[str, ...] = ()
    """Interfaces of the host that it goes out by, or that it lends to VMs: `<forward dev=>`, `<interface dev=>`."""
    pfs: tuple[str, ...] = ()
    """Interfaces of PFs all of whose VFs are its pool: `<pf dev=>`."""
    addresses: tuple[Address, ...] = ()
    """Functions of its pool: `<address type='pci'>`."""
    managed: bool | None = None
    """Of a pool: whether libvirt takes a function from its driver at each start of a VM; None: it does not say."""
    vlans: tuple[int, ...] = ()
    """The VLAN into which each function of a pool is put; several are a trunk."""
    xml: str | None = None
    """Of a pool: the lasting definition, in libvirt's own words."""
    unread: tuple[str, ...] = ()
    """What it names and could not be understood."""

    @property
    def is_pool(self) -> bool:
        """Whether it lends PCI functions to VMs: `<forward mode='hostdev'>`."""
        return self.forward == POOL_MODE


class PoolState(msgspec.Struct, frozen=True, kw_only=True):
    """A network of libvirt's that lends VFs to VMs, as it is or shall be."""

    name: str
    uuid: str
    addresses: tuple[Address, ...]
    """The functions in its lasting definition, in the order in which libvirt lends them."""
    vlan: int | None = None
    active: bool = False
    autostart: bool = False
    xml: str | None = None
    """The definition as libvirt had it, so that a change of its functions loses nothing else of it."""
