# SPDX-License-Identifier: Apache-2.0
"""What a file says of PFs and their VFs, on one host."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nicpass.checks.lookup.nics import label
from nicpass.model.errors import BadInputError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.planner.select import select_nic
from nicpass.planner.state.told import refuse_same, told_at, told_where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.pci import PciFunction
    from nicpass.model.state import DeclaredPf
    from nicpass.planner.state.text import Key, StateFile


class PfAim(NamedTuple):
    """A PF, and the VFs that it shall have."""

    key: Key
    pf: PciFunction
    declared: DeclaredPf


def find_pfs(file: StateFile, index: HostIndex) -> Iterator[PfAim]:
    """Raises BadInputError for a PF that is not there, or is named twice, and for a VF that it is not to have."""
    seen: dict[str, Key] = {}
    for name, declared in file.state.pfs.items():
        key: Key = ("pfs", name)
        with told_where(file, key):
            pf = select_nic(index, name)
            refuse_same(file, seen, pf.address, key, label(pf))
        for number in declared.each:
            if number >= declared.vfs:
                raise told_at(file, (*key, "each", number), no_such_vf(number, declared.vfs, label(pf)))
        yield PfAim(key, pf, declared)


def count_of(pf: PciFunction, pfs: Mapping[Address, PfAim]) -> int:
    """How many VFs the PF is to have: by the file where that names it, else as it is."""
    aim = pfs.get(pf.address)
    return aim.declared.vfs if aim is not None else value_or(pf.numvfs, 0) or 0


def addresses_of_vfs(pf: PciFunction, count: int, index: HostIndex) -> dict[int, Address]:
    """The VFs that are there by their numbers; none where another number is to be made: these go before those come."""
    if value_or(pf.numvfs, 0) != count:
        return {}
    vfs = (vf.address for vf in index.vfs.get(pf.address, ()) if vf.address in index.vf_indices)
    return {index.vf_indices[vf][1]: vf for vf in vfs}


def no_such_vf(number: int, count: int, pf: str) -> BadInputError:
    return BadInputError(
        _("There is no VF {number} of {pf}: it is to have {count}, and they count from 0.").format(
            number=number, pf=pf, count=count
        ),
        _("Say so where its VFs are: vfs: {count}").format(count=number + 1),
    )
