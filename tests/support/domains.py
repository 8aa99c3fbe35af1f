# SPDX-License-Identifier: Apache-2.0
"""Definitions of VMs as libvirt writes them, with one part changed; and generated and damaged ones."""

from __future__ import annotations

import copy
import random
import xml.etree.ElementTree as ET

PARTS: dict[str, str] = {
    "memory": "<memory unit='KiB'>4194304</memory>\n  <currentMemory unit='KiB'>4194304</currentMemory>",
    "backing": "",
    "tune": "",
    "vcpu": "<vcpu placement='static'>4</vcpu>",
    "os": "<os>\n    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n    <boot dev='hd'/>\n  </os>",
    "cpu": "<cpu mode='host-passthrough' check='none' migratable='on'/>",
    "metadata": "",
    "controllers": "\n    ".join(
        [
            "<controller type='pci' index='0' model='pcie-root'/>",
            *(
                f"<controller type='pci' index='{index}' model='pcie-root-port'>\n"
                f"      <model name='pcie-root-port'/>\n      <target chassis='{index}' port='0x{15 + index:x}'/>\n"
                f"      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x{index - 1}'/>\n"
                "    </controller>"
                for index in (1, 2, 3)
            ),
        ]
    ),
    "interfaces": "<interface type='bridge'>\n      <mac address='52:54:00:11:22:33'/>\n"
    "      <source bridge='br0'/>\n      <model type='virtio'/>\n"
    "      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n    </interface>",
    "devices": "",
}


def definition_xml(name: str = "web", **parts: str) -> str:
    """A VM with PCI Express, three root ports and a virtio interface on the first of them."""
    assert set(parts) <= set(PARTS), parts
    part = {**PARTS, **parts}
    return f"""<domain type='kvm'>
  <name>{name}</name>
  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1801</uuid>
  {part["metadata"]}
  {part["memory"]}
  {part["backing"]}
  {part["vcpu"]}
  {part["tune"]}
  {part["os"]}
  {part["cpu"]}
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {part["controllers"]}
    {part["interfaces"]}
    {part["devices"]}
  </devices>
</domain>
"""


RICH = definition_xml(
    metadata="<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
    "<libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata>",
    memory="<maxMemory slots='4' unit='GiB'>16</maxMemory><memory unit='GiB'>8</memory>"
    "<currentMemory unit='MiB'>4096</currentMemory><memtune><hard_limit unit='G'>10</hard_limit></memtune>",
    backing="<memoryBacking><hugepages><page size='1048576' unit='KiB'/></hugepages><nosharepages/><locked/>"
    "</memoryBacking>",
    vcpu="<vcpu placement='static' cpuset='0-7,^3'>4</vcpu>",
    tune="<cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='1,9'/><emulatorpin cpuset='8'/></cputune>"
    "<numatune><memory mode='strict' nodeset='0'/></numatune>",
    os="<os firmware='efi'><type arch='x86_64' machine='pc-q35-9.2'>hvm</type>"
    "<firmware><feature enabled='yes' name='secure-boot'/></firmware></os>",
    cpu="<cpu mode='host-passthrough'><maxphysaddr mode='emulate' bits='39'/></cpu>",
    interfaces="<interface type='network'><source network='default'/><model type='virtio'/>"
    "<filterref filter='clean-traffic'/><teaming type='persistent'/>"
    "<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>"
    "<interface type='hostdev' managed='yes'><mac address='52:54:00:aa:00:01'/><source><address type='pci' "
    "domain='0x0000' bus='0x01' slot='0x10' function='0x0'/></source><teaming type='transient' persistent='ua-net'/>"
    "<address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></interface>",
    devices="<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x3b' "
    "slot='0x00' function='0x0'/></source><rom bar='off'/></hostdev><hostdev mode='subsystem' type='usb'><source>"
    "<vendor id='0x1'/><product id='0x2'/></source></hostdev>"
    "<iommu model='intel'><driver intremap='on' caching_mode='on' aw_bits='48'/></iommu>",
)
"""A definition that says something of everything that nicpass reads."""

_VALUES = (
    "",
    "-1",
    "0",
    "0x",
    "0x1f",
    "99999999999999999999",
    "KiB",
    "x" * 300,
    "0-16383,^5",
    "1-",
    "yes",
    "é",
    "a\nb",
    "\u202e",
)
_PIECES = ("'", '"', "<", ">", "/", "&", "\0", "\x1b[31m", "-1", "0x", "99999999999999999999", "KiB", "", " ", "é", "^")


def mutate(text: str, random_: random.Random) -> str:
    """`text` with a few bytes, words or whole stretches changed, doubled or cut out."""
    for _ in range(random_.randint(1, 4)):
        start = random_.randrange(len(text) + 1)
        end = min(len(text), start + random_.choice((0, 1, 1, 4, 40, 400)))
        how = random_.randrange(4)
        if how == 0:
            text = text[:start] + random_.choice(_PIECES) + text[end:]
        elif how == 1:
            text = text[:start] + text[end:]
        elif how == 2:
            text = text[:end] + text[start:]
        else:
            text = text[:start] + chr(random_.randrange(0x2FFF)) + text[start + 1 :]
    return text


def mutate_tree(text: str, random_: random.Random) -> str:
    """`text`, well-formed still, with a few attributes, texts and elements changed, doubled, moved or taken out."""
    root = ET.fromstring(text)  # noqa: S314  our own text
    for _ in range(random_.randint(1, 5)):
        elements = list(root.iter())
        element, other = random_.choice(elements), random_.choice(elements)
        how = random_.randrange(6)
        if how == 0 and element.attrib:
            element.set(random_.choice(list(element.attrib)), random_.choice(_VALUES))
        elif how == 1 and element.attrib:
            del element.attrib[random_.choice(list(element.attrib))]
        elif how == 2:
            element.text = random_.choice(_VALUES)
        elif how == 3 and len(element):
            element.remove(random_.choice(list(element)))
        elif how == 4 and len(elements) < 2000:
            element.append(copy.deepcopy(other))
        else:
            element.tag = other.tag
    return ET.tostring(root, encoding="unicode")
