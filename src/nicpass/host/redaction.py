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
import typing
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.host.redaction_rules import (
    ARGUMENT_NAMES,
    ARGUMENTS,
    DEVICE,
    DRIVERS,
    FLAVOURS,
    NETDEV,
    PARTS,
    RULES,
    VENDORS,
    WORDS,
    Rule,
)
from nicpass.model.fact import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.model.host import Host

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAC = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{2}[:-]){5,19}[0-9a-f]{2}(?![0-9a-f])", re.IGNORECASE)
_MAC_IN_NAME = re.compile(
    r"([a-z]{2})x([0-9a-f]{12})((?:[vd.]\d{1,4})*)"
)  # systemd.net-naming-scheme(7): the last resort
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_IP = re.compile(r"(?<![\w.:-])(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]*:[0-9a-f:]*:[0-9a-f:.]*)(?![\w:])", re.IGNORECASE)
_IP_ALONE = re.compile(r"\[?(?P<ip>[0-9a-fA-F:.]+)\]?(?P<rest>(?:/\d{1,3}|:\d{1,5})?)")
_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-7])?", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,8}|0x[0-9a-f]{1,8}", re.IGNORECASE)
_IDS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}(?:[:,][0-9a-f]{4,8})*", re.IGNORECASE)
_PIECE = re.compile(r"([^A-Za-z0-9]+)")
_VERSION_PIECE = re.compile(r"[A-Za-z]{0,2}\d{1,8}[A-Za-z]{0,2}|[0-9a-f]{1,8}")
_ALIAS = re.compile(
    r"pci:v[0-9A-F*]{1,8}d[0-9A-F*]{1,8}sv[0-9A-F*]{1,8}sd[0-9A-F*]{1,8}bc[0-9A-F*]+sc[0-9A-F*]+i[0-9A-F*]+"
)
_OPTION = re.compile(
    r"CONFIG_(?:VFIO|IOMMU|INTEL_IOMMU|AMD_IOMMU|KVM|PCI|IRQ|HUGETLB|IKCONFIG)\w*=[ymn]|CONFIG_\w*IOMMU\w*=[ymn]"
)
_WRAPPED = re.compile(r"([(\[\"'`]*)(.*?)([)\]\"'`,.;:!?]*)", re.DOTALL)
_EXTENSION = re.compile(
    r"\.(?:xml|conf|rules|network|netdev|link|service|json|img|cfg|rom|efi|save|nmconnection|py|sh)"
)

_NOBODY = {"root", "+0", "qemu", "libvirt-qemu", "kvm", "libvirt", "nobody", "disk", "tty"}
"""Users, groups and names that are on every host, and matter to the check."""
_LEFT_OUT = Unknown("left out for strangers")


def redact(host: Host, key: bytes) -> Host:
    """`host` for strangers. With the same secret `key` the same names come out; throw the key away after use."""
    redactor = _Redactor(host, key)
    redacted: Host = redactor.walk(host)
    return redacted


@cache
def _free_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a struct that hold free text or bytes: neither words of a closed set nor text of a pattern."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return frozenset(name for name in kind.__struct_fields__ if _is_free(hints[name]))


def _is_free(hint: Any) -> bool:
    if hint is str or hint is bytes:
        return True
    closed = typing.get_origin(hint) is typing.Annotated or isinstance(hint, type)
    return not closed and any(map(_is_free, typing.get_args(hint)))


class _Redactor:
    """Replaces values by their field's rule; a value that was replaced once is replaced alike everywhere."""

    def __init__(self, host: Host, key: bytes) -> None:
        self.key = key
        self.names: dict[str, str] = {}
        self.made: dict[tuple[str, str], str] = {}
        if isinstance(host.platform.hostname, str) and host.platform.hostname:
            self.names[host.platform.hostname] = "host"
        domains = host.domains if isinstance(host.domains, tuple) else ()
        for number, domain in enumerate(domains, 1):
            self.names.setdefault(domain.name, f"vm{number}")

    def walk(self, value: Any) -> Any:
        """`value` with every text in it redacted."""
        if isinstance(value, (tuple, frozenset)):
            return type(value)(map(self.walk, value))
        if not isinstance(value, msgspec.Struct):
            return value
        kind = type(value)
        new: dict[str, Any] = {}
        for name in kind.__struct_fields__:
            old = getattr(value, name)
            if name in _free_fields(kind):
                new[name] = self._field(old, RULES.get(f"{kind.__name__}.{name}", Rule.NAME))
            elif name == "serial" or name.endswith("serial_number"):
                new[name] = self._number(f"serial {old}", 64) if type(old) is int else old
            else:
                new[name] = self.walk(old)
        return msgspec.structs.replace(value, **new)

    def _field(self, value: Any, rule: Rule) -> Any:
        if isinstance(value, bytes) or (rule == Rule.ABSENT and isinstance(value, str)):
            return _LEFT_OUT if isinstance(value, bytes) else None
        if isinstance(value, str):
            return self._by_rule[rule](value) if value else value
        if isinstance(value, (tuple, frozenset)):
            return type(value)(self._field(item, rule) for item in value)
        return self.walk(value)

    @cached_property
    def _by_rule(self) -> dict[Rule, Callable[[str], str]]:
        return {
            Rule.NAME: lambda text: text if text in _NOBODY else self._name(text),
            Rule.WORD: lambda text: self._word(text) or self._name(text),
            Rule.TEXT: self._text,
            Rule.KEPT: self._pieces,
            Rule.DRIVER: lambda text: self._driver(text) or self._make("driver", text.replace("-", "_")),
            Rule.NETDEV: self._netdev,
            Rule.DEVICE: lambda text: text if DEVICE.fullmatch(text) else self._name(text),
            Rule.PATH: self._path,
            Rule.MAC: lambda text: self._mac(text) if _MAC.fullmatch(text) else self._name(text),
            Rule.IP: lambda text: text if text in WORDS else self._address(text) or self._name(text),
            Rule.UUID: lambda text: self._uuid(text) if _UUID.fullmatch(text) else self._name(text),
            Rule.SERIAL: lambda text: f"serial-{self._number(text, 32):08x}",
            Rule.CMDLINE: self._arguments,
            Rule.IDENTITY: lambda text: ">".join(map(self._identity, text.split(">"))),
            Rule.EMPTY: lambda _text: "",
        }

    def _name(self, text: str) -> str:
        return self.names.setdefault(text, f"name{len(self.names)}")

    def _make(self, kind: str, text: str) -> str:
        return self.made.setdefault((kind, text), f"{kind}{len(self.made)}")

    def _identity(self, text: str) -> str:
        return text if not text or _NUMBER.fullmatch(text) else self._make("entry", text)

    def _netdev(self, text: str) -> str:
        """The interface's name, or one made up; the number of a label or a VLAN stays behind it."""
        if NETDEV.fullmatch(text) or text in ("default", "?"):  # libvirt's own network is called so
            return text
        if (found := _MAC_IN_NAME.fullmatch(text)) is not None:
            return f"{found[1]}x{self._mac(found[2]).replace(':', '')}{found[3]}"
        base, mark, number = text.rpartition(":") if ":" in text else text.rpartition(".")
        if base and re.fullmatch(r"\d{1,4}", number):
            return f"{self._netdev(base)}{mark}{number}"
        return self._make("net", text)

    def _driver(self, text: str) -> str | None:
        if text.replace("-", "_") in DRIVERS:
            return text
        for mark in ("vfio", "uio"):
            if mark in text:  # the check asks drivers for this part of their names
                return f"{mark}-{self._make('driver', text.replace('-', '_'))}"
        return None

    def _address(self, text: str) -> str | None:
        found = _IP_ALONE.fullmatch(text)
        if found is None:
            return None
        for ip, rest in ((text, ""), (found["ip"], found["rest"])):
            if _is_ip(ip):
                return f"{self._ip_in(ip)}{rest}"
        return None

    def _word(self, text: str) -> str | None:
        """`text` where it says nothing of whose machine it is; None for any other."""
        kept = text in WORDS or text in VENDORS or _NUMBER.fullmatch(text) or _OPTION.fullmatch(text)
        if kept or _PCI.fullmatch(text) or (text.replace("_", " ").split() and set(text.split()) <= WORDS | VENDORS):
            return text
        return None

    def _text(self, text: str) -> str:
        words = [self._wrapped(word) for word in text.split()]
        return " ".join(
            word for place, word in enumerate(words) if word != "..." or words[place - 1 : place] != ["..."]
        )

    def _wrapped(self, word: str) -> str:
        """A word of a text, with the brackets and punctuation around it."""
        found = _WRAPPED.fullmatch(word)
        before, core, after = found.groups() if found is not None else ("", word, "")
        return f"{before}{self._token(core)}{after}" if core else word

    def _token(self, text: str) -> str:
        if text in self.names and text not in WORDS:
            return self.names[text]
        if self._word(text) or text.lower() in WORDS or _IDS.fullmatch(text) or NETDEV.fullmatch(text):
            return text
        if text.startswith("/"):
            return self._path(text)
        name, mark, value = text.partition("=")
        if mark and (name in WORDS or self._driver(name)):
            return f"{name}={self._wrapped(value)}"
        known = self._driver(text) or self._address(text)
        if known is None and _MAC.fullmatch(text):
            known = self._mac(text)
        return known or "..."

    def _pieces(self, text: str) -> str:
        """A version, a product or a list, piece by piece."""
        if _ALIAS.fullmatch(text) or _PCI.fullmatch(text):
            return text
        for pattern, replace in ((_UUID, self._uuid), (_MAC, self._mac), (_IP, self._ip_in)):
            text = pattern.sub(lambda found, replace=replace: replace(found[0]), text)  # type: ignore[misc]
        return "".join(piece if self._is_kept(piece) else "x" for piece in _PIECE.split(text))

    def _is_kept(self, piece: str) -> bool:
        if piece in self.names:
            return False
        if not piece or not piece[0].isalnum() or not piece[0].isascii():
            return not piece or (piece.isascii() and piece.isprintable())
        known = piece in WORDS or piece in VENDORS or piece in FLAVOURS
        return known or _VERSION_PIECE.fullmatch(piece) is not None or re.fullmatch(r"pci\d{4}", piece) is not None

    def _path(self, text: str) -> str:
        """A path; an absolute one only of parts that are on every host, a UUID or a name alone as such."""
        if _UUID.fullmatch(text):
            return self._uuid(text)
        if not text.startswith("/"):
            return self._netdev(text)
        return "/".join(map(self._part, text.split("/")))

    def _part(self, part: str) -> str:
        if not part or part in PARTS or _NUMBER.fullmatch(part) or _PCI.fullmatch(part) or DEVICE.fullmatch(part):
            return part
        stem, dot, _ = part.rpartition(".")
        extension = part[len(stem) :] if dot and _EXTENSION.fullmatch(part[len(stem) :]) else ""
        stem = part.removesuffix(extension)
        return f"{self._driver(stem) or self._name(stem)}{extension}"

    def _arguments(self, cmdline: str) -> str:
        """`cmdline` with only the values that concern nicpass: not those of `root=`, `ip=`, `netroot=`, passwords."""
        words = []
        for name, values in parse_cmdline(cmdline).items():
            kept = ARGUMENTS.fullmatch(name) is not None
            shown = name if kept or name in ARGUMENT_NAMES else self._name(name)
            words += [f"{shown}={self._value(value) if kept else '...'}" if value else shown for value in values]
        return " ".join(words)

    def _value(self, value: str) -> str:
        if _IDS.fullmatch(value):
            return value
        return "".join(
            piece if place % 2 or not piece or self._says_nothing(piece) else "..."
            for place, piece in enumerate(re.split(r"([,:=@])", value))
        )

    def _says_nothing(self, piece: str) -> bool:
        size_or_cpus = re.fullmatch(r"\d{1,6}(?:[KMGkmg]|n8|-\d{1,5})?(?:/\d{1,5})?", piece)
        return self._word(piece) is not None or size_or_cpus is not None or piece.replace("-", "_") in DRIVERS

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
        return hmac.digest(self.key, text.encode(), hashlib.sha256)


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
