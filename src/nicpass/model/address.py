# SPDX-License-Identifier: Apache-2.0
"""The addresses of PCI functions and of network interfaces, validated once."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    import ipaddress

Address = NewType("Address", str)
"""`domain:bus:slot.function` in lower-case hex, `0000:3b:00.1`: the name of the function in sysfs.

Linux writes at least four digits of the domain; VMD controllers use five (`10000:e1:00.0`).
Source: `pci_setup_device()` and Documentation/PCI/sysfs-pci.rst of the kernel.
"""

_ADDRESS = re.compile(r"(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])")
_HEX = frozenset("0123456789abcdef")
# linux/if.h: IFNAMSIZ is 16 with the closing NUL; dev_valid_name() refuses "/", ":" and white space.
_NETDEV = re.compile(r"(?!\.{1,2}$)[^\s/:]{1,15}", re.ASCII)
_SPELLED_BYTE = r"\\x[89a-f][0-9a-f]"  # a byte that is no UTF-8, in the spelling of our doors


@lru_cache(maxsize=1 << 14)  # of each function a scan meets several times: its name, its PF's link, its netdev's path
def parse_address(text: str) -> Address | None:
    """The PCI address in `text`, in sysfs's form; `01:00.0` is taken to be in domain 0000. None if it is no address."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3], 16) > 0x1F:  # a slot has five bits
        return None
    domain, bus, slot, function = match.groups(default="0000")
    return Address(f"{domain}:{bus}:{slot}.{function}".lower())


def last_address(path: str) -> Address | None:
    """The last PCI function in a path through /sys/devices: it drives the device at that path (sysfs-rules.rst)."""
    return next((found for part in reversed(path.split("/")) if (found := parse_address(part)) is not None), None)


def parse_mac(text: str) -> str | None:
    """The MAC address in `text`, in the kernel's form, `52:54:00:aa:00:01`. None if it is no MAC address."""
    if len(text) != 17:
        return None
    mac = text.lower().replace("-", ":")
    parts = mac.split(":")
    return mac if len(parts) == 6 and all(len(part) == 2 and _HEX.issuperset(part) for part in parts) else None


def station_mac(text: str) -> str | None:
    """The MAC in `text`, in the kernel's form; None for what is no MAC, or not that of one station (IEEE 802, 8.2)."""
    mac = parse_mac(text)
    return None if mac is None or int(mac[:2], 16) & 1 or not int(mac.replace(":", ""), 16) else mac


def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address in `text`, without brackets and zone; IPv4 written as IPv6 (RFC 4291, 2.5.5.2) becomes IPv4.

    None if `text` is neither an IPv4 nor an IPv6 address.
    """
    import ipaddress  # late: many a run asks for none

    try:
        address = ipaddress.ip_address(text.strip("[]").split("%", 1)[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def ip_text(text: str) -> str | None:
    """The IP address in `text` as the kernel writes it; None where `text` is a name."""
    address = parse_ip(text)
    return None if address is None else str(address)


def is_netdev_name(text: str) -> bool:
    """Whether the kernel would accept `text` as the name of a network interface."""
    plain = re.sub(_SPELLED_BYTE, "?", text) if "\\" in text else text
    return _NETDEV.fullmatch(plain) is not None


def split_address(address: Address) -> tuple[int, int, int, int]:
    """(domain, bus, slot, function) as numbers; sorts as `lspci` does."""
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    return int(domain, 16), int(bus, 16), int(slot, 16), int(function, 16)


def derive_vf_mac(pf_mac: str, vf_index: int) -> str:
    """A stable MAC for a VF that has none: the PF's own, made local, with the VF's index mixed in.

    Bit 1 of the first octet marks a locally administered address, bit 0 a group one (IEEE 802-2014, 8.2).
    The index, plus one so that VF 0 differs too, goes by exclusive or into the second and third octet. The last
    three stay the PF's: the ports of one card have consecutive MACs, and their VFs must not collide.
    """
    octets = [int(octet, 16) for octet in pf_mac.split(":")]
    octets[0] = (octets[0] | 0x02) & 0xFE
    mixed = ((octets[1] << 8) | octets[2]) ^ (vf_index + 1)
    octets[1], octets[2] = mixed >> 8, mixed & 0xFF
    return ":".join(f"{octet:02x}" for octet in octets)
