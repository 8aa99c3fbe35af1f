# SPDX-License-Identifier: Apache-2.0
"""What libvirt's hook does: before a start it looks at the host again and may refuse, after a stop it restores.

The hook never calls libvirt, which waits for it while it holds the VM. All that the hook knows of the VM is the
definition that libvirt hands it, and all that it knows of the NICs is what was kept on disk when they were given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.dependence.quick import check_dependence
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import on_vfio
from nicpass.checks.verdict import blocking
from nicpass.engine.admission import admit, forget_start, note_start
from nicpass.engine.store import BOOT_ID, KeptNic, keep_nic, read_kept_nic
from nicpass.host.network.link_settings import add_settings
from nicpass.host.read import read_host
from nicpass.hypervisor.libvirt.hostdevs import parse_domain
from nicpass.model.errors import NicpassError, RefusedError, StepError
from nicpass.model.language import _
from nicpass.planner.observe import observe_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.model.domain import Domain
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicState

_PATIENCE = 10.0
"""Seconds for another run of nicpass to end; at a boot `nicpass recover` has the lock for a moment.

No longer: such a run may itself wait for libvirt, which lets nobody at a VM while its hook runs.
"""


class OutOfTimeError(StepError):
    """The hypervisor has been kept waiting for long enough."""


class Hook:
    """The two calls of libvirt's hook that matter; the script does not pass others on."""

    def __init__(self, files: Files, processes: Callable[[], Processes], restore: Callable[[NicState], None]) -> None:
        self.files = files
        self.processes = processes
        self.restore = restore

    def prepare(self, definition: str) -> None:
        """Before libvirt takes a VM's NICs from the host: check law 3 once more, and record the NICs as they leave.

        Raises:
            NicpassError: the VM shall not start; nothing was changed.
        """
        domain = parse_domain(definition)
        kept = self._kept_nics(domain)
        if not kept:
            return
        with admit(self.files, domain.uuid, domain.name, patience=_PATIENCE):
            # Whose the other NICs are only libvirt knows, and it keeps them apart by itself.
            near = kept[0].state.address if len(kept) == 1 else None
            index = HostIndex(read_host(self.files, (domain,), self.processes, nic=near))
            leaving = [(nic, self._check(nic, domain, index)) for nic in kept]
            for nic, function in leaving:
                self._note_leaving(nic, function, index)
            note_start(self.files, domain.uuid, tuple(nic.state.address for nic in kept))

    def release(self, definition: str) -> list[NicpassError]:
        """Restore the NICs once libvirt has given them back to their drivers; the errors of those that could not be."""
        domain = parse_domain(definition)
        forget_start(self.files, domain.uuid)
        boot = self._boot()
        away = [nic for nic in self._kept_nics(domain) if nic.away == boot]
        if not away:
            return []
        failures: list[NicpassError] = []
        with admit(self.files, domain.uuid, domain.name, patience=_PATIENCE):
            for nic in away:
                try:
                    self.restore(nic.state)
                    keep_nic(self.files, msgspec.structs.replace(nic, away=None))
                except (NicpassError, OSError) as error:
                    failures.append(_name_failure(nic, error))
                    if isinstance(error, OutOfTimeError):
                        break
        return failures

    def _kept_nics(self, domain: Domain) -> list[KeptNic]:
        """The NICs that were given to this VM, stand in its definition, and are taken by libvirt at each start."""
        found = (read_kept_nic(self.files, device.address) for device in domain.config_devices if device.managed)
        return [nic for nic in found if nic is not None and nic.owner is not None and nic.owner.uuid == domain.uuid]

    def _check(self, nic: KeptNic, domain: Domain, index: HostIndex) -> PciFunction:
        """Check law 3, but for the reasons that the administrator allowed when he gave the NIC; the NIC's function."""
        address = nic.state.address
        function = index.functions.get(address)
        if function is None:
            raise StepError(
                _("{name} is not started: its NIC {address} is not there any more.").format(
                    name=domain.name, address=address
                ),
                _("Was its card taken out, or put into another slot? nicpass list shows what there is."),
            )
        _refuse_other_card(nic, function, domain, index)
        standing = blocking(check_dependence(function, index), nic.owner.allow if nic.owner else frozenset())
        if standing:
            raise RefusedError(
                _("{name} is not started: {sentence}").format(name=domain.name, sentence=standing[0].sentence),
                _("{mend} Or take it back: nicpass detach {name} {address}").format(
                    mend=standing[0].mend, name=domain.name, address=address
                ),
                findings=standing,
            )
        return function

    def _note_leaving(self, nic: KeptNic, function: PciFunction, index: HostIndex) -> None:
        """Record the NIC's state as it really leaves; but one that was not brought back after the last time is owed."""
        boot = self._boot()
        left = msgspec.structs.replace(nic, away=boot)
        if not on_vfio(function) and nic.away != boot:
            host = add_settings(index.host, self.files, function)
            left = msgspec.structs.replace(left, state=observe_state(function, HostIndex(host)), renewed=True)
        keep_nic(self.files, left)

    def _boot(self) -> str:
        boot = self.files.read_text(BOOT_ID)
        if not isinstance(boot, str):
            raise StepError(_("Which boot this is cannot be read: {path}.").format(path=BOOT_ID))
        return boot


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
                name=domain.name, address=function.address
            ),
        )


def _name_failure(nic: KeptNic, error: NicpassError | OSError) -> NicpassError:
    reason = error.sentence if isinstance(error, NicpassError) else f"{error.strerror or error}."
    address = nic.state.address
    return StepError(
        _("{address} came back, but not as it was: {reason}").format(address=address, reason=reason),
        _("What it was is kept: nicpass detach {name} {address} tries again.").format(
            name=nic.owner.domain if nic.owner else "VM", address=address
        ),
    )
