# SPDX-License-Identifier: Apache-2.0
"""Plans by which pools, and who draws from them, are as a file says: by the requests that a person makes for that.

Each is planned for the host as those before it leave it, so that thirty VMs that draw from thirty VFs are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.pools import find_pool
from nicpass.model.errors import ImpossibleError, RefusedError
from nicpass.model.language import _
from nicpass.model.plan import Plan, SetPool
from nicpass.model.request import PoolAttachRequest, PoolRequest
from nicpass.model.text import printable, quote, vm_word
from nicpass.planner.pool.after import after_steps
from nicpass.planner.pool.member import plan_join
from nicpass.planner.pool.network import plan_pool
from nicpass.planner.pool.states import state_of, steps_between
from nicpass.planner.state.difference import differences_of_pool, draw_of, others_of
from nicpass.planner.state.told import told_where
from nicpass.planner.vf.wish import range_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.checks.lookup.pools import Pool
    from nicpass.model.address import Address
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.planner.state.aims import Aims, VmAim
    from nicpass.planner.state.pool_aims import DrawAim, PoolAim
    from nicpass.planner.state.text import Key, StateFile


class Planned(NamedTuple):
    """Plans, and the host as they leave it."""

    plans: tuple[Plan, ...]
    host: Host

    def and_then(self, plan: Plan) -> Planned:
        if not plan.steps:
            return self
        return Planned((*self.plans, plan), after_steps(self.host, plan.steps))


def plan_drained(host: Host, file: StateFile, aims: Aims) -> Planned:
    """The plans by which VFs leave the pools that shall not have them, so that others may have these VFs.

    Raises:
        NicpassError: as `plan_pool`; the sentence begins with the place in the file.
    """
    done = Planned((), host)
    for aim in aims.pools:
        with told_where(file, aim.key):
            done = done.and_then(_as_one(done.host, _ask_to_drain(aim, HostIndex(done.host))))
    return done


def plan_made(host: Host, file: StateFile, aims: Aims) -> Planned:
    """The plans by which pools get the VFs that they shall have; of those alone all of whose VFs are there.

    Raises:
        NicpassError: as `plan_drained`; RefusedError for a pool that is in another VLAN.
    """
    done = Planned((), host)
    for aim in aims.pools:
        index = HostIndex(done.host)
        with told_where(file, aim.key):
            _refuse_other_vlan(aim, find_pool(index, aim.name))
            if aim.awaits_vfs:
                _refuse_too_many(aim, aims, index)
        if aim.awaits_vfs or not any(differences_of_pool(aim, index, _no_line)):
            continue
        with told_where(file, aim.key):
            done = done.and_then(_as_one(done.host, _ask_to_fill(aim, index), starts=aim.name))
    return done


def plan_drawn(host: Host, file: StateFile, aims: Aims, guard: tuple[FileChange, ...]) -> Planned:
    """The plans by which VMs draw from pools; `guard` as in `plan_join`.

    Raises:
        NicpassError: as `plan_join`; RefusedError for a VM whose interface of the pool has another MAC.
    """
    done = Planned((), host)
    for vm in aims.vms:
        for draw in vm.draws:
            index = HostIndex(done.host)
            if draw_of(draw, vm.domain, index) is not None:
                continue
            with told_where(file, draw.key):
                _refuse_other_mac(draw, vm, index)
            if draw.awaits_pool:
                continue
            with told_where(file, draw.key):
                request = PoolAttachRequest(vm=vm.domain.uuid, pool=draw.pool, mac=draw.mac)
                done = done.and_then(plan_join(done.host, request, guard))
    return done


def _as_one(host: Host, requests: Iterable[PoolRequest], starts: str = "") -> Plan:
    """One plan of several requests about one pool: libvirt need not stop and start it anew for each of them.

    The pool of the name `starts` runs afterwards, and from every boot on.
    """
    plans: list[Plan] = []
    steps: list[SetPool] = []
    for request in requests:
        plan = plan_pool(host, request)
        host = after_steps(host, plan.steps)
        plans.append(plan)
        steps += [step for step in plan.steps if isinstance(step, SetPool)]
    pool = find_pool(HostIndex(host), starts) if starts else None
    before, after = (steps[0].before, steps[-1].after) if steps else (None, None)
    if pool is not None:
        now = state_of(pool)
        before = before if steps else now
        after = after or now
        if False in (pool.network.active, pool.network.autostart):
            after = msgspec.structs.replace(after, active=True, autostart=True)
    notes = dict.fromkeys(note for plan in plans for note in plan.notes)
    summary = plans[0].summary if plans else ""
    asked = PoolRequest(action="add", name=starts)
    way = steps_between(before, after) if before != after else ()
    return Plan(summary=summary, request=asked, steps=way, notes=tuple(notes))


def _ask_to_drain(aim: PoolAim, index: HostIndex) -> Iterator[PoolRequest]:
    """A request for each PF that has VFs in the pool which the file does not name."""
    pool = find_pool(index, aim.name)
    wanted = {(vf.pf.address, vf.number) for vf in aim.vfs}
    leaving: dict[Address, list[int]] = {}
    for vf in pool.vfs if pool is not None else ():
        place = index.vf_indices.get(vf)
        if place is None:
            raise ImpossibleError(
                _("The pool {pool} has {address}, which is no VF that is there.").format(pool=aim.name, address=vf),
                f"virsh net-edit {quote(aim.name)}",
            )
        if place not in wanted:
            leaving.setdefault(place[0], []).append(place[1])
    for pf, numbers in leaving.items():
        yield PoolRequest(action="drain", name=aim.name, pf=pf, vfs=range_text(numbers))


def _ask_to_fill(aim: PoolAim, index: HostIndex) -> Iterator[PoolRequest]:
    """A request for each PF of which the pool lacks VFs; the first makes the pool where there is none."""
    pool = find_pool(index, aim.name)
    has = frozenset(pool.vfs) if pool is not None else frozenset()
    lacking: dict[Address, list[int]] = {}
    for vf in aim.vfs:
        if vf.address not in has:
            lacking.setdefault(vf.pf.address, []).append(vf.number)
    is_there = pool is not None
    for pf, numbers in lacking.items():
        text = range_text(numbers)
        if is_there:
            yield PoolRequest(action="add", name=aim.name, pf=pf, vfs=text)
        else:
            yield PoolRequest(action="create", name=aim.name, pf=pf, vfs=text, vlan=aim.vlan or None)
        is_there = True


def _refuse_other_vlan(aim: PoolAim, pool: Pool | None) -> None:
    if pool is None or aim.vlan is None or pool.network.vlans == ((aim.vlan,) if aim.vlan else ()):
        return
    now = ", ".join(map(str, pool.network.vlans)) or _("none")
    raise RefusedError(
        _("The pool {pool} has the VLAN {now}, and nicpass changes no pool's VLAN under its VMs.").format(
            pool=aim.name, now=now
        ),
        _("Make it anew, once no VM draws from it: nicpass pool remove {pool}, and then this file.").format(
            pool=quote(aim.name)
        ),
    )


def _refuse_too_many(aim: PoolAim, aims: Aims, index: HostIndex) -> None:
    """Refuse more interfaces than VFs before the VFs are made; of a pool that is there `plan_join` does so."""
    pool = find_pool(index, aim.name)
    draws = [(draw, vm) for vm in aims.vms for draw in vm.draws if draw.pool == aim.name]
    new = [draw for draw, vm in draws if draw_of(draw, vm.domain, index) is None]
    count = len(new) + len(pool.members if pool is not None else ())
    if new and count > len(aim.vfs):
        raise ImpossibleError(
            _("The pool {pool} is to have {vfs} VFs, and {count} interfaces of VMs are to draw from it.").format(
                pool=aim.name, vfs=len(aim.vfs), count=count
            ),
            _("A VM that is off counts as one that runs; nicpass pool list shows who draws from it now."),
        )


def _refuse_other_mac(draw: DrawAim, vm: VmAim, index: HostIndex) -> None:
    """Refuse a NIC beside one of the same pool that the file does not mean: hardly anybody wants both."""
    for other in others_of(draw, vm, index):
        mac = other.mac or _("none")
        raise RefusedError(
            _("{vm} has an interface of the pool {pool} with the MAC {mac}, which the file does not say.").format(
                vm=printable(vm.domain.name), pool=printable(draw.pool), mac=mac
            ),
            _("Say that MAC too, or take it back first: {command}").format(
                command=f"nicpass detach {vm_word(vm.domain.name, vm.domain.uuid)} --from-pool {quote(draw.pool)}"
                + (f" --mac {other.mac}" if other.mac is not None else "")
            ),
        )


def _no_line(_key: Key) -> int:
    return 0
