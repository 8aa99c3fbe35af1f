# SPDX-License-Identifier: Apache-2.0
"""The steps that change a VM of libvirt's, through its own library and its system daemon.

With `managed='yes'` libvirt itself takes the NIC from its driver when the VM starts and gives it back when
the VM stops (law 5: it owns the binding, so no lasting one is written).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.admission import announce, forget_start, read_start
from nicpass.engine.handler import Handler, Handlers, wait_until
from nicpass.host.pci.functions import read_function
from nicpass.hypervisor.libvirt.domains import inactive_xml, load_binding
from nicpass.hypervisor.libvirt.handle import DomainHandle
from nicpass.hypervisor.libvirt.hostdevs import build_device, find_device
from nicpass.model.errors import ImpossibleError, NoAnswerError, StepError
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.plan import DefineDevice, StartDomain, StopDomain, UndefineDevice

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address

_START_SECONDS = 30.0
_SHUTDOWN_SECONDS = 30.0
"""How long a guest has to heed before it is switched off."""


def libvirt_handlers(files: Files, tell: Callable[[str], object] = str) -> Handlers:
    """The handlers of libvirt's steps; each opens its own connection, so a daemon that restarts is borne.

    `tell` is told what a step's own words do not say: whether a guest heeded.
    """
    steps = LibvirtSteps(files, tell)
    return {
        DefineDevice: Handler(steps.apply_define, steps.verify_define),
        UndefineDevice: Handler(steps.apply_undefine, steps.verify_undefine),
        StartDomain: Handler(steps.apply_start, steps.verify_start),
        StopDomain: Handler(steps.apply_stop, steps.verify_stop),
    }


class LibvirtSteps:
    """Handlers of the steps that change a VM."""

    def __init__(self, files: Files, tell: Callable[[str], object] = str) -> None:
        self.files, self.tell = files, tell
        self.started: set[str] = set()
        """VMs that this run has started, by UUID: it stops no other."""

    def apply_define(self, step: DefineDevice) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            if find_device(inactive_xml(domain), step.address) is None:
                domain.attachDeviceFlags(build_device(step.device), load_binding().VIR_DOMAIN_AFFECT_CONFIG)
            # Asked after the change: a start before it runs without the NIC, which nobody asked for.
            if not step.running and domain.isActive() and find_device(str(domain.XMLDesc()), step.address) is None:
                raise StepError(
                    _("{domain} was started meanwhile, without the NIC.").format(domain=step.domain),
                    _("Shut it down first."),
                )

    def verify_define(self, step: DefineDevice) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            if find_device(inactive_xml(domain), step.address) is None:
                raise StepError(
                    _("{address} does not stand in the definition of {domain}.").format(
                        address=step.address, domain=step.domain
                    )
                )

    def apply_undefine(self, step: UndefineDevice) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            element = find_device(inactive_xml(domain), step.address)
            if element is not None:
                domain.detachDeviceFlags(element, load_binding().VIR_DOMAIN_AFFECT_CONFIG)
            # Asked after the change: from here on no start takes the NIC, and one before it is seen.
            if not step.running and domain.isActive():
                raise StepError(
                    _("{domain} was started meanwhile.").format(domain=step.domain), _("Shut it down first.")
                )

    def verify_undefine(self, step: UndefineDevice) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            if find_device(inactive_xml(domain), step.address) is not None:
                raise StepError(
                    _("{address} still stands in the definition of {domain}.").format(
                        address=step.address, domain=step.domain
                    )
                )

    def apply_start(self, step: StartDomain) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            if step.uuid in self.started:
                return
            if domain.isActive():
                raise StepError(
                    _("{domain} was started by somebody else meanwhile.").format(domain=step.domain),
                    _("Shut it down first."),
                )
            self.started.add(step.uuid)
            forget_start(self.files, step.uuid)
            with announce(self.files, step.uuid):
                domain.create()

    def verify_start(self, step: StartDomain) -> None:
        """The VM runs, and has its NICs: each is on vfio-pci and the host sees no interface of it."""
        with DomainHandle(step.uuid, step.domain) as domain:
            if not domain.isActive():
                raise StepError(_("{domain} does not run.").format(domain=step.domain))
            xml = str(domain.XMLDesc()) if step.pool_macs else ""
        for mac in step.pool_macs:
            from nicpass.hypervisor.libvirt.pools import verify_lent  # late: few VMs draw from a pool

            verify_lent(self.files, xml, mac, step.domain)
        for address in step.addresses:
            self._verify_gone(address, step.domain)
        if step.guarded and step.address not in read_start(self.files, step.uuid):
            raise StepError(
                _("{domain} runs, but libvirt did not ask the guard: its later starts would not be looked at.").format(
                    domain=step.domain
                ),
                _("Restart libvirt's daemon, which looks for hooks then: systemctl restart libvirtd; VMs go on."),
            )

    def _verify_gone(self, address: Address, domain: str) -> None:
        """Raises StepError where the running VM does not have the NIC, or the host has it still."""
        # After a crash of ours libvirt may be in the middle of the start.
        wait_until(lambda: on_vfio(read_function(self.files, address)), _START_SECONDS)
        function = read_function(self.files, address)
        if not on_vfio(function):
            raise StepError(
                _("{domain} runs, but {address} is on {driver}.").format(
                    domain=domain, address=address, driver=function.driver or _("no driver")
                )
            )
        if known(function.netdevs) and function.netdevs:
            raise StepError(
                _("{domain} runs, but the host still has {names}.").format(
                    domain=domain, names=", ".join(function.netdevs)
                )
            )

    def apply_stop(self, step: StopDomain) -> None:
        """Raises NoAnswerError where libvirt hangs, also when the VM's end was brought about without it."""
        try:
            with DomainHandle(step.uuid, step.domain) as domain:
                if not domain.isActive() or not (step.for_all or step.uuid in self.started):
                    return
                with announce(self.files, step.uuid):
                    heeded = step.for_all and self._shut_down(domain, step)
                    if not heeded:
                        domain.destroy()
                if step.for_all:
                    self._tell_stop(step.domain, heeded=heeded)
        except (NoAnswerError, ImpossibleError):
            if step.unattended or step.uuid in self.started:
                from nicpass.hypervisor.libvirt.shutdown import end_guest  # late: libvirt seldom hangs

                end_guest(self.files, step.domain, step.uuid)
            raise

    def _tell_stop(self, name: str, *, heeded: bool) -> None:
        text = _("{name} did not heed within {seconds} s, and was switched off.")
        text = _("{name} heeded, and has shut down.") if heeded else text
        self.tell(text.format(name=name, seconds=f"{_SHUTDOWN_SECONDS:g}"))

    def verify_stop(self, step: StopDomain) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            ours = step.for_all or step.uuid in self.started
            if ours and not wait_until(lambda: not domain.isActive(), _START_SECONDS):
                raise StepError(_("{domain} still runs.").format(domain=step.domain))
            self.started.discard(step.uuid)

    def _shut_down(self, domain: Any, step: StopDomain) -> bool:
        """Ask the guest to shut down, as its power button would; False where it cannot heed or does not in time."""
        with contextlib.suppress(load_binding().libvirtError):
            from nicpass.hypervisor.libvirt.shutdown import wait_for_shutdown  # late: an attach shuts nothing down

            domain.shutdown()
            return wait_for_shutdown(self.files, step.domain, lambda: bool(domain.isActive()), _SHUTDOWN_SECONDS)
        return False
