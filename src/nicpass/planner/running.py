# SPDX-License-Identifier: Apache-2.0
"""What giving and taking back is for a VM that runs: it has two definitions, and a guest that has to take part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.language import _
from nicpass.model.plan import DefineDevice, DeviceSpec, PlugDevice, StopDomain, UndefineDevice, UnplugDevice
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain, DomainDevice
    from nicpass.model.plan import Step, Where


def put_in(domain: Domain, spec: DeviceSpec, where: Where) -> tuple[Step, ...]:
    """The steps that write the NIC into the VM's definitions in which it does not stand yet.

    Raises:
        BadInputError: the VM does not run, and is to have it only while it does.
        ImpossibleError: there is no place in the running machine.
    """
    if where == "live" and not domain.running:
        raise BadInputError(
            _("{name} does not run.").format(name=domain.name), _("Without --live it goes into the definition.")
        )
    address, name, uuid = spec.address, domain.name, domain.uuid
    plugs = domain.running and where != "config" and _device_in(domain.live_devices, address) is None
    defines = where != "live" and _device_in(domain.config_devices, address) is None
    lasting = spec
    if plugs and spec.xml is None:
        spec, lasting = _placed(domain, spec)
    steps: list[Step] = []
    if defines:
        steps.append(DefineDevice(address=address, domain=name, uuid=uuid, device=lasting, running=domain.running))
    if plugs:
        steps.append(PlugDevice(address=address, domain=name, uuid=uuid, device=spec))
    return tuple(steps)


def _placed(domain: Domain, spec: DeviceSpec) -> tuple[DeviceSpec, DeviceSpec]:
    """(the NIC in the running machine, the NIC in the lasting definition): at one place, where one is free in both.

    Then the guest's name for it, which comes from its place, is the same after the next boot.
    """
    known_device = _device_in(domain.config_devices, spec.address)
    free = domain.live.pci.hotplug_places if domain.live is not None else ()
    if not free:
        raise ImpossibleError(
            _("{name} has no free place to plug {nic} in while it runs.").format(name=domain.name, nic=spec.address),
            _("From its next start on: nicpass attach {vm} {nic} --config; libvirt then adds a root port.").format(
                vm=vm_word(domain.name, domain.uuid), nic=spec.address
            ),
        )
    wanted = known_device.place if known_device is not None else None
    lasting = domain.config.pci.hotplug_places if domain.config is not None else ()
    both = [place for place in free if place == wanted] or [place for place in free if place in lasting]
    if both:
        placed = msgspec.structs.replace(spec, place=both[0])
        return placed, placed
    return msgspec.structs.replace(spec, place=free[0]), spec


def take_out(domain: Domain, address: Address, where: Where, *, stop: bool) -> tuple[Step, ...]:
    """The steps that take the NIC out of the VM's definitions; none where it stands in neither.

    Raises:
        BadInputError: it does not stand where it shall be taken out.
        RefusedError: the guest cannot let go of it, and the VM is not to be stopped.
    """
    live, lasting = _device_in(domain.live_devices, address), _device_in(domain.config_devices, address)
    if where == "live" and live is None:
        raise BadInputError(
            _("{name} does not run with {nic}.").format(name=domain.name, nic=address), _("Without --live.")
        )
    if where == "config" and lasting is None:
        raise BadInputError(
            _("{nic} does not stand in the lasting definition of {name}.").format(name=domain.name, nic=address),
            _("Without --config."),
        )
    steps: list[Step] = []
    if stop and domain.running:
        steps.append(StopDomain(address=address, domain=domain.name, uuid=domain.uuid, for_all=True))
    elif live is not None and where != "config":
        _refuse_silent_guest(domain, address)
        steps.append(UnplugDevice(address=address, domain=domain.name, uuid=domain.uuid, device=spec_of(live)))
    if lasting is not None and where != "live":
        running = domain.running and not stop
        step = UndefineDevice(address=address, domain=domain.name, uuid=domain.uuid, device=spec_of(lasting))
        steps.append(msgspec.structs.replace(step, running=running))
    return tuple(steps)


def spec_of(device: DomainDevice) -> DeviceSpec:
    """A device of a definition, known well enough to be put back."""
    return DeviceSpec(
        address=device.address,
        element=device.element,
        managed=device.managed,
        mac=device.mac,
        vlan=device.vlan,
        place=device.place,
        xml=device.xml,
    )


def _refuse_silent_guest(domain: Domain, address: Address) -> None:
    """Refuse where nobody is there to let go: the request would be heeded at some later time that nobody knows."""
    if domain.paused:
        raise RefusedError(
            _("{name} is paused, so its guest cannot let go of {nic}.").format(name=domain.name, nic=address),
            _("virsh resume {vm}, and try again; or --stop, which switches it off.").format(
                vm=vm_word(domain.name, domain.uuid)
            ),
        )


def _device_in(devices: tuple[DomainDevice, ...], address: Address) -> DomainDevice | None:
    return next((device for device in devices if device.address == address), None)
