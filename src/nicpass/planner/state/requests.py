# SPDX-License-Identifier: Apache-2.0
"""What is asked for so that a host is as a file says: requests such as a person makes, one a PF, one a VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.plan import ArmTimer, InstallGuard, Plan, StartWindow, Step
from nicpass.model.request import AttachRequest, NicWish, VfRequest
from nicpass.planner.state.difference import differences_of_pf, differences_of_vm, had_vfs, wish_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.request import ApplyRequest
    from nicpass.model.vf import VfWish
    from nicpass.planner.state.aims import Aims, VmAim
    from nicpass.planner.state.pf_aims import PfAim
    from nicpass.planner.state.text import Key

_HAND = (ArmTimer, StartWindow)
"""The steps of the dead man's hand: a change has it once, around all."""


def ask_for_vfs(aims: Aims, index: HostIndex, confirm_within: int | None) -> Iterator[tuple[PfAim, VfRequest]]:
    """A request for each PF whose VFs are not as the file says."""
    for aim in aims.pfs:
        if any(differences_of_pf(aim, index, _no_line)):
            request = VfRequest(
                pf=aim.pf.address,
                count=aim.declared.vfs,
                each=tuple(_wishes(aim, index)),
                for_host=aim.declared.for_host,
                until_reboot=aim.declared.until_reboot,
                confirm_within=confirm_within,
            )
            yield aim, request


def _wishes(aim: PfAim, index: HostIndex) -> Iterator[tuple[int, VfWish]]:
    """What is asked for of each VF; what is a VM's definition's to say of a VF that it has is not."""
    had = had_vfs(aim, index) if aim.pf.numvfs == aim.declared.vfs else frozenset()
    common = wish_of(aim.declared.all)
    for number in range(aim.declared.vfs):
        own = aim.declared.each.get(number)
        wish = common if own is None else msgspec.structs.replace(common, **wish_of(own).given)
        if number in had:
            wish = msgspec.structs.replace(wish, mac=None, vlan=None, qos=None, vlan_protocol=None)
        if wish.given:
            yield number, wish


def ask_for_nics(aims: Aims, confirm_within: int | None) -> Iterator[tuple[VmAim, AttachRequest]]:
    """A request for each VM that lacks a NIC that is there, or has one with another MAC or VLAN."""
    for aim in aims.vms:
        lacking = {difference.what for difference in differences_of_vm(aim, _no_line)}
        nics = [nic for nic in aim.nics if nic.name in lacking and nic.address is not None]
        if not nics:
            continue
        first, *more = [nic.address for nic in nics if nic.address is not None]
        request = AttachRequest(
            vm=aim.domain.uuid,
            nic=first,
            more=tuple(more),
            each=tuple(NicWish(nic=nic.address, mac=nic.mac, vlan=nic.vlan) for nic in nics if nic.address),
            allow=frozenset(aim.declared.allow),
            confirm_within=confirm_within,
        )
        yield aim, request


def _no_line(_key: Key) -> int:
    return 0


def join(
    request: ApplyRequest,
    summary: str,
    plans: Sequence[Plan],
    keeps: Iterable[Step] = (),
    *,
    place: int = 0,
    arm: ArmTimer | None = None,
    more: bool = False,
) -> Plan:
    """One plan of several that do not touch one another, with one guard.

    `keeps` are the steps that come when the first `place` plans are done. `arm` is the dead man's hand around all of
    them, in place of each one's own. `more`: other plans follow this one.
    """
    steps: list[Step] = [] if arm is None else [arm]
    for number, plan in enumerate(plans):
        steps += keeps if number == place else ()
        guarded = any(isinstance(step, InstallGuard) for step in steps)
        steps += [step for step in plan.steps if not isinstance(step, _HAND) and not (guarded and _is_guard(step))]
    steps += keeps if place >= len(plans) else ()
    notes = dict.fromkeys(note for plan in plans for note in plan.notes)
    return Plan(summary=summary, request=request, steps=tuple(steps), notes=tuple(notes), more=more)


def _is_guard(step: Step) -> bool:
    return isinstance(step, InstallGuard)


def with_window(plan: Plan, arm: ArmTimer | None) -> Plan:
    """The last plan of a change, after which the time to confirm it begins, if the hand was set."""
    if arm is None:
        return plan
    window = StartWindow(address=arm.address, seconds=arm.seconds, allowance=arm.allowance)
    return msgspec.structs.replace(plan, steps=(*plan.steps, window))
