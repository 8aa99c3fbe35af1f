# SPDX-License-Identifier: Apache-2.0
"""The steps that plug a NIC into a running VM, and have its guest let go of it.

libvirt's call to take a device out returns when QEMU has asked the guest; the guest may take its time, or never
answer. Only when QEMU has said DEVICE_DELETED does libvirt drop the device from the running machine's definition and
give it back to its driver: so that definition is read until the device is gone from there.
Sources: virDomainDetachDeviceFlags() in libvirt's reference; qemuProcessHandleDeviceDeleted() in its
src/qemu/qemu_process.c.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.admission import announce, note_start, read_start
from nicpass.engine.handler import Handler, Handlers, wait_until
from nicpass.engine.journal import read_boot_id
from nicpass.engine.nic.store import keep_nic, read_kept_nic
from nicpass.host.pci.functions import read_function
from nicpass.hypervisor.libvirt.domains import load_binding
from nicpass.hypervisor.libvirt.handle import DomainHandle
from nicpass.hypervisor.libvirt.hostdevs import build_device, find_device
from nicpass.model.address import Address
from nicpass.model.errors import ImpossibleError, NicpassError, NoAnswerError, StepError
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.plan import PlugDevice, UnplugDevice
from nicpass.model.text import clause, printable, vm_word

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nicpass.host.doors.files import Files

UNPLUG_SECONDS = 30.0
"""How long a guest has to let go: its kernel unbinds a driver and powers the slot down, which PCIe lets take 5 s."""
_BIND_SECONDS = 30.0
_GUEST_SECONDS = 15.0
"""How long the guest's agent is asked whether its driver has made an interface; of igb that takes 5 s, emulated."""
_LONGEST_NAME, _LONGEST_REASON = 64, 200
"""Characters of what the guest says that are told: a name of Linux has 15, one of Windows more."""


def live_handlers(files: Files, tell: Callable[[str], object] = str) -> Handlers:
    """The handlers of this file's steps; `tell` is told what the guest says of the NIC that it was given."""
    steps = LiveSteps(files, tell)
    return {
        PlugDevice: Handler(steps.apply_plug, steps.verify_plug),
        UnplugDevice: Handler(steps.apply_unplug, steps.verify_unplug),
    }


class LiveSteps:
    """The apply and verify of the steps about a VM that runs."""

    def __init__(self, files: Files, tell: Callable[[str], object] = str) -> None:
        self.files, self.tell = files, tell

    def apply_plug(self, step: PlugDevice) -> None:
        """Plug the NIC in, once its record says that it is out: whatever happens to the VM from then on, it is owed."""
        if DomainHandle.is_off(step):
            return
        with DomainHandle(step.uuid, step.domain) as domain:
            if self._has(domain, step.address):
                return
            if not domain.isActive():
                raise StepError(
                    _("{domain} was shut down meanwhile.").format(domain=step.domain),
                    _("Try again: nicpass attach writes the NIC into the definition of a stopped VM."),
                )
            self._note_leaving(step)
            with announce(self.files, step.uuid):
                domain.attachDeviceFlags(build_device(step.device), load_binding().VIR_DOMAIN_AFFECT_LIVE)
            self.tell(self._hear_guest(domain, step))

    def verify_plug(self, step: PlugDevice) -> None:
        """The running VM has the NIC, vfio-pci has it on the host, and the host sees no interface of it."""
        if DomainHandle.is_off(step):
            return
        with DomainHandle(step.uuid, step.domain) as domain:
            if not self._has(domain, step.address):
                raise StepError(_("{domain} runs without {address}.").format(domain=step.domain, address=step.address))
        wait_until(lambda: on_vfio(read_function(self.files, step.address)), _BIND_SECONDS)
        function = read_function(self.files, step.address)
        if not on_vfio(function) or (known(function.netdevs) and function.netdevs):
            raise StepError(
                _("{domain} has {address}, but on the host it is on {driver}.").format(
                    domain=step.domain, address=step.address, driver=function.driver or _("no driver")
                )
            )

    def apply_unplug(self, step: UnplugDevice) -> None:
        """Have the guest let go; a VM that is off has let go.

        Raises:
            StepError: the guest did not, and has the NIC still; it may let go of it later.
            NoAnswerError: libvirt hangs, also where the VM was ended without it.
        """
        try:
            with DomainHandle(step.uuid, step.domain) as domain:
                self._let_go(domain, step)
        except (NoAnswerError, ImpossibleError):
            if step.forced:
                from nicpass.hypervisor.libvirt.shutdown import end_guest  # late: libvirt seldom hangs

                end_guest(self.files, step.domain, step.uuid)
            raise

    def _let_go(self, domain: DomainHandle, step: UnplugDevice) -> None:
        library = load_binding()
        element = self._element(domain, step.address)
        if element is None:
            return
        refused = ""
        with announce(self.files, step.uuid):
            try:
                domain.detachDeviceFlags(element, library.VIR_DOMAIN_AFFECT_LIVE)
            except library.libvirtError as error:
                # Asked twice, QEMU refuses the second time until the guest has answered the first; which it may yet.
                refused = clause(error.get_error_message())
            gone = wait_until(lambda: not self._has(domain, step.address), UNPLUG_SECONDS)
            if not gone and step.forced:
                self.tell(_("{name} does not let go of it, and is switched off.").format(name=step.domain))
                with contextlib.suppress(library.libvirtError):  # it may have ended by itself
                    domain.destroy()
                gone = wait_until(lambda: not self._has(domain, step.address), UNPLUG_SECONDS)
        if not gone:
            sentence = _("The guest of {domain} did not let go of {address} within {seconds:g} s, and has it still.")
            if refused:
                sentence = _("libvirt, about {name}: {message}.")
            facts = {"domain": step.domain, "name": step.domain, "address": step.address, "message": refused}
            raise StepError(
                sentence.format(seconds=UNPLUG_SECONDS, **facts),
                _("It may do so later. With its kernel up, try again; or take it with --stop: {command}").format(
                    command=f"nicpass detach {vm_word(step.domain, step.uuid)} {step.address} --stop"
                ),
            )

    def verify_unplug(self, step: UnplugDevice) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            if self._has(domain, step.address):
                raise StepError(_("{domain} has {address} still.").format(domain=step.domain, address=step.address))

    def _has(self, domain: DomainHandle, address: Address) -> bool:
        return self._element(domain, address) is not None

    def _element(self, domain: Any, address: Address) -> str | None:
        """The NIC's element in the running machine; None where it has none, or does not run."""
        return find_device(str(domain.XMLDesc()), address) if domain.isActive() else None

    def _hear_guest(self, domain: DomainHandle, step: PlugDevice) -> str:
        """As `_ask_guest`; it is the guest that answers, or does not: none of that is a reason to take the NIC back."""
        try:
            return self._ask_guest(domain, step)
        except load_binding().libvirtError as error:
            reason = error.get_error_message()
        except Exception as error:  # silence of its agent, or an answer that the binding cannot make anything of
            reason = error.sentence if isinstance(error, NicpassError) else type(error).__name__
        return _("Whether {name}'s guest has taken it is not known: {reason}.").format(
            name=step.domain, reason=clause(reason)[:_LONGEST_REASON].rstrip("。")
        )

    def _ask_guest(self, domain: DomainHandle, step: PlugDevice) -> str:
        """What the guest's agent says of the NIC, by its MAC; without its word nothing is claimed of the guest."""
        macs = self._macs_of(step)
        seen: list[str] = []

        def is_seen() -> bool:
            found = domain.interfaceAddresses(load_binding().VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
            seen.extend(name for name, facts in found.items() if (facts.get("hwaddr") or "").lower() in macs)
            return bool(seen)

        wait_until(is_seen, _GUEST_SECONDS)
        if seen:
            return _("{name}'s guest says that it has it, as {netdev}.").format(
                name=step.domain, netdev=printable(seen[0][:_LONGEST_NAME])
            )
        return _("{name}'s guest has no interface with its MAC after {seconds:g} s: it may lack the driver.").format(
            name=step.domain, seconds=_GUEST_SECONDS
        )

    def _macs_of(self, step: PlugDevice) -> frozenset[str]:
        """The MACs by which the guest may know the NIC: a VF's as it was given, a whole NIC's own."""
        if step.device.mac is not None:
            return frozenset({step.device.mac.lower()})
        kept = read_kept_nic(self.files, step.address)
        links = kept.state.links if kept is not None else ()
        return frozenset(mac.lower() for link in links for mac in (link.permanent_mac, link.mac) if mac is not None)

    def _note_leaving(self, step: PlugDevice) -> None:
        """Put down, as the guard does at a start, that the NIC is out in this boot: the stop of its VM restores it."""
        boot, kept = read_boot_id(self.files), read_kept_nic(self.files, step.address)
        if kept is not None and known(boot):
            keep_nic(self.files, msgspec.structs.replace(kept, away=boot))
        marked = tuple(map(Address, read_start(self.files, step.uuid)))
        if step.address not in marked:
            note_start(self.files, step.uuid, (*marked, step.address))
