# SPDX-License-Identifier: Apache-2.0
"""What nicpass writes is what an expert would: its shell lines do the same, and its XML is valid."""

from __future__ import annotations

import pytest
from lxml import etree

from lab.cache import Cache
from lab.image import get_image
from lab.machine import Machine
from nicpass.hypervisor.libvirt.hostdevs import build_device
from nicpass.model.address import Address
from nicpass.model.plan import DeviceSpec

pytestmark = pytest.mark.lab

SCHEMA = "usr/share/libvirt/schemas/domain.rng"


@pytest.mark.parametrize("nic", ["enp2s0", "0000:02:10.0"])
def test_the_shell_lines_do_what_nicpass_does(host: Machine, nic: str) -> None:
    is_vf = nic.startswith("0000")
    host.succeed("ip link set enp2s0 up && nicpass vf create enp2s0 --count 1" if is_vf else "true")
    host.succeed(f"nicpass attach web01 {nic}")
    by_nicpass = host.succeed("virsh dumpxml web01 --inactive")
    host.succeed(f"nicpass detach web01 {nic} --dry-run=shell | bash -ex", 120)
    assert "hostdev" not in host.succeed("virsh dumpxml web01 --inactive")
    host.succeed(f"nicpass attach web01 {nic} --dry-run=shell | bash -ex")
    assert host.succeed("virsh dumpxml web01 --inactive") == by_nicpass
    host.succeed(f"nicpass detach web01 {nic}", 120)
    host.succeed("nicpass vf remove enp2s0 && ip link set enp2s0 down" if is_vf else "true")


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize(("element", "mac", "vlan"), [("hostdev", None, None), ("interface", "52:54:00:12:34:56", 7)])
def test_the_xml_is_valid_by_libvirts_own_schema(
    cache: Cache, element: str, mac: str | None, vlan: int | None, *, managed: bool
) -> None:
    root = get_image(cache).base
    schema = etree.RelaxNG(etree.parse(root / SCHEMA))
    spec = DeviceSpec(
        address=Address("0000:3b:10.1"),
        element="hostdev" if element == "hostdev" else "interface",
        managed=managed,
        mac=mac,
        vlan=vlan,
    )
    domain = etree.fromstring("<domain type='kvm'><name>x</name><memory>1</memory><os><type>hvm</type></os></domain>")
    devices = etree.SubElement(domain, "devices")
    devices.append(etree.fromstring(build_device(spec)))
    schema.assertValid(domain)
    devices.append(etree.fromstring("<hostdev mode='subsystem' type='pci' managed='perhaps'/>"))
    assert not schema.validate(domain)
