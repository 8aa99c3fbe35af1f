# SPDX-License-Identifier: Apache-2.0
"""Plans setting VFs that are there, and taking that back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.dependence.usage import check_usage
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label, pf_of
from nicpass.model.errors import BadInputError, RefusedError
from nicpass.model.language import _
from nicpass.model.network import NO_MAC
from nicpass.model.plan import Plan, SetNumvfs
from nicpass.model.text import vm_word
from nicpass.model.vf import NOTHING, OPTIONS, VfSetRequest
from nicpass.planner.confirm import confirmed
from nicpass.planner.select import select_nic
from nicpass.planner.vf.settings import (
    Settling,
    changed_fields,
    refuse_contradictions,
    refuse_twins,
    refuse_what_no_pf_can,
    refuse_what_this_pf_cannot,
    refuses_macs,
    settle,
)
from nicpass.planner.vf.use import (
    counts_of,
    is_idle,
    refuse_claimed,
    refuse_lent,
    refuse_unknown_machines,
    uses_by_host,
)
from nicpass.planner.vf.wish import parse_vfs, range_text, wishes_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.host import Host
    from nicpass.model.network import VfSettings
    from nicpass.model.pci import PciFunction
    from nicpass.model.request import UndoRequest
    from nicpass.model.vf import Unsupported

_OF_DEFINITION = ("mac", "vlan", "qos", "vlan_protocol")
"""Settings that libvirt writes by itself, from a VM's definition, whenever the VM starts."""


def plan_vf_set(host: Host, request: VfSetRequest, unsupported: tuple[Unsupported, ...] = ()) -> Plan:
    """The step after which these VFs are set as asked for; none if they are so.

    `unsupported` as in `plan_vf`.

    Raises:
        BadInputError: no such NIC or VF, nothing to set, or settings that no VF can have.
        ImpossibleError: the PF has no interface, or its driver or mode does not know these settings.
        RefusedError: another manager has the PF, or the MAC or VLAN of a VF is somebody else's to say.
    """
    index = HostIndex(host)
    pf, chosen = _select(request, index)
    wishes = wishes_of(request, chosen)
    given = {name for wish in wishes.values() for name in wish.given}
    if not given:
        raise BadInputError(
            _("There is nothing to set: no setting was given."),
            _("Settings are: {options}.").format(options=", ".join(OPTIONS.values())),
        )
    _totalvfs, numvfs = counts_of(pf)
    aim = Settling(pf, wishes, numvfs, index, fresh=False)
    refuse_what_no_pf_can(aim)
    refuse_claimed(pf, index)
    for number, wish in wishes.items():
        _refuse_what_is_others(aim, wish.given, (number,))
    idle = [number for number, vf in aim.vfs.items() if is_idle(vf, index)]
    after, derived = settle(aim, idle if not refuses_macs(aim, unsupported) else ())
    refuse_contradictions(aim, after)
    refuse_what_this_pf_cannot(aim, after, unsupported)
    refuse_twins(aim, after)
    return _plan_to(aim, request, after, derived)


def plan_vf_set_back(host: Host, step: SetNumvfs, request: UndoRequest) -> Plan:
    """The step that takes back what `step` has set of VFs that are there still; other settings stay as they are now.

    Raises:
        RefusedError: the VFs were set to something else since, or are somebody else's to set.
    """
    index = HostIndex(host)
    pf = select_nic(index, step.address)
    _totalvfs, numvfs = counts_of(pf)
    before = {vf.vf_index: vf for vf in step.before_vfs}
    changed = {vf.vf_index: changed_fields(before.get(vf.vf_index), vf) for vf in step.after_vfs}
    chosen = tuple(number for number, fields in changed.items() if fields and number in before)
    aim = Settling(pf, dict.fromkeys(chosen, NOTHING), numvfs, index, fresh=False)
    refuse_claimed(pf, index)
    after = []
    for vf in step.after_vfs:
        is_so = aim.now.get(vf.vf_index)
        if vf.vf_index not in chosen or is_so is None:
            after += [is_so] if is_so is not None else []
            continue
        for name in changed[vf.vf_index]:
            if getattr(is_so, name) != getattr(vf, name):
                raise RefusedError(
                    _("VF {number} of {nic} was set anew since: {option} is {now}, not {after}.").format(
                        number=vf.vf_index,
                        nic=label(pf),
                        option=OPTIONS[name],
                        now=_shown(getattr(is_so, name)),
                        after=_shown(getattr(vf, name)),
                    ),
                    _("Say what you want: nicpass vf set {address} {number} ...").format(
                        address=pf.address, number=vf.vf_index
                    ),
                )
        old = {name: getattr(before[vf.vf_index], name) for name in changed[vf.vf_index]}
        after.append(msgspec.structs.replace(is_so, **old))
    names = {name for number in chosen for name in changed[number]}
    _refuse_what_is_others(aim, names, chosen)
    refuse_twins(aim, tuple(after))
    return msgspec.structs.replace(_plan_to(aim, VfSetRequest(pf=pf.address), tuple(after), ()), request=request)


def _shown(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _plan_to(aim: Settling, request: VfSetRequest, after: tuple[VfSettings, ...], derived: tuple[int, ...]) -> Plan:
    now = aim.now
    changing = [vf.vf_index for vf in after if changed_fields(now.get(vf.vf_index), vf)]
    several = len(changing) != 1
    summary = _("Set VFs {vfs} of {nic}") if several else _("Set VF {vfs} of {nic}")
    summary = summary.format(vfs=range_text(changing), nic=label(aim.pf))
    if not changing:
        summary = _("The VFs of {nic} are set so already").format(nic=label(aim.pf))
        return Plan(summary=summary, request=request, steps=())
    step = SetNumvfs(
        address=aim.pf.address,
        before=aim.numvfs,
        after=aim.numvfs,
        before_vfs=tuple(now[number] for number in sorted(now)),
        after_vfs=after,
        derived=derived,
    )
    used = [finding for number in changing if number in aim.vfs for finding in check_usage(aim.vfs[number], aim.index)]
    steps = confirmed(aim.pf.address, request.confirm_within, used, (step,))
    return Plan(summary=summary, request=request, steps=steps, notes=_notes(aim, after, derived))


def _notes(aim: Settling, after: tuple[VfSettings, ...], derived: tuple[int, ...]) -> tuple[str, ...]:
    more = [number for number in derived if number not in aim.chosen]
    bare = [vf.vf_index for vf in after if vf.mac == NO_MAC] if not aim.infiniband else []
    notes = []
    if more:
        notes.append(
            _("The VFs {vfs}, which nobody uses, had no MAC of their PF's, and get one that stays.").format(
                vfs=range_text(more)
            )
        )
    if bare:
        notes.append(
            _("The VFs {vfs} have no MAC of their PF's: each has one that its own driver chooses.").format(
                vfs=range_text(bare)
            )
        )
    return tuple(notes)


def _select(request: VfSetRequest, index: HostIndex) -> tuple[PciFunction, tuple[int, ...]]:
    """(the PF, the VFs' indices); a VF that is named by itself is the one that is meant."""
    function = select_nic(index, request.pf)
    place = pf_of(function, index)
    if request.vfs is None and place is not None and place[1] is not None and place[0] in index.functions:
        return index.functions[place[0]], (place[1],)
    _totalvfs, numvfs = counts_of(function)
    if request.vfs is None:
        raise BadInputError(
            _("Which VFs of {nic} are meant?").format(nic=label(function)),
            f"nicpass vf set {function.address} 0 ...; nicpass vf set {function.address} all ...",
        )
    return function, parse_vfs(request.vfs, function, numvfs)


def _refuse_what_is_others(aim: Settling, names: Iterable[str], chosen: tuple[int, ...]) -> None:
    """Refuse a MAC or VLAN that a VM's definition says; and a MAC for a VF that the host uses: it would be bound anew.

    Raises:
        RefusedError: the sentence says whose it is.
    """
    mine = [name for name in _OF_DEFINITION if name in set(names)]
    if not mine:
        return
    refuse_unknown_machines(aim.pf, aim.index)
    for vf in (aim.vfs[number] for number in chosen if number in aim.vfs):
        for owner in aim.index.owners.get(vf.address, ()):
            name = vm_word(owner.name, owner.uuid)
            raise RefusedError(
                _(
                    "VF {nic} stands in the definition of the VM {owner}, and {option} belongs to that: libvirt sets it"
                    " anew at every start."
                ).format(nic=label(vf), owner=owner.name, option=OPTIONS[mine[0]]),
                _("nicpass detach {vm} {address}, then nicpass attach {vm} {address} with --mac or --vlan.").format(
                    vm=name, address=vf.address
                ),
            )
        refuse_lent(vf, aim.index)
        if "mac" in mine and (uses := uses_by_host(vf, aim.index)):
            raise RefusedError(uses[0].sentence, uses[0].mend, findings=uses)
