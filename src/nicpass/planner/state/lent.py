# SPDX-License-Identifier: Apache-2.0
"""VFs that running VMs let go of: libvirt sets each to the MAC and VLAN again that it found when it took the VF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.binding.identity import match_identity
from nicpass.checks.lookup.index import HostIndex
from nicpass.model.address import Address
from nicpass.model.fact import value_or
from nicpass.model.plan import GiveBackNic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from nicpass.model.host import Host
    from nicpass.model.network import VfSettings
    from nicpass.model.plan import Step

    Place: TypeAlias = tuple[Address, int]
    """A PF, and a VF's number."""

_OF_LIBVIRT = ("mac", "vlan", "qos", "vlan_protocol")


def with_settings_back(before: Host, after: Host, found: Mapping[Place, VfSettings]) -> Host:
    """`after`, with what libvirt will have set the VFs to that running VMs have on `before` and no more.

    `found` is what these VFs were set to before they were taken, as far as that is known.
    """
    held, left = (
        {device.address for domain in value_or(host.domains, ()) or () for device in domain.live_devices}
        for host in (before, after)
    )
    index = HostIndex(after)
    back = {index.vf_indices[vf] for vf in held - left if vf in index.vf_indices}
    if not back & found.keys():
        return after
    links = []
    for link in after.network.links:
        pf = Address(link.parent_device or "")
        vfs = tuple(
            _set_as(vf, found[pf, vf.vf_index]) if (pf, vf.vf_index) in back & found.keys() else vf for vf in link.vfs
        )
        links.append(msgspec.structs.replace(link, vfs=vfs))
    return msgspec.structs.replace(after, network=msgspec.structs.replace(after.network, links=tuple(links)))


def found_by_libvirt(host: Host, steps: Iterable[Step]) -> dict[Place, VfSettings]:
    """What VFs were set to before VMs had them.

    That is known by the records of those that these steps give back, else by what the boot makes of the PFs' VFs.
    """
    found: dict[Place, VfSettings] = {}
    for one in value_or(host.vf_declarations.found, ()):
        match = match_identity(one.identity, host.pci)
        if match.outcome == "found":
            found |= {(match.addresses[0], vf.vf_index): vf for vf in one.vfs}
    indices = HostIndex(host).vf_indices
    for step in steps:
        if isinstance(step, GiveBackNic) and step.state.vf is not None and step.address in indices:
            found[indices[step.address]] = step.state.vf
    return found


def _set_as(vf: VfSettings, found: VfSettings) -> VfSettings:
    return msgspec.structs.replace(vf, **{name: getattr(found, name) for name in _OF_LIBVIRT})
