# SPDX-License-Identifier: Apache-2.0
"""The VM that shall have the NIC: its state, its machine, its guest, and what it gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label
from nicpass.checks.vm.guest_drivers import lacking_driver
from nicpass.model.fact import Unknown, known, value_or, why_unknown
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.domain import Definition, Domain, DomainDevice
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("vm.definition")

# `pc` is libvirt's and QEMU's alias of the newest i440fx.
_CONVENTIONAL, _CONVENTIONAL_VERSIONS = frozenset({"pc", "isapc"}), ("pc-i440fx-", "pc-0.", "pc-1.")

_PCI_EXPRESS, _PCI_EXPRESS_VERSIONS = frozenset({"q35", "virt"}), ("pc-q35-", "virt-")


def check_state(function: PciFunction, domain: Domain, _index: HostIndex) -> Iterator[Finding]:
    """The VM's state, running, transient or saved: it decides whether the definition can be changed and will count."""
    nic, address, handle = label(function), function.address, handle_of(domain)
    if not domain.persistent:
        yield make_finding("VM_TRANSIENT", address, (("libvirt", "transient"),), vm=domain.name, nic=nic, handle=handle)
    elif domain.running and not has_device(domain, function):
        yield make_finding("VM_RUNNING", address, (("libvirt", "running"),), vm=domain.name, nic=nic, handle=handle)
    if domain.saved_image is True and not domain.running:
        evidence = (("libvirt, managed save", "present"),)
        yield make_finding("VM_SAVED_STATE", address, evidence, vm=domain.name, nic=nic, handle=handle)
    if known(domain.snapshots) and domain.snapshots > 0:
        evidence = (("libvirt, snapshots", str(domain.snapshots)),)
        yield make_finding("VM_HAS_SNAPSHOTS", address, evidence, vm=domain.name, nic=nic, count=domain.snapshots)


def check_unread(function: PciFunction, domain: Domain, _index: HostIndex) -> Iterator[Finding]:
    """The finding about the parts of the VM's definition that could not be understood."""
    definition = domain.definition
    if definition is None:
        reasons = ["it was not read"]
    else:
        facts = [getattr(definition, name) for name in definition.__struct_fields__]
        facts += [definition.iommu.aw_bits] if definition.iommu else []
        reasons = [fact.unknown for fact in facts if isinstance(fact, Unknown)]
    reasons += [why for why in (why_unknown(domain.saved_image), why_unknown(domain.snapshots)) if why]
    if reasons:
        text = "; ".join(reasons)
        evidence = ((source_of(domain), text),)
        yield make_finding(
            "VM_UNREAD", function.address, evidence, vm=domain.name, reasons=text, handle=handle_of(domain)
        )


def check_machine(function: PciFunction, domain: Domain, index: HostIndex) -> Iterator[Finding]:
    """Whether the VM has PCI Express, and a place to plug the NIC in."""
    definition, address = domain.definition, function.address
    if definition is None or has_device(domain, function):
        return
    machine, places = definition.machine, definition.pci
    # Those that go in the same change take the first free ports.
    new = [address for address in index.together if address not in {device.address for device in devices_of(domain)}]
    before = new.index(address) if address in new else 0
    facts = {"vm": domain.name, "nic": label(function), "handle": handle_of(domain)}
    if is_conventional(definition):
        evidence = ((source_of(domain, "os/type machine"), machine),)
        yield make_finding("VM_NOT_PCIE", address, evidence, machine=machine, **facts)
    elif (
        known(machine)
        and (machine in _PCI_EXPRESS or machine.startswith(_PCI_EXPRESS_VERSIONS))
        and (places.hotplug_slots if domain.running else places.free_root_ports) <= before
    ):
        code = "VM_NO_FREE_ROOT_PORT" if domain.running else "VM_PORT_WILL_BE_ADDED"
        used = min(places.root_ports, places.root_ports - places.free_root_ports + before)
        evidence = ((source_of(domain, "controllers"), f"{used} of {places.root_ports} ports taken"),)
        yield make_finding(code, address, evidence, used=used, ports=places.root_ports, **facts)


def check_viommu(function: PciFunction, domain: Domain, _index: HostIndex) -> Iterator[Finding]:
    iommu = domain.definition.iommu if domain.definition else None
    if iommu is None:
        return
    facts = {"vm": domain.name, "handle": handle_of(domain), "model": iommu.model or "?"}
    caching = {True: "on", False: "off", None: "not given"}[iommu.caching_mode]
    evidence = ((source_of(domain, "iommu"), f"model {facts['model']}, caching_mode {caching}"),)
    code = "VM_VIOMMU_NO_CACHING" if iommu.model == "intel" and iommu.caching_mode is not True else "VM_VIOMMU"
    yield make_finding(code, function.address, evidence, **facts)


def check_other_hostdevs(function: PciFunction, domain: Domain, _index: HostIndex) -> Iterator[Finding]:
    others = list_other_hostdevs(function, domain)
    if others:
        devices = ", ".join(others)
        evidence = ((source_of(domain, "hostdev"), devices),)
        yield make_finding("VM_OTHER_HOSTDEVS", function.address, evidence, vm=domain.name, devices=devices)


def check_guest_driver(function: PciFunction, domain: Domain, _index: HostIndex) -> Iterator[Finding]:
    definition = domain.definition
    os_id, driver = (definition.os_id if definition else None), function.driver
    if not known(os_id) or not known(driver):
        return
    lack = lacking_driver(os_id, driver)
    if lack is not None:
        yield make_finding(
            "VM_GUEST_LACKS_DRIVER",
            function.address,
            ((source_of(domain, "libosinfo"), os_id),),
            vm=domain.name,
            nic=label(function),
            system=lack.system,
            driver=lack.driver,
            since=lack.since,
        )


def check_migration(function: PciFunction, domain: Domain, _index: HostIndex) -> Iterator[Finding]:
    """Migration, which an assigned NIC rules out, and the one way around that."""
    device = next((d for d in devices_of(domain) if d.address == function.address), None)
    teamed = device is not None and device.teaming == "transient"
    evidence = ((source_of(domain, "teaming"), "transient" if teamed else "absent"),)
    code = "VM_TEAMED" if teamed else "VM_NO_MIGRATION"
    yield make_finding(code, function.address, evidence, vm=domain.name, nic=label(function))


def check_virtio_enough(function: PciFunction, domain: Domain, _index: HostIndex) -> Iterator[Finding]:
    """Whether virtio would do for the VM: only a pin that is seen to be absent counts; an unknown pin is a pin."""
    definition = domain.definition
    if definition is None or definition.hugepages or definition.locked or list_other_hostdevs(function, domain):
        return
    pinning = (definition.vcpu_pins or None, definition.cpuset, definition.emulator_pin, definition.memory_nodes)
    if all(pin is None for pin in pinning) and definition.placement != "auto":
        evidence = ((source_of(domain), "no cputune, numatune, memoryBacking or other hostdev"),)
        yield make_finding("VIRTIO_ENOUGH", function.address, evidence, vm=domain.name)


def handle_of(domain: Domain) -> str:
    """The VM's handle in a line to paste: its name in quotes; its UUID where the name might be misread."""
    return vm_word(domain.name, domain.uuid)


def has_device(domain: Domain, function: PciFunction) -> bool:
    return any(device.address == function.address for device in devices_of(domain))


def devices_of(domain: Domain) -> tuple[DomainDevice, ...]:
    """The host's PCI functions in both definitions of the VM, the lasting and the running one."""
    return (*domain.config_devices, *domain.live_devices)


def list_other_hostdevs(function: PciFunction, domain: Domain) -> list[str]:
    """The VM's other host devices: addresses of PCI functions, then the types of those that are no PCI function."""
    addresses = {str(device.address): None for device in devices_of(domain) if device.address != function.address}
    kinds = domain.definition.other_hostdevs if domain.definition else ()
    return [*addresses, *dict.fromkeys(kinds)]


def is_conventional(definition: Definition) -> bool:
    machine = value_or(definition.machine, "")
    return machine in _CONVENTIONAL or machine.startswith(_CONVENTIONAL_VERSIONS)


def source_of(domain: Domain, part: str = "") -> str:
    """Where a fact of the VM stands: `definition of web: iommu`."""
    which = "running definition" if domain.live else "definition"
    return f"{which} of {domain.name}{': ' + part if part else ''}"
