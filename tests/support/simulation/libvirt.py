# SPDX-License-Identifier: Apache-2.0
"""The simulated libvirt: a daemon whose definitions and running VMs lie on disk, behind the names of its binding.

With `managed='yes'` it takes a NIC from its driver at a VM's start and gives it back at its end, without addresses;
of a VF it sets MAC and VLAN through the PF before, and sets back what was there after. A start that fails gives the
NIC back in the same way. Source: libvirt's src/hypervisor/virhostdev.c.
"""

from __future__ import annotations

import re
import sys
import types
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nicpass.hypervisor.libvirt.hostdevs import find_device, find_interface, parse_devices
from nicpass.model.errors import NicpassError
from nicpass.model.network import VfSettings
from tests.support.simulation.effects import Effect, Failed
from tests.support.simulation.networks import ERR_NO_NETWORK, NetworkHandle, Networks
from tests.support.simulation.networks import XML_INACTIVE as NETWORK_INACTIVE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nicpass.model.domain import DomainDevice
    from tests.support.simulation.effects import Effects
    from tests.support.simulation.hooks import Hooks
    from tests.support.simulation.kernel import Kernel

T = TypeVar("T")
AFFECT_LIVE, AFFECT_CONFIG, XML_INACTIVE, ERR_NO_DOMAIN = 1, 2, 2, 42
RUNNING, PAUSED, CRASHED, SUSPENDED = 1, 3, 6, 7
_SYSFS = "/sys/bus/pci"
_OF_DEFINITIONS = ("attach", "detach", "define")


class SimulatedLibvirtError(Exception):
    """The stand-in for libvirt.libvirtError."""

    def get_error_message(self) -> str:
        return str(self)

    def get_error_code(self) -> int:
        codes = {"no domain": ERR_NO_DOMAIN, "no network": ERR_NO_NETWORK}
        return next((code for words, code in codes.items() if words in str(self)), 1)


class Running(msgspec.Struct):
    """A VM that runs: its definition then, and what its VFs were set to before."""

    xml: str
    settings: dict[str, VfSettings] = {}
    state: int = RUNNING
    deaf: bool = False
    """Whether its guest lets go of nothing."""


class Daemon:
    """Does what libvirtd does, on the tree and `libvirt.json` beside it."""

    def __init__(self, base: Path, kernel: Kernel, effects: Effects, hooks: Hooks) -> None:
        self.hooks = hooks
        self.folder = base / "root/etc/libvirt/qemu"
        self.path = base / "libvirt.json"
        self.kernel, self.effects = kernel, effects
        self.networks = Networks(base / "root")

    def install(self) -> None:
        """From here on `import libvirt` gives this daemon; only for a process of its own."""
        module = types.ModuleType("libvirt")
        module.__dict__.update(
            open=lambda _uri: Connection(self),
            openReadOnly=lambda _uri: Connection(self),
            libvirtError=SimulatedLibvirtError,
            registerErrorHandler=lambda _handler, _context: None,
            VIR_DOMAIN_AFFECT_CONFIG=AFFECT_CONFIG,
            VIR_DOMAIN_AFFECT_LIVE=AFFECT_LIVE,
            VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT=1,
            VIR_DOMAIN_PAUSED=PAUSED,
            VIR_DOMAIN_CRASHED=CRASHED,
            VIR_DOMAIN_PMSUSPENDED=SUSPENDED,
            VIR_DOMAIN_XML_INACTIVE=XML_INACTIVE,
            VIR_DOMAIN_XML_SECURE=1,
            VIR_ERR_NO_DOMAIN=ERR_NO_DOMAIN,
            VIR_ERR_NO_NETWORK=ERR_NO_NETWORK,
            VIR_NETWORK_XML_INACTIVE=NETWORK_INACTIVE,
        )
        sys.modules["libvirt"] = module

    @property
    def running(self) -> dict[str, Running]:
        return msgspec.json.decode(self.path.read_bytes(), type=dict[str, Running]) if self.path.exists() else {}

    def save(self, running: dict[str, Running]) -> None:
        self.path.write_bytes(msgspec.json.encode(running))

    def definitions(self) -> dict[str, Path]:
        """UUID of each VM to the file of its definition."""
        paths = sorted(self.folder.glob("*.xml"))
        return {path.read_text().partition("<uuid>")[2].partition("<")[0]: path for path in paths}

    def start(self, uuid: str) -> None:
        """Start a VM; raises SimulatedLibvirtError, and then the host has its NICs back."""
        running = self.running
        if uuid in running:
            raise SimulatedLibvirtError("Requested operation is not valid: domain is already running")
        machine = Running(self.definitions()[uuid].read_text())
        held = {device.address for other in running.values() for device in parse_devices(other.xml)}
        for device in parse_devices(machine.xml):
            if device.address in held:
                raise SimulatedLibvirtError(f"PCI device {device.address} is in use by another domain")
            if not (self.kernel.root / f"sys/bus/pci/devices/{device.address}").exists():
                raise SimulatedLibvirtError(f"Device {device.address} not found")
        try:
            self.hooks.prepare(machine.xml)
            machine.xml = self._with_vfs(machine.xml, running)
            for device in parse_devices(machine.xml):
                self._take(device, machine)
        except NicpassError as error:
            raise SimulatedLibvirtError(f"operation failed: Hook script execution failed: {error.sentence}") from None
        except SimulatedLibvirtError:
            self._release(machine)
            raise
        self.save({**running, uuid: machine})

    def _with_vfs(self, definition: str, running: dict[str, Running]) -> str:
        """The definition in which VFs of pools were picked; the hook is called before that."""
        if "type='network'" not in definition and 'type="network"' not in definition:
            return definition
        try:
            return self.networks.resolve(definition, [machine.xml for machine in running.values()])
        except NicpassError as error:
            raise SimulatedLibvirtError(error.sentence) from None

    def stop(self, uuid: str) -> None:
        running = self.running
        machine = running.pop(uuid, None)
        if machine is None:
            raise SimulatedLibvirtError("Requested operation is not valid: domain is not running")
        self.save(running)
        self._release(machine, whoever_has_it=True)

    def plug(self, uuid: str, xml: str) -> None:
        """Plug a device into a running VM; raises SimulatedLibvirtError, and then the host has the NIC."""
        running = self.running
        if uuid not in running:
            raise SimulatedLibvirtError("Requested operation is not valid: domain is not running")
        machine = running[uuid]
        xml = _inside(self._with_vfs(f"<domain><devices>{xml}</devices></domain>", running))
        (device,) = parse_devices(f"<domain><devices>{xml}</devices></domain>")
        held = {device.address for other in running.values() for device in parse_devices(other.xml)}
        if device.address in held:
            raise SimulatedLibvirtError(f"PCI device {device.address} is in use by another domain")
        text = _with_device(machine.xml, xml)
        self._take(device, machine)
        machine.xml = text
        self.save(running)

    def unplug(self, uuid: str, xml: str) -> None:
        """Ask the guest to let go, and give the NIC back when it has; a deaf one never does."""
        running = self.running
        if uuid not in running:
            raise SimulatedLibvirtError("Requested operation is not valid: domain is not running")
        machine = running[uuid]
        text = _without(machine.xml, xml)
        if machine.deaf or machine.state != RUNNING:
            return
        (device,) = parse_devices(f"<domain><devices>{xml}</devices></domain>")
        machine.xml = text
        self.save(running)
        self._return(device, machine, whoever_has_it=True)
        machine.settings.pop(device.address, None)
        self.save(running)

    def change(self, uuid: str, **fields: object) -> None:
        """Make a running VM's guest deaf, or pause it."""
        running = self.running
        self.save({**running, uuid: msgspec.structs.replace(running[uuid], **fields)})

    def _take(self, device: DomainDevice, machine: Running) -> None:
        address = device.address
        if device.element == "interface":
            machine.settings[address] = self.kernel.vf_settings(address)
            self.kernel.set_vf(address, mac=device.mac or machine.settings[address].mac, vlan=device.vlan or 0)
        if device.managed:
            self.kernel.write(f"{_SYSFS}/devices/{address}/driver_override", "vfio-pci")
            self.kernel.unbind(address)
            self.kernel.write(f"{_SYSFS}/drivers_probe", address)
        if self.kernel.driver_of(address) != "vfio-pci":
            raise SimulatedLibvirtError(f"PCI device {address} is not bound to vfio-pci")

    def _release(self, machine: Running, *, whoever_has_it: bool = False) -> None:
        """Give a VM's NICs back; MAC and VLAN first, as libvirt does it: the driver then finds the VF as it was.

        When a VM has ended, libvirt does so by whichever driver has the NIC then: also by its own, if somebody gave it
        back meanwhile. Source: virPCIDeviceRebind() in src/util/virpci.c; seen on an emulated host too.
        """
        for device in parse_devices(machine.xml):
            self._return(device, machine, whoever_has_it=whoever_has_it)
        self.hooks.release(machine.xml)

    def _return(self, device: DomainDevice, machine: Running, *, whoever_has_it: bool) -> None:
        address = device.address
        if (before := machine.settings.get(address)) is not None:
            self.kernel.set_vf(address, mac=before.mac, vlan=before.vlan)
        if device.managed and (whoever_has_it or self.kernel.driver_of(address) == "vfio-pci"):
            self.kernel.write(f"{_SYSFS}/devices/{address}/driver_override", "\n")
            self.kernel.unbind(address)
            self.kernel.write(f"{_SYSFS}/drivers_probe", address)

    def call(self, what: str, act: Callable[[], T]) -> T:
        """One call that changes something; a client that dies leaves the daemon at work."""
        try:
            return self.effects.perform(Effect("libvirt", what, probes=not what.startswith(_OF_DEFINITIONS)), act)
        except Failed as failed:
            if what.startswith("create"):
                uuid = what.rsplit(maxsplit=1)[-1]
                if uuid in self.running:  # QEMU had begun, and did not come up
                    self.stop(uuid)
            raise SimulatedLibvirtError(f"internal error: {failed.reason}") from None


class Connection:
    """The stand-in for virConnect."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def close(self) -> int:
        return 0

    def lookupByUUIDString(self, uuid: str) -> DomainHandle:  # noqa: N802
        if uuid not in self.daemon.definitions():
            raise SimulatedLibvirtError(f"Domain not found: no domain with matching uuid '{uuid}'")
        return DomainHandle(self.daemon, uuid)

    def defineXML(self, xml: str) -> DomainHandle:  # noqa: N802
        """Write a VM's definition anew; its name and UUID are in there."""
        uuid = ET.fromstring(xml).findtext("uuid") or ""  # noqa: S314
        handle = self.lookupByUUIDString(uuid)
        self.daemon.call(f"define {uuid}", lambda: handle._write(xml))
        return handle

    def getLibVersion(self) -> int:  # noqa: N802
        return 10_000_000

    def listAllNetworks(self, _flags: int = 0) -> list[NetworkHandle]:  # noqa: N802
        return [NetworkHandle(self.daemon, name) for name in self.daemon.networks.names()]

    def networkLookupByName(self, name: str) -> NetworkHandle:  # noqa: N802
        if name not in self.daemon.networks.names():
            raise SimulatedLibvirtError(f"Network not found: no network with matching name '{name}'")
        return NetworkHandle(self.daemon, name)

    def networkDefineXML(self, xml: str) -> NetworkHandle:  # noqa: N802
        name = self.daemon.call("net-define", lambda: self.daemon.networks.define(xml))
        return NetworkHandle(self.daemon, name)

    def listAllDomains(self, _flags: int = 0) -> list[DomainHandle]:  # noqa: N802
        return [DomainHandle(self.daemon, uuid) for uuid in self.daemon.definitions()]


class DomainHandle:
    """The stand-in for virDomain."""

    def __init__(self, daemon: Daemon, uuid: str) -> None:
        self.daemon, self.uuid = daemon, uuid

    @property
    def _file(self) -> Path:
        return self.daemon.definitions()[self.uuid]

    def name(self) -> str:
        return self._file.stem

    def UUIDString(self) -> str:  # noqa: N802
        return self.uuid

    def isActive(self) -> int:  # noqa: N802
        return int(self.uuid in self.daemon.running)

    def state(self, _flags: int = 0) -> list[int]:
        machine = self.daemon.running.get(self.uuid)
        return [machine.state if machine is not None else 5, 0]

    def interfaceAddresses(self, _source: int) -> dict[str, object]:  # noqa: N802
        raise SimulatedLibvirtError("Guest agent is not responding: QEMU guest agent is not connected")

    def isPersistent(self) -> int:  # noqa: N802
        return 1

    def hasManagedSaveImage(self, _flags: int = 0) -> int:  # noqa: N802
        return 0

    def snapshotNum(self, _flags: int = 0) -> int:  # noqa: N802
        return 0

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        machine = self.daemon.running.get(self.uuid)
        return self._file.read_text() if machine is None or flags & XML_INACTIVE else machine.xml

    def attachDeviceFlags(self, xml: str, flags: int) -> int:  # noqa: N802
        if flags == AFFECT_LIVE:
            return self.daemon.call(f"plug {self.uuid}", lambda: self._zero(lambda uuid: self.daemon.plug(uuid, xml)))
        assert flags == AFFECT_CONFIG
        return self.daemon.call(f"attach {self.uuid}", lambda: self._write(_with_device(self._file.read_text(), xml)))

    def detachDeviceFlags(self, xml: str, flags: int) -> int:  # noqa: N802
        if flags == AFFECT_LIVE:
            return self.daemon.call(
                f"unplug {self.uuid}", lambda: self._zero(lambda uuid: self.daemon.unplug(uuid, xml))
            )
        assert flags == AFFECT_CONFIG
        return self.daemon.call(f"detach {self.uuid}", lambda: self._write(_without(self._file.read_text(), xml)))

    def create(self) -> int:
        return self.daemon.call(f"create {self.uuid}", lambda: self._zero(self.daemon.start))

    def destroy(self) -> int:
        return self.daemon.call(f"destroy {self.uuid}", lambda: self._zero(self.daemon.stop))

    def shutdown(self) -> int:
        """Shut the guest down, which heeds at once."""
        return self.daemon.call(f"shutdown {self.uuid}", lambda: self._zero(self.daemon.stop))

    def _zero(self, act: Callable[[str], None]) -> int:
        act(self.uuid)
        return 0

    def _write(self, text: str) -> int:
        temporary = self._file.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(self._file)
        return 0


def _inside(domain: str) -> str:
    (devices,) = ET.fromstring(domain).findall("devices")  # noqa: S314
    return "".join(ET.tostring(device, encoding="unicode") for device in devices)


def _interface_of(xml: str) -> str | None:
    """The MAC of an interface that a network is to give its VF; None for every other device."""
    element = ET.fromstring(xml)  # noqa: S314
    mac = element.find("mac")
    return mac.get("address") if element.get("type") == "network" and mac is not None else None


def _with_device(definition: str, xml: str) -> str:
    """The definition with one more device, to which libvirt gives an address in the guest where it has none."""
    if xml.startswith("<controller"):
        return definition.replace("  </devices>", f"    {xml}\n  </devices>")
    element = ET.fromstring(xml)  # noqa: S314
    if (mac := _interface_of(xml)) is not None:
        if find_interface(definition, mac) is not None:
            raise SimulatedLibvirtError(f"operation failed: a device with the MAC {mac} already exists")
    else:
        (device,) = parse_devices(f"<domain><devices>{xml}</devices></domain>")
        if find_device(definition, device.address) is not None:
            raise SimulatedLibvirtError(f"operation failed: target pci device {device.address} already exists")
    if element.find("address") is None:
        ET.SubElement(element, "address", type="pci", domain="0x0000", bus="0x06", slot="0x00", function="0x0")
    ET.indent(element, "  ", 2)
    return definition.replace("  </devices>", f"    {ET.tostring(element, encoding='unicode').strip()}\n  </devices>")


def _without(definition: str, xml: str) -> str:
    if xml.startswith("<controller"):
        return definition.replace(f"    {xml}\n", "", 1)
    wanted = _identity(xml)
    for tag in ("hostdev", "interface"):
        for match in re.finditer(rf" *<{tag}\b.*?</{tag}>\n", definition, re.DOTALL):
            if _identity(match[0]) == wanted:
                return definition[: match.start()] + definition[match.end() :]
    raise SimulatedLibvirtError("device not found: host device not found")


def _identity(xml: str) -> str | None:
    """What a device is found by: the host's function, or an interface's MAC."""
    if (mac := _interface_of(xml.strip())) is not None:
        return mac
    found = parse_devices(f"<domain><devices>{xml}</devices></domain>")
    return found[0].address if found else None
