# SPDX-License-Identifier: Apache-2.0
"""In what a host is not as a file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.pools import find_pool
from nicpass.model.fact import value_or
from nicpass.model.state import DeclaredVf
from nicpass.model.text import printable
from nicpass.model.vf import VfWish
from nicpass.planner.state.boot_aims import lacking_of_boot
from nicpass.planner.state.pool_aims import text_of_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.checks.lookup.pools import Member, Pool
    from nicpass.model.domain import Domain, DomainDevice
    from nicpass.model.network import VfSettings
    from nicpass.model.prepared import Prepared
    from nicpass.planner.state.aims import Aims, NicAim, VmAim
    from nicpass.planner.state.pf_aims import PfAim
    from nicpass.planner.state.pool_aims import DrawAim, PoolAim
    from nicpass.planner.state.text import Key

    LineOf: TypeAlias = Callable[[Key], int]

_RENAMED = {"proto": "vlan_protocol", "state": "link_state"}
"""A word of the file to the field of VfWish, where the two are not the same."""


PRESENT = "present"
"""What a difference says of a NIC of which nothing but itself is asked for."""


OF_DEFINITION = ("mac", "vlan", "qos", "proto")
"""What libvirt writes by itself, from a VM's definition, whenever the VM starts."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the file says."""

    kind: str
    """`boot`, `pf`, `pool` or `vm`."""
    name: str
    """The PF, the pool or the VM as the file names it; of the boot `nics`, `arguments` or `group`."""
    what: str
    """`vfs`, `vf 3 vlan`, `active`, the NIC of a VM or the boot, or a kernel argument."""
    now: str | None
    """None: it is not there."""
    wanted: str | None
    line: int
    """Where in the file it stands."""


def find_differences(
    aims: Aims, index: HostIndex, line_of: LineOf, prepared: Prepared | None = None
) -> tuple[Difference, ...]:
    """All of them, in the order of the file; `prepared` as in `find_aims`."""
    found: list[Difference] = []
    for name, what, key in lacking_of_boot(aims.boot, index, prepared) if aims.boot is not None else ():
        line = line_of(key)
        found.append(Difference(kind="boot", name=name, what=printable(what), now=None, wanted=PRESENT, line=line))
    for pf in aims.pfs:
        found += differences_of_pf(pf, index, line_of)
    for pool in aims.pools:
        found += differences_of_pool(pool, index, line_of)
    for vm in aims.vms:
        found += differences_of_vm(vm, line_of)
        found += differences_of_draws(vm, index, line_of)
    return tuple(found)


def wish_of(declared: DeclaredVf) -> VfWish:
    """The same in the words of the rest of the program."""
    given = {name: getattr(declared, name) for name in DeclaredVf.__struct_fields__}
    return VfWish(**{_RENAMED.get(name, name): value for name, value in given.items()})


def differences_of_pf(aim: PfAim, index: HostIndex, line_of: LineOf) -> Iterator[Difference]:
    name = str(aim.key[-1])
    numvfs = value_or(aim.pf.numvfs, None)
    if numvfs != aim.declared.vfs:
        now = None if numvfs is None else str(numvfs)
        wanted, line = str(aim.declared.vfs), line_of((*aim.key, "vfs"))
        yield Difference(kind="pf", name=name, what="vfs", now=now, wanted=wanted, line=line)
    settings = {} if numvfs != aim.declared.vfs else {vf.vf_index: vf for vf in _told(aim, index)}
    had = had_vfs(aim, index) if settings else frozenset()
    for number in range(aim.declared.vfs):
        own = aim.declared.each.get(number, DeclaredVf())
        for field in DeclaredVf.__struct_fields__:
            if number in had and field in OF_DEFINITION:
                continue
            single = getattr(own, field)
            value = single if single is not None else getattr(aim.declared.all, field)
            now_value = _now(settings.get(number), field)
            if value is None or now_value == _shown(value):
                continue
            key = (*aim.key, "each", number, field) if single is not None else (*aim.key, "all", field)
            what = f"vf {number} {field}"
            yield Difference(kind="pf", name=name, what=what, now=now_value, wanted=_shown(value), line=line_of(key))


def had_vfs(aim: PfAim, index: HostIndex) -> frozenset[int]:
    """The VFs that VMs have: MAC and VLAN of these stand in the VMs' definitions, and are theirs to say."""
    owned = (vf.address for vf in index.vfs.get(aim.pf.address, ()) if index.owners.get(vf.address))
    places = map(index.vf_indices.get, owned)
    return frozenset(place[1] for place in places if place is not None)


def _told(aim: PfAim, index: HostIndex) -> list[VfSettings]:
    return [vf for link in index.netdevs(aim.pf) for vf in link.vfs]


def _now(settings: VfSettings | None, field: str) -> str | None:
    value = getattr(settings, _RENAMED.get(field, field), None)
    if value is None and field in ("qos", "proto") and settings is not None:  # not told where there is none
        value = {"qos": 0, "proto": "802.1Q"}[field]
    return None if value is None else _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).lower() if isinstance(value, str) and ":" in value else str(value)


def differences_of_pool(aim: PoolAim, index: HostIndex, line_of: LineOf) -> Iterator[Difference]:
    pool = find_pool(index, aim.name)
    told = [("vfs", _vfs_of_pool(pool, aim, index) if pool is not None else None, aim.text)]
    if aim.vlan is not None and (aim.vlan or pool is not None):
        now = None if pool is None else ",".join(map(str, pool.network.vlans)) or "none"
        told.append(("vlan", now, str(aim.vlan or "none")))
    if pool is not None:
        for what, fact in (("active", pool.network.active), ("autostart", pool.network.autostart)):
            told.append((what, "off" if fact is False else "on", "on"))  # a tree does not say
    for what, now, wanted in told:
        if now != wanted:
            line = line_of((*aim.key, what))
            yield Difference(kind="pool", name=printable(aim.name), what=what, now=now, wanted=wanted, line=line)


def _vfs_of_pool(pool: Pool, aim: PoolAim, index: HostIndex) -> str:
    """The pool's VFs as a person reads them; in the file's own words where they are the same, in whatever order."""
    places = [index.vf_indices.get(vf) for vf in pool.vfs]
    found = [(index.functions[place[0]], place[1]) for place in places if place is not None]
    others = [vf for vf, place in zip(pool.vfs, places, strict=True) if place is None]
    if not others and {(pf.address, number) for pf, number in found} == {(vf.pf.address, vf.number) for vf in aim.vfs}:
        return aim.text
    return ", ".join((text_of_places(found), *others)).strip(", ") or "none"


def differences_of_draws(aim: VmAim, index: HostIndex, line_of: LineOf) -> Iterator[Difference]:
    for draw in aim.draws:
        if draw_of(draw, aim.domain, index) is None:
            others = others_of(draw, aim, index)
            now = None if draw.mac is None or not others else f"mac {others[0].mac or 'none'}"
            wanted = PRESENT if draw.mac is None else f"mac {draw.mac}"
            name = printable(str(aim.key[-1]))
            yield Difference(kind="vm", name=name, what=draw.name, now=now, wanted=wanted, line=line_of(draw.key))


def draw_of(draw: DrawAim, domain: Domain, index: HostIndex) -> Member | None:
    """The interface in the VM's lasting definition that is meant; None where it has none such."""
    mine = members_of(domain, draw.pool, index)
    return next((one for one in mine if draw.mac is None or (one.mac or "").lower() == draw.mac), None)


def others_of(draw: DrawAim, aim: VmAim, index: HostIndex) -> list[Member]:
    """The VM's interfaces of the same pool that the file does not mean."""
    meant = [draw_of(other, aim.domain, index) for other in aim.draws if other.pool == draw.pool]
    return [member for member in members_of(aim.domain, draw.pool, index) if member not in meant]


def members_of(domain: Domain, pool: str, index: HostIndex) -> list[Member]:
    """The interfaces of this pool in the VM's lasting definition."""
    found = find_pool(index, pool)
    members = found.members if found is not None else ()
    return [m for m in members if (m.uuid, m.vm) == (domain.uuid, domain.name) and m.lasting]


def differences_of_vm(aim: VmAim, line_of: LineOf) -> Iterator[Difference]:
    devices = {device.address: device for device in aim.domain.config_devices}
    for nic in aim.nics:
        device = devices.get(nic.address) if nic.address is not None else None
        now = None if device is None else _described(device, nic)
        wanted = _wanted(nic)
        if device is None or now != wanted:
            yield Difference(
                kind="vm",
                name=printable(str(aim.key[-1])),
                what=nic.name,
                now=now,
                wanted=wanted,
                line=line_of(nic.key),
            )


def _described(device: DomainDevice, nic: NicAim) -> str:
    """The NIC as the VM has it, in what the file says of it."""
    return _words(nic, device.mac or "none", str(device.vlan or "none"))


def _wanted(nic: NicAim) -> str:
    return _words(nic, nic.mac or "", str(nic.vlan))


def _words(nic: NicAim, mac: str, vlan: str) -> str:
    parts = [f"mac {mac.lower()}"] if nic.mac is not None else []
    parts += [f"vlan {vlan}"] if nic.vlan is not None else []
    return ", ".join(parts) or PRESENT
