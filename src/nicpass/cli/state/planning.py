# SPDX-License-Identifier: Apache-2.0
"""From a file that says how a host shall be to the plans that make it so.

Whatever can be planned for the host as it is now is planned before anything is done, so that what will be refused is
refused then. A NIC that is to be a VF which is not there yet is looked at, with its IOMMU group and all that stands
in the way, once the VF is there: by a plan that goes on with the same change.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.planning import Plans, better_records, look_closer, plan_detach_request, plan_guard
from nicpass.cli.state.booting import plan_boot, plan_boot_removal, prepared_of, with_rest_to_come
from nicpass.cli.vf.planning import place_of, unsupported_of, with_speed
from nicpass.engine.journal import read_changes
from nicpass.host.doors.files import Files
from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.plan import (
    ArmTimer,
    ChangeBoot,
    GiveBackNic,
    LeavePool,
    Plan,
    RemoveGuard,
    SetNumvfs,
    TakeNic,
    UndefineDevice,
)
from nicpass.model.text import printable
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.pool.after import after_steps
from nicpass.planner.state.aims import Aims, find_aims
from nicpass.planner.state.difference import find_differences
from nicpass.planner.state.lent import found_by_libvirt, with_settings_back
from nicpass.planner.state.pool_plans import Planned, plan_drained, plan_drawn, plan_made
from nicpass.planner.state.prune import ask_to_clear, ask_to_take_back, find_extra, interfaces_given, plan_leaving
from nicpass.planner.state.requests import ask_for_nics, ask_for_vfs, join, with_window
from nicpass.planner.state.text import MOST_BYTES, StateFile, parse_state
from nicpass.planner.state.told import told_where
from nicpass.planner.undo import without_devices
from nicpass.planner.vf.count import plan_vf
from nicpass.planner.vf.lasting import keep_declarations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nicpass.cli.source import Source
    from nicpass.model.pci import PciFunction
    from nicpass.model.request import ApplyRequest
    from nicpass.planner.state.difference import Difference


def read_state_file(name: str) -> StateFile:
    """The file that the user names; `-` is standard input.

    Raises:
        BadInputError: it cannot be read, or is no such file.
    """
    path = "/dev/stdin" if name == "-" else str(Path.cwd() / name)
    content = Files().read_stream(path, MOST_BYTES + 1)
    if not isinstance(content, bytes):
        raise BadInputError(
            _("The file cannot be read: {reason}.").format(
                reason=content.unknown if content else _("absent: {path}").format(path=name)
            ),
            _("One to begin with: nicpass export > host.yaml"),
        )
    return parse_state(name, content)


def differ(file: StateFile, source: Source, *, prune: bool = False) -> tuple[Difference, ...]:
    """In what the host is not as the file says. Raises BadInputError, ImpossibleError as `find_aims` does."""
    index, prepared = HostIndex(source.host), prepared_of(source)
    aims = find_aims(file, index, prepared)
    found = find_differences(aims, index, lambda key: file.place_of(key).line, prepared)
    return (*found, *find_extra(aims, index, _interfaces_given(source), prepared)) if prune else found


def plan_apply(request: ApplyRequest, file: StateFile, source: Source, read: Callable[[], Source]) -> Plans:
    """The plans from this host to one as the file says; `read` reads that host anew.

    Raises:
        NicpassError: what the planning of one of its parts raises; the sentence begins with the place in the file.
        RebootNeededError: what is written of the boot has not come yet.
    """
    prepared = prepared_of(source)
    aims = find_aims(file, HostIndex(source.host), prepared)
    summary = _("Make the host as {file} says").format(file=request.file)
    boot = plan_boot(request, file, aims, source)
    boots = (boot.plan,) if boot is not None and boot.plan.steps else ()
    if boot is not None and boot.is_reboot_due:
        return Plans(join(request, summary, (with_rest_to_come(boot.plan),)), is_reboot_due=True)
    backs, without = _plan_freeing(request, file, aims, source)
    aims = find_aims(file, HostIndex(without.host), prepared)
    of_vfs, keeps = _plan_vfs(request, file, aims, without)
    gifts = _plan_gifts(request, file, aims, without)
    removal = plan_boot_removal(aims, without) if request.prune and not boots else None
    out, due = ((removal.plan,), removal.is_reboot_due) if removal is not None else ((), False)
    # One record tells of the whole boot: of what comes, and of what goes.
    waits = aims.awaits_vfs or _is_set_first(of_vfs, gifts) or bool(request.prune and boots)
    now = (*boots, *backs, *of_vfs)
    every = (*now, *gifts, *out)
    armed = next((step for plan in every for step in plan.steps if isinstance(step, ArmTimer)), None)
    if not waits:
        joined = join(request, summary, every, keeps, place=len(now), arm=armed)
        return Plans(with_window(joined, armed), is_reboot_due=due)
    first = join(request, summary, now, keeps, place=len(now), arm=armed, more=True)

    def go_on() -> Iterator[Plan]:
        later = read()
        aims_now = find_aims(file, HostIndex(later.host), prepared)
        last = plan_boot_removal(aims_now, later) if request.prune and boots else None
        plans = (*_plan_gifts(request, file, aims_now, later), *(out if last is None else (last.plan,)))
        new = None if armed else next((s for plan in plans for s in plan.steps if isinstance(s, ArmTimer)), None)
        yield with_window(join(request, summary, plans, arm=new), armed or new)

    return Plans(_with_notes(first, tuple(_tell_later(aims))), go_on(), is_reboot_due=due)


def _is_set_first(of_vfs: Sequence[Plan], gifts: Sequence[Plan]) -> bool:
    """Whether a VM gets a VF that is set in the same change: what is kept of it is to be seen when that is done."""
    pfs = {step.address for plan in of_vfs for step in plan.steps if isinstance(step, SetNumvfs)}
    return any(isinstance(step, TakeNic) and step.state.pf in pfs for plan in gifts for step in plan.steps)


def _plan_freeing(request: ApplyRequest, file: StateFile, aims: Aims, source: Source) -> tuple[list[Plan], Source]:
    """(what has to go before anything comes, the host without it): with --prune what the file does not name.

    What leaves definitions comes before the first NIC that comes back: from then on there is no turning back.
    """
    left = plan_leaving(source.host, aims, _interfaces_given(source)) if request.prune else Planned((), source.host)
    drained = plan_drained(left.host, file, aims)
    plans = [*left.plans, *drained.plans]
    without = msgspec.structs.replace(source, host=drained.host)
    if request.prune:
        backs = list(_plan_taking_back(aims, without))
        plans += backs
        taken = tuple(step for plan in backs for step in plan.steps)
        without = msgspec.structs.replace(source, host=without_devices(without.host, taken))
        plans += _plan_guard_removal(request, aims, source, plans)
    found = found_by_libvirt(source.host, (step for plan in plans for step in plan.steps))
    return plans, msgspec.structs.replace(without, host=with_settings_back(source.host, without.host, found))


def _interfaces_given(source: Source) -> frozenset[tuple[str, str, str | None]]:
    """The interfaces of pools that are nicpass's, by its journal; a tree or a snapshot has none."""
    return interfaces_given(read_changes(source.files)) if source.is_live else frozenset()


def _plan_taking_back(aims: Aims, source: Source) -> Iterator[Plan]:
    """The plan of each VM that has a NIC too many."""
    for request in ask_to_take_back(aims, HostIndex(source.host)):
        yield plan_detach_request(request, source, with_guard=False)


def _plan_guard_removal(request: ApplyRequest, aims: Aims, source: Source, plans: list[Plan]) -> list[Plan]:
    """The plan by which the guard goes with the last of all NICs; none where the file gives a VM another."""
    steps = [step for plan in plans for step in plan.steps]
    nics = [step.address for step in steps if isinstance(step, GiveBackNic | UndefineDevice)]
    interfaces = [(step.uuid, step.mac) for step in steps if isinstance(step, LeavePool)]
    if not source.is_live or not (nics or interfaces) or any(vm.nics or vm.draws for vm in aims.vms):
        return []
    from nicpass.hypervisor.libvirt.guard import plan_guard_removal  # late: few files take the last NIC back

    files = plan_guard_removal(source.files, *nics, interfaces=interfaces)
    address = nics[0] if nics else source.host.pci[0].address
    return [Plan(summary="", request=request, steps=(RemoveGuard(address=address, files=files),))] if files else []


def _tell_later(aims: Aims) -> Iterator[str]:
    """What is planned when the VFs are there."""
    for pool in aims.pools:
        if pool.awaits_vfs:
            yield _("The pool {pool} is looked at and planned once these VFs are there: {nics}.").format(
                pool=pool.name, nics=pool.text
            )
    for vm in aims.vms:
        if any(nic.address is None for nic in vm.nics):
            yield _("What {vm} gets is looked at and planned once these VFs are there: {nics}.").format(
                vm=printable(vm.domain.name), nics=", ".join(nic.name for nic in vm.nics)
            )


def _plan_vfs(
    request: ApplyRequest, file: StateFile, aims: Aims, source: Source
) -> tuple[list[Plan], tuple[ChangeBoot, ...]]:
    """(the plan of each PF whose VFs are not as the file says, the step that makes them last)."""
    index = HostIndex(source.host)
    plans: list[Plan] = []
    lasting: list[tuple[Plan, PciFunction]] = []
    for aim, vfs in ask_for_vfs(aims, index, request.confirm_within):
        with told_where(file, aim.key):
            plan = plan_vf(with_speed(source, aim.pf.address), vfs, unsupported_of(source))
        if plan.steps:
            plans.append(plan)
            if not vfs.until_reboot:
                lasting.append((plan, aim.pf))
    if request.prune:
        for pf, vfs in ask_to_clear(aims, index, request.confirm_within):
            plan = plan_vf(source.host, vfs, unsupported_of(source))
            plans.append(plan)
            lasting.append((plan, pf))
    if not lasting:
        return plans, ()
    keep, notes = keep_declarations(lasting, source.host, place_of(source))
    if notes and plans:
        plans[0] = _with_notes(plans[0], notes)
    return plans, (keep,) if keep is not None else ()


def _with_notes(plan: Plan, notes: tuple[str, ...]) -> Plan:
    return msgspec.structs.replace(plan, notes=(*plan.notes, *notes))


def _plan_gifts(request: ApplyRequest, file: StateFile, aims: Aims, source: Source) -> tuple[Plan, ...]:
    """What comes, as far as it can be planned for the VFs that are there: pools, NICs, and who draws from pools."""
    made = plan_made(source.host, file, aims)
    of_nics = _plan_nics(request, file, aims, msgspec.structs.replace(source, host=made.host))
    host = after_steps(made.host, (step for plan in of_nics for step in plan.steps))
    if not any(vm.draws for vm in aims.vms):
        return (*made.plans, *of_nics)
    drawn = plan_drawn(host, file, aims, plan_guard(source.files) if source.is_live else ())
    return (*made.plans, *of_nics, *drawn.plans)


def _plan_nics(request: ApplyRequest, file: StateFile, aims: Aims, source: Source) -> list[Plan]:
    """The plan of each VM that lacks a NIC that is there."""
    asked = list(ask_for_nics(aims, request.confirm_within))
    wanted = {nic for _aim, attach in asked for nic in attach.nics}
    host = source.host
    for function in host.pci:
        host = look_closer(source, host, function) if function.address in wanted else host
    index, guard = HostIndex(host), plan_guard(source.files) if source.is_live else ()
    addresses = [function.address for function in host.pci if function.address in wanted]
    better = better_records(source, host, addresses) if source.is_live else None
    plans = []
    for aim, attach in asked:
        with told_where(file, aim.key):
            plans.append(plan_attach(host, attach, guard, better, index))
    return [plan for plan in plans if plan.steps]
