# SPDX-License-Identifier: Apache-2.0
"""Makes a plan for VFs last: what the plan makes of a PF's VFs is kept, and made again when they are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.boot.binding.identity import identity_of, match_identity
from nicpass.boot.vfs.plan import plan_declarations
from nicpass.checks.lookup.boot_lines import find_counts
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label, permanent_mac_of
from nicpass.model.boot import BootPurpose
from nicpass.model.declared_vfs import DeclaredVfs
from nicpass.model.errors import ImpossibleError
from nicpass.model.fact import Unknown, value_or
from nicpass.model.language import _
from nicpass.model.plan import (
    ChangeBoot,
    SetNumvfs,
    Step,
)
from nicpass.model.text import printable
from nicpass.planner.boot.place import refuse_lost_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.boot.text.own_files import Images
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import Plan


class Place(NamedTuple):
    """Where what lasts is kept, and who makes it again."""

    images: Images
    """What stands at the paths that may be written, as `read_vf_places` has it."""
    python: str
    """The Python that runs nicpass."""
    package: str
    """The folder of nicpass's package."""
    systemd: bool = True
    """Whether systemd has booted this host: nobody else starts the unit that makes the VFs."""


def with_declaration(plan: Plan, host: Host, pf: PciFunction, place: Place) -> Plan:
    """The plan with the step that keeps what the PF's VFs are after it; without VFs, with the one that forgets them.

    A plan that changes no VFs is completed too: VFs that were made until the reboot can be made to last so. `host` was
    read with its boot configuration.

    Raises:
        ImpossibleError: what is written would not outlive the boot, or the PF could not be told from another card.
    """
    keep, notes = keep_declarations(((plan, pf),), host, place)
    steps = plan.steps if keep is None else _among(plan.steps, keep)
    return msgspec.structs.replace(plan, steps=steps, notes=(*plan.notes, *notes))


def keep_declarations(
    plans: Iterable[tuple[Plan, PciFunction]], host: Host, place: Place
) -> tuple[ChangeBoot | None, tuple[str, ...]]:
    """(the step that keeps what the VFs of all these PFs are after these plans, why some do not last).

    Raises:
        ImpossibleError: as `with_declaration`.
    """
    index = HostIndex(host)
    known = value_or(host.vf_declarations.found, ())
    declared, notes, removes = list(known), [], True
    for plan, pf in plans:
        wanted = _declare(plan, pf, index, known)
        if why_not := _why_not(pf, wanted, index, place):
            notes.append(why_not)
            continue
        declared = [one for one in declared if not _means(one, pf, host)]
        if wanted is not None:
            declared.append(wanted)
            removes = False
    change = plan_declarations(place.images, declared, place.python, place.package)
    if not change or (notes and declared == list(known)):
        return None, tuple(notes)
    keep = ChangeBoot(purpose=BootPurpose.VFS, change=change, removes=removes)
    refuse_lost_files(host.boot, (keep,))
    return keep, tuple(notes)


def _among(steps: tuple[Step, ...], keep: ChangeBoot) -> tuple[Step, ...]:
    """The steps with `keep` behind the one that sets the VFs.

    A power cut in between leaves VFs that nobody makes again, or a word that makes them again: both are as before.
    """
    last = max((at for at, step in enumerate(steps) if isinstance(step, SetNumvfs)), default=len(steps) - 1)
    return (*steps[: last + 1], keep, *steps[last + 1 :])


def _declare(plan: Plan, pf: PciFunction, index: HostIndex, known: tuple[DeclaredVfs, ...]) -> DeclaredVfs | None:
    """What is to be kept of the PF's VFs as they are after the plan; None where there are none then."""
    made = next((step for step in plan.steps if isinstance(step, SetNumvfs) and step.address == pf.address), None)
    count = made.after if made is not None else value_or(pf.numvfs, 0)
    if not count:
        return None
    vfs = made.after_vfs if made is not None else tuple(vf for link in index.netdevs(pf) for vf in link.vfs)
    autoprobe = made.autoprobe if made is not None else None
    for_host = pf.vf_autoprobe is not False if autoprobe is None else autoprobe
    up = any(link.up for link in index.netdevs(pf))
    derived = made.derived if made is not None else ()
    identity = identity_of(pf, index.functions, permanent_mac_of(pf, index))
    if isinstance(identity, Unknown):
        raise ImpossibleError(
            _("What makes {nic} this very card cannot be read: {reason}.").format(
                nic=label(pf), reason=identity.unknown
            ),
            _("So its VFs cannot last over a reboot; --until-reboot makes them without that."),
        )
    return DeclaredVfs(
        address=pf.address, identity=identity, count=count, vfs=vfs, derived=derived, up=up, for_host=for_host
    )


def _means(one: DeclaredVfs, pf: PciFunction, host: Host) -> bool:
    """Whether a declaration is this PF's: by its identity, or where no card answers to that, by its address."""
    match = match_identity(one.identity, host.pci)
    if match.outcome == "found":
        return match.addresses == (pf.address,)
    return one.address == pf.address


def _why_not(pf: PciFunction, wanted: DeclaredVfs | None, index: HostIndex, place: Place) -> str:
    """Why the VFs do not last, in a sentence; empty where they do. Who else sets their number is not fought (law 5)."""
    if wanted is None:
        return ""
    if not place.systemd:
        return _(
            "The VFs last until the reboot: this host was not booted by systemd, whose units would make them again."
        )
    for setting in find_counts(pf, index):
        if setting.vfs != wanted.count:
            return _(
                "The VFs last until the reboot, for {source} sets their number at every boot: {text}. Change that "
                "there, or take it out and let nicpass do it."
            ).format(source=setting.source, text=printable(setting.text))
    return ""
