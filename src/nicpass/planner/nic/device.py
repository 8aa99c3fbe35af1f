# SPDX-License-Identifier: Apache-2.0
"""How a NIC is to stand in a VM's definition: with which MAC, in which VLAN, and whose hand binds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.device.same_mac import describe_vlan, twins_of
from nicpass.checks.device.switchdev import representor_of
from nicpass.checks.lookup.index import HostIndex, Station
from nicpass.checks.lookup.nics import kind_of, label, on_vfio, pf_of
from nicpass.model.address import derive_vf_mac, parse_mac, station_mac
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.network import NO_MAC, VLAN_IDS
from nicpass.model.plan import DeviceSpec

if TYPE_CHECKING:
    from collections.abc import Container

    from nicpass.model.network import Link
    from nicpass.model.pci import PciFunction
    from nicpass.model.request import AttachRequest

_TRIES = 4096
"""How many MACs are derived until one is free; there are no more VFs of one PF than that."""


def specify_device(function: PciFunction, request: AttachRequest, index: HostIndex) -> DeviceSpec:
    """How the NIC shall stand in the VM's definition: a VF with MAC and VLAN, a whole NIC with neither.

    A NIC that somebody has bound to vfio-pci for good stays so, and one that nicpass binds at every boot: libvirt is
    not to take it from there and back (law 5).
    """
    is_bound = function.address in index.boot_bindings or known(function.driver_override)
    managed = not (on_vfio(function) and is_bound)
    if kind_of(function, index) != "vf":
        if request.mac is not None or request.vlan is not None:
            raise BadInputError(
                _("{nic} is a whole NIC: its MAC and VLANs are the guest's own affair.").format(nic=label(function)),
                _("--mac and --vlan are for VFs, whose PF enforces them."),
            )
        return DeviceSpec(address=function.address, element="hostdev", managed=managed)
    if request.vlan is not None and request.vlan not in VLAN_IDS:
        raise BadInputError(_("{vlan} is not a VLAN: they go from 1 to 4094.").format(vlan=request.vlan), "--vlan 20")
    _refuse_vlan_in_switchdev(function, request, index)
    return DeviceSpec(
        address=function.address,
        element="interface",
        managed=managed,
        mac=_choose_mac(function, request, index),
        vlan=request.vlan if request.vlan is not None else _own_vlan(function, index),
    )


def _own_vlan(function: PciFunction, index: HostIndex) -> int | None:
    """The VLAN that the PF has the VF in. Unless the definition says it too, libvirt takes it away at every start.

    Source: `virNetDevSetNetConfig()` in libvirt's src/util/virnetdev.c, which writes VLAN 0 where it is told of none.
    """
    place = pf_of(function, index)
    pf = index.functions.get(place[0]) if place is not None and place[1] is not None else None
    settings = [vf for link in index.netdevs(pf) for vf in link.vfs] if pf is not None and not pf.representors else []
    return next((vf.vlan for vf in settings if place is not None and vf.vf_index == place[1]), 0) or None


def _refuse_vlan_in_switchdev(function: PciFunction, request: AttachRequest, index: HostIndex) -> None:
    """Refuse a VLAN that the PF's driver would not take: in switchdev mode it answers EOPNOTSUPP, and the VM waits."""
    place = pf_of(function, index)
    pf = index.functions.get(place[0]) if place is not None else None
    if request.vlan is None or pf is None or not pf.representors:
        return
    other_end = representor_of(function, index)
    raise ImpossibleError(
        _("{pf} is in switchdev mode, in which its driver sets no VLAN of a VF.").format(pf=label(pf)),
        _("Set it where the VF's traffic comes out, at {representor}, by the bridge that this is in.").format(
            representor=other_end.netdev if other_end is not None else _("its representor")
        ),
    )


def _choose_mac(function: PciFunction, request: AttachRequest, index: HostIndex) -> str:
    """The VF's MAC: the one given; else the one that the PF has for this VF; else one derived from the PF's own."""
    if request.mac is not None:
        mac = station_mac(request.mac)
        if mac is None:
            raise BadInputError(
                _("{mac!r} is not the MAC of one station.").format(mac=request.mac), _("Such as 52:54:00:12:34:56.")
            )
        return mac
    place = pf_of(function, index)
    pf_links = index.netdevs(index.functions[place[0]]) if place and place[0] in index.functions else []
    if place is None or place[1] is None or not pf_links:
        raise BadInputError(
            _("The PF of {nic} shows no interface, so there is no MAC to derive one from.").format(nic=label(function)),
            _("Give one: --mac"),
        )
    mac = stable_mac(pf_links[0], place[1])
    if mac is None:
        raise BadInputError(
            _("The PF of {nic} shows no MAC to derive one from.").format(nic=label(function)), _("Give one: --mac")
        )
    return mac


def stable_mac(pf_link: Link, vf_index: int, taken: Container[str] = ()) -> str | None:
    """The MAC of a VF for which none was given: the one that its PF has for it, else one derived from the PF's own.

    The derived one is none of `taken`. None where the PF shows no MAC: every such host would derive the same.
    """
    administrative = next((vf.mac for vf in pf_link.vfs if vf.vf_index == vf_index), NO_MAC)
    if administrative != NO_MAC:
        return administrative
    own = pf_link.permanent_mac or pf_link.mac
    if own is None or own == NO_MAC or parse_mac(own) is None:
        return None
    derived = (derive_vf_mac(own, number) for number in range(vf_index, vf_index + _TRIES))
    return next((mac for mac in derived if mac not in taken), None)


def refuse_same_mac(spec: DeviceSpec, function: PciFunction, index: HostIndex) -> None:
    """Pass unless another station of the VF's PF has this MAC in this VLAN: one of the two would be deaf.

    Raises:
        RefusedError: the sentence says who has it.
    """
    if spec.mac is None:
        return
    station = Station(parse_mac(spec.mac) or spec.mac, spec.vlan or 0, label(function), function.address)
    others = twins_of(station, function, index)
    if others:
        raise RefusedError(
            _("The MAC {mac} in {vlan} is that of {other} already, and the PF can serve only one of the two.").format(
                mac=station.mac, vlan=describe_vlan(station.vlan), other=others[0].holder
            ),
            _("Give {nic} another MAC (--mac) or another VLAN (--vlan).").format(nic=label(function)),
        )
