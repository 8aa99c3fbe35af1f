# SPDX-License-Identifier: Apache-2.0
"""What giving and taking back is for a VM that runs: it has two definitions, and a guest that has to take part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.language import _
from nicpass.model.plan import AddPorts, DefineDevice, DeviceSpec, PlugDevice, StopDomain, UndefineDevice, UnplugDevice
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from nicpass.model.address import Address
    from nicpass.model.domain import Domain, DomainDevice, GuestPlace
    from nicpass.model.plan import Step
    from nicpass.model.request import Where


_MOST_PORTS = 16
"""How many root ports one change may add: each takes a part of the guest's address space, and a bus of 256."""
_LAST_BUS = 255
"""A port's index is the number of the bus behind it, which has 8 bits."""


def add_ports(domain: Domain, address: Address, count: int) -> tuple[AddPorts, ...]:
    """The step after which the VM's definition has so many root ports more; `address` is the NIC that it is for.

    Raises:
        BadInputError: there is no such number of ports.
        ImpossibleError: the VM has no PCI Express or no room, or its definition is not known.
    """
    if not 0 <= count <= _MOST_PORTS:
        raise BadInputError(
            _("--add-ports {count}: that many root ports are not added at once.").format(count=count),
            _("--add-ports takes 1 to {most}.").format(most=_MOST_PORTS),
        )
    if not count:
        return ()
    first = domain.config.pci.next_index if domain.config is not None else 0
    if not first:
        raise ImpossibleError(
            _("{name} has no PCI Express, so there are no root ports that it could have more of.").format(
                name=domain.name
            ),
            _("On its machine type each free slot takes a NIC; q35 and virt have root ports."),
        )
    if first + count - 1 > _LAST_BUS:
        raise ImpossibleError(
            _("{name} has no room for {count} root ports: its next one is {first}, and the last can be {last}.").format(
                name=domain.name, count=count, first=first, last=_LAST_BUS
            ),
            f"virsh edit {vm_word(domain.name, domain.uuid)}",
        )
    return (
        AddPorts(address=address, domain=domain.name, uuid=domain.uuid, indices=tuple(range(first, first + count))),
    )


def put_in(domain: Domain, specs: Sequence[DeviceSpec], where: Where, *, may_wait: bool = False) -> tuple[Step, ...]:
    """The steps that write the NICs into the VM's definitions in which they do not stand yet: the lasting one first.

    What `may_wait` for the VM's next start goes into the lasting definition alone, where the running machine has no
    place for it.

    Raises:
        BadInputError: the VM does not run, and is to have it only while it does.
        ImpossibleError: there is no place in the running machine.
    """
    if where == "live" and not domain.running:
        raise BadInputError(
            _("{name} does not run.").format(name=domain.name), _("Without --live it goes into the definition.")
        )
    defines: list[DefineDevice] = []
    plugs: list[PlugDevice] = []
    taken: set[GuestPlace] = set()
    for spec in specs:
        address, name, uuid = spec.address, domain.name, domain.uuid
        placed = lasting = spec
        is_plugged = domain.running and where != "config" and _device_in(domain.live_devices, address) is None
        if is_plugged and may_wait and where == "both" and not _free_places(domain, taken):
            is_plugged = False
        if is_plugged and spec.xml is None:
            placed, lasting = _placed(domain, spec, taken)
            taken.update(each.place for each in (placed, lasting) if each.place is not None)
        if where != "live" and _device_in(domain.config_devices, address) is None:
            step = DefineDevice(address=address, domain=name, uuid=uuid, device=lasting, running=domain.running)
            defines.append(step)
        if is_plugged:
            plugs.append(PlugDevice(address=address, domain=name, uuid=uuid, device=placed))
    return (*defines, *plugs)


def _placed(domain: Domain, spec: DeviceSpec, taken: Container[GuestPlace]) -> tuple[DeviceSpec, DeviceSpec]:
    """(the NIC in the running machine, the NIC in the lasting definition): at one place, where one is free in both.

    Then the guest's name for it, which comes from its place, is the same after the next boot. `taken` are the places
    of other NICs of the same change.
    """
    known_device = _device_in(domain.config_devices, spec.address)
    free = _free_places(domain, taken)
    if not free:
        raise ImpossibleError(
            _("{name} has no free place to plug {nic} in while it runs.").format(name=domain.name, nic=spec.address),
            _(
                "From its next start on: nicpass attach {vm} {nic} --add-ports 2, with one port more for the next."
            ).format(vm=vm_word(domain.name, domain.uuid), nic=spec.address),
        )
    wanted = known_device.place if known_device is not None else None
    lasting = domain.config.pci.hotplug_places if domain.config is not None else ()
    both = [place for place in free if place == wanted] or [place for place in free if place in lasting]
    if both:
        placed = msgspec.structs.replace(spec, place=both[0])
        return placed, placed
    return msgspec.structs.replace(spec, place=free[0]), spec


def _free_places(domain: Domain, taken: Container[GuestPlace]) -> list[GuestPlace]:
    places = domain.live.pci.hotplug_places if domain.live is not None else ()
    return [place for place in places if place not in taken]


class Taking(msgspec.Struct, frozen=True):
    """The steps that take one NIC out of a VM's definitions."""

    stops: tuple[StopDomain, ...] = ()
    unplugs: tuple[UnplugDevice, ...] = ()
    undefines: tuple[UndefineDevice, ...] = ()


def take_out(domain: Domain, address: Address, where: Where, *, stop: bool) -> Taking:
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
    taking = Taking()
    if stop and domain.running:
        off = StopDomain(address=address, domain=domain.name, uuid=domain.uuid, for_all=True)
        taking = msgspec.structs.replace(taking, stops=(off,))
    elif live is not None and where != "config":
        _refuse_silent_guest(domain, address)
        unplug = UnplugDevice(address=address, domain=domain.name, uuid=domain.uuid, device=spec_of(live))
        taking = msgspec.structs.replace(taking, unplugs=(unplug,))
    if lasting is not None and where != "live":
        running = domain.running and not stop
        step = UndefineDevice(address=address, domain=domain.name, uuid=domain.uuid, device=spec_of(lasting))
        taking = msgspec.structs.replace(taking, undefines=(msgspec.structs.replace(step, running=running),))
    return taking


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
