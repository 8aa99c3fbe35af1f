# SPDX-License-Identifier: Apache-2.0
"""What a file says of pools, and of the VMs that draw from them, on one host."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nicpass.checks.lookup.nics import label
from nicpass.checks.lookup.pools import pools_of_host
from nicpass.model.errors import BadInputError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.nearest import did_you_mean
from nicpass.model.text import printable
from nicpass.planner.pool.network import refuse_bad_name, require_pools
from nicpass.planner.select import select_nic
from nicpass.planner.state.pf_aims import addresses_of_vfs, count_of, no_such_vf
from nicpass.planner.state.told import refuse_same, told_where
from nicpass.planner.vf.wish import parse_vfs, range_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.pci import PciFunction
    from nicpass.model.state import DeclaredNic, DeclaredPool
    from nicpass.planner.state.pf_aims import PfAim
    from nicpass.planner.state.text import Key, StateFile

_MOST_VFS = 65535
_EXAMPLE = "{pool: blue}"


class PoolVf(NamedTuple):
    """A VF that a pool shall have."""

    key: Key
    pf: PciFunction
    number: int
    address: Address | None
    """None for one that is not there yet."""


class PoolAim(NamedTuple):
    """A pool, and all the VFs that it shall have."""

    key: Key
    name: str
    vlan: int | None
    """0: none; None: as it is."""
    vfs: tuple[PoolVf, ...]

    @property
    def awaits_vfs(self) -> bool:
        """Whether a VF of it is not there yet."""
        return any(vf.address is None for vf in self.vfs)

    @property
    def text(self) -> str:
        """Its VFs as a person reads them: `eth1 0-3, eth2 0`."""
        return text_of_places((vf.pf, vf.number) for vf in self.vfs)


class DrawAim(NamedTuple):
    """An interface of a pool's that a VM shall have."""

    key: Key
    pool: str
    mac: str | None
    """In lower case; None: whichever it has of this pool, or one that is derived."""
    awaits_pool: bool
    """Whether the pool cannot be made before its VFs are there."""

    @property
    def name(self) -> str:
        return f"pool {printable(self.pool)}"


def text_of_places(places: Iterable[tuple[PciFunction, int]]) -> str:
    """VFs by their PFs' names and their numbers: `eth1 0-3, eth2 0`."""
    of_pf: dict[str, list[int]] = {}
    for pf, number in places:
        of_pf.setdefault(next(iter(value_or(pf.netdevs, ())), pf.address), []).append(number)
    return ", ".join(f"{name} {range_text(numbers)}" for name, numbers in of_pf.items())


def find_pools(file: StateFile, index: HostIndex, pfs: Mapping[Address, PfAim]) -> Iterator[PoolAim]:
    """Raises BadInputError for a pool that cannot be, ImpossibleError where libvirt cannot be asked for its pools."""
    seen: dict[str, tuple[Key, str]] = {}
    for name, declared in file.state.pools.items():
        key: Key = ("pools", name)
        with told_where(file, key):
            require_pools(index)
            refuse_bad_name(name)
        aim = PoolAim(key, name, declared.vlan, tuple(_find_vfs(file, key, declared, index, pfs)))
        for vf in aim.vfs:
            which = f"{vf.pf.address} {vf.number}"
            with told_where(file, vf.key):
                if which in seen:
                    where, pool = seen[which]
                    raise in_pool_already(f"{label(vf.pf)} vf {vf.number}", pool, where, file)
            seen[which] = vf.key, name
        yield aim


def in_pool_already(nic: str, pool: str, key: Key, file: StateFile) -> BadInputError:
    return BadInputError(
        _("{nic} is in the pool {pool} already, at {where}.").format(nic=nic, pool=pool, where=file.where(key)),
        _("What is in a pool is the pool's alone; a VM draws from it: {example}").format(example=_EXAMPLE),
    )


def _find_vfs(
    file: StateFile, key: Key, declared: DeclaredPool, index: HostIndex, pfs: Mapping[Address, PfAim]
) -> Iterator[PoolVf]:
    seen: dict[str, Key] = {}
    if not declared.vfs:
        with told_where(file, key):
            raise BadInputError(
                _("A pool without a VF is none."), _("Leave it out, and --prune takes away one that nicpass has made.")
            )
    for name, words in declared.vfs.items():
        place: Key = (*key, "vfs", name)
        with told_where(file, place):
            pf = select_nic(index, name)
            refuse_same(file, seen, pf.address, place, label(pf))
            count = count_of(pf, pfs)
            text = ",".join(map(str, words)) if isinstance(words, tuple) else str(words)
            numbers = _numbers(text, pf, count)
        addresses = addresses_of_vfs(pf, count, index)
        for number in numbers:
            yield PoolVf(place, pf, number, addresses.get(number))


def _numbers(text: str, pf: PciFunction, count: int) -> tuple[int, ...]:
    """The VFs that are meant. Raises BadInputError for one that the PF is not to have."""
    if not count:
        raise no_such_vf(0, 0, label(pf))
    words = text.split(",")
    numbers = parse_vfs("all", pf, count) if "all" in words else parse_vfs(text, pf, _MOST_VFS)
    if numbers[-1] >= count:
        raise no_such_vf(numbers[-1], count, label(pf))
    return numbers


def find_draw(key: Key, nic: DeclaredNic, index: HostIndex, pools: Mapping[str, PoolAim]) -> DrawAim:
    """What a VM's NIC of a pool means.

    Raises:
        BadInputError: there is no such pool, in the file or on the host; or more is said than a pool's NIC has.
        ImpossibleError: libvirt cannot be asked for its pools.
    """
    pool = nic.pool or ""
    if nic.nic is not None or nic.pf is not None or nic.vf is not None:
        raise BadInputError(_("A NIC is named by nic, or by pf and vf, or by pool, not by two of these."), _EXAMPLE)
    if nic.vlan is not None:
        raise BadInputError(
            _("The VLAN of a NIC of a pool is the pool's."),
            _("Say it where the pool is: {example}").format(example="pools: {blue: {vfs: ..., vlan: 20}}"),
        )
    require_pools(index)
    if pool not in pools:
        names = [other.name for other in pools_of_host(index)]
        if pool not in names:
            names = [*pools, *names]
            known = _("Its pools: {names}.").format(names=", ".join(map(printable, names)) or _("none"))
            raise BadInputError(
                _("There is no pool {name!r}, neither in the file nor on this host.").format(name=pool),
                did_you_mean(pool, names, known),
            )
    awaits = pools[pool].awaits_vfs if pool in pools else False
    return DrawAim(key, pool, nic.mac.lower() if nic.mac is not None else None, awaits)


def refuse_vague(file: StateFile, draws: Iterable[DrawAim]) -> None:
    """Refuse two NICs of one pool in one VM that no MAC tells apart. Raises BadInputError."""
    seen: dict[str, list[DrawAim]] = {}
    for draw in draws:
        others = seen.setdefault(draw.pool, [])
        with told_where(file, draw.key):
            if any(draw.mac is None or other.mac in (None, draw.mac) for other in others):
                raise BadInputError(
                    _("The VM has another NIC of the pool {pool}, at {where}.").format(
                        pool=printable(draw.pool), where=file.where(others[0].key)
                    ),
                    _("Give each of them a MAC of its own: {example}").format(
                        example='{pool: blue, mac: "52:54:00:12:34:56"}'
                    ),
                )
        others.append(draw)
