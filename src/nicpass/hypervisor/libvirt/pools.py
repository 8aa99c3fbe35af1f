# SPDX-License-Identifier: Apache-2.0
"""The steps that change a pool of VFs, and those that give a VM an interface of one.

A pool is a network that lists the functions that it lends (https://libvirt.org/formatnetwork.html, "Connectivity";
`<forward mode='hostdev'>`). libvirt takes the first that no running VM has, sets the interface's MAC and the network's
VLAN through the PF, and binds it to vfio-pci (`managed='yes'`, law 5).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.admission import announce
from nicpass.engine.handler import Handler, Handlers, wait_until
from nicpass.host.pci.functions import read_function
from nicpass.hypervisor.libvirt.domains import inactive_xml, load_binding
from nicpass.hypervisor.libvirt.handle import DomainHandle, NetworkHandle
from nicpass.hypervisor.libvirt.hostdevs import address_attributes, find_interface, parse_devices, place_attributes
from nicpass.hypervisor.libvirt.live import UNPLUG_SECONDS
from nicpass.hypervisor.libvirt.networks import parse_network
from nicpass.hypervisor.libvirt.xml_values import parse_xml
from nicpass.model.errors import StepError
from nicpass.model.language import _
from nicpass.model.libvirt_network import POOL_MODE, PoolState
from nicpass.model.plan import (
    JoinPool,
    LeavePool,
    SetPool,
)
from nicpass.model.text import clause

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address

_BIND_SECONDS = 30.0


def pool_handlers(files: Files) -> Handlers:
    """The handlers of this file's steps."""
    steps = PoolSteps(files)
    return {
        SetPool: Handler(steps.apply_set, steps.verify_set),
        JoinPool: Handler(steps.apply_join, steps.verify_join),
        LeavePool: Handler(steps.apply_leave, steps.verify_leave),
    }


def build_pool(state: PoolState) -> str:
    """The network's definition: anew, or as libvirt had it, with these functions."""
    root = ET.Element("network") if state.xml is None else parse_xml(state.xml)
    if state.xml is None:
        ET.SubElement(root, "name").text = state.name
        ET.SubElement(root, "uuid").text = state.uuid
        ET.SubElement(root, "forward", mode=POOL_MODE, managed="yes")
        if state.vlan is not None:
            ET.SubElement(ET.SubElement(root, "vlan"), "tag", id=str(state.vlan))
    forward = next(iter(root.findall("forward")), None)
    if forward is None:
        raise StepError(_("The network {name} has no <forward> any more.").format(name=state.name), "nicpass pool list")
    for element in forward.findall("address"):
        forward.remove(element)
    for address in state.addresses:
        ET.SubElement(forward, "address", address_attributes(address, with_type=True))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def build_pool_interface(step: JoinPool | LeavePool) -> str:
    """The element in a VM's definition: the pool and the MAC; the VLAN is the pool's own."""
    if step.xml is not None:
        return step.xml
    element = ET.Element("interface", type="network")
    ET.SubElement(element, "mac", address=step.mac)
    ET.SubElement(element, "source", network=step.pool)
    if step.place is not None:
        ET.SubElement(element, "address", place_attributes(step.place))
    ET.indent(element)
    return ET.tostring(element, encoding="unicode")


class PoolSteps:
    """The apply and verify of the steps about pools."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def apply_set(self, step: SetPool) -> None:
        wanted = step.after
        with NetworkHandle(step.name) as network:
            if wanted is None:
                self._remove(network, step)
                return
            if network.found is None or _is_other(network, wanted):
                network.define(build_pool(wanted))
            if bool(network.autostart()) != wanted.autostart:
                network.setAutostart(int(wanted.autostart))
            if bool(network.isActive()) != wanted.active:
                if wanted.active:
                    network.create()
                else:
                    self._stop(network, wanted.addresses)

    def verify_set(self, step: SetPool) -> None:
        name, wanted = step.name, step.after
        with NetworkHandle(name) as network:
            if wanted is None:
                if network.found is not None and _is_ours(network, step):
                    raise StepError(_("libvirt has the network {name} still.").format(name=name))
                return
            if network.found is None:
                raise StepError(_("libvirt has no network {name}.").format(name=name))
            if _is_other(network, wanted):
                raise StepError(_("The pool {name} lends other functions than it was to.").format(name=name))
            facts = bool(network.isActive()), bool(network.autostart())
            if facts != (wanted.active, wanted.autostart):
                raise StepError(
                    _("The pool {name} is not as it was to be: active {active}, autostart {autostart}.").format(
                        name=name, active=facts[0], autostart=facts[1]
                    )
                )

    def _remove(self, network: NetworkHandle, step: SetPool) -> None:
        """Take the network away, unless another one has its name by now."""
        if network.found is None or not _is_ours(network, step):
            return
        if network.isActive():
            self._stop(network, step.before.addresses if step.before is not None else ())
        network.undefine()

    def _stop(self, network: NetworkHandle, addresses: tuple[Address, ...]) -> None:
        """Stop it; asked before and after whether a VM has a VF of it, which libvirt would then think to be free."""
        self._refuse_held(network, addresses)
        network.destroy()
        try:
            self._refuse_held(network, addresses)
        except StepError:
            network.create()
            raise

    def _refuse_held(self, network: NetworkHandle, addresses: tuple[Address, ...]) -> None:
        holders = network.ask("listAllDomains", lambda: _holders(network.connection, frozenset(addresses)))
        if holders:
            raise StepError(
                _("{vms} has been started with a VF of the pool {pool} meanwhile.").format(
                    vms=", ".join(holders), pool=network.name
                ),
                _("Shut it down first."),
            )

    def apply_join(self, step: JoinPool) -> None:
        library = load_binding()
        if step.live and DomainHandle.is_off(step):
            return
        with DomainHandle(step.uuid, step.domain) as domain:
            if step.live:
                if not domain.isActive():
                    raise StepError(_("{domain} was shut down meanwhile.").format(domain=step.domain))
                if find_interface(str(domain.XMLDesc()), step.mac) is None:
                    with announce(self.files, step.uuid):
                        domain.attachDeviceFlags(build_pool_interface(step), library.VIR_DOMAIN_AFFECT_LIVE)
                return
            if find_interface(inactive_xml(domain), step.mac) is None:
                domain.attachDeviceFlags(build_pool_interface(step), library.VIR_DOMAIN_AFFECT_CONFIG)
            # Asked after the change: a start before it runs without the VF, which nobody asked for.
            if not step.running and domain.isActive() and find_interface(str(domain.XMLDesc()), step.mac) is None:
                raise StepError(
                    _("{domain} was started meanwhile, without the NIC.").format(domain=step.domain),
                    _("Shut it down first."),
                )

    def verify_join(self, step: JoinPool) -> None:
        if step.live and DomainHandle.is_off(step):
            return
        with DomainHandle(step.uuid, step.domain) as domain:
            xml = str(domain.XMLDesc()) if step.live else inactive_xml(domain)
        if find_interface(xml, step.mac) is None:
            raise StepError(
                _("The interface {mac} does not stand in the definition of {domain}.").format(
                    mac=step.mac, domain=step.domain
                )
            )
        if step.live:
            verify_lent(self.files, xml, step.mac, step.domain)

    def apply_leave(self, step: LeavePool) -> None:
        library = load_binding()
        with DomainHandle(step.uuid, step.domain) as domain:
            if step.live:
                self._unplug(domain, step)
                return
            element = find_interface(inactive_xml(domain), step.mac)
            if element is not None:
                domain.detachDeviceFlags(element, library.VIR_DOMAIN_AFFECT_CONFIG)
            # Asked after the change: from here on no start takes a VF, and one before it is seen.
            if not step.running and domain.isActive() and find_interface(str(domain.XMLDesc()), step.mac) is not None:
                raise StepError(
                    _("{domain} was started meanwhile.").format(domain=step.domain), _("Shut it down first.")
                )

    def verify_leave(self, step: LeavePool) -> None:
        with DomainHandle(step.uuid, step.domain) as domain:
            if step.live and not domain.isActive():
                return
            xml = str(domain.XMLDesc()) if step.live else inactive_xml(domain)
        if find_interface(xml, step.mac) is not None:
            raise StepError(
                _("The interface {mac} still stands in the definition of {domain}.").format(
                    mac=step.mac, domain=step.domain
                )
            )

    def _unplug(self, domain: DomainHandle, step: LeavePool) -> None:
        """Ask the guest to let go, and wait until QEMU has none of it (`hypervisor.libvirt.live` says why)."""
        library, refused = load_binding(), ""

        def element() -> str | None:
            return find_interface(str(domain.XMLDesc()), step.mac) if domain.isActive() else None

        found = element()
        if found is None:
            return
        with announce(self.files, step.uuid):
            try:
                domain.detachDeviceFlags(found, library.VIR_DOMAIN_AFFECT_LIVE)
            except library.libvirtError as error:  # asked twice, QEMU refuses until the guest has answered the first
                refused = clause(error.get_error_message())
            gone = wait_until(lambda: element() is None, UNPLUG_SECONDS)
        if not gone:
            sentence = _("The guest of {domain} did not let go of {mac} within {seconds:g} s, and has it still.")
            if refused:
                sentence = _("libvirt, about {name}: {message}.")
            raise StepError(
                sentence.format(
                    domain=step.domain, name=step.domain, mac=step.mac, seconds=UNPLUG_SECONDS, message=refused
                ),
                _("Take it with --stop, or try again later."),
            )


def verify_lent(files: Files, xml: str, mac: str, domain: str) -> None:
    """Raise StepError unless the running machine has a VF for this interface, and vfio-pci has that VF."""
    element = find_interface(xml, mac)
    devices = parse_devices(f"<domain><devices>{element}</devices></domain>") if element is not None else ()
    if not devices:
        raise StepError(
            _("{domain} runs, but libvirt has picked no VF for its interface {mac}.").format(domain=domain, mac=mac)
        )
    address = devices[0].address
    if not wait_until(lambda: on_vfio(read_function(files, address)), _BIND_SECONDS):
        raise StepError(
            _("{domain} runs, but {address} is on {driver}.").format(
                domain=domain, address=address, driver=read_function(files, address).driver or _("no driver")
            )
        )


def _is_ours(network: NetworkHandle, step: SetPool) -> bool:
    """Whether it is the network that the step means, and no other one of its name."""
    return step.before is None or str(network.UUIDString()) == step.before.uuid


def _is_other(network: NetworkHandle, wanted: PoolState) -> bool:
    """Whether its lasting definition lends other functions, or puts them into another VLAN."""
    inactive = load_binding().VIR_NETWORK_XML_INACTIVE if network.isPersistent() else 0
    now = parse_network(str(network.XMLDesc(inactive)))
    vlan = now.vlans[0] if len(now.vlans) == 1 else None
    return not now.is_pool or (now.addresses, vlan) != (wanted.addresses, wanted.vlan)


def _holders(connection: Any, addresses: frozenset[Address]) -> list[str]:
    """The running VMs that have one of these functions."""
    return [
        str(domain.name())
        for domain in connection.listAllDomains()
        if domain.isActive() and addresses & {device.address for device in parse_devices(str(domain.XMLDesc()))}
    ]
