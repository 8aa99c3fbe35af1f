# SPDX-License-Identifier: Apache-2.0
"""Values out of XML that may be damaged or strange: a value that is not there is None, a wrong one is Unknown."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from nicpass.model.address import Address, parse_address
from nicpass.model.errors import NicpassError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.language import _
from nicpass.model.memory import parse_cpulist

_MAX_DEPTH = 64  # libvirt's own elements nest about ten deep; writing one out again goes by recursion
_SHOWN = 40  # characters of a wrong value that a reason repeats
_NUMBER = re.compile(r"[+]?[0-9]{1,20}")
# virScaleInteger() of libvirt: a letter or KiB is a power of 1024, KB one of 1000; formatdomain, `memory`, `unit`.
_POWERS = {letter: power for power, letter in enumerate("kmgtpe", 1)}


def parse_xml(xml: str) -> ET.Element:
    """The root element of a domain's XML.

    Raises:
        NicpassError: the text is no XML, or nested so deep that no hypervisor wrote it.
    """
    try:
        # libvirt's own output and root's own files; and expat limits by itself what entities may grow to.
        root = ET.fromstring(xml)  # noqa: S314
    except (ET.ParseError, ValueError, LookupError) as error:
        raise NicpassError(_("A domain's XML cannot be read: {error}.").format(error=error)) from None
    level, depth = [root], 0
    while level:
        level, depth = [child for element in level for child in element], depth + 1
        if depth > _MAX_DEPTH:
            reason = _("it is nested more than {count} deep").format(count=_MAX_DEPTH)
            raise NicpassError(_("A domain's XML cannot be read: {error}.").format(error=reason))
    return root


def text_of(element: ET.Element | None) -> str | None:
    """The text of an element, without white space at its ends; None where there is none."""
    text = (element.text or "").strip() if element is not None else ""
    return text or None


def attribute_of(element: ET.Element | None, name: str) -> str | None:
    return element.get(name) if element is not None else None


def whole_of(element: ET.Element | None) -> str | None:
    """The element itself as text; None where there is none."""
    return ET.tostring(element, encoding="unicode").strip() if element is not None else None


def is_on(text: str | None) -> bool | None:
    """libvirt's `yes` and `no`, `on` and `off`; None for everything else."""
    return {"yes": True, "on": True, "no": False, "off": False}.get(text or "")


def parse_count(text: str | None, what: str) -> Fact[int]:
    """A whole decimal number; `what` names it in the reason."""
    if text is None:
        return None
    return int(text) if _NUMBER.fullmatch(text) else _unknown("not a number", what, text)


def parse_size(element: ET.Element | None, what: str, text: str | None = None) -> Fact[int]:
    """A size in bytes, from a number and its `unit`, KiB where unsaid; `text` is a number that is an attribute."""
    number = parse_count(text if text is not None else text_of(element), what)
    if not isinstance(number, int) or element is None:
        return number
    unit = element.get("unit", "KiB")
    factor = _factor(unit.lower())
    return number * factor if factor else _unknown("not a unit", what, unit)


def parse_list(text: str | None, what: str) -> Fact[str]:
    """A list of CPUs or nodes, `0-3,8`, as it stands there."""
    if text is None:
        return None
    return text if parse_cpulist(text) is not None else _unknown("not a list of numbers", what, text)


def parse_source_address(source: ET.Element) -> Address | None:
    """The host's PCI function that an `<address>` names; None for numbers that are no address."""
    numbers = [parse_hex(source.get(key, "0x0")) for key in ("domain", "bus", "slot", "function")]
    domain, bus, slot, function = (number if number is not None else -1 for number in numbers)
    return parse_address(f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")


def parse_hex(text: str) -> int | None:
    """A number in the notations that libvirt's schema takes, `0x1f` and `31`."""
    try:
        return int(text, 0) if len(text) <= 20 and text.isascii() else None
    except ValueError:
        return None


def _factor(unit: str) -> int | None:
    if unit in ("b", "byte", "bytes"):
        return 1
    power = _POWERS.get(unit[:1])
    if power is None or unit[1:] not in ("", "ib", "b"):
        return None
    base = 1000 if unit[1:] == "b" else 1024
    return int(base**power)


def _unknown(reason: str, what: str, text: str) -> Unknown:
    return Unknown(f"{reason}: {what}: {text[:_SHOWN]!r}")
