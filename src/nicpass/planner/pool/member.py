# SPDX-License-Identifier: Apache-2.0
"""Plans giving a VM an interface of a pool's, and taking it out again.

libvirt picks the VF when the VM starts, so every VF that it may pick is judged: at the giving, and by the guard before
each start. Those that a VM counts on by its definition are not free for another (law 9), whether it runs or not.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.dependence.machines import uses_of
from nicpass.checks.host.guard import check_confinement
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.pools import Member, find_pool
from nicpass.checks.preflight import check_host, check_nic, check_vm
from nicpass.model.address import station_mac
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.plan import InstallGuard, JoinPool, LeavePool, Plan, RemoveGuard, StartDomain, StopDomain
from nicpass.model.text import printable, quote, vm_word
from nicpass.planner.pool.network import require_pools, select_pool
from nicpass.planner.refuse import refuse_unless_clear
from nicpass.planner.select import select_domain

if TYPE_CHECKING:
    from nicpass.checks.lookup.pools import Pool
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain, GuestPlace
    from nicpass.model.file_image import FileChange
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import Step
    from nicpass.model.request import PoolAttachRequest, PoolDetachRequest, Request, Where

_TOLD = 6
"""Interfaces of a pool that a sentence names."""

_MOST_DERIVED = 16
"""How many MACs of one VM and pool are tried by `is_derived`: as many as others are likely to have taken."""


def plan_join(
    host: Host,
    request: PoolAttachRequest,
    guard: tuple[FileChange, ...] = (),
    xml: str | None = None,
    asked: Request | None = None,
) -> Plan:
    """The steps after which the VM has an interface of the pool; none if it has one already.

    `guard` as in `plan_attach`. `xml` is the element as the VM had it before, and `asked` what this is planned for,
    where that is another request.

    Raises:
        BadInputError: no such VM or pool, or a MAC that cannot be.
        ImpossibleError: no VF of the pool is free, or no VM of this host could have one.
        RefusedError: the host uses a VF that libvirt may pick, or another VM has the MAC.
    """
    index = HostIndex(host)
    require_pools(index)
    domain, pool = select_domain(index, request.vm), select_pool(index, request.pool)
    if request.where == "live" and not domain.running:
        raise BadInputError(
            _("{name} does not run.").format(name=domain.name), _("Without --live it goes into the definition.")
        )
    mine = _find_mine(pool, domain, request)
    mac = mine.mac if mine is not None and mine.mac is not None else _choose_mac(request, pool, domain, index)
    steps: list[Step] = list(_join_steps(domain, pool, mac, mine, request.where, xml))
    starts = request.start and not domain.running
    if steps or starts:
        _refuse_unready(pool, domain, mine, index)
    if steps and guard:
        steps.insert(0, InstallGuard(address=pool.vfs[0], files=guard))
    if starts:
        address = pool.pfs[0] if pool.pfs else pool.vfs[0]
        steps.append(StartDomain(address=address, domain=domain.name, uuid=domain.uuid, pool_macs=(mac,)))
    summary = _("Give {name} a VF of the pool {pool} at each start") if steps else _("{name} draws from {pool} already")
    return Plan(
        summary=summary.format(name=domain.name, pool=pool.name),
        request=asked or request,
        steps=tuple(steps),
        notes=(*_guard_notes(host), *_tell_choice(steps, pool)),
    )


def plan_leave(
    host: Host,
    request: PoolDetachRequest,
    guard: tuple[FileChange, ...] = (),
    asked: Request | None = None,
) -> Plan:
    """The steps after which the VM has no interface of the pool, or not this one.

    `guard` holds the file changes for the guard to go; empty while it has to stay.

    Raises:
        BadInputError: no such VM, or it has no such interface, or several.
        RefusedError: the guest of a running VM cannot let go of its VF.
    """
    index = HostIndex(host)
    require_pools(index)
    domain = select_domain(index, request.vm)
    mine = _select_mine(domain, request, index)
    steps: list[Step] = list(_leave_steps(domain, mine, request))
    stays = mine.vf is not None and request.where == "config" and not request.stop
    if guard and (request.where != "live" or not mine.lasting):
        steps.append(RemoveGuard(address=mine.vf or index.host.pci[0].address, files=guard))
    note = _("{name} has {nic} until it is shut down.").format(name=domain.name, nic=mine.vf)
    return Plan(
        summary=_("Take the interface of the pool {pool} out of {name}").format(pool=request.pool, name=domain.name),
        request=asked or request,
        steps=tuple(steps),
        notes=(note,) if stays else (),
    )


def _find_mine(pool: Pool, domain: Domain, request: PoolAttachRequest) -> Member | None:
    """The interface that is meant, if the VM has it: by its MAC, or any where none is given."""
    wanted = station_mac(request.mac) if request.mac is not None else None
    mine = (member for member in pool.members if member.uuid == domain.uuid)
    return next((member for member in mine if request.mac is None or member.mac == wanted), None)


def _join_steps(
    domain: Domain, pool: Pool, mac: str, mine: Member | None, where: Where, xml: str | None
) -> tuple[JoinPool, ...]:
    """The lasting definition first, as for every other NIC; at one place in the guest, where one is free in both."""
    step = JoinPool(domain=domain.name, uuid=domain.uuid, pool=pool.name, mac=mac, running=domain.running)
    steps = []
    place = None
    plugs = domain.running and where != "config" and (mine is None or mine.vf is None)
    if plugs:
        place = _free_place(domain, pool)
    lasting = domain.config.pci.hotplug_places if domain.config is not None else ()
    if where != "live" and (mine is None or not mine.lasting):
        steps.append(msgspec.structs.replace(step, xml=xml, place=place if place in lasting else None))
    if plugs:
        steps.append(msgspec.structs.replace(step, live=True, place=place))
    return tuple(steps)


def _free_place(domain: Domain, pool: Pool) -> GuestPlace:
    """A place of the running machine that is free in the lasting definition too, if there is one such."""
    places = domain.live.pci.hotplug_places if domain.live is not None else ()
    if not places:
        words = f"nicpass attach {vm_word(domain.name, domain.uuid)} --from-pool {quote(pool.name)} --config"
        raise ImpossibleError(
            _("{name} has no free place to plug a VF in while it runs.").format(name=domain.name),
            _("From its next start on: {command}").format(command=words),
        )
    lasting = domain.config.pci.hotplug_places if domain.config is not None else ()
    return next((place for place in places if place in lasting), places[0])


def _choose_mac(request: PoolAttachRequest, pool: Pool, domain: Domain, index: HostIndex) -> str:
    """The MAC that was given; else one that is made of the VM's UUID and the pool's name, and so always the same.

    Raises:
        BadInputError: what was given is no MAC of one station.
        RefusedError: another interface of a VM has it.
    """
    taken = _macs_of_vms(index)
    if request.mac is None:
        count = 0
        while (mac := _derive_mac(domain.uuid, pool.name, count)) in taken:
            count += 1
        return mac
    given = station_mac(request.mac)
    if given is None:
        raise BadInputError(
            _("{mac!r} is not the MAC of one station.").format(mac=request.mac), _("Such as 52:54:00:12:34:56.")
        )
    if given in taken:
        raise RefusedError(
            _("The VM {vm} has an interface with the MAC {mac}.").format(vm=printable(taken[given]), mac=given),
            _("Give another: --mac, or none, for one that is derived."),
        )
    return given


def _derive_mac(uuid: str, pool: str, count: int) -> str:
    """A MAC below 52:54:00, as QEMU's and libvirt's own are: locally administered (IEEE 802-2014, 8.2)."""
    digest = hashlib.sha256(f"{uuid} {pool} {count}".encode()).hexdigest()
    return f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def is_derived(member: Member, pool: Pool) -> bool:
    """Whether the interface has a MAC such as nicpass makes of the VM's UUID and the pool's name."""
    return any(member.mac == _derive_mac(member.uuid, pool.name, count) for count in range(_MOST_DERIVED))


def _macs_of_vms(index: HostIndex) -> dict[str, str]:
    """MAC to the VM that has it, running or not."""
    found: dict[str, str] = {}
    for domain in value_or(index.host.domains, ()) or ():
        definitions = [definition for definition in (domain.config, domain.live) if definition is not None]
        macs = [interface.mac for definition in definitions for interface in definition.interfaces]
        macs += [device.mac for device in (*domain.config_devices, *domain.live_devices)]
        found |= {mac.lower(): domain.name for mac in macs if mac is not None}
    return found


def _refuse_unready(pool: Pool, domain: Domain, mine: Member | None, index: HostIndex) -> None:
    """Refuse a pool from which libvirt would lend nothing, or something that the host uses."""
    if pool.network.active is False:
        raise ImpossibleError(
            _("The pool {pool} is not started, so libvirt lends nothing of it.").format(pool=pool.name),
            f"virsh net-start {vm_word(pool.name, pool.network.uuid)}",
        )
    held = {member.vf for member in pool.holders}
    others = [member for member in pool.members if member != mine]
    if len(others) >= len(pool.vfs) or not [vf for vf in pool.vfs if vf not in held]:
        raise ImpossibleError(
            _("No VF of the pool {pool} is free: {members}.").format(pool=pool.name, members=_tell_members(pool)),
            _("More VFs: {command}").format(command=f"nicpass pool add {quote(pool.name)} --vfs VFS"),
        )
    candidates = [_function_at(vf, pool, index) for vf in pool.vfs if vf not in held]
    looking = index.for_vm(domain)
    found = [*check_host(index.host, index)]
    for vf in candidates:
        found += [finding for finding in check_nic(vf, looking) if not _is_of_pool(finding, vf, pool, index)]
    found += check_vm(candidates[0], domain, looking)
    refuse_unless_clear(tuple(dict.fromkeys(found)))


def _is_of_pool(finding: Finding, vf: PciFunction, pool: Pool, index: HostIndex) -> bool:
    """Whether it says no more than that the VF is this pool's."""
    if finding.code != "NAMED_BY_NETWORK":
        return False
    return {use.name for use in uses_of(vf, index) if use.kind == "network"} == {pool.name}


def _function_at(address: Address, pool: Pool, index: HostIndex) -> PciFunction:
    function = index.functions.get(address)
    if function is None:
        raise ImpossibleError(
            _("{address}, of the pool {pool}, is not there, and libvirt may pick it.").format(
                address=address, pool=pool.name
            ),
            _("Make the VFs again: nicpass vf restore; or take it out of the pool."),
        )
    return function


def _tell_members(pool: Pool) -> str:
    words = []
    for member in pool.members[:_TOLD]:
        text = _("{vm} has {vf}") if member.vf is not None else _("{vm} draws from it at its next start")
        words.append(text.format(vm=printable(member.vm), vf=member.vf))
    more = len(pool.members) - _TOLD
    words += [_("and {count} more").format(count=more)] if more > 0 else []
    return "; ".join(words) or _("it has none")


def _tell_choice(steps: list[Step], pool: Pool) -> tuple[str, ...]:
    if not any(isinstance(step, JoinPool) for step in steps):
        return ()
    text = _("Which VF it is, libvirt says at each start: the first of {pool} that no running VM has.")
    return (text.format(pool=pool.name),)


def _guard_notes(host: Host) -> tuple[str, ...]:
    return tuple(f"{finding.sentence} {finding.command}" for finding in check_confinement(host.guard))


def _select_mine(domain: Domain, request: PoolDetachRequest, index: HostIndex) -> Member:
    """The interface that is meant; also where the pool itself is gone, and the VM cannot start."""
    pool = find_pool(index, request.pool)
    if pool is not None:
        mine = [member for member in pool.members if member.uuid == domain.uuid]
    else:
        interfaces = domain.config.interfaces if domain.config is not None else ()
        named = [interface for interface in interfaces if interface.network == request.pool]
        mine = [Member(vm=domain.name, uuid=domain.uuid, mac=each.mac, xml=each.xml) for each in named]
    if request.mac is not None:
        mine = [member for member in mine if member.mac == station_mac(request.mac)]
    if not mine:
        raise BadInputError(
            _("{name} has no such interface of the pool {pool}.").format(name=domain.name, pool=request.pool),
            "nicpass pool list",
        )
    if len(mine) > 1:
        macs = ", ".join(member.mac or "?" for member in mine)
        raise BadInputError(
            _("{name} has {count} interfaces of the pool {pool}: {macs}.").format(
                name=domain.name, count=len(mine), pool=request.pool, macs=macs
            ),
            _("Say which: --mac"),
        )
    if mine[0].mac is None:
        raise ImpossibleError(
            _("The interface of {name} has no MAC by which it is known.").format(name=domain.name),
            f"virsh edit {vm_word(domain.name, domain.uuid)}",
        )
    return mine[0]


def _leave_steps(domain: Domain, mine: Member, request: PoolDetachRequest) -> tuple[Step, ...]:
    """Raises BadInputError, RefusedError."""
    mac, running = mine.mac or "", domain.running
    step = LeavePool(domain=domain.name, uuid=domain.uuid, pool=request.pool, mac=mac, running=running)
    if request.where == "live" and mine.vf is None:
        raise BadInputError(
            _("{name} does not run with {nic}.").format(name=domain.name, nic=mac), _("Without --live.")
        )
    steps: list[Step] = []
    if mine.vf is not None and request.stop:
        stop = StopDomain(address=mine.vf, domain=domain.name, uuid=domain.uuid, for_all=True, pool_macs=(mac,))
        steps.append(stop)
        running = False
    elif mine.vf is not None and request.where != "config":
        _refuse_silent_guest(domain, mine.vf)
        place = next((device.place for device in domain.live_devices if device.address == mine.vf), None)
        steps.append(msgspec.structs.replace(step, live=True, place=place))
    if mine.lasting and request.where != "live":
        steps.append(msgspec.structs.replace(step, running=running, xml=mine.xml))
    return tuple(steps)


def _refuse_silent_guest(domain: Domain, vf: Address) -> None:
    if domain.paused:
        raise RefusedError(
            _("{name} is paused, so its guest cannot let go of {nic}.").format(name=domain.name, nic=vf),
            _("virsh resume {vm}, and try again; or --stop, which switches it off.").format(
                vm=vm_word(domain.name, domain.uuid)
            ),
        )
