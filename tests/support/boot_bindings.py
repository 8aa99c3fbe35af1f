# SPDX-License-Identifier: Apache-2.0
"""Hosts that have each of the findings about NICs that nicpass binds at boot."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.boot.binding.boot_d import render_binding
from nicpass.model.address import Address
from nicpass.model.binding import FOLDER, REPORTS
from nicpass.model.boot import BootBinding, DeviceIdentity
from tests.support.hosts import bridge, link, network, nic, ready_host

if TYPE_CHECKING:
    from nicpass.model.binding import BindingOutcome
    from tests.support.trees import Tree

NIC = "0000:01:00.0"
PORT = bridge("0000:00:01.0")
OTHER_PORT = bridge("0000:00:02.0", group=2)
ETH1 = nic(NIC, "eth1", under=PORT.address)
ON_VFIO = nic(NIC, under=PORT.address, driver="vfio-pci", driver_override="vfio-pci")
IDENTITY = DeviceIdentity(
    vendor_id=0x8086,
    device_id=0x10FB,
    subsystem_vendor_id=0x8086,
    subsystem_device_id=3,
    slots=("pci0000:00", "01.0", "00.0"),
)
SERIAL, NUMBER = "a0-36-9f-ff-ff-12-34-56", 0xA0369FFFFF123456
WITH_SERIAL = msgspec.structs.replace(IDENTITY, serial_number=SERIAL)
MODULES = "/lib/modules/6.1.0-28-amd64"


def bound(tree: Tree, identity: DeviceIdentity = IDENTITY, name: str = NIC, **report: Any) -> Tree:
    """The host with a binding's file in boot.d, and with the boot script's report of it, if one is given."""
    binding = BootBinding(name=name, address=Address(name), identity=identity)
    files: dict[str, str | bytes] = {f"{FOLDER}/{name}.conf": render_binding(binding)}
    if report:
        files[f"{REPORTS}/{name}"] = _report(**report)
    return tree.but(files={**tree.files, **files})


def _report(outcome: BindingOutcome | str, answers: str = "", driver: str = "", detail: str = "") -> str:
    return f"outcome={outcome}\npass=initramfs\nanswers={answers}\ndriver={driver}\ndetail={detail}\n"


def with_serials(*serials: tuple[str, str]) -> Tree:
    """Cards with this number below these ports: (address, port)."""
    cards = [nic(address, under=port, group=None, serial=NUMBER) for address, port in serials]
    ports = [dataclasses.replace(PORT, address=port) for port in dict.fromkeys(port for _, port in serials)]
    return ready_host(*ports, *cards)


HAVING: dict[str, Tree] = {
    "BOUND_AT_BOOT": bound(ready_host(PORT, ON_VFIO), outcome="bound", answers=NIC, driver="vfio-pci"),
    "BOOT_BINDING_PENDING": bound(ready_host()),
    "BOOT_BINDING_FAILED": bound(ready_host(), outcome="taken", answers=NIC, driver="ixgbe"),
    "BOOT_BINDING_ABSENT": bound(ready_host(), msgspec.structs.replace(IDENTITY, device_id=0x1521)),
    "BOOT_BINDING_AMBIGUOUS": bound(with_serials((NIC, "0000:00:02.0"), ("0000:02:00.0", "0000:00:03.0")), WITH_SERIAL),
    "BOOT_BINDING_DAMAGED": ready_host(files={f"{FOLDER}/{NIC}.conf": "driver=ixgbe\n"}),
    "BOOT_BINDING_OTHER_CARD": bound(
        ready_host(net=network(link("eth1", permanent_mac="00:1b:21:00:00:09"))),
        msgspec.structs.replace(IDENTITY, permanent_mac="00:1b:21:00:00:01"),
    ),
    "DRIVER_BUILT_IN": bound(
        ready_host().but(files={f"{MODULES}/modules.builtin": "kernel/drivers/net/ethernet/intel/ixgbe/ixgbe.ko\n"})
    ),
    "BOOT_BINDINGS_UNREAD": ready_host(files={f"{REPORTS}/{NIC}": "\0"}),
}
