# SPDX-License-Identifier: Apache-2.0
"""What the words of a file mean on one host: which PF, which VM, which NIC."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from nicpass.checks.lookup.nics import label
from nicpass.model.errors import BadInputError, NicpassError, RefusedError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.state import DeclaredNic, DeclaredVf
from nicpass.model.text import printable
from nicpass.planner.select import select_domain, select_nic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.pci import PciFunction
    from nicpass.model.state import DeclaredPf, DeclaredVm
    from nicpass.planner.state.text import Key, StateFile


class PfAim(NamedTuple):
    """A PF, and the VFs that it shall have."""

    key: Key
    pf: PciFunction
    declared: DeclaredPf


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


class Aims(NamedTuple):
    """All that a file says, on one host."""

    pfs: tuple[PfAim, ...]
    vms: tuple[VmAim, ...]


def find_aims(file: StateFile, index: HostIndex) -> Aims:
    """What the file means on this host.

    Raises:
        BadInputError: it names what is not there, or one thing twice; the sentence begins with the place.
        ImpossibleError: the hypervisor cannot be asked.
        RefusedError: a VF that counts as made is not to be seen.
    """
    pfs = tuple(_find_pfs(file, index))
    counts = {aim.pf.address: aim.declared.vfs for aim in pfs}
    vms = tuple(_find_vms(file, index, {aim.pf.address: aim for aim in pfs}))
    _refuse_twice(file, vms)
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
    return Aims(pfs, vms)


@contextlib.contextmanager
def told_where(file: StateFile, key: Key) -> Iterator[None]:
    """Have every error of the block say where in the file its cause stands."""
    try:
        yield
    except NicpassError as error:
        raise told_at(file, key, error) from error


def told_at(file: StateFile, key: Key, error: NicpassError) -> NicpassError:
    """The same error, whose sentence begins with the place."""
    sentence = _("{where}: {what}").format(where=file.where(key), what=error.sentence)
    return type(error)(sentence, error.hint, findings=error.findings)


def _find_pfs(file: StateFile, index: HostIndex) -> Iterator[PfAim]:
    seen: dict[str, Key] = {}
    for name, declared in file.state.pfs.items():
        key: Key = ("pfs", name)
        with told_where(file, key):
            pf = select_nic(index, name)
            _refuse_same(file, seen, pf.address, key, label(pf))
        for number in declared.each:
            if number >= declared.vfs:
                raise told_at(file, (*key, "each", number), _no_such_vf(number, declared.vfs, label(pf)))
        yield PfAim(key, pf, declared)


def _find_vms(file: StateFile, index: HostIndex, pfs: dict[Address, PfAim]) -> Iterator[VmAim]:
    seen: dict[str, Key] = {}
    for name, declared in file.state.vms.items():
        key: Key = ("vms", name)
        with told_where(file, key):
            domain = select_domain(index, name)
            _refuse_same(file, seen, domain.uuid, key, printable(domain.name))
        nics = []
        for number, nic in enumerate(declared.nics):
            place: Key = (*key, "nics", number)
            with told_where(file, place):
                nics.append(_find_nic(place, nic, index, pfs))
        yield VmAim(key, domain, declared, tuple(nics))


def _find_nic(key: Key, nic: str | DeclaredNic, index: HostIndex, pfs: dict[Address, PfAim]) -> NicAim:
    declared = DeclaredNic(nic=nic) if isinstance(nic, str) else nic
    if declared.nic is not None:
        if declared.pf is not None or declared.vf is not None:
            raise BadInputError(_("A NIC is named by nic, or by pf and vf, not by both."), "{pf: enp3s0f0, vf: 3}")
        address = select_nic(index, declared.nic).address
        if address not in index.vf_indices:
            return NicAim(key, declared, address, None, declared.mac, declared.vlan)
        owner, number = index.vf_indices[address]
        return _find_vf(key, declared, index.functions[owner], number, index, pfs)
    if declared.pf is None or declared.vf is None:
        raise BadInputError(_("This names no NIC: nic is missing, or pf and vf."), "{pf: enp3s0f0, vf: 3}")
    return _find_vf(key, declared, select_nic(index, declared.pf), declared.vf, index, pfs)


def _find_vf(
    key: Key, declared: DeclaredNic, pf: PciFunction, number: int, index: HostIndex, pfs: dict[Address, PfAim]
) -> NicAim:
    """A VF, by whatever name: with the number of VFs that its PF is to have, it may be gone or be made anew."""
    aim = pfs.get(pf.address)
    count = aim.declared.vfs if aim is not None else value_or(pf.numvfs, 0)
    if number >= count:
        raise _no_such_vf(number, count, label(pf))
    vfs = {
        index.vf_indices[vf.address][1]: vf.address
        for vf in index.vfs.get(pf.address, ())
        if vf.address in index.vf_indices
    }
    is_there = value_or(pf.numvfs, 0) == count  # those of another number go before these come
    address = vfs.get(number) if is_there else None
    if is_there and address is None:  # nothing would be done, and nothing be said of it
        raise RefusedError(
            _("Which address VF {number} of {nic} has is not to be seen.").format(number=number, nic=label(pf)),
            f"nicpass vf list {pf.address}",
        )
    own = _settings(aim, number)
    vlan = declared.vlan if declared.vlan is not None else own.vlan or None
    return NicAim(key, declared, address, (pf.address, number), declared.mac or own.mac, vlan)


def _no_such_vf(number: int, count: int, pf: str) -> BadInputError:
    return BadInputError(
        _("There is no VF {number} of {pf}: it is to have {count}, and they count from 0.").format(
            number=number, pf=pf, count=count
        ),
        _("Say so where its VFs are: vfs: {count}").format(count=number + 1),
    )


def _refuse_same(file: StateFile, seen: dict[str, Key], which: str, key: Key, name: str) -> None:
    if which in seen:
        raise BadInputError(
            _("{name} is there already, at {where}.").format(name=name, where=file.where(seen[which])),
            _("Name it once, with all that is to be said of it."),
        )
    seen[which] = key


def _refuse_twice(file: StateFile, vms: tuple[VmAim, ...]) -> None:
    """Refuse one NIC for two VMs, or twice for one."""
    seen: dict[str, tuple[Key, str]] = {}
    for vm in vms:
        for nic in vm.nics:
            names = [name for name in (nic.address, nic.place and f"{nic.place[0]} {nic.place[1]}") if name]
            for name in names:
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
