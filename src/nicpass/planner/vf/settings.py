# SPDX-License-Identifier: Apache-2.0
"""From what VFs are set to now to what they shall be set to, or why that cannot be on this PF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.device.same_mac import describe_vlan, stations_like
from nicpass.checks.lookup.index import HostIndex, Station
from nicpass.checks.lookup.nics import label
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.network import NO_MAC, VfSettings
from nicpass.model.pci import PciFunction
from nicpass.model.vf import OPTIONS, VfWish
from nicpass.planner.nic.device import stable_mac

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.address import Address
    from nicpass.model.network import Link
    from nicpass.model.vf import Unsupported

_OF_VLAN = ("vlan", "qos", "vlan_protocol")
_OF_ETHERNET = ("mac", *_OF_VLAN)
_OF_INFINIBAND = ("node_guid", "port_guid")
_UNTOLD = ("spoofchk", "trust", "link_state", "min_tx_rate", "max_tx_rate", "query_rss", *_OF_INFINIBAND)
"""Settings that are None in VfSettings where the PF's driver tells nothing of them."""
_INFINIBAND = 0x0207  # base class and sub-class, PCI Code and ID Assignment Specification, 1.3
_INFINIBAND_OCTETS = 20  # linux/if_infiniband.h: INFINIBAND_ALEN


class Settling(msgspec.Struct, frozen=True):
    """All VFs of a PF, and what is wished of which of them."""

    pf: PciFunction
    wishes: Mapping[int, VfWish]
    """By the VF's number; one that is not in it was not chosen."""
    numvfs: int
    """How many VFs there are then."""
    index: HostIndex
    fresh: bool
    """Whether the VFs are made anew, so that they come without settings."""

    @property
    def chosen(self) -> tuple[int, ...]:
        return tuple(self.wishes)

    @property
    def several(self) -> tuple[VfWish, ...]:
        """The wishes, each that is the same for many once."""
        return tuple(dict.fromkeys(self.wishes.values()))

    @property
    def link(self) -> Link | None:
        """The interface that VFs are set by."""
        return next(iter(self.index.netdevs(self.pf)), None)

    @property
    def now(self) -> dict[int, VfSettings]:
        """What the PF enforces on its VFs now; a PF with two interfaces tells it by both."""
        return {vf.vf_index: vf for link in self.index.netdevs(self.pf) for vf in link.vfs}

    @property
    def vfs(self) -> dict[int, PciFunction]:
        """VF index to the VF, of those that are there."""
        found = self.index.vfs.get(self.pf.address, ())
        return {self.index.vf_indices[vf.address][1]: vf for vf in found if vf.address in self.index.vf_indices}

    @property
    def infiniband(self) -> bool:
        if self.link is not None and self.link.mac is not None:
            return len(self.link.mac.split(":")) == _INFINIBAND_OCTETS
        return known(self.pf.class_code) and self.pf.class_code >> 8 == _INFINIBAND


def settle(aim: Settling, macless: Iterable[int]) -> tuple[tuple[VfSettings, ...], tuple[int, ...]]:
    """(what each VF shall be set to, the VFs whose MAC is chosen here); nothing for a PF without an interface.

    `macless` are the VFs that shall get a MAC though none was given: those that the PF has given none.
    """
    link, now = aim.link, aim.now
    if link is None:
        return (), ()
    taken = {vf.mac for vf in now.values()} | {each.mac or "" for each in aim.index.netdevs(aim.pf)}
    taken |= {wish.mac or "" for wish in aim.several}
    derived: list[int] = []
    after: list[VfSettings] = []
    for number in range(aim.numvfs):
        vf = now.get(number) or VfSettings(vf_index=number, mac=NO_MAC)
        if number in aim.wishes:
            vf = _with_wish(vf, aim.wishes[number])
        if vf.mac == NO_MAC and number in macless and not aim.infiniband:
            mac = stable_mac(link, number, taken)
            derived += [number] if mac is not None else []
            vf = msgspec.structs.replace(vf, mac=mac or NO_MAC)
            taken.add(vf.mac)
        after.append(vf)
    return tuple(after), tuple(derived)


def _with_wish(vf: VfSettings, wish: VfWish) -> VfSettings:
    vf = msgspec.structs.replace(vf, **wish.given)
    if not vf.vlan:  # without a VLAN there is nothing that could have a priority or a protocol
        protocol = vf.vlan_protocol if vf.vlan_protocol == "802.1Q" else None  # which the kernel tells of no VLAN too
        vf = msgspec.structs.replace(vf, qos=vf.qos and 0, vlan_protocol=protocol)
    if vf.min_tx_rate is not None or vf.max_tx_rate is not None:  # the kernel takes both or neither
        vf = msgspec.structs.replace(vf, min_tx_rate=vf.min_tx_rate or 0, max_tx_rate=vf.max_tx_rate or 0)
    return vf


def changed_fields(before: VfSettings | None, after: VfSettings) -> tuple[str, ...]:
    """The settings in which the two differ."""
    bare = before or VfSettings(vf_index=after.vf_index, mac=NO_MAC)
    names = (name for name in VfSettings.__struct_fields__ if name != "vf_index")
    return tuple(name for name in names if getattr(bare, name) != getattr(after, name))


def refuse_what_no_pf_can(aim: Settling) -> None:
    """Pass if the words fit together, and this kind of link has such settings.

    Raises:
        ImpossibleError: the PF shows no interface.
        BadInputError: the rest.
    """
    given = {name for wish in aim.several for name in wish.given}
    if not given:
        return
    if aim.link is None:
        raise ImpossibleError(
            _("{nic} shows no interface, by which alone VFs are set; it can have only a number of them.").format(
                nic=label(aim.pf)
            ),
            _("Give it to its network driver, or bring its interface back into this network namespace."),
        )
    for names, wrong in ((_OF_ETHERNET, aim.infiniband), (_OF_INFINIBAND, not aim.infiniband)):
        option = next((OPTIONS[name] for name in names if name in given), None)
        if wrong and option is not None:
            raise BadInputError(
                _("{option} is for Ethernet; {nic} is InfiniBand.").format(option=option, nic=label(aim.pf))
                if aim.infiniband
                else _("{option} is for InfiniBand; {nic} is Ethernet.").format(option=option, nic=label(aim.pf)),
                _("A VF has a MAC on Ethernet and GUIDs on InfiniBand: --mac, --node-guid, --port-guid."),
            )
    own = {mac for link in aim.index.netdevs(aim.pf) for mac in (link.mac, link.permanent_mac)}
    for wish in aim.several:
        if wish.mac is not None and wish.mac in own:
            raise BadInputError(
                _("{mac} is the MAC of {nic} itself.").format(mac=wish.mac, nic=label(aim.pf)),
                _("Give the VF another one, or none: then it gets one that is derived."),
            )


def refuse_contradictions(aim: Settling, after: tuple[VfSettings, ...]) -> None:
    """Pass if what the chosen VFs are set to then can be: VLAN and priority, rates and speed. Raises BadInputError."""
    for vf in (vf for vf in after if vf.vf_index in aim.wishes):
        wish = aim.wishes[vf.vf_index]
        for option, value in (("--qos", wish.qos), ("--proto", wish.vlan_protocol)):
            if value is not None and not vf.vlan:
                raise BadInputError(
                    _("{option} is about a VLAN, and VF {number} has none.").format(option=option, number=vf.vf_index),
                    f"--vlan 20 {option} {value}",
                )
        slowest, fastest = vf.min_tx_rate or 0, vf.max_tx_rate or 0
        if fastest and slowest > fastest and (wish.min_tx_rate, wish.max_tx_rate) != (None, None):
            raise BadInputError(
                _("VF {number} cannot send at least {slowest} and at most {fastest} Mbit/s.").format(
                    number=vf.vf_index, slowest=slowest, fastest=fastest
                ),
                _("--max-tx-rate 0 is no limit."),
            )
    speed = aim.link.speed if aim.link is not None else None
    rates = [("--min-tx-rate", wish.min_tx_rate) for wish in aim.several]
    rates += [("--max-tx-rate", wish.max_tx_rate) for wish in aim.several]
    for option, rate in rates:
        if rate and speed is not None and rate > speed:
            raise BadInputError(
                _("{option} {rate} is more than the link of {nic} does: {speed} Mbit/s.").format(
                    option=option, rate=rate, nic=label(aim.pf), speed=speed
                ),
                _("Rates are in Mbit/s; 0 is no limit."),
            )


def refuse_what_this_pf_cannot(
    aim: Settling, after: tuple[VfSettings, ...], unsupported: Iterable[Unsupported]
) -> None:
    """Pass if this driver, in this mode, may take what changes, and tells it. Raises ImpossibleError."""
    now = aim.now
    wanted = {
        name: vf.vf_index
        for vf in reversed(after)
        if vf.vf_index in aim.wishes
        for name in changed_fields(None if aim.fresh else now.get(vf.vf_index), vf)
        if name in aim.wishes[vf.vf_index].given
    }
    if aim.pf.representors and (in_vlan := [name for name in _OF_VLAN if name in wanted]):
        _refuse_vlan_in_switchdev(aim, in_vlan[0])
    for each in unsupported:
        if each.setting in wanted and _is_about(each, aim):
            raise ImpossibleError(
                _("{driver} of the kernel {release} does not know {option}: it was tried, and not supported.").format(
                    driver=each.driver, release=each.release, option=OPTIONS[each.setting]
                ),
                _("Another kernel is asked anew; to ask this one again: rm /var/lib/nicpass/unsupported.json"),
            )
    if aim.fresh:
        return
    if lost := [number for number, wish in aim.wishes.items() if wish.given and number not in now]:
        raise ImpossibleError(
            _("{nic} does not tell what it enforces on VF {number}, so what is set there could not be seen.").format(
                nic=label(aim.pf), number=lost[0]
            ),
            _("What the kernel tells: ip link show; a driver may tell nothing."),
        )
    for name in (name for name in _UNTOLD if name in wanted):
        if getattr(now[wanted[name]], name) is None:
            raise ImpossibleError(
                _("{driver} does not tell {option} of VF {number}, so what is set could not be seen.").format(
                    driver=aim.pf.driver, option=OPTIONS[name], number=wanted[name]
                ),
                _("What the kernel tells: ip link show; a driver that does not tell it hardly knows it."),
            )


def refuses_macs(aim: Settling, unsupported: Iterable[Unsupported]) -> bool:
    """Whether the PF's driver is known to take no MAC of a VF."""
    return any(each.setting == "mac" and _is_about(each, aim) for each in unsupported)


def _is_about(each: Unsupported, aim: Settling) -> bool:
    return each.driver == aim.pf.driver and each.switchdev == bool(aim.pf.representors)


def _refuse_vlan_in_switchdev(aim: Settling, name: str) -> None:
    """In switchdev mode the driver answers EOPNOTSUPP to a VLAN: the VF's traffic comes out at its representor."""
    ends = {end.vf_index: end.netdev for end in aim.pf.representors}
    netdevs = [ends[number] for number in aim.chosen if number in ends]
    raise ImpossibleError(
        _("{pf} is in switchdev mode, in which its driver takes no {option} of a VF.").format(
            pf=label(aim.pf), option=OPTIONS[name]
        ),
        _("Set it where the VF's traffic comes out, at {representor}, by the bridge that this is in.").format(
            representor=", ".join(netdevs) or _("its representor")
        ),
    )


def refuse_twins(aim: Settling, after: tuple[VfSettings, ...]) -> None:
    """Pass unless two stations of the PF would have one MAC in one VLAN: the PF could serve only one of the two.

    Raises:
        RefusedError: the sentence says which.
    """
    now, functions = aim.now, aim.vfs
    changing = {
        vf.vf_index: vf
        for vf in after
        if vf.mac != NO_MAC and {"mac", "vlan"} & {*changed_fields(None if aim.fresh else now.get(vf.vf_index), vf)}
    }
    moving: set[Address] = {functions[number].address for number in changing if number in functions}
    if aim.fresh:  # the VFs that are there now go before these are made
        moving |= {vf.address for vf in functions.values()}
    seen: dict[tuple[str, int], int] = {}
    for vf in changing.values():
        station = Station(vf.mac, vf.vlan, "")
        others = [o.holder for o in stations_like(station, aim.pf, aim.index) if o.vf not in moving or o.vf is None]
        if (twin := seen.setdefault((vf.mac, vf.vlan), vf.vf_index)) != vf.vf_index:
            others.append(_("VF {number}").format(number=twin))
        if others:
            raise RefusedError(
                _(
                    "The MAC {mac} in {vlan} is that of {other} already, and the PF can serve only one of the two."
                ).format(mac=vf.mac, vlan=describe_vlan(vf.vlan), other=others[0]),
                _("Give VF {number} another MAC (--mac) or another VLAN (--vlan).").format(number=vf.vf_index),
            )
