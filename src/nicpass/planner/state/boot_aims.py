# SPDX-License-Identifier: Apache-2.0
"""What a file says of the next boots, on one host, and in what the boot's files are not so.

Compared is what the next boot goes by. Whether it has come is another question: a reboot may be due though all is
written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nicpass.boot.arguments.needed import needed_arguments
from nicpass.boot.loader.choice import arguments_of_next_boot
from nicpass.checks.host.iommu import is_used
from nicpass.checks.lookup.nics import label
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import known
from nicpass.planner.boot.prepare import find_prepared
from nicpass.planner.select import select_nic
from nicpass.planner.state.told import refuse_same, told_where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.pci import PciFunction
    from nicpass.model.prepared import Prepared
    from nicpass.model.state import DeclaredBoot
    from nicpass.planner.state.text import Key, StateFile


class BootNic(NamedTuple):
    """A NIC that is to be vfio-pci's from the boot on."""

    key: Key
    name: str
    function: PciFunction


class BootAim(NamedTuple):
    """What the next boots shall go by."""

    key: Key
    declared: DeclaredBoot
    nics: tuple[BootNic, ...]

    def lacking(self, index: HostIndex) -> tuple[BootNic, ...]:
        """The NICs that no boot binds yet."""
        return tuple(nic for nic in self.nics if nic.function.address not in index.boot_bindings)


def find_boot(file: StateFile, index: HostIndex, prepared: Prepared | None) -> BootAim | None:
    """What the file says of the boot; None where it says nothing. Raises BadInputError for a NIC that is not there."""
    declared = file.state.boot
    if declared is None:
        return None
    seen: dict[str, Key] = {}
    nics = []
    for number, name in enumerate(declared.nics):
        key: Key = ("boot", "nics", number)
        with told_where(file, key):
            function = select_named(name, index, prepared)
            refuse_same(file, seen, function.address, key, label(function))
        nics.append(BootNic(key, name, function))
    return BootAim(("boot",), declared, tuple(nics))


def select_named(name: str, index: HostIndex, prepared: Prepared | None) -> PciFunction:
    """The NIC of this name; one that is vfio-pci's from the boot on also answers to the names that it had before.

    Raises:
        BadInputError: as `select_nic`.
    """
    try:
        return select_nic(index, name)
    except BadInputError:
        found = find_prepared(name, prepared, index)
        if found is None:
            raise
        return found


def lacking_of_boot(aim: BootAim, index: HostIndex, prepared: Prepared | None) -> Iterator[tuple[str, str, Key]]:
    """(the part of the preparation, what of it the next boot does not have, where the file says it)."""
    for nic in aim.lacking(index):
        yield "nics", nic.name, nic.key
    for argument in _lacking_arguments(index, iommu_pt=aim.declared.iommu_pt):
        yield "arguments", argument, (*aim.key, "iommu_pt")
    group = aim.declared.group
    if group is not None and group != (prepared.group if prepared is not None else None):
        yield "group", group, (*aim.key, "group")


def _lacking_arguments(index: HostIndex, *, iommu_pt: bool) -> tuple[str, ...]:
    """The kernel arguments that the next boot still needs; `iommu` where no argument would do."""
    host = index.host
    given = arguments_of_next_boot(host.boot)
    if not known(given):
        given = host.platform.cmdline
    if not known(given):
        return ("iommu",)
    try:
        needed = needed_arguments(host.platform, given, iommu_pt=iommu_pt, has_groups=is_used(host))
    except ImpossibleError:
        return ("iommu",)
    return tuple(argument.text for argument in needed)
