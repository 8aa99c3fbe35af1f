# SPDX-License-Identifier: Apache-2.0
"""A snapshot that can be shown to strangers: no addresses, serial numbers or names of machines and people in it.

Each such value is replaced, the same one by the same, so that a check of the redacted host finds what a check of
the host itself finds. IP addresses keep their common prefixes, and so their subnets and routes (the idea of
Xu, Fan, Ammar and Moon, "Prefix-preserving IP address anonymization", 2002), without a way back from them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.model.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAC = re.compile(r"\b(?:[0-9a-f]{2}[:-]){5,19}[0-9a-f]{2}\b", re.IGNORECASE)
_MAC_IN_NAME = re.compile(r"(?<=enx)[0-9a-f]{12}\b")  # systemd.net-naming-scheme(7): the last resort is the MAC
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_MACHINE_ID = re.compile(r"\b[0-9a-f]{32}\b")  # machine-id(5): names of boot entries begin with it
_IP = re.compile(r"(?<![\w.:-])(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]*:[0-9a-f:]*:[0-9a-f:.]*)(?![\w:])", re.IGNORECASE)
_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-7])?", re.IGNORECASE)

_NAMED = {
    *("platform.hostname", "sessions.user", "sessions.remote_host", "storage.source", "links.alias"),
    *("storage.mounts", "foreign_netdevs.namespace", "foreign_uppers.namespace", "vfio_nodes.user", "vfio_nodes.group"),
    *("class_devices.mounts", "access.qemu_user"),
}
"""Fields that hold the name of a machine, of a person or of his folders, after the name of what they stand in."""
_MENTIONING = {
    *("platform.hostname", "platform.kvm_error", "domains.name", "libvirt_networks.name", "leftovers.unread"),
    "activity.foreign_unseen",
    *("directives.path", "directives.text", "udev_rules.path", "udev_rules.text", "driverctl.path"),
    *("managers.profile", "claims.path", "claims.holder"),
    *("intents.unread", "found.source", "found.text", "found.target"),
    *(
        "interfaces.source",
        "interfaces.network",
        "config_devices.rom_file",
        "live_devices.rom_file",
        "class_devices.label",
    ),
    *("boot.default_entry", "boot.one_shot", "entries.identity", "entries.title", "entries.source"),
}
"""Fields in whose text such a name may stand, as in every reason why something is unknown.

Such a name is sought in no other field: a VM may be called `bridge`, `default` or `vfio-pci`, and words of the kernel
are not its name.
"""
_LEFT_OUT: dict[str, Any] = {
    "files.content": {"unknown": "left out for strangers"},
    "generated.before": None,
    "generated.after": None,
    "entries.text": "",
}
"""Fields that are left out, with their replacement: a boot file may hold anything; only how the host boots is told."""
_NOBODY = {"root", "+0", "qemu", "libvirt-qemu", "kvm", "/", "/boot", "/boot/efi", "/home", "/srv", "/usr", "/var"}
"""Users and folders that are on every host, and matter to the check."""

_ARGUMENTS = re.compile(
    r"^(?:(?:intel|amd|s390)?_?iommu|intremap|x2apic|nox2apic|nointremap|noapic|apic|pci|pcie_.*|vfio.*|kvm.*|"
    r"module_blacklist|modprobe\.blacklist|rd\.driver\..*|initcall_blacklist|lockdown|efi|acpi|nomodeset|quiet|ro|rw|"
    r"(?:default_)?hugepages(?:z)?|hugepagesz|isolcpus|nohz_full|rcu_nocbs|mitigations|transparent_hugepage|"
    r"numa.*|maxcpus|nosmt|console|splash|swiotlb|noiommu|nokaslr|debug)$"
)
"""Kernel arguments whose values say nothing of whose machine it is; the values of all others are left out."""


def redact(host: Host, key: bytes) -> Host:
    """`host` for strangers. With the same secret `key` the same names come out; throw the key away after use."""
    redactor = _Redactor(host, key)
    return msgspec.convert(redactor.walk(msgspec.to_builtins(host), ""), Host)


class _Redactor:
    """Replaces values by their kind; a value that was replaced once is replaced alike everywhere."""

    def __init__(self, host: Host, key: bytes) -> None:
        self.key = key
        self.names: dict[str, str] = {}
        if isinstance(host.platform.hostname, str) and host.platform.hostname:
            self.names[host.platform.hostname] = "host"
        domains = host.domains if isinstance(host.domains, tuple) else ()
        for number, domain in enumerate(domains, 1):
            self.names.setdefault(domain.name, f"vm{number}")
        found = sorted(self.names, key=len, reverse=True)
        self.name = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in found)) if found else None

    def walk(self, value: Any, field: str) -> Any:
        """`value` with every string in it redacted; `field` is its name, after that of what it stands in."""
        if field in _LEFT_OUT and isinstance(value, str):
            return _LEFT_OUT[field]
        if isinstance(value, dict):
            around = field.rpartition(".")[2]
            return {key: self.walk(item, f"{around}.{key}") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.walk(item, field) for item in value]
        if field.endswith("serial_number") and isinstance(value, int):
            return self._number(f"serial {value}", 64)
        return self.text(value, field) if isinstance(value, str) else value

    def text(self, text: str, field: str) -> str:
        if _PCI.fullmatch(text) or not text or text in _NOBODY:
            return text
        if field in _NAMED:
            return self.names.setdefault(text, f"name{len(self.names)}") if not _is_ip(text) else self._ip_in(text)
        if field.endswith(("serial_number", "serial")):
            return f"serial-{self._number(text, 32):08x}"
        if field in ("platform.cmdline", "entries.arguments"):
            text = self._arguments(text)
        for pattern, replace in self._replacements:
            text = pattern.sub(replace, text)
        if self.name is not None and (field in _MENTIONING or field.endswith(".unknown")):
            text = self.name.sub(lambda found: self.names[found[0]], text)
        return text

    @cached_property
    def _replacements(self) -> list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]:
        return [
            (_MAC, lambda found: self._mac(found[0])),
            (_MAC_IN_NAME, lambda found: self._mac(found[0]).replace(":", "")),
            (_UUID, lambda found: self._uuid(found[0])),
            (_MACHINE_ID, lambda found: self._digest(f"machine {found[0]}").hex()[:32]),
            (_IP, lambda found: self._ip_in(found[0])),
        ]

    def _arguments(self, cmdline: str) -> str:
        """`cmdline` with only the values that concern nicpass: not those of `root=`, `ip=`, `netroot=`, passwords."""
        words = []
        for name, values in parse_cmdline(cmdline).items():
            kept = _ARGUMENTS.match(name) is not None
            words += [f"{name}={value if kept else '...'}" if value else name for value in values]
        return " ".join(words)

    def _mac(self, mac: str) -> str:
        """The locally administered replacement of a MAC; multicast MACs and all zeros stay what they are."""
        octets = bytes.fromhex(re.sub("[:-]", "", mac))
        if octets[0] & 1 or not any(octets):
            return mac
        replaced = bytes([2, *self._digest(f"mac {octets.hex()}")[: len(octets) - 1]])
        return ":".join(f"{octet:02x}" for octet in replaced)

    def _uuid(self, uuid: str) -> str:
        digits = self._digest(f"uuid {uuid.lower()}").hex()[:32]
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def _ip_in(self, text: str) -> str:
        if _PCI.fullmatch(text) or not _is_ip(text):
            return text
        address = ipaddress.ip_address(text)
        return text if _says_nothing(address) else str(type(address)(self._scramble(address)))

    def _scramble(self, address: IpAddress) -> int:
        """`address`, each bit turned over or not as those before decide; the first, which tell the kind, stay."""
        width, value = address.max_prefixlen, int(address)
        kept = 4 if width == 32 else 16
        scrambled = value >> (width - kept)
        for place in range(kept, width):
            before = f"{width} {place} {value >> (width - place):x}"
            bit = value >> (width - place - 1) & 1
            scrambled = scrambled << 1 | bit ^ (self._digest(before)[0] & 1)
        return scrambled

    def _number(self, text: str, bits: int) -> int:
        return int.from_bytes(self._digest(text), "big") >> (256 - bits)

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self.key, text.encode("utf-8", "surrogateescape"), hashlib.sha256)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _says_nothing(address: IpAddress) -> bool:
    """Whether an address is the same on every host: loopback, unspecified, multicast and the prefix of link-local."""
    is_network = address.packed in (bytes([254, 128]) + bytes(14), bytes([169, 254, 0, 0]))
    return address.is_loopback or address.is_unspecified or address.is_multicast or is_network
