# SPDX-License-Identifier: Apache-2.0
"""A VM's place is written into the text of its definition, and taken out of it to the byte."""

from __future__ import annotations

import os.path
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import msgspec
import pytest

from nicpass.hypervisor.libvirt.placing import placement_in, put_placement
from nicpass.model.domain import CpuPin, Placement
from nicpass.model.errors import NicpassError
from nicpass.model.placement import same_place
from tests.support.domains import RICH, definition_xml, mutate, mutate_tree

GIB = 1 << 30
_ORDER = ("shares", "period", "quota", "vcpupin", "emulatorpin", "iothreadpin")
"""As virDomainDefFormat of libvirt's src/conf/domain_conf.c writes them."""


def shown(xml: str) -> str:
    """The definition as libvirt shows it, whatever it was given: in one order, two spaces a level."""
    root = ET.fromstring(xml)  # noqa: S314
    for element in root.iter():
        element.text = (element.text or "").strip() or None
        element.tail = None
    for tune in root.findall("cputune"):
        tune[:] = sorted(tune, key=lambda child: (_ORDER.index(child.tag), child.get("vcpu", "")))
    for tag in ("memoryBacking", "vcpu", "cputune", "numatune"):
        for element in root.findall(tag):
            root.remove(element)
            root.append(element)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def tidy(**parts: str) -> str:
    """A definition with the white space that libvirt leaves: none where a part is empty."""
    lines = definition_xml(**parts).splitlines()
    return "\n".join(line for line in lines if line.strip()) + "\n"


PLACE = Placement(
    vcpus=4,
    pins=tuple(CpuPin(number, str(number + 8)) for number in range(4)),
    emulator="12-13",
    mode="strict",
    nodes="1",
    hugepages=True,
    page_size=GIB,
)
OTHERS = "<cputune>\n    <shares>2048</shares>\n    <iothreadpin iothread='1' cpuset='3'/>\n  </cputune>"
DEFINITIONS = {
    "plain": tidy(),
    "rich": RICH,
    "others in cputune": tidy(vcpu="<vcpu>4</vcpu>\n  <iothreads>1</iothreads>", tune=OTHERS),
    "locked memory": tidy(backing="<memoryBacking>\n    <locked/>\n  </memoryBacking>"),
    "placed by a daemon": tidy(
        vcpu="<vcpu placement='auto' current='2'>4</vcpu>",
        tune="<numatune>\n    <memory mode='strict' placement='auto'/>\n  </numatune>",
    ),
    "nodes of the guest": tidy(
        tune="<numatune>\n    <memory mode='interleave' nodeset='0-1'/>\n"
        "    <memnode cellid='0' mode='strict' nodeset='0'/>\n  </numatune>"
    ),
    "huge pages of two sizes": tidy(
        backing="<memoryBacking>\n    <hugepages>\n      <page size='2048' unit='KiB' nodeset='0'/>\n"
        "      <page size='1048576' unit='KiB' nodeset='1'/>\n    </hugepages>\n  </memoryBacking>"
    ),
    "hostile text": tidy(metadata="<metadata><x:y xmlns:x='http://a/b?c&amp;d'>&lt;vcpu&gt;9 &gt;</x:y></metadata>"),
}


def before_of(xml: str) -> Placement:
    found = placement_in(xml)
    assert found is not None
    return found


@pytest.mark.parametrize("name", DEFINITIONS)
def test_it_says_where(name: str) -> None:
    placed = put_placement(DEFINITIONS[name], PLACE)
    assert same_place(before_of(placed), PLACE)
    assert put_placement(placed, PLACE) == placed
    root = ET.fromstring(placed)  # noqa: S314
    assert len({child.tag for child in root}) == len(list(root)), "no part stands there twice"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_and_again_what_it_said_before(name: str) -> None:
    xml = DEFINITIONS[name]
    back = put_placement(put_placement(xml, PLACE), before_of(xml))
    assert shown(back) == shown(xml)


@pytest.mark.parametrize("name", ["plain", "locked memory", "huge pages of two sizes", "hostile text"])
def test_to_the_byte_where_the_order_is_libvirt_s(name: str) -> None:
    xml = DEFINITIONS[name]
    assert put_placement(put_placement(xml, PLACE), before_of(xml)) == xml


def test_what_it_looks_like() -> None:
    placed = put_placement(tidy(), msgspec.structs.replace(PLACE, vcpus=2, pins=PLACE.pins[:2]))
    assert (
        """
  <cputune>
    <vcpupin vcpu='0' cpuset='8'/>
    <vcpupin vcpu='1' cpuset='9'/>
    <emulatorpin cpuset='12-13'/>
  </cputune>
"""
        in placed
    )
    assert "  <numatune>\n    <memory mode='strict' nodeset='1'/>\n  </numatune>\n" in placed
    assert "<hugepages>\n      <page size='1048576' unit='KiB'/>\n    </hugepages>" in placed


def test_other_programs_prefixes_stay() -> None:
    assert "xmlns:libosinfo=" in put_placement(RICH, PLACE)


def test_other_parts_of_cputune_stay() -> None:
    placed = put_placement(DEFINITIONS["others in cputune"], PLACE)
    assert "<shares>2048</shares>" in placed
    assert "<iothreadpin iothread='1' cpuset='3'/>" in placed


def test_a_daemon_places_it_no_more() -> None:
    assert "<vcpu placement='static' current='2'>4</vcpu>" in put_placement(DEFINITIONS["placed by a daemon"], PLACE)


_BY_LIBVIRT = """
import json, sys, libvirt
connection = libvirt.open("test:///default")
domain = connection.defineXML(sys.stdin.read())
sys.stdout.write(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
"""


def shown_by_libvirt(xml: str) -> str:
    """The definition as libvirt itself shows it, by its driver for tests, which needs neither daemon nor rights."""
    for python in filter(os.path.exists, ("/usr/bin/python3", sys.executable)):
        if subprocess.run([python, "-c", "import libvirt"], capture_output=True, check=False).returncode == 0:
            done = subprocess.run([python, "-c", _BY_LIBVIRT], input=xml, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout
    pytest.skip("the Python binding of libvirt is not installed")


@pytest.mark.spawns
@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name != "rich"])
def test_libvirt_shows_it_to_the_byte_as_it_was(name: str) -> None:
    xml = DEFINITIONS[name].replace("type='kvm'", "type='test'").replace("<boot dev='hd'/>", "")
    xml = re.sub(
        "<devices>.*</devices>", "<devices><graphics type='vnc' passwd='secret'/></devices>", xml, flags=re.DOTALL
    )
    if "nodes of" in name or "sizes" in name:
        cells = "".join(f"<cell id='{n}' cpus='{2 * n}-{2 * n + 1}' memory='2' unit='GiB'/>" for n in range(2))
        xml = re.sub("<cpu .*/>", f"<cpu><numa>{cells}</numa></cpu>", xml)
    before = shown_by_libvirt(re.sub("<cpu mode.*/>|machine='[^']*'", "", xml))
    placed = shown_by_libvirt(put_placement(before, PLACE))
    assert same_place(before_of(placed), PLACE)
    assert shown_by_libvirt(put_placement(placed, before_of(before))) == before
    assert "passwd='secret'" in before


def test_damaged_ones_are_an_error_or_a_definition() -> None:
    source = random.Random(20261130)  # noqa: S311
    for _each in range(200):
        change = source.choice((mutate, mutate_tree))
        text = change(source.choice(list(DEFINITIONS.values())), source)
        try:
            placed = put_placement(text, PLACE)
        except NicpassError:
            continue
        ET.fromstring(placed)  # noqa: S314
