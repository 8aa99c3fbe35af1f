# SPDX-License-Identifier: Apache-2.0
"""Puts a VM into another place of the host, in the text of its definition, and leaves all other text as it is.

Source: https://libvirt.org/formatdomain.html, "CPU Tuning", "NUMA Node Tuning", "Memory Backing". What libvirt shows of
a definition is always in the same order and indentation, whatever it was given: so what is taken out again leaves the
definition byte for byte as it was shown before. The rest of the text is not parsed and written anew, for that would
rename the prefixes of other programs' namespaces in `<metadata>`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING
from xml.parsers import expat

from nicpass.hypervisor.libvirt.hostdevs import parse_machine
from nicpass.hypervisor.libvirt.xml_values import parse_xml
from nicpass.model.placement import placement_of

if TYPE_CHECKING:
    from nicpass.model.domain import Placement

_TAG = re.compile(rb"""<(?:[^'">]|'[^']*'|"[^"]*")*>""")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;"}
_PINS = ("vcpupin", "emulatorpin")
_BEHIND = {
    "vcpu": ("currentMemory", "memory", "name"),
    "cputune": ("vcpu", "name"),
    "memoryBacking": ("currentMemory", "memory", "name"),
    "numatune": ("cputune", "vcpu", "name"),
}
"""Behind which element libvirt writes one that was not there: virDomainDefFormat of its src/conf/domain_conf.c."""


def placement_in(xml: str) -> Placement | None:
    """Where the definition puts the VM; None where it says nothing that can be understood.

    Raises:
        NicpassError: it is not XML.
    """
    return placement_of(parse_machine(xml)[1])


def put_placement(xml: str, placement: Placement) -> str:
    """The definition with this placement.

    Raises:
        NicpassError: it is not XML.
    """
    parse_xml(xml)
    for tag, change in (
        ("vcpu", _vcpu),
        ("cputune", _cputune),
        ("memoryBacking", _memory_backing),
        ("numatune", _numatune),
    ):
        span = _find(xml.encode(), tag)
        before = parse_xml(xml.encode()[slice(*span)].decode()) if span is not None else ET.Element(tag)
        after = change(before, placement)
        xml = _splice(xml.encode(), tag, after).decode()
    return xml


def _vcpu(element: ET.Element, placement: Placement) -> ET.Element:
    """With `auto` a daemon decides at each start, and libvirt heeds no pin."""
    is_auto = element.get("placement") == "auto"
    if is_auto is placement.by_hand:
        element.set("placement", "static" if placement.by_hand else "auto")
    return element


def _cputune(element: ET.Element, placement: Placement) -> ET.Element:
    for child in [child for child in element if child.tag in _PINS]:
        element.remove(child)
    for pin in placement.pins:
        ET.SubElement(element, "vcpupin", vcpu=str(pin.vcpu), cpuset=pin.cpus)
    if placement.emulator is not None:
        ET.SubElement(element, "emulatorpin", cpuset=placement.emulator)
    return element


def _numatune(element: ET.Element, placement: Placement) -> ET.Element:
    if placement.numatune_xml is not None:
        return parse_xml(placement.numatune_xml)
    whole = ET.Element("numatune")  # what it says of single nodes of the guest would contradict
    if placement.nodes is not None:
        ET.SubElement(whole, "memory", mode=placement.mode or "strict", nodeset=placement.nodes)
    return whole


def _memory_backing(element: ET.Element, placement: Placement) -> ET.Element:
    for child in element.findall("hugepages"):
        element.remove(child)
    if placement.hugepages_xml is not None:
        element.insert(0, parse_xml(placement.hugepages_xml))
    elif placement.hugepages:
        pages = ET.Element("hugepages")
        element.insert(0, pages)
        if placement.page_size is not None:
            ET.SubElement(pages, "page", size=str(placement.page_size >> 10), unit="KiB")
    return element


def _splice(xml: bytes, tag: str, element: ET.Element) -> bytes:
    """The text with `element` for the one of this name: in its place, where libvirt writes it, or gone."""
    span = _find(xml, tag)
    is_empty = len(element) == 0 and not element.attrib and not (element.text or "").strip()
    text = b"" if is_empty else _render(element, 1).encode()
    if span is None:
        behind = next((found for other in _BEHIND[tag] if (found := _find(xml, other)) is not None), None)
        if is_empty or behind is None:
            return xml
        return xml[: behind[1]] + b"\n" + text + xml[behind[1] :]
    start, end = span
    start -= len(xml[:start]) - len(xml[:start].rstrip(b" \t"))
    if is_empty:
        end += 1 if xml[end : end + 1] == b"\n" else 0
    return xml[:start] + text + xml[end:]


def _find(xml: bytes, tag: str) -> tuple[int, int] | None:
    """Where in the text the element of this name stands that is a child of the root: (first byte, behind its last)."""
    found: list[int] = []
    depth = 0
    parser = expat.ParserCreate("utf-8")

    def start(name: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth == 2 and name == tag and not found:
            found.append(parser.CurrentByteIndex)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        if depth == 1 and name == tag and len(found) == 1:
            found.append(parser.CurrentByteIndex)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(xml, True)  # noqa: FBT003 - expat takes no keyword here
    if len(found) != 2:
        return None
    last = _TAG.match(xml, found[1])  # the end tag; of `<a/>` the tag itself
    return found[0], last.end() if last is not None else found[1]


def _render(element: ET.Element, depth: int) -> str:
    """The element as libvirt writes it: two spaces a level, single quotes."""
    indent = "  " * depth
    attributes = "".join(f" {name}='{_escape(value)}'" for name, value in element.attrib.items())
    head = f"{indent}<{element.tag}{attributes}"
    text = (element.text or "").strip()
    if len(element):
        inner = "\n".join(_render(child, depth + 1) for child in element)
        return f"{head}>\n{inner}\n{indent}</{element.tag}>"
    return f"{head}>{_escape(text)}</{element.tag}>" if text else f"{head}/>"


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(char, char) for char in text)
