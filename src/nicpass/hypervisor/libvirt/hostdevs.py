# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the parts of libvirt's domain XML that concern PCI devices.

Source: https://libvirt.org/formatdomain.html, "Host device assignment" and "PCI passthrough of a VF";
the schema is /usr/share/libvirt/schemas/domaincommon.rng.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from nicpass.hypervisor.libvirt.definition import parse_definition
from nicpass.hypervisor.libvirt.xml_values import attribute_of, is_on, parse_hex, parse_source_address, parse_xml
from nicpass.model.address import Address, split_address
from nicpass.model.domain import Definition, Domain, DomainDevice, GuestPlace, guest_place
from nicpass.model.errors import NicpassError
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.model.plan import DeviceSpec


def build_device(spec: DeviceSpec) -> str:
    """The element for one NIC: `<hostdev>` for a whole one, `<interface type='hostdev'>` for a VF.

    Only the second lets libvirt set MAC and VLAN through the PF before the guest sees the VF.
    """
    if spec.xml is not None:
        return spec.xml
    managed = "yes" if spec.managed else "no"
    if spec.element == "hostdev":
        device = ET.Element("hostdev", mode="subsystem", type="pci", managed=managed)
    else:
        device = ET.Element("interface", type="hostdev", managed=managed)
    source = ET.SubElement(device, "source")
    ET.SubElement(source, "address", address_attributes(spec.address, with_type=spec.element == "interface"))
    if spec.element == "interface" and spec.mac is not None:
        ET.SubElement(device, "mac", address=spec.mac)
    if spec.element == "interface" and spec.vlan is not None:
        ET.SubElement(ET.SubElement(device, "vlan"), "tag", id=str(spec.vlan))
    if spec.place is not None:
        ET.SubElement(device, "address", place_attributes(spec.place))
    ET.indent(device)
    return ET.tostring(device, encoding="unicode")


def parse_devices(domain_xml: str) -> tuple[DomainDevice, ...]:
    """The host's PCI functions in a domain's XML, live or inactive.

    Raises:
        NicpassError: it is not XML; which VM has which NIC is then unknown.
    """
    return _devices_in(parse_xml(domain_xml))


def parse_machine(domain_xml: str) -> tuple[tuple[DomainDevice, ...], Definition]:
    """(the host's PCI functions in a domain's XML, what else in it matters), parsed once.

    Raises:
        NicpassError: it is not XML.
    """
    root = parse_xml(domain_xml)
    return _devices_in(root), parse_definition(root)


def parse_domain(xml: str) -> Domain:
    """A VM from its file in /etc/libvirt/qemu; whether it runs is not in there.

    Raises:
        NicpassError: the file is damaged.
    """
    root = parse_xml(xml)
    name, uuid = root.findtext("name"), root.findtext("uuid")
    if root.tag != "domain" or not name or not uuid:
        raise NicpassError(_("A domain's XML lacks its name or UUID."))
    return Domain(name=name, uuid=uuid, config_devices=_devices_in(root), config=parse_definition(root))


def find_device(domain_xml: str, address: Address) -> str | None:
    """The whole element of one NIC, as it stands in the domain's XML; None if there is no such element."""
    for element in _devices_of(parse_xml(domain_xml)):
        device = _device_of(element)
        if device is not None and device.address == address:
            return ET.tostring(element, encoding="unicode").strip()
    return None


def find_interface(domain_xml: str, mac: str) -> str | None:
    """The whole `<interface>` with this MAC, of whatever type; None if there is none."""
    for element in parse_xml(domain_xml).findall("./devices/interface"):
        if (attribute_of(element.find("mac"), "address") or "").lower() == mac.lower():
            return ET.tostring(element, encoding="unicode").strip()
    return None


def _devices_in(domain: ET.Element) -> tuple[DomainDevice, ...]:
    return tuple(device for element in _devices_of(domain) if (device := _device_of(element)))


def _devices_of(domain: ET.Element) -> list[ET.Element]:
    return domain.findall("./devices/hostdev[@type='pci']") + domain.findall("./devices/interface[@type='hostdev']")


def _device_of(element: ET.Element) -> DomainDevice | None:
    source = element.find("./source/address")
    address = parse_source_address(source) if source is not None else None
    if address is None:
        return None
    tags, rom = element.findall("./vlan/tag"), element.find("rom")
    return DomainDevice(
        address=address,
        element="hostdev" if element.tag == "hostdev" else "interface",
        managed=element.get("managed") == "yes",
        mac=attribute_of(element.find("mac"), "address"),
        vlan=_parse_vlan(tags[0]) if len(tags) == 1 else None,  # several are a trunk, which we do not make
        teaming=attribute_of(element.find("teaming"), "type"),
        rom_bar=_rom_bar(rom),
        rom_file=attribute_of(rom, "file"),
        place=_place_of(element.find("./address[@type='pci']")),
        xml=ET.tostring(element, encoding="unicode").strip(),
    )


def _rom_bar(rom: ET.Element | None) -> bool | None:
    """Whether the guest sees the ROM: `<rom enabled='no'>` turns it off altogether, `<rom bar='off'>` hides it."""
    if is_on(attribute_of(rom, "enabled")) is False:
        return False
    return is_on(attribute_of(rom, "bar"))


def _place_of(address: ET.Element | None) -> GuestPlace | None:
    bus, slot = (parse_hex(attribute_of(address, name) or "") for name in ("bus", "slot"))
    return None if bus is None or slot is None else guest_place(bus, slot)


def _parse_vlan(tag: ET.Element) -> int | None:
    return parse_hex(tag.get("id", ""))


def place_attributes(place: GuestPlace) -> dict[str, str]:
    """The attributes of an `<address>` in the guest."""
    bus, _colon, slot = place.partition(":")
    return {"type": "pci", "domain": "0x0000", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": "0x0"}


def address_attributes(address: Address, *, with_type: bool) -> dict[str, str]:
    """The attributes of an `<address>` of the host's; in a `<hostdev>` it has no type."""
    domain, bus, slot, function = split_address(address)
    attributes = {"type": "pci"} if with_type else {}
    attributes |= {
        "domain": f"0x{domain:04x}",
        "bus": f"0x{bus:02x}",
        "slot": f"0x{slot:02x}",
        "function": f"0x{function:x}",
    }
    return attributes
