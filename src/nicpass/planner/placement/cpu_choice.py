# SPDX-License-Identifier: Apache-2.0
"""Chooses the CPUs of a VM: one for each of its virtual ones, and some beside them for QEMU's own threads.

Whole cores come first, and both threads of a core go to one VM: two VMs on one core slow each other down, and see each
other's caches (Documentation/admin-guide/hw-vuln/core-scheduling.rst). OpenStack Nova calls that `prefer`. The core of
the node's first CPU comes last, for the kernel and its services are used to it. A VM that is placed well already stays
where it is: to place it a second time changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.model.domain import CpuPin
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.language import _
from nicpass.model.memory import format_cpulist
from nicpass.model.text import vm_word
from nicpass.planner.placement.cpu_claims import NO_CPUS, Claims, numbers_of

if TYPE_CHECKING:
    from nicpass.model.domain import Domain, Placement


class Around(msgspec.Struct, frozen=True):
    """What there is to choose from."""

    node: int
    near: frozenset[int]
    """The CPUs of the node, online."""
    cores: tuple[frozenset[int], ...]
    claims: Claims
    named: frozenset[int] | None = None
    """The CPUs that the user has named, all of one node; then there is no other choice."""


class Choice(NamedTuple):
    """The CPUs of one VM."""

    pins: tuple[CpuPin, ...]
    emulator: frozenset[int]

    @property
    def pinned(self) -> frozenset[int]:
        return frozenset().union(*(numbers_of(pin.cpus) for pin in self.pins))


def choose_cpus(domain: Domain, before: Placement, around: Around) -> Choice:
    """The CPUs for the VM, which is placed as `before`.

    Raises:
        BadInputError: fewer were named than it has virtual CPUs.
        ImpossibleError: there are not so many on the node.
        RefusedError: those that there are belong to somebody else.
    """
    _refuse_named(domain, before.vcpus, around)
    _refuse_too_many(domain, before.vcpus, around)
    chosen = _kept(before, around) or _pick(before.vcpus, around)
    if len(chosen) < before.vcpus:
        raise _too_few(domain, before.vcpus, around)
    emulator = _choose_emulator(before, frozenset(chosen), around)
    if not emulator:
        raise ImpossibleError(
            _("Pinned one to one, {name} would leave no CPU to the host and to QEMU's own threads.").format(
                name=domain.name
            ),
            _fewer(domain),
        )
    return Choice(tuple(CpuPin(number, str(cpu)) for number, cpu in enumerate(chosen)), emulator)


def _refuse_named(domain: Domain, vcpus: int, around: Around) -> None:
    named, claims = around.named, around.claims
    if named is None:
        return
    if taken := named & claims.taken:
        raise RefusedError(
            _("{name} is not pinned onto CPUs of somebody else. {claims}.").format(
                name=domain.name, claims=claims.tell(taken)
            ),
            _("Name others, or take them from there first."),
        )
    if len(named) < vcpus:
        raise BadInputError(
            _("--cpus names {count} CPUs, and {name} has {vcpus} virtual ones.").format(
                count=len(named), name=domain.name, vcpus=vcpus
            ),
            _("One for each, and more for QEMU's own threads if you like."),
        )


def _refuse_too_many(domain: Domain, vcpus: int, around: Around) -> None:
    if vcpus > len(around.near):
        raise ImpossibleError(
            _("{name} has {vcpus} virtual CPUs, and NUMA node {node} has {count} CPUs.").format(
                name=domain.name, vcpus=vcpus, node=around.node, count=len(around.near)
            ),
            _fewer(domain),
        )


def _too_few(domain: Domain, vcpus: int, around: Around) -> RefusedError:
    claims = around.claims
    others = around.near & (claims.taken | claims.isolated)
    isolated = around.near & claims.isolated - claims.taken
    hint = _("Take them from there first. Or: {fewer}").format(fewer=_fewer(domain))
    if isolated:
        hint = _("If the isolated ones are for this VM: nicpass tune {vm} --cpus {cpus}").format(
            vm=vm_word(domain.name, domain.uuid), cpus=format_cpulist(isolated)
        )
    return RefusedError(
        _("{name} has {vcpus} virtual CPUs, and too few CPUs of NUMA node {node} are nobody else's. {claims}.").format(
            name=domain.name,
            vcpus=vcpus,
            node=around.node,
            claims=claims.tell(others) or _("Other VMs need some for QEMU's own threads"),
        ),
        hint,
    )


def _fewer(domain: Domain) -> str:
    return _("Give it fewer virtual CPUs: virsh setvcpus {vm} COUNT --maximum --config").format(
        vm=vm_word(domain.name, domain.uuid)
    )


def _kept(before: Placement, around: Around) -> list[int] | None:
    """The CPUs that the VM is pinned to, if they are what would be chosen otherwise: one each, near, nobody else's.

    Isolated ones among them are its own: somebody has pinned it there.
    """
    sets = [numbers_of(pin.cpus) for pin in before.pins]
    chosen = [min(numbers) for numbers in sets if len(numbers) == 1]
    numbered = [pin.vcpu for pin in before.pins] == list(range(before.vcpus))
    wanted = around.near if around.named is None else around.named
    if not numbered or len(set(chosen)) != before.vcpus or not frozenset(chosen) <= wanted - around.claims.taken:
        return None
    return chosen if around.claims.leave_one_each(frozenset(chosen)) else None


def _pick(count: int, around: Around) -> list[int]:
    """As many CPUs as can be had, no more than `count`."""
    claims = around.claims
    allowed = around.near - claims.isolated if around.named is None else around.named
    allowed -= claims.taken
    chosen: list[int] = []
    for cpu in _in_order(allowed, around):
        if len(chosen) < count and claims.leave_one_each(frozenset((*chosen, cpu))):
            chosen.append(cpu)
    return chosen


def _in_order(allowed: frozenset[int], around: Around) -> list[int]:
    """The best first: whole cores without QEMU's threads of others, last the parts of cores that others are on."""
    first = min(around.near, default=0) if around.named is None else None
    floating = NO_CPUS.union(*around.claims.emulators)
    known = NO_CPUS.union(*around.cores)
    cores = [*around.cores, *(frozenset({cpu}) for cpu in sorted(allowed - known))]
    ordered = sorted(cores, key=lambda core: _worse(core, allowed, floating, first))
    return [cpu for core in ordered for cpu in sorted(core & allowed)]


def _worse(
    core: frozenset[int], allowed: frozenset[int], floating: frozenset[int], first: int | None
) -> tuple[bool, bool, bool, int]:
    return (not core <= allowed, first in core, bool(core & floating), min(core))


def _choose_emulator(before: Placement, chosen: frozenset[int], around: Around) -> frozenset[int]:
    """The CPUs for QEMU's own threads: the rest of those named, else of the node, else of the host."""
    claims = around.claims
    free = claims.online - claims.isolated - frozenset(claims.vms) - chosen
    near = around.near & free
    pools = (
        (around.named or NO_CPUS) - chosen,
        near - frozenset(claims.services),
        near,
        free,
    )
    best = next((pool for pool in pools if pool), NO_CPUS)
    now = numbers_of(before.emulator)
    keeps = now and now <= best and (around.named is None or now <= around.named | near)
    return now if keeps else best
