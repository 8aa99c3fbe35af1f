# SPDX-License-Identifier: Apache-2.0
"""The files in /etc/nicpass/boot.d, one a device, and what the boot's script says of them in /run/nicpass/boot.d.

`files/bind-at-boot` reads and writes the same; a test compares the two. A file has lines `key=value`, each key at most
once, and lines that are empty or begin with `#`. Its name is the address that the device had, with `.conf`.
"""

from __future__ import annotations

import re

from nicpass.model.address import Address, parse_address
from nicpass.model.binding import FOLDER, REPORTS, SUFFIX, BindingOutcome, BindingReport, DamagedFile
from nicpass.model.boot import BootBinding, DeviceIdentity

_HEAD = "# Put here by nicpass prepare; nicpass prepare --remove takes it away.\n"
_HEX = "[0-9a-f]"
_ID = rf"0x{_HEX}{{4}}"
_PATTERNS = {
    "driver": r"vfio-pci|[a-z0-9_-]+(?:_vfio_pci|-vfio-pci)",
    "vendor": _ID,
    "device": _ID,
    "subsystem_vendor": _ID,
    "subsystem_device": _ID,
    "slots": rf"pci{_HEX}{{4,8}}:{_HEX}{{2}}(?:/[01]{_HEX}\.[0-7])+",
    "serial_number": rf"{_HEX}{{2}}(?:-{_HEX}{{2}}){{7}}",
    "permanent_mac": rf"{_HEX}{{2}}(?::{_HEX}{{2}}){{5}}",
}
_OPTIONAL = ("serial_number", "permanent_mac")
_REPORT_KEYS = ("outcome", "pass", "answers", "driver", "detail")
_LARGEST = 65536


def render_binding(binding: BootBinding) -> bytes:
    """The content of the binding's file.

    Raises:
        ValueError: a value that no such file may hold, so also a driver that is none of VFIO's.
    """
    identity = binding.identity
    values = {
        "driver": binding.driver,
        "vendor": f"0x{identity.vendor_id:04x}",
        "device": f"0x{identity.device_id:04x}",
        "subsystem_vendor": f"0x{identity.subsystem_vendor_id:04x}",
        "subsystem_device": f"0x{identity.subsystem_device_id:04x}",
        "slots": "/".join(identity.slots),
        "serial_number": identity.serial_number,
        "permanent_mac": identity.permanent_mac,
    }
    content = (_HEAD + "".join(f"{key}={value}\n" for key, value in values.items() if value is not None)).encode()
    if parse_binding(f"{binding.name}{SUFFIX}", content) != binding:
        raise ValueError(f"no boot binding can be: {binding}")
    return content


def parse_binding(name: str, content: bytes) -> BootBinding | DamagedFile:
    """The boot binding that a file of this name (`0000:01:00.0.conf`) holds. Nothing that is not plain is guessed."""
    path, address = f"{FOLDER}/{name}", name.removesuffix(SUFFIX)
    if parse_address(address) != address:
        return DamagedFile(path=path, reason="its name is no PCI address")
    values = _parse_lines(content)
    if isinstance(values, str):
        return DamagedFile(path=path, reason=values)
    for key, value in values.items():
        if key not in _PATTERNS:
            return DamagedFile(path=path, reason=f"no such key: {key}")
        if not re.fullmatch(_PATTERNS[key], value):
            return DamagedFile(path=path, reason=f"{key} cannot be {value!r}")
    if missing := [key for key in _PATTERNS if key not in values and key not in _OPTIONAL]:
        return DamagedFile(path=path, reason=f"{missing[0]} is missing")
    return BootBinding(name=address, identity=_identity(values), address=Address(address), driver=values["driver"])


def _parse_lines(content: bytes) -> dict[str, str] | str:
    """The file's lines as key to value, or what is wrong with them. Every byte is a character, so none is lost."""
    if len(content) > _LARGEST or b"\0" in content:
        return "it is no text" if b"\0" in content else "it is too large"
    values: dict[str, str] = {}
    for line in content.decode("latin-1").split("\n"):
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            return f"a line is not key=value: {line[:80]!r}"
        if key in values:
            return f"{key} is there twice"
        values[key] = value
    return values


def _identity(values: dict[str, str]) -> DeviceIdentity:
    return DeviceIdentity(
        vendor_id=int(values["vendor"], 16),
        device_id=int(values["device"], 16),
        subsystem_vendor_id=int(values["subsystem_vendor"], 16),
        subsystem_device_id=int(values["subsystem_device"], 16),
        slots=tuple(values["slots"].split("/")),
        serial_number=values.get("serial_number"),
        permanent_mac=values.get("permanent_mac"),
    )


def parse_report(name: str, content: bytes) -> BindingReport | DamagedFile:
    """The boot script's report on the binding of this name (without `.conf`)."""
    values = _parse_lines(content)
    path = f"{REPORTS}/{name}"
    if isinstance(values, str):
        return DamagedFile(path=path, reason=values)
    addresses = [parse_address(text) for text in values.get("answers", "").split()]
    if tuple(values) != _REPORT_KEYS or values["outcome"] not in list(BindingOutcome) or None in addresses:
        return DamagedFile(path=path, reason="it is no report of the boot's script")
    return BindingReport(
        name=name,
        outcome=BindingOutcome(values["outcome"]),
        boot_pass=values["pass"],
        addresses=tuple(address for address in addresses if address is not None),
        driver=values["driver"] or None,
        detail=values["detail"],
    )
