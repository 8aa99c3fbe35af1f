# SPDX-License-Identifier: Apache-2.0
"""One NIC of the host by all that a configuration may name it by: names, MACs, driver, path, kind."""

from __future__ import annotations

import functools
import posixpath
from functools import cached_property
from typing import TYPE_CHECKING

from nicpass.host.intent.patterns import matches
from nicpass.model.address import parse_address, parse_mac

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files
    from nicpass.model.network import Link

_OCTETS_OF_INFINIBAND = 20


class Nic:
    """What few configurations ask for is read when the first of them does."""

    def __init__(self, files: Files, link: Link) -> None:
        self.name = link.name
        self.names = {link.name, *link.altnames}
        """The name it has now, its other ones, and those that a next boot may give it."""
        self.macs = {mac.lower() for mac in (link.mac, link.permanent_mac) if mac}
        self.knows_permanent_mac = link.permanent_mac is not None
        self._files = files
        self._parent = link.parent_device

    @cached_property
    def device(self) -> str | None:
        """Its device, `0000:3b:00.0` or `virtio0`; None for what has none."""
        if self._parent is not None:
            return self._parent
        target = self._files.read_link(f"/sys/class/net/{self.name}/device")
        return posixpath.basename(target) if isinstance(target, str) else None

    @cached_property
    def driver(self) -> str | None:
        """None where it is not to be learned."""
        target = self._files.read_link(f"/sys/class/net/{self.name}/device/driver")
        return posixpath.basename(target) if isinstance(target, str) else None

    @cached_property
    def path(self) -> str | None:
        """udev's ID_PATH, `pci-0000:3b:00.0`; None where what stands above its device is not a PCI function."""
        if self.device is not None and parse_address(self.device) is not None:
            return f"pci-{self.device}"
        return None

    @cached_property
    def kind(self) -> str:
        """`ether`, `wlan` or `infiniband`, in systemd-networkd's words."""
        if any(mac.count(":") + 1 == _OCTETS_OF_INFINIBAND for mac in self.macs):
            return "infiniband"
        return "wlan" if self._files.exists(f"/sys/class/net/{self.name}/phy80211") else "ether"

    def is_named(self, pattern: str) -> bool:
        """Whether a pattern of the shell matches one of its names."""
        return any(matches(pattern, name) for name in self.names)

    def has_mac(self, words: Iterable[str]) -> bool:
        """Whether one of these MACs, however written (`52-54-00-..`, `5254.00ff.0001`), is its own."""
        return any(normal_mac(word) in self.macs for word in words)

    def shows(self, attribute: str, pattern: str) -> bool:
        """Whether a pattern of the shell matches an attribute of its in sysfs; `mac` is its MAC (interfaces(5)).

        A folder (`wireless`) has no text, and what is there and cannot be read may be what is meant.
        """
        if attribute in ("mac", "address"):
            return any(matches(pattern.lower(), mac) for mac in self.macs)
        path = f"/sys/class/net/{self.name}/{attribute}"
        if not self._files.exists(path):
            return False
        text = self._files.read_attribute(path)
        return not isinstance(text, str) or matches(pattern, text)

    def is_meant(self, word: str) -> bool:
        """Whether a plain word is a name or the MAC of it."""
        return word in self.names or normal_mac(word) in self.macs


@functools.lru_cache(maxsize=4096)
def normal_mac(word: str) -> str | None:
    """`00:1b:21:aa:bb:cc` of any way in which MACs are written; None where it is none."""
    digits = word.strip().lower().replace("-", "").replace(":", "").replace(".", "")
    if len(digits) == 2 * _OCTETS_OF_INFINIBAND and all(digit in "0123456789abcdef" for digit in digits):
        return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
    if ":" in word and len(digits) < 12:  # `0:1b:21:a:b:c`
        digits = "".join(part.zfill(2) for part in word.strip().lower().split(":"))
    if len(digits) != 12:
        return None
    return parse_mac(":".join(digits[place : place + 2] for place in range(0, 12, 2)))
