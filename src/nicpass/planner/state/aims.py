# SPDX-License-Identifier: Apache-2.0
"""What the words of a file mean on one host: which PF, which VM, which NIC."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nicpass.checks.lookup.nics import label
from nicpass.model.errors import BadInputError, RefusedError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.state import DeclaredNic, DeclaredVf
from nicpass.model.text import printable
from nicpass.planner.select import select_domain, select_nic
from nicpass.planner.state.boot_aims import find_boot, select_named
from nicpass.planner.state.pf_aims import addresses_of_vfs, count_of, find_pfs, no_such_vf
from nicpass.planner.state.pool_aims import find_draw, find_pools, in_pool_already, refuse_vague
from nicpass.planner.state.told import refuse_same, told_at, told_where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.pci import PciFunction
    from nicpass.model.prepared import Prepared
    from nicpass.model.state import DeclaredVm
    from nicpass.planner.state.boot_aims import BootAim
    from nicpass.planner.state.pf_aims import PfAim
    from nicpass.planner.state.pool_aims import DrawAim, PoolAim, PoolVf
    from nicpass.planner.state.text import Key, StateFile


class NicAim(NamedTuple):
    """A NIC that a VM shall have."""

    key: Key
    declared: DeclaredNic
    address: Address | None
    """None for a VF that is not there yet."""
    place: tuple[Address, int] | None = None
    """(PF, number) of a VF that is named so."""
    mac: str | None = None
    """What the VM's definition is to say, by what is said of the NIC here and of the VF where its PF is."""
    vlan: int | None = None

    @property
    def name(self) -> str:
        """The NIC as the file has it."""
        if self.declared.nic is not None:
            return printable(self.declared.nic)
        return f"{printable(self.declared.pf or '')} vf {self.declared.vf}"


class VmAim(NamedTuple):
    """A VM, and the NICs that it shall have."""

    key: Key
    domain: Domain
    declared: DeclaredVm
    nics: tuple[NicAim, ...]
    draws: tuple[DrawAim, ...] = ()
    """Those of pools."""


class Aims(NamedTuple):
    """All that a file says, on one host."""

    pfs: tuple[PfAim, ...]
    vms: tuple[VmAim, ...]
    pools: tuple[PoolAim, ...] = ()
    boot: BootAim | None = None

    @property
    def awaits_vfs(self) -> bool:
        """Whether something of it is a VF that is not there yet, and can be planned only when it is."""
        return any(pool.awaits_vfs for pool in self.pools) or any(
            nic.address is None for vm in self.vms for nic in vm.nics
        )


def find_aims(file: StateFile, index: HostIndex, prepared: Prepared | None = None) -> Aims:
    """What the file means on this host, which is `prepared` so.

    Raises:
        BadInputError: it names what is not there, or one thing twice; the sentence begins with the place.
        ImpossibleError: the hypervisor cannot be asked.
        RefusedError: a VF that counts as made is not to be seen.
    """
    pfs = tuple(find_pfs(file, index))
    counts = {aim.pf.address: aim.declared.vfs for aim in pfs}
    of_address = {aim.pf.address: aim for aim in pfs}
    pools = tuple(find_pools(file, index, of_address))
    vms = tuple(_find_vms(file, index, of_address, {pool.name: pool for pool in pools}, prepared))
    _refuse_twice(file, vms, pools)
    for vm in vms:
        for nic in vm.nics:
            if nic.address is not None and counts.get(nic.address):
                raise told_at(
                    file,
                    nic.key,
                    BadInputError(
                        _("{nic} is to have VFs, so no VM can have it as a whole.").format(nic=nic.name),
                        _("Give the VM one of its VFs: {{pf: {pf}, vf: 0}}").format(pf=nic.name),
                    ),
                )
    _refuse_twins(file, pfs, vms)
    return Aims(pfs, vms, pools, find_boot(file, index, prepared))


def _find_vms(
    file: StateFile,
    index: HostIndex,
    pfs: dict[Address, PfAim],
    pools: dict[str, PoolAim],
    prepared: Prepared | None,
) -> Iterator[VmAim]:
    seen: dict[str, Key] = {}
    for name, declared in file.state.vms.items():
        key: Key = ("vms", name)
        with told_where(file, key):
            domain = select_domain(index, name)
            refuse_same(file, seen, domain.uuid, key, printable(domain.name))
        nics, draws = [], []
        for number, nic in enumerate(declared.nics):
            place: Key = (*key, "nics", number)
            with told_where(file, place):
                if isinstance(nic, DeclaredNic) and nic.pool is not None:
                    draws.append(find_draw(place, nic, index, pools))
                else:
                    nics.append(_find_nic(place, nic, index, pfs, prepared))
        refuse_vague(file, draws)
        yield VmAim(key, domain, declared, tuple(nics), tuple(draws))


def _find_nic(
    key: Key, nic: str | DeclaredNic, index: HostIndex, pfs: dict[Address, PfAim], prepared: Prepared | None
) -> NicAim:
    declared = DeclaredNic(nic=nic) if isinstance(nic, str) else nic
    if declared.nic is not None:
        if declared.pf is not None or declared.vf is not None:
            raise BadInputError(_("A NIC is named by nic, or by pf and vf, not by both."), "{pf: enp3s0f0, vf: 3}")
        address = select_named(declared.nic, index, prepared).address
        if address not in index.vf_indices:
            return NicAim(key, declared, address, None, declared.mac, declared.vlan)
        owner, number = index.vf_indices[address]
        return _find_vf(key, declared, index.functions[owner], number, index, pfs)
    if declared.pf is None or declared.vf is None:
        raise BadInputError(_("This names no NIC: nic is missing, or pf and vf, or pool."), "{pf: enp3s0f0, vf: 3}")
    return _find_vf(key, declared, select_nic(index, declared.pf), declared.vf, index, pfs)


def _find_vf(
    key: Key, declared: DeclaredNic, pf: PciFunction, number: int, index: HostIndex, pfs: dict[Address, PfAim]
) -> NicAim:
    """A VF, by whatever name: with the number of VFs that its PF is to have, it may be gone or be made anew."""
    count = count_of(pf, pfs)
    if number >= count:
        raise no_such_vf(number, count, label(pf))
    address = addresses_of_vfs(pf, count, index).get(number)
    if address is None and value_or(pf.numvfs, 0) == count:  # nothing would be done, and nothing be said of it
        raise RefusedError(
            _("Which address VF {number} of {nic} has is not to be seen.").format(number=number, nic=label(pf)),
            f"nicpass vf list {pf.address}",
        )
    own = _settings(pfs.get(pf.address), number)
    vlan = declared.vlan if declared.vlan is not None else own.vlan or None
    return NicAim(key, declared, address, (pf.address, number), declared.mac or own.mac, vlan)


def _refuse_twice(file: StateFile, vms: tuple[VmAim, ...], pools: tuple[PoolAim, ...]) -> None:
    """Refuse one NIC for two VMs, or twice for one, or one of a pool's."""
    seen: dict[str, tuple[Key, str]] = {}
    of_pool = {name: (vf.key, pool.name) for pool in pools for vf in pool.vfs for name in _names_of(vf)}
    for vm in vms:
        for nic in vm.nics:
            names = [name for name in (nic.address, nic.place and f"{nic.place[0]} {nic.place[1]}") if name]
            for name in names:
                if name in of_pool:
                    key, owner = of_pool[name]
                    raise told_at(file, nic.key, in_pool_already(nic.name, owner, key, file))
                if name in seen:
                    key, owner = seen[name]
                    raise told_at(
                        file,
                        nic.key,
                        BadInputError(
                            _("{nic} is {vm}'s already, at {where}.").format(
                                nic=nic.name, vm=owner, where=file.where(key)
                            ),
                            _("One NIC is for one VM, and once."),
                        ),
                    )
            seen |= dict.fromkeys(names, (nic.key, printable(vm.domain.name)))


def _names_of(vf: PoolVf) -> list[str]:
    """What tells a VF from every other: its address, where it is there, and its place."""
    return [name for name in (vf.address, f"{vf.pf.address} {vf.number}") if name]


def _refuse_twins(file: StateFile, pfs: tuple[PfAim, ...], vms: tuple[VmAim, ...]) -> None:
    """Refuse one MAC in one VLAN for two VFs of a PF, which could serve only one of the two."""
    nics = [nic for vm in vms for nic in vm.nics if nic.place is not None]
    had = {nic.place for nic in nics}
    stations = [(nic.key, nic.place[0], nic.mac.lower(), nic.vlan or 0) for nic in nics if nic.place and nic.mac]
    for aim in pfs:
        for number in aim.declared.each:
            own = _settings(aim, number)
            if own.mac is not None and (aim.pf.address, number) not in had:
                stations.append(((*aim.key, "each", number), aim.pf.address, own.mac.lower(), own.vlan or 0))
    seen: dict[tuple[Address, str, int], Key] = {}
    for key, pf, mac, vlan in stations:
        if (pf, mac, vlan) in seen:
            raise told_at(
                file,
                key,
                BadInputError(
                    _("The MAC {mac} is that of another VF of the same PF, at {where}.").format(
                        mac=mac, where=file.where(seen[pf, mac, vlan])
                    ),
                    _("Give one of the two another MAC, or another VLAN."),
                ),
            )
        seen[pf, mac, vlan] = key


def _settings(aim: PfAim | None, number: int) -> DeclaredVf:
    """What the file says of one VF where its PF is."""
    if aim is None:
        return DeclaredVf()
    own = aim.declared.each.get(number, DeclaredVf())
    return DeclaredVf(mac=own.mac, vlan=own.vlan if own.vlan is not None else aim.declared.all.vlan)
