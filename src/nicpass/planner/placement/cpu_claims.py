# SPDX-License-Identifier: Apache-2.0
"""Which CPUs of the host are somebody else's already, so that no VM is pinned onto them.

Three kinds, for they bind differently:

- What another VM's virtual CPUs are pinned to, running or not (law 9), is taken; whoever is pinned there besides halves
  both. A pin to all CPUs of the host is none.
- What a service of the host is bound to (CPUAffinity=, AllowedCPUs=, a cpuset) is taken likewise.
- What is isolated (`isolcpus=`, `nohz_full=`, an isolated cpuset) was taken from the scheduler for something, and no
  file of the kernel says for what: for VMs, or for DPDK's threads, which show up nowhere until they run. So nicpass
  never picks such a CPU by itself. Whoever names it (`--cpus`) has isolated it, and knows; a name lifts this claim and
  no other, for that of another VM is certain and not a guess.

QEMU's own threads (`<emulatorpin>`) float over what is left; a VM may be pinned onto such a CPU as long as each of the
other VMs keeps one for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.errors import RefusedError
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _
from nicpass.model.memory import format_cpulist, parse_cpulist
from nicpass.model.placement import why_unreadable
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.cpus import Cpus
    from nicpass.model.domain import Definition, Domain
    from nicpass.model.fact import Fact
    from nicpass.model.host import Host

NO_CPUS: frozenset[int] = frozenset()


class Claims(msgspec.Struct, frozen=True):
    """Whose the CPUs are."""

    online: frozenset[int]
    isolated: frozenset[int]
    vms: dict[int, str]
    """CPU to the VM, another one, that has a virtual CPU pinned to it."""
    services: dict[int, str]
    """CPU to the file that binds a service to it."""
    emulators: tuple[frozenset[int], ...]
    """Where QEMU's own threads of each other VM may run, without what virtual CPUs are pinned to."""

    @property
    def taken(self) -> frozenset[int]:
        return frozenset(self.vms) | frozenset(self.services)

    def leave_one_each(self, chosen: frozenset[int]) -> bool:
        """Whether each other VM's own threads keep a CPU when virtual ones are pinned to these."""
        return all(emulator - chosen for emulator in self.emulators)

    def tell(self, cpus: frozenset[int]) -> str:
        """Who has these: `4-5 are pinned by db; 6 are isolated`."""
        parts: dict[str, set[int]] = {}
        for cpu in sorted(cpus):
            if cpu in self.vms:
                parts.setdefault(_("pinned by {name}").format(name=self.vms[cpu]), set()).add(cpu)
            elif cpu in self.services:
                parts.setdefault(_("bound by {file}").format(file=self.services[cpu]), set()).add(cpu)
            elif cpu in self.isolated:
                parts.setdefault(_("isolated"), set()).add(cpu)
        return "; ".join(
            _("CPUs {cpus}: {why}").format(cpus=format_cpulist(frozenset(numbers)), why=why)
            for why, numbers in parts.items()
        )


def claims_beside(domain: Domain, host: Host) -> Claims:
    """The claims of all but this VM.

    Raises:
        RefusedError: what somebody else has cannot be read; unknown is unsafe.
    """
    cpus = host.cpus
    online = numbers_of(cpus.online)
    for fact in (cpus.online, cpus.isolated, cpus.nohz_full, cpus.claims, host.domains):
        if (reason := why_unknown(fact)) is not None:
            raise RefusedError(
                _("Which CPUs are somebody else's cannot be read: {reason}.").format(reason=reason),
                _("Run it as root, on the host itself."),
            )
    vms: dict[int, str] = {}
    emulators: list[frozenset[int]] = []
    for other in value_or(host.domains, ()) or ():
        if other.uuid != domain.uuid:
            for definition in (each for each in (other.config, other.live) if each is not None):
                _refuse_unread(other, definition)
                vms.update(dict.fromkeys(_pinned(definition, online), other.name))
                emulators.append(numbers_of(definition.emulator_pin))
    left = [emulator - frozenset(vms) for emulator in emulators if emulator and emulator != online]
    return Claims(
        online=online,
        isolated=numbers_of(cpus.isolated) | numbers_of(cpus.nohz_full),
        vms=vms,
        services=dict(_bound(cpus, online)),
        emulators=tuple(emulator for emulator in left if emulator),
    )


def _refuse_unread(other: Domain, definition: Definition) -> None:
    if (reason := why_unreadable(definition)) is not None:
        raise RefusedError(
            _("Which CPUs {name} is pinned to cannot be read: {reason}.").format(name=other.name, reason=reason),
            f"virsh edit {vm_word(other.name, other.uuid)}",
        )


def _pinned(definition: Definition, online: frozenset[int]) -> frozenset[int]:
    """The CPUs that its virtual CPUs are pinned to; those without a pin of their own are where `cpuset` says."""
    pins = value_or(definition.vcpu_pins, ()) or ()
    lists = [numbers_of(pin.cpus) for pin in pins]
    if not known(definition.vcpus) or len({pin.vcpu for pin in pins}) < definition.vcpus:
        lists.append(numbers_of(definition.cpuset))
    return frozenset().union(*(each for each in lists if not each >= online))


def _bound(cpus: Cpus, online: frozenset[int]) -> Iterator[tuple[int, str]]:
    for claim in value_or(cpus.claims, ()) or ():
        numbers = numbers_of(claim.cpus)
        if not numbers >= online:
            yield from ((number, claim.source) for number in numbers)


def numbers_of(text: Fact[str]) -> frozenset[int]:
    return (parse_cpulist(text) or NO_CPUS) if known(text) else NO_CPUS
