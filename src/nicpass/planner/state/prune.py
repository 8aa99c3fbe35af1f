# SPDX-License-Identifier: Apache-2.0
"""What nicpass has made on a host, and a file does not name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.binding.identity import match_identity
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label
from nicpass.checks.lookup.pools import pools_of_host
from nicpass.model.change import Outcome
from nicpass.model.fact import value_or
from nicpass.model.plan import JoinPool
from nicpass.model.request import DetachRequest, PoolDetachRequest, PoolRequest, PrepareRequest, VfRequest
from nicpass.model.text import printable
from nicpass.planner.pool.member import is_derived, plan_leave
from nicpass.planner.pool.network import plan_pool
from nicpass.planner.pool.states import is_own
from nicpass.planner.state.difference import PRESENT, Difference, draw_of
from nicpass.planner.state.pool_plans import Planned

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from typing import TypeAlias

    from nicpass.checks.lookup.pools import Member, Pool
    from nicpass.model.change import Change
    from nicpass.model.domain import Domain
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.prepared import Prepared
    from nicpass.planner.state.aims import Aims

    Given: TypeAlias = tuple[str, str, str | None]
    """A VM's interface of a pool: the VM's UUID, the pool, the MAC."""


def nics_to_take_back(aims: Aims, index: HostIndex) -> Iterator[tuple[Domain, tuple[PciFunction, ...]]]:
    """The NICs of each VM that nicpass has given to it, and that the file does not name as its."""
    for domain in value_or(index.host.domains, None) or ():
        named = {nic.address for vm in aims.vms for nic in vm.nics if vm.domain.uuid == domain.uuid}
        has = {device.address for device in (*domain.config_devices, *domain.live_devices)}
        extra = tuple(
            index.functions[given.address]
            for given in index.given.values()
            if given.uuid == domain.uuid and given.address in has - named and given.address in index.functions
        )
        if extra:
            yield domain, extra


def pfs_to_clear(aims: Aims, index: HostIndex) -> Iterator[PciFunction]:
    """The PFs that nicpass makes VFs of at every boot, and that the file does not name, nor a VF of theirs."""
    named = {aim.pf.address for aim in aims.pfs} | {vf.pf.address for pool in aims.pools for vf in pool.vfs}
    named |= {nic.place[0] for vm in aims.vms for nic in vm.nics if nic.place is not None}
    for one in value_or(index.host.vf_declarations.found, ()):
        match = match_identity(one.identity, index.host.pci)
        pf = index.functions.get(match.addresses[0]) if match.outcome == "found" else None
        if pf is not None and pf.address not in named:
            yield pf


def interfaces_given(changes: Iterable[Change]) -> frozenset[Given]:
    """The VMs' interfaces of pools that changes of nicpass's, which were done, have made."""
    return frozenset(
        (step.uuid, step.pool, step.mac)
        for change in changes
        if change.opened is not None and change.outcome in (Outcome.DONE, Outcome.UNCONFIRMED)
        for step in change.opened.plan.steps
        if isinstance(step, JoinPool)
    )


def draws_to_take_back(aims: Aims, index: HostIndex, given: Container[Given]) -> Iterator[tuple[Pool, Member]]:
    """The interfaces of pools that nicpass has given to VMs, and that the file does not name as theirs.

    They are known by the journal (`given`), and where that is gone by their MACs, which nicpass has derived.
    """
    meant: dict[tuple[str, str], list[Member | None]] = {}
    for vm in aims.vms:
        for draw in vm.draws:
            meant.setdefault((vm.domain.uuid, draw.pool), []).append(draw_of(draw, vm.domain, index))
    for pool in pools_of_host(index):
        for member in pool.members:
            if not member.lasting or member in meant.get((member.uuid, pool.name), ()):
                continue
            if (member.uuid, pool.name, member.mac) in given or is_derived(member, pool):
                yield pool, member


def pools_to_remove(aims: Aims, index: HostIndex) -> Iterator[Pool]:
    """The pools that nicpass has made, and that the file names neither as such nor as a VM's."""
    named = {aim.name for aim in aims.pools} | {draw.pool for vm in aims.vms for draw in vm.draws}
    return (pool for pool in pools_of_host(index) if is_own(pool) and pool.name not in named)


def plan_leaving(host: Host, aims: Aims, given: Container[Given]) -> Planned:
    """The plans by which these interfaces leave their VMs, and then these pools go.

    Raises:
        NicpassError: as `plan_leave` and `plan_pool`.
    """
    done = Planned((), host)
    for pool, member in draws_to_take_back(aims, HostIndex(host), given):
        done = done.and_then(plan_leave(done.host, PoolDetachRequest(vm=member.uuid, pool=pool.name, mac=member.mac)))
    for pool in pools_to_remove(aims, HostIndex(host)):
        done = done.and_then(plan_pool(done.host, PoolRequest(action="remove", name=pool.name)))
    return done


def prepared_too_much(aims: Aims, index: HostIndex, prepared: Prepared | None) -> PrepareRequest | None:
    """A request for the part of the host's preparation that the file does not name; None where it names all of it.

    The kernel's arguments go only with all of it, where the file neither says anything of the boot nor gives a NIC to
    a VM, which could not start without them.
    """
    if prepared is None:
        return None
    if aims.boot is None and not any(vm.nics or vm.draws for vm in aims.vms):
        return PrepareRequest(remove=True)
    named = {nic.function.address for nic in aims.boot.nics} if aims.boot is not None else set()
    named |= {nic.address for vm in aims.vms for nic in vm.nics if nic.address is not None}
    bound = {binding.name: address for address, binding in index.boot_bindings.items()}
    names = (nic.binding.name for nic in prepared.nics)
    extra = tuple(name for name in names if bound.get(name, name) not in named)
    return PrepareRequest(nics=extra, remove=True) if extra else None


def find_extra(
    aims: Aims, index: HostIndex, given: Container[Given] = frozenset(), prepared: Prepared | None = None
) -> Iterator[Difference]:
    """What `--prune` would take back."""
    if (request := prepared_too_much(aims, index, prepared)) is not None and prepared is not None:
        nics = request.nics or tuple(nic.binding.name for nic in prepared.nics)
        parts = [("nics", nic) for nic in nics]
        parts += [("arguments", argument) for argument in prepared.arguments if not request.nics]
        for name, what in parts:
            yield Difference(kind="boot", name=name, what=what, now=PRESENT, wanted=None, line=0)
    for pool, member in draws_to_take_back(aims, index, given):
        now, what = f"mac {member.mac}", f"pool {printable(pool.name)}"
        yield Difference(kind="vm", name=printable(member.vm), what=what, now=now, wanted=None, line=0)
    for pool in pools_to_remove(aims, index):
        now, name = ", ".join(pool.vfs) or PRESENT, printable(pool.name)
        yield Difference(kind="pool", name=name, what="vfs", now=now, wanted=None, line=0)
    for domain, functions in nics_to_take_back(aims, index):
        for function in functions:
            name = printable(domain.name)
            yield Difference(kind="vm", name=name, what=label(function), now=PRESENT, wanted=None, line=0)
    for pf in pfs_to_clear(aims, index):
        yield Difference(kind="pf", name=label(pf), what="vfs", now=str(value_or(pf.numvfs, "?")), wanted="0", line=0)


def ask_to_take_back(aims: Aims, index: HostIndex) -> Iterator[DetachRequest]:
    """A request for each VM that has a NIC too many."""
    for domain, functions in nics_to_take_back(aims, index):
        first, *more = [function.address for function in functions]
        yield DetachRequest(vm=domain.uuid, nic=first, more=tuple(more))


def ask_to_clear(aims: Aims, index: HostIndex, confirm_within: int | None) -> Iterator[tuple[PciFunction, VfRequest]]:
    """A request for each PF whose VFs are to go."""
    for pf in pfs_to_clear(aims, index):
        yield pf, VfRequest(pf=pf.address, count=0, confirm_within=confirm_within)
