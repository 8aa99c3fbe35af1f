# SPDX-License-Identifier: Apache-2.0
"""Plans making a pool of VFs, changing which are in it, and taking it away.

A pool is a network of libvirt's that lists its VFs one by one: `<pf dev=>` would lend every VF that the PF has, also
those that somebody gives to a VM by their address. Which functions a network lends, libvirt reads when the network is
started, and forgets then who has which (networkShutdownNetwork in its src/network/bridge_driver.c): so a pool is
changed only while no running VM has a VF of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label
from nicpass.checks.lookup.pools import find_pool, pools_of_host
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.language import _
from nicpass.model.libvirt_network import PoolState
from nicpass.model.nearest import did_you_mean
from nicpass.model.network import VLAN_IDS
from nicpass.model.plan import Plan
from nicpass.model.text import printable, quote, vm_word
from nicpass.planner.pool.states import essence_of, less_of, state_of, steps_between, uuid_of
from nicpass.planner.refuse import refuse_unless_clear
from nicpass.planner.select import select_nic
from nicpass.planner.vf.use import counts_of, refuse_claimed, refuse_used_vf, why_machines_unknown
from nicpass.planner.vf.wish import parse_vfs, range_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nicpass.checks.lookup.pools import Pool
    from nicpass.model.address import Address
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import SetPool
    from nicpass.model.request import PoolRequest, Request

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
"""Names that a file, a shell and a sentence take as they are; libvirt itself refuses hardly more than a slash."""
_EXAMPLE = "nicpass pool create blue --pf PF --vfs 2-7"


def plan_pool(host: Host, request: PoolRequest) -> Plan:
    """The steps to the pool as it is asked for; none if it is so.

    Raises:
        BadInputError: a name, a PF, VFs or a VLAN that are not there or cannot be.
        ImpossibleError: libvirt cannot be asked, or this NIC, or such a pool, cannot do it.
        RefusedError: a VF is in use, or a running VM has one of the pool's.
    """
    index = HostIndex(host)
    require_pools(index)
    if request.action == "create":
        return _plan_create(request, index)
    pool = select_pool(index, request.name)
    match request.action:
        case "add":
            return _plan_add(request, pool, index)
        case "drain":
            return _plan_drain(request, pool, index)
        case _:
            return _plan_removal(request, pool)


def plan_pool_less(host: Host, steps: Sequence[SetPool], request: Request) -> Plan:
    """The first half of the way back from what `steps` made of a pool: the VFs leave it that it got.

    Raises:
        RefusedError: as `plan_pool_back`.
    """
    index = HostIndex(host)
    require_pools(index)
    before, after = steps[0].before, steps[-1].after
    pool, name = _pool_left(index, steps, after)
    less = less_of(before, after)
    if pool is not None and less != after:
        refuse_held(pool)
        if less is None:
            _refuse_members(pool)
    now = state_of(pool) if pool is not None else None
    target = msgspec.structs.replace(less, xml=now.xml) if less is not None and now is not None else less
    summary = _("Make the pool {pool} what it was").format(pool=name)
    return Plan(summary=summary, request=request, steps=steps_between(now, target) if now != target else ())


def plan_pool_back(host: Host, steps: Sequence[SetPool], request: Request, *, is_less: bool = False) -> Plan:
    """The way back from what `steps` made of a pool; `is_less`: the first half of it is done.

    Raises:
        RefusedError: the pool is another by now, VMs draw from it, or its VFs are somebody else's.
    """
    index = HostIndex(host)
    require_pools(index)
    before, after = steps[0].before, steps[-1].after
    pool, name = _pool_left(index, steps, less_of(before, after) if is_less else after)
    now = state_of(pool) if pool is not None else None
    if pool is not None:
        if essence_of(now) != essence_of(before):
            refuse_held(pool)
        if before is None:
            _refuse_members(pool)
    if before is not None:
        refuse_unfit([a for a in before.addresses if now is None or a not in now.addresses], index)
    summary = _("Make the pool {pool} what it was").format(pool=name)
    is_so = essence_of(now) == essence_of(before)
    return Plan(summary=summary, request=request, steps=() if is_so else steps_between(now, before))


def _pool_left(index: HostIndex, steps: Sequence[SetPool], after: PoolState | None) -> tuple[Pool | None, str]:
    """(the pool as it is, its name). Raises RefusedError where it is not as it was left."""
    name = next(state.name for step in steps for state in (step.before, step.after) if state is not None)
    pool = find_pool(index, name)
    if essence_of(state_of(pool) if pool is not None else None) != essence_of(after):
        raise RefusedError(_("The pool {pool} is not as this change left it.").format(pool=name), "nicpass pool list")
    return pool, name


def is_pool_name(name: str) -> bool:
    """Whether nicpass gives a pool such a name."""
    return _NAME.fullmatch(name) is not None


def refuse_bad_name(name: str) -> None:
    """Raises BadInputError for a name that nicpass gives no pool."""
    if not is_pool_name(name):
        raise BadInputError(
            _("{name!r} is no name for a pool.").format(name=name),
            _("Letters, digits, dots, hyphens and underscores, at most 50: {example}").format(example=_EXAMPLE),
        )


def require_pools(index: HostIndex) -> None:
    """Raise ImpossibleError where nobody knows which pools there are, or which VM has which VF."""
    if (reason := why_machines_unknown(index)) is not None:
        raise ImpossibleError(
            _("libvirt cannot be asked for its pools: {reason}.").format(reason=reason),
            _("systemctl start libvirtd; the Python binding is the package python3-libvirt."),
        )


def select_pool(index: HostIndex, name: str) -> Pool:
    """The pool of this name. Raises BadInputError where there is none."""
    pool = find_pool(index, name)
    if pool is None:
        names = [pool.name for pool in pools_of_host(index)]
        raise BadInputError(
            _("There is no pool {name!r} on this host.").format(name=name),
            did_you_mean(
                name, names, _("Its pools: {names}.").format(names=", ".join(map(printable, names)) or _("none"))
            ),
        )
    return pool


def refuse_held(pool: Pool) -> None:
    """Refuse while a running VM has a VF of the pool. Raises RefusedError, which names the VMs."""
    if holders := pool.holders:
        told = ", ".join(f"{printable(member.vm)} ({member.vf})" for member in holders)
        raise RefusedError(
            _("Running VMs have VFs of the pool {pool}: {vms}.").format(pool=pool.name, vms=told),
            _("libvirt changes a pool only when it starts it anew, and forgets then who has what: {command}").format(
                command=f"virsh shutdown {vm_word(holders[0].vm, holders[0].uuid)}"
            ),
        )


def _plan_create(request: PoolRequest, index: HostIndex) -> Plan:
    refuse_bad_name(request.name)
    if request.pf is None or request.vfs is None:
        raise BadInputError(_("A pool is made of VFs of one PF: --pf and --vfs."), _EXAMPLE)
    if request.vlan is not None and request.vlan not in VLAN_IDS:
        raise BadInputError(_("{vlan} is not a VLAN: they go from 1 to 4094.").format(vlan=request.vlan), "--vlan 20")
    pf = select_nic(index, request.pf)
    numbers = _numbers_of(request.vfs, pf, index)
    after = PoolState(
        name=request.name,
        uuid=uuid_of(request.name),
        addresses=_addresses_of(numbers, pf, index),
        vlan=request.vlan,
        active=True,
        autostart=True,
    )
    if (same := _refuse_taken(request, after, index)) is not None:
        return same
    refuse_claimed(pf, index)
    _refuse_vlan_in_switchdev(request.vlan, pf)
    refuse_unfit(after.addresses, index)
    summary = _("Make the pool {pool} of VFs {vfs} of {nic}").format(
        pool=request.name, vfs=range_text(numbers), nic=label(pf)
    )
    return Plan(summary=summary, request=request, steps=steps_between(None, after))


def _refuse_taken(request: PoolRequest, after: PoolState, index: HostIndex) -> Plan | None:
    """The plan without a step where there is just that pool. Raises BadInputError for another one of that name."""
    networks = index.host.libvirt_networks
    if not any(network.name == request.name for network in (networks if isinstance(networks, tuple) else ())):
        return None
    pool = find_pool(index, request.name)
    if pool is not None and not pool.network.pfs:
        now = state_of(pool)
        if now == msgspec.structs.replace(after, uuid=now.uuid, xml=now.xml):
            summary = _("There is the pool {pool} already, with just these VFs").format(pool=request.name)
            return Plan(summary=summary, request=request, steps=())
    raise BadInputError(
        _("libvirt has a network {name} already.").format(name=request.name),
        _("nicpass pool list shows the pools, virsh net-list --all every network. More VFs: {command}").format(
            command=f"nicpass pool add {quote(request.name)} --vfs {quote(request.vfs or 'VFS')}"
        ),
    )


def _plan_add(request: PoolRequest, pool: Pool, index: HostIndex) -> Plan:
    if request.vfs is None:
        raise BadInputError(_("Which VFs are to be added? --vfs"), f"nicpass pool add {quote(pool.name)} --vfs 8-9")
    _refuse_whole_pf(pool)
    pf = _pf_of(request, pool, index)
    wanted = _addresses_of(_numbers_of(request.vfs, pf, index), pf, index)
    new = tuple(address for address in wanted if address not in pool.vfs)
    if not new:
        summary = _("The pool {pool} has these VFs already").format(pool=pool.name)
        return Plan(summary=summary, request=request, steps=())
    refuse_held(pool)
    refuse_claimed(pf, index)
    refuse_unfit(new, index)
    before = state_of(pool)
    after = msgspec.structs.replace(before, addresses=(*before.addresses, *new))
    summary = _("Add {vfs} to the pool {pool}").format(vfs=", ".join(new), pool=pool.name)
    return Plan(summary=summary, request=request, steps=steps_between(before, after))


def _plan_drain(request: PoolRequest, pool: Pool, index: HostIndex) -> Plan:
    _refuse_whole_pf(pool)
    leaving = frozenset(pool.vfs)
    if request.vfs is not None:
        pf = _pf_of(request, pool, index)
        leaving = frozenset(_addresses_of(_numbers_of(request.vfs, pf, index), pf, index))
    before = state_of(pool)
    left = tuple(address for address in before.addresses if address not in leaving)
    if left == before.addresses:
        summary = _("The pool {pool} has none of these VFs").format(pool=pool.name)
        return Plan(summary=summary, request=request, steps=())
    refuse_held(pool)
    after = msgspec.structs.replace(before, addresses=left)
    gone = ", ".join(address for address in before.addresses if address in leaving)
    summary = _("Take {vfs} out of the pool {pool}").format(vfs=gone, pool=pool.name)
    return Plan(summary=summary, request=request, steps=steps_between(before, after), notes=_notes(pool, len(left)))


def _plan_removal(request: PoolRequest, pool: Pool) -> Plan:
    _refuse_passing(pool)
    refuse_held(pool)
    _refuse_members(pool)
    summary = _("Remove the pool {pool}").format(pool=pool.name)
    return Plan(summary=summary, request=request, steps=steps_between(state_of(pool), None))


def _refuse_members(pool: Pool) -> None:
    """Law 9: a VM that has an interface of the pool in its definition could not start without it."""
    for member in pool.members:
        raise RefusedError(
            _("The VM {vm} has an interface of the pool {pool}, and could not start without it.").format(
                vm=printable(member.vm), pool=pool.name
            ),
            f"nicpass detach {vm_word(member.vm, member.uuid)} --from-pool {quote(pool.name)}",
        )


def _notes(pool: Pool, left: int) -> tuple[str, ...]:
    """That fewer VFs than VMs that count on them are in the pool."""
    if left >= len(pool.members):
        return ()
    vms = ", ".join(dict.fromkeys(printable(member.vm) for member in pool.members))
    return (
        _("{count} VFs are left in the pool {pool}, and {vms} draw from it: not all of them can run at once.").format(
            count=left, pool=pool.name, vms=vms
        ),
    )


def _refuse_passing(pool: Pool) -> None:
    """Refuse a pool without a lasting definition: stopped, it is gone, and nothing would bring it back."""
    if not pool.network.persistent:
        raise ImpossibleError(
            _("The pool {pool} has no lasting definition: it ends when it is stopped.").format(pool=pool.name),
            f"virsh net-dumpxml {vm_word(pool.name, pool.network.uuid)}",
        )


def _refuse_whole_pf(pool: Pool) -> None:
    """Refuse a pool that does not list its VFs: none can be added to it or taken out of it."""
    _refuse_passing(pool)
    if pool.network.pfs:
        raise ImpossibleError(
            _("The pool {pool} lends every VF of {pf}, and lists none.").format(
                pool=pool.name, pf=", ".join(pool.network.pfs)
            ),
            f"virsh net-edit {vm_word(pool.name, pool.network.uuid)}",
        )


def _pf_of(request: PoolRequest, pool: Pool, index: HostIndex) -> PciFunction:
    """The PF whose VFs are counted: the one that is named, else the only one that the pool has VFs of."""
    if request.pf is not None:
        return select_nic(index, request.pf)
    if len(pool.pfs) == 1 and pool.pfs[0] in index.functions:
        return index.functions[pool.pfs[0]]
    raise BadInputError(
        _("Of which PF? The pool {pool} has VFs of {count} PFs.").format(pool=pool.name, count=len(pool.pfs)),
        _("Name it: --pf"),
    )


def _numbers_of(text: str, pf: PciFunction, index: HostIndex) -> tuple[int, ...]:
    """The VFs that are meant. Raises BadInputError for one that is not there, with the command that makes it."""
    totalvfs, numvfs = counts_of(pf)
    numbers = parse_vfs(text, pf, totalvfs if text != "all" else numvfs)
    if numbers and numbers[-1] >= numvfs:
        there = range_text(range(numvfs)) or _("none")
        raise BadInputError(
            _("{nic} has no VF {number} now: its VFs are {all}.").format(nic=label(pf), number=numbers[-1], all=there),
            _("Make it first: {command}").format(command=f"nicpass vf create {pf.address} --count {numbers[-1] + 1}"),
        )
    return numbers


def _addresses_of(numbers: Iterable[int], pf: PciFunction, index: HostIndex) -> tuple[Address, ...]:
    """Raises RefusedError where the kernel does not show which VF is which."""
    places = {place[1]: vf for vf, place in index.vf_indices.items() if place[0] == pf.address}
    missing = next((number for number in numbers if number not in places), None)
    if missing is not None:
        raise RefusedError(
            _("Which address VF {number} of {nic} has is not to be seen.").format(number=missing, nic=label(pf)),
            f"nicpass vf list {pf.address}",
        )
    return tuple(places[number] for number in numbers)


def _refuse_vlan_in_switchdev(vlan: int | None, pf: PciFunction) -> None:
    if vlan is not None and pf.representors:
        raise ImpossibleError(
            _("{pf} is in switchdev mode, in which its driver sets no VLAN of a VF.").format(pf=label(pf)),
            _("Set it at the VFs' representors, by the bridge that these are in."),
        )


def refuse_unfit(addresses: Iterable[Address], index: HostIndex) -> None:
    """Refuse VFs that somebody has or uses, and those that no VM could be given. No reason is overridden here:

    a pool is there for months, and whoever starts a VM then has allowed nothing.
    """
    vfs = [_function_at(address, index) for address in addresses]
    for vf in vfs:
        refuse_used_vf(vf, index)
    found = [*check_host(index.host, index), *(finding for vf in vfs for finding in check_nic(vf, index))]
    refuse_unless_clear(tuple(found))


def _function_at(address: Address, index: HostIndex) -> PciFunction:
    if address not in index.functions:
        raise ImpossibleError(
            _("There is no {address} on this host any more.").format(address=address), "nicpass vf list"
        )
    return index.functions[address]
