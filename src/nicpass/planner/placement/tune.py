# SPDX-License-Identifier: Apache-2.0
"""Plans putting a VM where its NIC is: virtual CPUs one to one on the NIC's NUMA node, its memory from there too.

The definition is changed for the VM's next start, never the running machine: pages that a NIC writes to are locked and
cannot move. The NIC's interrupts are vfio-pci's and exist only while the VM runs; so they are steered in the running
host, and end with it. They go to the CPUs of QEMU's own threads, on the NIC's node: on a CPU where the guest runs, each
would take the CPU from it (a VM exit), unless the processor posts interrupts into guests, and then it makes no odds.

Sources: Documentation/admin-guide/kernel-parameters.txt (isolcpus, nohz_full), core-api/irq/irq-affinity.rst,
https://libvirt.org/formatdomain.html, ABI/testing/sysfs-bus-pci (`numa_node`; -1: the firmware does not tell).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import is_nic, label
from nicpass.model.cpus import Interrupt
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _
from nicpass.model.memory import NumaNode, format_cpulist, parse_cpulist
from nicpass.model.placement import placement_of, same_place, why_unreadable
from nicpass.model.plan import PlaceDomain, Plan, SteerInterrupts, Step
from nicpass.model.text import vm_word
from nicpass.planner.placement.cpu_choice import Around, choose_cpus
from nicpass.planner.placement.cpu_claims import claims_beside, numbers_of
from nicpass.planner.placement.memory_choice import choose_memory
from nicpass.planner.select import select_domain
from nicpass.planner.undo import steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.change import Change
    from nicpass.model.domain import Domain, Placement
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.request import TuneRequest, UndoRequest


def plan_tune(host: Host, request: TuneRequest) -> Plan:
    """The steps from this host to one in which the VM is placed by its NICs; none if it is so already.

    Raises:
        BadInputError: no such VM, one without a NIC of this host, or CPUs that are not there.
        ImpossibleError: the node is not known, or it has not what the VM needs.
        RefusedError: it could be done with CPUs that are somebody else's.
    """
    index = HostIndex(host)
    domain = select_domain(index, request.vm)
    before = _placement_now(domain)
    nics = _nics_of(domain, index)
    named = _named_cpus(request, host)
    node = _choose_node(domain, nics, named, host)
    near = numbers_of(node.cpus)
    if named is not None and not named <= near:
        raise BadInputError(
            _("CPUs {cpus} are not on NUMA node {node}, where {nic} is.").format(
                cpus=format_cpulist(named - near), node=node.node, nic=_labels(nics)
            ),
            _("Its CPUs: {cpus}").format(cpus=format_cpulist(near)),
        )
    claims = claims_beside(domain, host)
    cores = tuple(numbers_of(core) for core in value_or(host.cpus.cores, ()) or ())
    choice = choose_cpus(domain, before, Around(node.node, near, cores, claims, named))
    placed, notes = choose_memory(domain, before, node, host, hugepages=request.hugepages)
    after = msgspec.structs.replace(placed, pins=choice.pins, emulator=format_cpulist(choice.emulator), by_hand=True)
    steps: list[Step] = []
    if not same_place(before, after):
        steps.append(PlaceDomain(domain=domain.name, uuid=domain.uuid, before=before, after=after))
    steps += _steer(domain, nics, choice.emulator, host)
    sentence = (
        _("Put {name} where {nic} is, on NUMA node {node}") if steps else _("{name} is placed where {nic} is already")
    )
    return Plan(
        summary=sentence.format(name=domain.name, nic=_labels(nics), node=node.node),
        request=request,
        steps=tuple(steps),
        notes=(*notes, *_notes(domain, nics, host, steps)),
    )


def _placement_now(domain: Domain) -> Placement:
    definition = domain.config
    if definition is None or not domain.persistent:
        raise ImpossibleError(
            _("{name} has no lasting definition that could be changed.").format(name=domain.name),
            _("It is gone with its end; define it first: virsh define FILE"),
        )
    before = placement_of(definition)
    if before is None:
        raise ImpossibleError(
            _("Where {name} is placed now cannot be read: {reason}.").format(
                name=domain.name, reason=why_unreadable(definition) or _("it has no number of virtual CPUs")
            ),
            f"virsh edit {vm_word(domain.name, domain.uuid)}",
        )
    return before


def _nics_of(domain: Domain, index: HostIndex) -> list[PciFunction]:
    """The NICs that the VM has, in one of its definitions, by whomever they were given."""
    addresses = dict.fromkeys(device.address for device in (*domain.config_devices, *domain.live_devices))
    functions = [index.functions[address] for address in addresses if address in index.functions]
    nics = [function for function in functions if is_nic(function)]
    if not nics:
        raise BadInputError(
            _("{name} has no NIC of this host that it could be placed by.").format(name=domain.name),
            _("Give it one first: nicpass attach {vm} NIC").format(vm=vm_word(domain.name, domain.uuid)),
        )
    return nics


def _named_cpus(request: TuneRequest, host: Host) -> frozenset[int] | None:
    if host.cpus.unread is not None:
        raise BadInputError(
            _("This snapshot does not tell which CPUs the host has."), _("Make one with: nicpass snapshot > host.json")
        )
    if request.cpus is None:
        return None
    named, online = parse_cpulist(request.cpus), numbers_of(host.cpus.online)
    if not named:
        raise BadInputError(_("{text!r} is no list of CPUs.").format(text=request.cpus), _("Such as 4-7 or 2,4,6-8."))
    if known(host.cpus.online) and not named <= online:
        raise BadInputError(
            _("This host has no CPUs {cpus} online.").format(cpus=format_cpulist(named - online)),
            _("It has {cpus}.").format(cpus=format_cpulist(online)),
        )
    return named


def _choose_node(domain: Domain, nics: Sequence[PciFunction], named: frozenset[int] | None, host: Host) -> NumaNode:
    """The node of the NICs; that of the named CPUs, where the NICs tell none or several."""
    nodes = host.memory.nodes
    if not known(nodes) or not nodes:
        raise ImpossibleError(
            _("The NUMA nodes of this host cannot be read: {reason}.").format(
                reason=why_unknown(nodes) or "absent: /sys/devices/system/node"
            ),
            "ls /sys/devices/system/node",
        )
    if len(nodes) == 1:  # where else should the NIC be: firmware often tells of no node then
        return nodes[0]
    told = {function.numa_node for function in nics if known(function.numa_node) and function.numa_node >= 0}
    if len(told) == 1:
        found = next((node for node in nodes if node.node in told), None)
    else:
        found = _node_of_named(named, nodes)
    if found is None or not known(found.cpus):
        raise _no_node(domain, nics, told)
    return found


def _node_of_named(named: frozenset[int] | None, nodes: tuple[NumaNode, ...]) -> NumaNode | None:
    if named is None:
        return None
    found = [node for node in nodes if numbers_of(node.cpus) & named]
    if len(found) > 1:
        raise BadInputError(
            _("--cpus names CPUs of several NUMA nodes: {nodes}.").format(
                nodes=", ".join(str(node.node) for node in found)
            ),
            _("Name CPUs of one of them."),
        )
    return found[0] if found else None


def _no_node(domain: Domain, nics: Sequence[PciFunction], told: set[int]) -> ImpossibleError:
    hint = _("Choose by naming CPUs of one node: nicpass tune {vm} --cpus LIST; lscpu shows them.").format(
        vm=vm_word(domain.name, domain.uuid)
    )
    if len(told) > 1:
        nodes = ", ".join(map(str, sorted(told)))
        sentence = _("The NICs of {name} are on several NUMA nodes: {nodes}.").format(name=domain.name, nodes=nodes)
        return ImpossibleError(sentence, hint)
    if told:
        sentence = _("NUMA node {node}, where {nic} is, has no CPUs.").format(node=min(told), nic=_labels(nics))
        return ImpossibleError(sentence, _("A NIC in another slot may be on a node with CPUs: nicpass list NIC"))
    sentence = _("The firmware does not tell on which NUMA node {nic} is.").format(nic=_labels(nics))
    return ImpossibleError(sentence, hint)


def _steer(domain: Domain, nics: Sequence[PciFunction], wanted: frozenset[int], host: Host) -> list[SteerInterrupts]:
    """The steps for the interrupts that are there: of a VM that is off there are none."""
    running_with = {device.address for device in domain.live_devices}
    addresses = [function.address for function in nics if function.address in running_with]
    there = {each.address: value_or(each.interrupts, ()) or () for each in host.cpus.interrupts}
    steps = []
    for address in addresses:
        away = tuple(each for each in there.get(address, ()) if not numbers_of(each.cpus) <= wanted)
        after = tuple(Interrupt(number=each.number, cpus=format_cpulist(wanted)) for each in away)
        steps += [SteerInterrupts(address=address, before=away, after=after)] if away else []
    return steps


def _notes(domain: Domain, nics: Sequence[PciFunction], host: Host, steps: Sequence[Step]) -> list[str]:
    facts = {"name": domain.name, "vm": vm_word(domain.name, domain.uuid), "nic": _labels(nics)}
    notes = []
    if known(host.memory.nodes) and len(host.memory.nodes) == 1:
        notes.append(_("This host has one NUMA node, so memory and NIC are near each other in any case."))
    if domain.running and any(isinstance(step, PlaceDomain) for step in steps):
        notes.append(_later())
    if known(domain.saved_image) and domain.saved_image:
        notes.append(_("{name} goes on from its saved state first, as it was then."))
    if not domain.running:
        notes.append(_("The interrupts of {nic} are there only while {name} runs; then: nicpass tune {vm}"))
    elif known(host.cpus.balancer) and any(isinstance(step, SteerInterrupts) for step in steps):
        notes.append(_("irqbalance runs, and may move the interrupts again."))
    return [note.format(**facts) for note in notes]


def _labels(nics: Sequence[PciFunction]) -> str:
    return ", ".join(label(function) for function in nics)


def plan_untune(host: Host, change: Change, request: UndoRequest) -> Plan:
    """The steps that undo a `tune`, or the undoing of one: the definition says again what it said before.

    Raises:
        BadInputError: the change was not done, nothing of it is left, or the VM is gone.
        RefusedError: the definition says something else by now.
    """
    index = HostIndex(host)
    steps: list[Step] = []
    name = ""
    for step in reversed(steps_of(change)):
        if isinstance(step, PlaceDomain):
            name = step.domain
            steps.append(_place_back(step, select_domain(index, step.uuid)))
        elif isinstance(step, SteerInterrupts):
            steps += _steer_back(step, host)
    if not steps:
        raise BadInputError(_("This change has nothing that could be undone."), "nicpass history")
    summary = _("Put {name} back").format(name=name) if name else _("Let the interrupts be handled as before")
    running = any(domain.name == name and domain.running for domain in value_or(host.domains, ()) or ())
    return Plan(
        summary=_("Undo {change}: {summary}").format(change=change.identity, summary=summary),
        request=request,
        steps=tuple(steps),
        notes=(_later().format(name=name),) if running else (),
    )


def _later() -> str:
    return _("{name} runs: it is placed so from its next start on.")


def _place_back(step: PlaceDomain, domain: Domain) -> Step:
    now = placement_of(domain.config) if domain.config is not None else None
    if now is None or not same_place(now, step.after):
        raise RefusedError(
            _("The definition of {name} says something else by now than what this change wrote.").format(
                name=domain.name
            ),
            f"virsh edit {vm_word(domain.name, domain.uuid)}",
        )
    return PlaceDomain(domain=step.domain, uuid=step.uuid, before=step.after, after=step.before)


def _steer_back(step: SteerInterrupts, host: Host) -> list[SteerInterrupts]:
    """The step for those interrupts that are there still, and that nobody has moved since."""
    there = {each.address: value_or(each.interrupts, ()) or () for each in host.cpus.interrupts}
    now = {each.number: each for each in there.get(step.address, ())}
    set_to = {each.number: numbers_of(each.cpus) for each in step.after}
    back = tuple(
        each for each in step.before if each.number in now and numbers_of(now[each.number].cpus) == set_to[each.number]
    )
    if not back:
        return []
    return [SteerInterrupts(address=step.address, before=tuple(now[each.number] for each in back), after=back)]
