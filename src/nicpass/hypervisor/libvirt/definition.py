# SPDX-License-Identifier: Apache-2.0
"""Reads from libvirt's domain XML what decides how passthrough goes: machine, memory, CPUs, PCI places, IOMMU.

Source: https://libvirt.org/formatdomain.html; for the PCI controllers, https://libvirt.org/pci-hotplug.html.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from nicpass.hypervisor.libvirt.xml_values import (
    attribute_of,
    is_on,
    parse_count,
    parse_hex,
    parse_list,
    parse_size,
    parse_source_address,
    text_of,
    whole_of,
)
from nicpass.model.address import Address, parse_address
from nicpass.model.domain import CpuPin, Definition, DomainInterface, PciPlaces, VirtualIommu, guest_place
from nicpass.model.fact import Fact, Unknown

_PORTS = frozenset({"pcie-root-port", "pcie-switch-downstream-port"})
_PCI_SLOTS = 31  # of a conventional bus, 1 to 31; slot 0 is the host bridge's
# What `<source>` of such an interface has to name: of the two first, a running VM has both if a network gave it one.
_SOURCES = {"direct": ("dev", "network"), "vdpa": ("dev",), "network": ("network",)}
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
# `-device vfio-pci,host=01:00.0`, its JSON, and `sysfsdev=/sys/bus/pci/devices/0000:01:00.0`: QEMU, hw/vfio/pci.c.
_VFIO_HOST = (
    r"""(?:host|sysfsdev)"?\s*[=:]\s*"?(?:/sys/[\w/.:]*/)?([0-9a-fA-F]{4,8}:)?([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])"""
)
_LIBOSINFO = "{http://libosinfo.org/xmlns/libvirt/domain/1.0}"


def parse_definition(domain: ET.Element) -> Definition:
    """The parts of `<domain>` that matter for passthrough; never an error."""
    kind, loader = domain.find("./os/type"), domain.find("./os/loader")
    vcpu, memory_nodes = domain.find("./vcpu"), domain.find("./numatune/memory")
    backing, bits = domain.find("./memoryBacking"), domain.find("./cpu/maxphysaddr")
    pages = domain.find("./memoryBacking/hugepages")
    emulator = domain.find("./cputune/emulatorpin")
    return Definition(
        machine=attribute_of(kind, "machine"),
        arch=attribute_of(kind, "arch"),
        firmware=_firmware(domain, loader),
        secure_boot=_secure_boot(domain, loader),
        memory=parse_size(domain.find("./memory"), "memory"),
        current_memory=parse_size(domain.find("./currentMemory"), "currentMemory"),
        max_memory=parse_size(domain.find("./maxMemory"), "maxMemory"),
        memory_limit=parse_size(domain.find("./memtune/hard_limit"), "memtune/hard_limit"),
        memory_nodes=parse_list(attribute_of(memory_nodes, "nodeset"), "numatune/memory nodeset"),
        memory_mode=attribute_of(memory_nodes, "mode"),
        numatune_xml=whole_of(domain.find("./numatune")),
        hugepages_xml=whole_of(pages),
        hugepages=pages is not None,
        hugepage_sizes=_hugepage_sizes(pages),
        locked=backing is not None and backing.find("locked") is not None,
        nosharepages=backing is not None and backing.find("nosharepages") is not None,
        vcpus=parse_count(text_of(vcpu), "vcpu"),
        cpuset=parse_list(attribute_of(vcpu, "cpuset"), "vcpu cpuset"),
        placement=attribute_of(vcpu, "placement"),
        vcpu_pins=_vcpu_pins(domain),
        emulator_pin=parse_list(attribute_of(emulator, "cpuset"), "emulatorpin cpuset"),
        cpu_mode=attribute_of(domain.find("./cpu"), "mode"),
        address_bits=parse_count(attribute_of(bits, "bits"), "maxphysaddr bits"),
        address_bits_mode=attribute_of(bits, "mode"),
        pci=_pci_places(domain),
        iommu=_iommu(domain.find("./devices/iommu")),
        interfaces=tuple(
            _interface(element)
            for element in domain.findall("./devices/interface")
            if element.get("type") not in (None, "hostdev")
        ),
        other_hostdevs=tuple(
            element.get("type", "unknown")
            for element in domain.findall("./devices/hostdev")
            if element.get("type") != "pci"
        ),
        argument_devices=_argument_devices(domain),
        unread_devices=_unread_devices(domain),
        os_id=attribute_of(domain.find(f"./metadata/{_LIBOSINFO}libosinfo/{_LIBOSINFO}os"), "id"),
    )


def _firmware(domain: ET.Element, loader: ET.Element | None) -> str | None:
    """UEFI where the definition asks for it or names a flash image; a PC without either has SeaBIOS."""
    asked = attribute_of(domain.find("./os"), "firmware")
    if asked is not None:
        return asked
    if loader is not None:
        return "efi" if loader.get("type") == "pflash" else "bios"
    return "bios" if attribute_of(domain.find("./os/type"), "arch") in ("x86_64", "i686") else None


def _secure_boot(domain: ET.Element, loader: ET.Element | None) -> bool | None:
    """Secure Boot: `<loader secure='yes'>`, or the feature `secure-boot` of a firmware that libvirt chooses."""
    feature = domain.find("./os/firmware/feature[@name='secure-boot']")
    wanted = is_on(attribute_of(feature, "enabled"))
    return wanted if wanted is not None else is_on(attribute_of(loader, "secure"))


def _hugepage_sizes(pages: ET.Element | None) -> Fact[tuple[int, ...]]:
    found = pages.findall("./page") if pages is not None else []
    sizes = [parse_size(page, "hugepages page size", page.get("size", "")) for page in found]
    wrong = next((size for size in sizes if isinstance(size, Unknown)), None)
    return wrong or tuple(dict.fromkeys(size for size in sizes if isinstance(size, int))) or None


def _vcpu_pins(domain: ET.Element) -> Fact[tuple[CpuPin, ...]]:
    pins = []
    for element in domain.findall("./cputune/vcpupin"):
        vcpu = parse_count(element.get("vcpu", ""), "vcpupin vcpu")
        cpus = parse_list(element.get("cpuset", ""), "vcpupin cpuset")
        if isinstance(vcpu, Unknown):
            return vcpu
        if isinstance(cpus, Unknown):
            return cpus
        if vcpu is not None and cpus is not None:
            pins.append(CpuPin(vcpu, cpus))
    return tuple(pins)


def _pci_places(domain: ET.Element) -> PciPlaces:
    """All and free ports. A port takes one device, on the bus with its own index; a device's address names its bus."""
    controllers = domain.findall("./devices/controller[@type='pci']")
    taken = {(_place(address, "bus"), _place(address, "slot")) for address in _pci_addresses(domain)}
    buses = {bus for bus, _ in taken}
    ports = [element for element in controllers if element.get("model") in _PORTS]
    free = [port for port in ports if parse_hex(port.get("index", "")) not in buses]
    pluggable = [port for port in free if attribute_of(port.find("target"), "hotplug") != "off"]
    slots = [(bus, 0) for port in pluggable if (bus := parse_hex(port.get("index", ""))) is not None]
    if not ports and any(element.get("model") == "pci-root" for element in controllers):
        slots = [(0, slot) for slot in range(1, _PCI_SLOTS + 1) if (0, slot) not in taken]
    indices = [index for element in controllers if (index := parse_hex(element.get("index", ""))) is not None]
    express = any(element.get("model") == "pcie-root" for element in controllers)
    return PciPlaces(
        root_ports=len(ports),
        free_root_ports=len(free),
        hotplug_slots=len(slots),
        hotplug_places=tuple(guest_place(bus, slot) for bus, slot in sorted(slots)),
        next_index=max(indices, default=0) + 1 if express else 0,
    )


def _pci_addresses(domain: ET.Element) -> list[ET.Element]:
    """Where in the guest each device stands; the address below `<source>` is the host's."""
    return domain.findall("./devices/*/address[@type='pci']")


def _place(address: ET.Element, name: str) -> int | None:
    return parse_hex(address.get(name, ""))


def _iommu(element: ET.Element | None) -> VirtualIommu | None:
    if element is None:
        return None
    driver = element.find("driver")
    return VirtualIommu(
        model=element.get("model"),
        caching_mode=is_on(attribute_of(driver, "caching_mode")),
        intremap=is_on(attribute_of(driver, "intremap")),
        aw_bits=parse_count(attribute_of(driver, "aw_bits"), "iommu aw_bits"),
    )


def _interface(element: ET.Element) -> DomainInterface:
    source = element.find("source")
    names = [attribute_of(source, name) for name in ("bridge", "network", "dev")]
    return DomainInterface(
        type=element.get("type", "unknown"),
        model=attribute_of(element.find("model"), "type"),
        source=next((name for name in names if name is not None), None),
        dev=attribute_of(source, "dev"),
        network=attribute_of(source, "network"),
        mac=attribute_of(element.find("mac"), "address"),
        xml=ET.tostring(element, encoding="unicode").strip() if element.get("type") == "network" else None,
        filter=attribute_of(element.find("filterref"), "filter"),
        teaming=attribute_of(element.find("teaming"), "type"),
    )


def _argument_devices(domain: ET.Element) -> tuple[Address, ...]:
    arguments = (element.get("value", "") for element in domain.findall(f"./{_QEMU}commandline/{_QEMU}arg"))
    found = (re.finditer(_VFIO_HOST, text) for text in arguments if "vfio" in text)
    addresses = (parse_address(f"{match[1] or '0000:'}{match[2]}") for matches in found for match in matches)
    return tuple(dict.fromkeys(address for address in addresses if address is not None))


def _unread_devices(domain: ET.Element) -> tuple[str, ...]:
    """What shall have something of the host's and does not say what; libvirt refuses such, a file may have it."""
    reasons = [
        f"<{element.tag} type={element.get('type')!r}> names no PCI function"
        for element in (
            *domain.findall("./devices/hostdev[@type='pci']"),
            *domain.findall("./devices/interface[@type='hostdev']"),
        )
        if (source := element.find("./source/address")) is None or parse_source_address(source) is None
    ]
    for element in domain.findall("./devices/interface"):
        wanted = _SOURCES.get(element.get("type", ""), ())
        source = element.find("source")
        if wanted and not any(attribute_of(source, name) for name in wanted):
            reasons.append(f"<interface type={element.get('type')!r}> without a source")
    return tuple(reasons)
