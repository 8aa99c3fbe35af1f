# SPDX-License-Identifier: Apache-2.0
"""What libvirt's hook does: before a start it looks at the host again and may refuse, after a stop it restores.

The hook never calls libvirt, which waits for it while it holds the VM. All that the hook knows of the VM is the
definition that libvirt hands it, and all that it knows of the NICs is what was kept on disk when they were given.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.blocking import blocking
from nicpass.checks.dependence.quick import check_dependence
from nicpass.checks.host.orphans import advise_gone, why_card_gone
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.admission import admit, forget_start, note_start, read_start
from nicpass.engine.attempts import sentence_of
from nicpass.engine.nic.arrival import await_arrival
from nicpass.engine.nic.owed import UnrecordedError, bring_back
from nicpass.engine.nic.store import BOOT_ID, KeptNic, keep_nic, read_kept_nic
from nicpass.engine.nic.vetoes import note_passed, note_veto
from nicpass.host.network.link_settings import add_settings
from nicpass.host.network.naming import why_unsettled
from nicpass.host.read import read_host
from nicpass.host.system.given import given_of
from nicpass.hypervisor.libvirt.guard_pools import pools_of_vm, read_pools, resolve
from nicpass.hypervisor.libvirt.hostdevs import parse_domain
from nicpass.model.errors import NicpassError, RefusedError, StepError
from nicpass.model.fact import why_unknown
from nicpass.model.language import _
from nicpass.model.text import quote, vm_word
from nicpass.planner.nic_state.observe import observe_state
from nicpass.planner.nic_state.whole import why_not_whole
from nicpass.planner.refuse import OVERRIDABLE, attach_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.checks.lookup.pools import Pool
    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.libvirt_network import LibvirtNetwork
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicState

_PATIENCE = 10.0
"""Seconds for another run of nicpass to end; at a boot `nicpass recover` has the lock for a moment.

No longer: such a run may itself wait for libvirt, which lets nobody at a VM while its hook runs.
"""


class OutOfTimeError(BaseException):
    """The hypervisor has been kept waiting for long enough.

    No Exception: whoever goes on after what was refused, as `Attempts` does, must not go on after this.
    """

    def __init__(self) -> None:
        super().__init__(_("It took too long, and libvirt waits for it."))


class Hook:
    """The two calls of libvirt's hook that matter; the script does not pass others on."""

    def __init__(self, files: Files, processes: Callable[[], Processes], restore: Callable[[NicState], None]) -> None:
        self.files = files
        self.processes = processes
        self.restore = restore

    def prepare(self, definition: str) -> tuple[str, ...]:
        """Before libvirt takes a VM's NICs from the host: check law 3 once more, and record the NICs as they leave.

        Answers what is to be told of a start that may go on.

        Raises:
            NicpassError: the VM shall not start; nothing was changed.
        """
        domain = parse_domain(definition)
        try:
            told = self._prepare(domain)
        except NicpassError as error:
            note_veto(self.files, domain.uuid, domain.name, error, getattr(error, "command", ""))
            raise
        note_passed(self.files, domain.uuid)
        return told

    def note_veto(self, definition: str, error: NicpassError) -> None:
        """Put down a veto that came from outside of `prepare`: out of time, or by a mistake."""
        with contextlib.suppress(Exception):  # the definition may be what the mistake was about
            domain = parse_domain(definition)
            note_veto(self.files, domain.uuid, domain.name, error)

    def _prepare(self, domain: Domain) -> tuple[str, ...]:
        kept = self._kept_nics(domain)
        pools = pools_of_vm(domain, read_pools(self.files))
        if not kept and not pools:
            return ()
        boot = self._boot()
        # Without the lock: until its NIC is there, a boot has more to do.
        await_arrival(self.files, [nic.state for nic in kept if nic.away != boot])
        with admit(self.files, domain.uuid, domain.name, patience=_PATIENCE):
            kept = self._kept_nics(domain)
            # Whose the other NICs are only libvirt knows, and it keeps them apart by itself.
            near = kept[0].state.address if len(kept) == 1 and not pools else None
            index = HostIndex(read_host(self.files, (domain,), self.processes, nic=near))
            index = index.for_vm(domain, tuple(nic.state.address for nic in kept))
            leaving = [(nic, self._check(nic, domain, index)) for nic in kept]
            _check_pools(pools, domain, index)
            # Before the records: a NIC that is out, and of no VM that was let through, is owed to the host.
            note_start(self.files, domain.uuid, tuple(nic.state.address for nic in kept))
            told = [self._note_leaving(nic, function, index) for nic, function in leaving]
        return tuple(text for text in told if text is not None)

    def release(self, definition: str) -> list[NicpassError]:
        """Restore the NICs once libvirt has given them back to their drivers; the errors of those that could not be.

        A NIC that was not restored is owed to the host (`nicpass.engine.nic.owed`).

        Raises:
            BusyError: another run is at work, and no NIC was restored.
            OutOfTimeError: the limit came before or after all NICs.
        """
        domain = parse_domain(definition)
        failures: list[NicpassError] = []
        unread: list[NicpassError] = []
        away = self._those_away(domain, unread)
        if all(nic.away == self._boot() for nic in away):
            self._forget(domain, failures)
        if not away:
            return failures + unread
        with admit(self.files, domain.uuid, domain.name, patience=_PATIENCE):
            for nic in self._those_away(domain, failures):  # anew: who had the lock may have brought them back
                try:
                    bring_back(self.files, nic, self.restore)
                except OutOfTimeError as error:
                    failures.append(_name_failure(nic, str(error)))
                    break
                except UnrecordedError as error:
                    failures.append(error)
                except (NicpassError, OSError) as error:
                    failures.append(_name_failure(nic, sentence_of(error)))
                except Exception as error:  # a mistake with one is none with the next
                    failures.append(_name_failure(nic, f"{type(error).__name__}: {error}."))
        return failures

    def _forget(self, domain: Domain, failures: list[NicpassError]) -> None:
        try:
            forget_start(self.files, domain.uuid)
        except OSError as error:  # what was given is restored all the same
            failures.append(StepError(sentence_of(error)))

    def _those_away(self, domain: Domain, failures: list[NicpassError]) -> list[KeptNic]:
        """Those of the VM's NICs that left in this boot."""
        boot = self._boot()
        # Of what left while the disk was full, or while the script stood alone, only this mark tells.
        marked = read_start(self.files, domain.uuid)
        return [nic for nic in self._kept_nics(domain, failures) if nic.away == boot or nic.state.address in marked]

    def _kept_nics(self, domain: Domain, failures: list[NicpassError] | None = None) -> list[KeptNic]:
        """The NICs that were given to this VM, stand in its definition, and are taken by libvirt at each start.

        A record that cannot be read is raised, or added to `failures`.
        """
        found: list[KeptNic] = []
        for device in domain.config_devices:
            try:
                nic = read_kept_nic(self.files, device.address) if device.managed else None
            except StepError as error:
                if failures is None:
                    raise
                failures.append(error)
                continue
            if nic is not None and nic.owner is not None and nic.owner.uuid == domain.uuid:
                found.append(nic)
        return found

    def _check(self, nic: KeptNic, domain: Domain, index: HostIndex) -> PciFunction:
        """Check law 3, but for the reasons that the administrator allowed when he gave the NIC; the NIC's function."""
        address = nic.state.address
        function = index.functions.get(address)
        if function is None:
            raise _tell_gone(nic, domain, index)
        _refuse_other_card(nic, function, domain, index)
        standing = blocking(check_dependence(function, index), nic.owner.allow if nic.owner else frozenset())
        if standing:
            raise _veto_for(standing, domain, address)
        return function

    def _note_leaving(self, nic: KeptNic, function: PciFunction, index: HostIndex) -> str | None:
        """Record the NIC's state as it really leaves; but one that was not brought back after the last time is owed.

        Answers why the record stays as it was, where that is to be told.
        """
        boot = self._boot()
        left = msgspec.structs.replace(nic, away=boot)
        told = None
        if not on_vfio(function) and nic.away != boot:
            host = add_settings(index.host, self.files, function)
            now = observe_state(function, HostIndex(host))
            why = self._why_not_whole(nic.state, now, host)
            if why is None:
                left = msgspec.structs.replace(left, state=now, renewed=True)
            else:
                told = _(
                    "{address} leaves before all of it is there ({reason}): what it was before stays put down."
                ).format(address=nic.state.address, reason=why)
        try:
            keep_nic(self.files, left)
        except OSError as error:  # a full disk cuts nobody off, and the mark of this start says what is to come back
            told = _(
                "{address} leaves, and what it is now cannot be put down ({reason}): it comes back as it was before."
            )
            return told.format(address=nic.state.address, reason=error.strerror or error)
        return told

    def _why_not_whole(self, before: NicState, now: NicState, host: Host) -> str | None:
        """Law 10: a part of the NIC, seen while a boot goes on, takes no better record's place."""
        unread = (host.network.addresses, host.network.routes)
        reasons = (why_unknown(fact) for fact in unread)
        names, recorded = [link.name for link in now.links], [link.name for link in before.links]
        return (
            next((reason for reason in reasons if reason), None)
            or why_not_whole(before, now)
            or why_unsettled(self.files, names, recorded)
        )

    def _boot(self) -> str:
        boot = self.files.read_text(BOOT_ID)
        if not isinstance(boot, str):
            raise StepError(_("Which boot this is cannot be read: {path}.").format(path=BOOT_ID))
        return boot


class _VetoError(RefusedError):
    """A veto that one command ends: it goes to where `check` prints it, on a line of its own."""

    command = ""


def _veto_for(standing: tuple[Finding, ...], domain: Domain, address: Address) -> RefusedError:
    """The veto with the whole command that allows it, where all that stands in the way can be allowed."""
    codes = {finding.code for finding in standing}
    words = {
        "mend": standing[0].mend,
        "back": f"nicpass detach {vm_word(domain.name, domain.uuid)} {address}",
        "command": f"{attach_command(domain.name, domain.uuid, address, codes)} --start",
    }
    hint = _("{mend} Or take it back: {back}")
    if codes <= OVERRIDABLE:
        hint = _("{mend} To start it all the same: {command}. To take the NIC back: {back}")
    sentence = _("{name} is not started: {sentence}").format(name=domain.name, sentence=standing[0].sentence)
    veto = _VetoError(sentence, hint.format(**words), findings=standing)
    veto.command = words["command"] if codes <= OVERRIDABLE else words["back"]
    return veto


def _check_pools(pools: tuple[LibvirtNetwork, ...], domain: Domain, index: HostIndex) -> None:
    """Check law 3 for each VF that libvirt may pick; which it will be is not known before."""
    for pool in resolve(pools, index) if pools else ():
        for address in pool.vfs:
            function = index.functions.get(address)
            if function is None or on_vfio(function):  # libvirt fails at the one, and the other is a VM's already
                continue
            standing = blocking(check_dependence(function, index), frozenset())
            if standing:
                raise _veto_for_pool(standing, domain, pool, address)


def _veto_for_pool(standing: tuple[Finding, ...], domain: Domain, pool: Pool, address: Address) -> RefusedError:
    """Nobody has allowed anything for a VF that libvirt picks by itself: it leaves the pool, or the host's use ends."""
    sentence = _("{name} is not started: libvirt may pick {nic} for it from the pool {pool}. {sentence}").format(
        name=domain.name, nic=address, pool=pool.name, sentence=standing[0].sentence
    )
    back = f"nicpass detach {vm_word(domain.name, domain.uuid)} --from-pool {quote(pool.name)}"
    veto = _VetoError(
        sentence,
        _("{mend} Or take that VF out of the pool (nicpass pool drain), or the VM's interface: {back}").format(
            mend=standing[0].mend, back=back
        ),
        findings=standing,
    )
    veto.command = back
    return veto


def _tell_gone(nic: KeptNic, domain: Domain, index: HostIndex) -> StepError:
    """The veto for a NIC that is not there, with what became of it."""
    given = given_of(nic.state, nic.owner)
    reason = why_card_gone(given, index) or _("there is no {address} on this host any more").format(
        address=given.address
    )
    return StepError(
        _("{name} is not started: its NIC {nic} is not there: {reason}.").format(
            name=domain.name, nic=given.label, reason=reason
        ),
        advise_gone(given, index),
    )


def _refuse_other_card(nic: KeptNic, function: PciFunction, domain: Domain, index: HostIndex) -> None:
    """Refuse another card, by the burnt-in MACs, known while a driver of the host has it; a VF has no such MAC."""
    before = {link.permanent_mac for link in nic.state.links} - {None}
    now = {link.permanent_mac for link in index.netdevs(function)} - {None}
    if nic.state.vf is None and before and now and not before & now:
        raise RefusedError(
            _("{name} is not started: another card than the one that it was given stands at {address}.").format(
                name=domain.name, address=function.address
            ),
            _("nicpass detach {name} {address}, and give it the one that you mean.").format(
                name=vm_word(domain.name, domain.uuid), address=function.address
            ),
        )


def _name_failure(nic: KeptNic, reason: str) -> NicpassError:
    return StepError(
        _("{address} came back, but not as it was: {reason}").format(address=nic.state.address, reason=reason),
        _("What it was is kept: nicpass recover tries again."),
    )
