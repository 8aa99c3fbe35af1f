# SPDX-License-Identifier: Apache-2.0
"""The simulated libvirt's networks, and the VFs that it picks from those that lend them.

A lasting definition lies where libvirt has it, a link in `autostart` beside it, and the definition of what is active in
/run. Which functions an active network lends was read when it was started; the first that no running VM has is taken.
Source: libvirt's src/network/bridge_driver.c, networkAllocatePort.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from nicpass.hypervisor.libvirt.hostdevs import address_attributes, parse_devices
from nicpass.hypervisor.libvirt.networks import parse_network
from nicpass.model.errors import NicpassError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nicpass.model.address import Address
    from tests.support.simulation.libvirt import Daemon

XML_INACTIVE, ERR_NO_NETWORK = 1, 43


class Networks:
    """What libvirtd keeps of networks, on the tree."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "etc/libvirt/qemu/networks"
        self.running = root / "run/libvirt/network"

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.xml"))

    def lasting(self, name: str) -> Path:
        return self.folder / f"{name}.xml"

    def active(self, name: str) -> Path:
        return self.running / f"{name}.xml"

    def autostart(self, name: str) -> Path:
        return self.folder / "autostart" / f"{name}.xml"

    def define(self, xml: str) -> str:
        name = parse_network(xml).name
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.lasting(name).with_suffix(".new")
        new.write_text(xml)
        new.rename(self.lasting(name))
        return name

    def start(self, name: str) -> None:
        self.running.mkdir(parents=True, exist_ok=True)
        self.active(name).write_text(self.lasting(name).read_text())

    def start_at_boot(self) -> None:
        """Start those that are to be started by libvirtd itself."""
        for name in self.names():
            if self.autostart(name).is_symlink():
                self.start(name)

    def set_autostart(self, name: str, *, on: bool) -> None:
        link = self.autostart(name)
        link.parent.mkdir(exist_ok=True)
        if on and not link.is_symlink():
            link.symlink_to(f"/etc/libvirt/qemu/networks/{name}.xml")
        elif not on:
            link.unlink(missing_ok=True)

    def undefine(self, name: str) -> None:
        self.lasting(name).unlink()
        self.set_autostart(name, on=False)

    def resolve(self, machine: str, others: Iterable[str]) -> str:
        """The machine's definition with the VFs that libvirt picks for its interfaces; raises a NicpassError."""
        held = {device.address for xml in (*others, machine) for device in parse_devices(xml)}
        interface = re.compile(r"<interface\b.*?</interface>", re.DOTALL)
        return interface.sub(lambda found: self._pick(found[0], held), machine)

    def _pick(self, text: str, held: set[Address]) -> str:
        """One interface with its VF, if it is a pool's; the VF is then held."""
        interface = ET.fromstring(text)  # noqa: S314
        source = interface.find("source")
        name = source.get("network") if source is not None and interface.get("type") == "network" else None
        if source is None or name not in self.names():  # `default`, of which this host says nothing more
            return text
        if not self.active(name).exists():
            raise NicpassError(f"Requested operation is not valid: network '{name}' is not active")
        network = parse_network(self.active(name).read_text())
        free = [address for address in network.addresses if address not in held]
        if not free:
            raise NicpassError(f"internal error: network '{name}' requires exclusive access to interfaces")
        held.add(free[0])
        interface.attrib |= {"type": "hostdev", "managed": "yes"}
        source.attrib.clear()
        ET.SubElement(source, "address", address_attributes(free[0], with_type=True))
        if network.vlans:
            ET.SubElement(ET.SubElement(interface, "vlan"), "tag", id=str(network.vlans[0]))
        ET.indent(interface, "  ", 2)
        return ET.tostring(interface, encoding="unicode").strip()


class NetworkHandle:
    """The stand-in for virNetwork."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self.daemon, self._name, self.networks = daemon, name, daemon.networks

    def name(self) -> str:
        return self._name

    def UUIDString(self) -> str:  # noqa: N802
        return parse_network(self.XMLDesc(XML_INACTIVE)).uuid or ""

    def isActive(self) -> int:  # noqa: N802
        return int(self.networks.active(self._name).exists())

    def isPersistent(self) -> int:  # noqa: N802
        return 1

    def autostart(self) -> int:
        return int(self.networks.autostart(self._name).is_symlink())

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        active = self.networks.active(self._name)
        path = self.networks.lasting(self._name) if flags & XML_INACTIVE or not active.exists() else active
        return path.read_text()

    def setAutostart(self, on: int) -> int:  # noqa: N802
        return self._call("net-autostart", lambda: self.networks.set_autostart(self._name, on=bool(on)))

    def create(self) -> int:
        return self._call("net-start", lambda: self.networks.start(self._name))

    def destroy(self) -> int:
        return self._call("net-destroy", lambda: self.networks.active(self._name).unlink())

    def undefine(self) -> int:
        return self._call("net-undefine", lambda: self.networks.undefine(self._name))

    def _call(self, what: str, act: Callable[[], None]) -> int:
        self.daemon.call(f"{what} {self._name}", act)
        return 0
