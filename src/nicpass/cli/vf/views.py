# SPDX-License-Identifier: Apache-2.0
"""What `nicpass vf list` says of one VF: the shape of its JSON, and what its table is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from nicpass.checks.dependence.machines import uses_of
from nicpass.checks.device.switchdev import representor_of
from nicpass.checks.lookup.machines import MachineUse
from nicpass.checks.lookup.nics import kind_of, pf_of
from nicpass.model.address import Address
from nicpass.model.fact import Fact, Unknown, value_or
from nicpass.model.network import VfSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.pci import PciFunction


class RepresentorView(msgspec.Struct, frozen=True, kw_only=True):
    """The other end of a VF whose PF is in switchdev mode."""

    netdev: str
    master: str | None
    """The bridge that it is in; None for none."""


class VfView(msgspec.Struct, frozen=True, kw_only=True):
    """One VF. A setting is None where the PF's driver does not tell it."""

    pf: Address
    pf_netdevs: tuple[str, ...]
    vf_index: int | None
    """None where the PF does not show which of its VFs this is."""
    address: Address
    netdevs: tuple[str, ...]
    driver: Fact[str]
    mac: str | None
    """As the PF has given it; all zeros, or with many drivers the VF's own choice, where it gave none."""
    vlan: int | None
    qos: int | None
    vlan_protocol: str | None
    spoofchk: bool | None
    trust: bool | None
    link_state: str | None
    min_tx_rate: int | None
    max_tx_rate: int | None
    query_rss: bool | None
    node_guid: str | None
    port_guid: str | None
    vms: Fact[tuple[str, ...]]
    """Those that have it as a PCI device."""
    machine_uses: Fact[tuple[MachineUse, ...]]
    """VMs and networks of libvirt's that use it in other ways."""
    representor: RepresentorView | None

    @property
    def settings(self) -> VfSettings | None:
        """What the PF enforces on it; None where the PF tells nothing of this VF."""
        if self.mac is None or self.vf_index is None:
            return None
        return VfSettings(**{name: getattr(self, name) for name in VfSettings.__struct_fields__})


class VfList(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass vf list --json` prints."""

    schema: Literal["nicpass.vfs/1"] = "nicpass.vfs/1"
    vfs: tuple[VfView, ...]


def view_vfs(functions: Iterable[PciFunction], index: HostIndex) -> tuple[VfView, ...]:
    """A view of each VF among the functions, in the order of PFs and of their indices."""
    views = [_view_vf(vf, place, index) for vf in functions if (place := _place_of(vf, index)) is not None]
    return tuple(sorted(views, key=lambda view: (view.pf, view.vf_index is None, view.vf_index, view.address)))


def _place_of(function: PciFunction, index: HostIndex) -> tuple[Address, int | None] | None:
    return pf_of(function, index) if kind_of(function, index) == "vf" else None


def _view_vf(vf: PciFunction, place: tuple[Address, int | None], index: HostIndex) -> VfView:
    pf = index.functions.get(place[0])
    links = index.netdevs(pf) if pf is not None else []
    found = next((each for link in links for each in link.vfs if each.vf_index == place[1]), None)
    names = [name for name in VfSettings.__struct_fields__ if name != "vf_index"]
    facts = (index.host.domains, index.host.libvirt_networks)
    unknown = next((fact for fact in facts if isinstance(fact, Unknown)), None)
    end = representor_of(vf, index)
    link = index.links.get(end.netdev) if end is not None else None
    return VfView(
        pf=place[0],
        pf_netdevs=value_or(pf.netdevs, ()) if pf is not None else (),
        vf_index=place[1],
        address=vf.address,
        netdevs=value_or(vf.netdevs, ()),
        driver=vf.driver,
        **{name: getattr(found, name, None) for name in names},
        vms=index.host.domains
        if isinstance(index.host.domains, Unknown)
        else tuple(domain.name for domain in index.owners.get(vf.address, ())),
        machine_uses=uses_of(vf, index) or unknown or (),
        representor=RepresentorView(netdev=end.netdev, master=link.master if link else None) if end else None,
    )
