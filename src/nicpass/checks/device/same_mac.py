# SPDX-License-Identifier: Apache-2.0
"""The same MAC twice in one VLAN of one PF: its switch hands a frame to one of the two, and the other is deaf.

A VF's station is what the VM's definition says, which libvirt has the PF enforce at the next start; of a VF that no VM
has, what the PF enforces now. The PF itself is a station too, and so is every VLAN that the host has on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.index import Station
from nicpass.checks.lookup.nics import label, pf_of
from nicpass.model.address import derive_vf_mac, parse_mac
from nicpass.model.language import _
from nicpass.model.network import NO_MAC
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.sriov")


def check_same_mac(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Of a VF that a VM has: the others of its PF that have its MAC in its VLAN."""
    if not index.owners.get(function.address):
        return
    for station in _of_domains(function, index):
        others = twins_of(station, function, index)
        if others:
            yield make_finding(
                "VF_MAC_TWICE",
                function.address,
                ((station.holder, _describe(station)), *((other.holder, _describe(other)) for other in others)),
                nic=label(function),
                holder=station.holder,
                mac=station.mac,
                vlan=describe_vlan(station.vlan),
                others=", ".join(dict.fromkeys(other.holder for other in others)),
                owner=vm_word(station.vm, station.uuid),
                address=function.address,
                free=_free_mac(function, index),
                same_vlan=f" --vlan {station.vlan}" if station.vlan else "",
            )
            return


def twins_of(station: Station, function: PciFunction, index: HostIndex) -> tuple[Station, ...]:
    """The other stations of the VF's PF with this MAC in this VLAN."""
    place = pf_of(function, index)
    pf = index.functions.get(place[0]) if place is not None else None
    return tuple(other for other in stations_like(station, pf, index) if other.vf != function.address) if pf else ()


def stations_like(station: Station, pf: PciFunction, index: HostIndex) -> tuple[Station, ...]:
    """All stations of a PF with this MAC in this VLAN."""
    if pf.address not in index.stations:  # a PF may have hundreds of VFs, and each of them asks
        grouped = index.stations[pf.address] = {}
        for other in _stations(pf, index):
            grouped.setdefault((other.mac, other.vlan), []).append(other)
    return tuple(index.stations[pf.address].get((station.mac, station.vlan), ()))


def _stations(pf: PciFunction, index: HostIndex) -> Iterator[Station]:
    for link in index.netdevs(pf):
        yield from _of_host(link.name, link.mac, 0)
        for upper in index.uppers.get(link.name, ()):
            if upper.kind == "vlan" and upper.vlan_id:
                yield from _of_host(upper.name, upper.mac, upper.vlan_id)
    enforced = {vf.vf_index: vf for link in index.netdevs(pf) for vf in link.vfs}
    for function in index.vfs.get(pf.address, ()):
        if index.owners.get(function.address):
            yield from _of_domains(function, index)
            continue
        place = pf_of(function, index)
        settings = enforced.get(place[1]) if place is not None and place[1] is not None else None
        if settings is not None and settings.mac != NO_MAC:
            yield Station(parse_mac(settings.mac) or "", settings.vlan, label(function), function.address)


def _of_host(name: str, mac: str | None, vlan: int) -> Iterator[Station]:
    if mac is not None and mac != NO_MAC:
        yield Station(parse_mac(mac) or "", vlan, _("the host's own {name}").format(name=name))


def _of_domains(function: PciFunction, index: HostIndex) -> Iterator[Station]:
    for domain in index.owners.get(function.address, ()):
        for device in (*domain.config_devices, *domain.live_devices):
            if device.address == function.address and device.mac is not None:
                holder = _("{nic} in the VM {name}").format(nic=label(function), name=domain.name)
                yield Station(
                    parse_mac(device.mac) or "", device.vlan or 0, holder, function.address, domain.name, domain.uuid
                )


def _free_mac(function: PciFunction, index: HostIndex) -> str:
    """A MAC that no station of the host has: derived from the PF's own, for as many VFs as are needed to be free."""
    place = pf_of(function, index)
    pf = index.functions.get(place[0]) if place is not None else None
    links = index.netdevs(pf) if pf is not None else []
    own = next((mac for link in links if (mac := link.permanent_mac or link.mac) and mac != NO_MAC), None)
    if pf is None or place is None or own is None:
        return "MAC"
    taken = {station.mac for station in _stations(pf, index)}
    first = place[1] or 0
    return next(mac for number in range(first, first + 4096) if (mac := derive_vf_mac(own, number)) not in taken)


def _describe(station: Station) -> str:
    return f"{station.mac}, {describe_vlan(station.vlan)}"


def describe_vlan(vlan: int) -> str:
    return _("VLAN {vlan}").format(vlan=vlan) if vlan else _("no VLAN")
