# SPDX-License-Identifier: Apache-2.0
"""Root ports in a VM's lasting definition: each lets one more device be plugged in while the VM runs.

Source: https://libvirt.org/pci-hotplug.html: a port can be added to the definition only, and is there from the VM's
next start on.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from nicpass.engine.handler import Handler, Handlers
from nicpass.hypervisor.libvirt.domains import inactive_xml, load_binding
from nicpass.hypervisor.libvirt.handle import DomainHandle
from nicpass.hypervisor.libvirt.xml_values import parse_hex, parse_xml
from nicpass.model.errors import StepError
from nicpass.model.language import _
from nicpass.model.plan import AddPorts, RemovePorts

if TYPE_CHECKING:
    from collections.abc import Callable

_MODEL = "pcie-root-port"


def port_handlers(tell: Callable[[str], object] = str) -> Handlers:
    """The handlers of this file's steps; `tell` is told of ports that have to stay."""
    steps = PortSteps(tell)
    return {
        AddPorts: Handler(steps.apply_add, steps.verify_add),
        RemovePorts: Handler(steps.apply_remove, steps.verify_remove),
    }


class PortSteps:
    """The apply and verify of steps about ports."""

    def __init__(self, tell: Callable[[str], object] = str) -> None:
        self.tell = tell

    def apply_add(self, step: AddPorts) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            for index in step.indices:
                if index not in _ports(inactive_xml(domain)):
                    domain.attachDeviceFlags(build_port(index), load_binding().VIR_DOMAIN_AFFECT_CONFIG)

    def verify_add(self, step: AddPorts) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            there = _ports(inactive_xml(domain))
        if lacking := [index for index in step.indices if index not in there]:
            raise StepError(
                _("The definition of {domain} has no root port {indices}.").format(
                    domain=step.domain, indices=", ".join(map(str, lacking))
                )
            )

    def apply_remove(self, step: RemovePorts) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            for index in reversed(step.indices):
                there = _ports(inactive_xml(domain))
                if there.get(index) is False:
                    domain.detachDeviceFlags(build_port(index), load_binding().VIR_DOMAIN_AFFECT_CONFIG)
                elif index in there:
                    text = _("The root port {index} of {domain} stays: something else stands on it by now.")
                    self.tell(text.format(index=index, domain=step.domain))

    def verify_remove(self, step: RemovePorts) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            there = _ports(inactive_xml(domain))
        if left := [index for index in step.indices if there.get(index) is False]:
            raise StepError(
                _("The definition of {domain} still has the root port {indices}.").format(
                    domain=step.domain, indices=", ".join(map(str, left))
                )
            )


def build_port(index: int) -> str:
    """The element of a root port; libvirt gives it its chassis and its place."""
    controller = ET.Element("controller", type="pci", index=str(index), model=_MODEL)
    return ET.tostring(controller, encoding="unicode")


def _ports(definition: str) -> dict[int, bool]:
    """Each root port's index, which is the number of the bus behind it, to whether something stands on that."""
    domain = parse_xml(definition)
    buses = {parse_hex(address.get("bus", "")) for address in domain.findall("./devices/*/address[@type='pci']")}
    found: dict[int, bool] = {}
    for controller in domain.findall("./devices/controller[@type='pci']"):
        index = parse_hex(controller.get("index", ""))
        if index is not None and controller.get("model") == _MODEL:
            found[index] = index in buses
    return found
