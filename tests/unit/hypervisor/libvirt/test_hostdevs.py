# SPDX-License-Identifier: Apache-2.0
"""libvirt's XML: what is built is read back as it was, and libvirt's own schema takes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.hypervisor.libvirt.hostdevs import build_device, find_device, parse_devices, parse_domain
from nicpass.model.address import Address
from nicpass.model.errors import NicpassError
from nicpass.model.plan import DeviceSpec
from tests.support.strategies import ADDRESSES, STATION_MACS
from tests.support.trees import Vm, domain_xml, hostdev_xml, vf_interface_xml

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")  # of the package libvirt0
NIC, VF = Address("0000:3b:00.1"), Address("0002:01:10.7")

SPECS = st.one_of(
    st.builds(DeviceSpec, address=ADDRESSES, element=st.just("hostdev"), managed=st.booleans()),
    st.builds(
        DeviceSpec,
        address=ADDRESSES,
        element=st.just("interface"),
        managed=st.booleans(),
        mac=st.none() | STATION_MACS,
        vlan=st.none() | st.integers(1, 4094),
    ),
)


def domain_with(devices: str) -> str:
    return domain_xml(Vm(name="web", devices=devices))


@given(SPECS)
def test_what_is_built_is_read_back(spec: DeviceSpec) -> None:
    text = domain_with(build_device(spec))
    (device,) = parse_devices(text)
    assert (device.address, device.element, device.managed) == (spec.address, spec.element, spec.managed)
    assert (device.mac, device.vlan) == (spec.mac, spec.vlan)
    found = find_device(text, spec.address)
    assert found is not None
    assert parse_devices(domain_with(found)) == (device,)


def test_what_libvirt_writes_is_read() -> None:
    text = domain_with(hostdev_xml(NIC, managed="no") + vf_interface_xml(VF, "52:54:00:aa:00:01", 7))
    whole, vf = parse_devices(text)
    assert (whole.address, whole.managed, whole.mac, whole.vlan) == (NIC, False, None, None)
    assert (vf.address, vf.element, vf.managed) == (VF, "interface", True)
    assert (vf.mac, vf.vlan) == ("52:54:00:aa:00:01", 7)


def test_the_whole_element_is_found_with_all_that_libvirt_added() -> None:
    found = find_device(domain_with(vf_interface_xml(VF, "52:54:00:aa:00:01", 7)), VF)
    assert found is not None
    for part in ("<driver name=", "<vlan>", "<mac address=", 'bus="0x06"'):
        assert part in found
    assert find_device(domain_with(hostdev_xml(NIC)), VF) is None


@pytest.mark.parametrize(
    "devices",
    [
        "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>",
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='x'/></source></hostdev>",
        "<interface type='bridge'><source bridge='br0'/></interface>",
        "<hostdev mode='subsystem' type='pci'><source/></hostdev>",
        "<hostdev mode='subsystem' type='pci'/>",
        "",
    ],
)
def test_other_devices_are_none_of_ours(devices: str) -> None:
    assert parse_devices(domain_with(devices)) == ()


@pytest.mark.parametrize(
    ("bus", "address"), [("0x3b", "0000:3b:00.0"), ("59", "0000:3b:00.0"), ("0x03b", "0000:3b:00.0")]
)
def test_numbers_are_read_in_every_notation_of_the_schema(bus: str, address: str) -> None:
    source = f"<hostdev type='pci'><source><address bus='{bus}' slot='0x00' function='0'/></source></hostdev>"
    assert [device.address for device in parse_devices(domain_with(source))] == [address]


@pytest.mark.parametrize("text", ["", "<domain>", "no xml", "<domain>&undefined;</domain>"])
def test_what_is_no_xml_is_an_error_not_an_empty_vm(text: str) -> None:
    for read in (parse_devices, parse_domain):
        with pytest.raises(NicpassError, match="cannot be read"):
            read(text)


def test_a_definition_is_a_vm() -> None:
    domain = parse_domain(domain_with(hostdev_xml(NIC)))
    assert (domain.name, domain.running, domain.persistent) == ("web", False, True)
    assert [device.address for device in domain.config_devices] == [NIC]


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_strange_macs_cannot_break_out_of_the_xml(mac: str) -> None:
    spec = DeviceSpec(address=VF, element="interface", mac=mac)
    (device,) = parse_devices(domain_with(build_device(spec)))
    assert device.address == VF
