# SPDX-License-Identifier: Apache-2.0
"""Reads what is asked of one interface alone: its sysctls, its rings and offloads, its place as a bridge's port.

Some 150 files and ten questions to the driver, a few milliseconds: much for a listing of a thousand, nothing for
the one that is about to leave. A setting that is not writable cannot be given back, and is not read.
"""

from __future__ import annotations

import stat
import struct
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.network.ethtool import CHANNELS, COALESCING, PAUSE, RINGS, read_features, read_group
from nicpass.host.network.rtnetlink import Kind, dump, fixed_part, read_attributes, split_attributes
from nicpass.model.fact import Fact, Unknown, known, value_or
from nicpass.model.network import Link, LinkSettings, Network, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

SYSCTL = "/proc/sys/net"
FOLDERS = ("ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh")
# Values of other sysctls in coarser units: written after the fine ones they would round them (net/core/neighbour.c).
_TWICE = frozenset({"retrans_time", "base_reachable_time", "unres_qlen"})
_WRITABLE = stat.S_IWUSR
_MAX_FILES = 1024  # a folder of a real kernel has fewer than a hundred

_AF_BRIDGE = 7
_RTEXT_FILTER_BRVLAN = 0x2
# IFLA_EXT_MASK is 29; struct ifinfomsg is 16 bytes long
_PORTS = Kind(18, struct.pack("=BxHiII", _AF_BRIDGE, 0, 0, 0, 0) + struct.pack("=HHI", 8, 29, _RTEXT_FILTER_BRVLAN), 16)
_IFINFO = struct.Struct("=BxHiII")
_IFNAME, _AF_SPEC, _VLAN_INFO = 3, 26, 2  # IFLA_*; linux/if_bridge.h: IFLA_BRIDGE_VLAN_INFO
_VLAN = struct.Struct("=HH")  # struct bridge_vlan_info: flags, vid
VLAN_FLAGS = {"pvid": 0x2, "untagged": 0x4}
"""BRIDGE_VLAN_INFO_* that an administrator chooses (linux/if_bridge.h)."""


def add_settings(host: Host, files: Files, function: PciFunction) -> Host:
    """`host` with the settings of this one NIC's interfaces."""
    network = with_settings(host.network, files, function.netdevs)
    return msgspec.structs.replace(host, network=network) if network is not host.network else host


def add_speed(host: Host, files: Files, function: PciFunction) -> Host:
    """The host with the speed of this NIC's links (sysfs-class-net); it is asked of the driver, so of one NIC alone."""
    names = value_or(function.netdevs, ())
    read = {name: files.read_int(f"/sys/class/net/{name}/speed") for name in names}
    links = (
        msgspec.structs.replace(link, speed=speed)
        if isinstance(speed := read.get(link.name), int) and speed > 0  # -1 is unknown
        else link
        for link in host.network.links
    )
    network = msgspec.structs.replace(host.network, links=tuple(links))
    return msgspec.structs.replace(host, network=network)


def with_settings(network: Network, files: Files, netdevs: Fact[tuple[str, ...]]) -> Network:
    """`network` with the settings of the named interfaces."""
    names = value_or(netdevs, ())
    if not names:
        return network
    links = network.links
    kinds = {link.name: link.kind for link in links}
    read = tuple(_with_settings(link, kinds, files) if link.name in names else link for link in links)
    return msgspec.structs.replace(network, links=read)


def _with_settings(link: Link, kinds: dict[str, str | None], files: Files) -> Link:
    """`link` with its settings. Under another root the driver is not asked: a capture's settings stay."""
    settings = link.settings or LinkSettings()
    if files.is_live:
        settings = LinkSettings(
            rings=read_group(link.name, RINGS),
            channels=read_group(link.name, CHANNELS),
            coalescing=read_group(link.name, COALESCING),
            pause=read_group(link.name, PAUSE),
            features=read_features(link.name),
            port_vlans=read_port_vlans(link.name) if kinds.get(link.master or "") == "bridge" else None,
        )
    sysctls = read_sysctls(files, link.name)
    port = read_port(files, link.name) if link.master is not None else None
    settings = msgspec.structs.replace(
        settings,
        sysctls=sysctls if sysctls is not None else settings.sysctls,
        port=port if port is not None else settings.port,
    )
    return msgspec.structs.replace(link, settings=settings) if settings != LinkSettings() else link


def read_sysctls(files: Files, netdev: str) -> Fact[tuple[Setting, ...]]:
    """Sysctls, such as `ipv4/conf/rp_filter`, with their values, by name; None where the kernel has none of them.

    A sysctl that cannot be read is left out, as `stable_secret` before it is set.
    """
    found: list[Setting] = []
    for folder in FOLDERS:
        settings = _read_folder(files, f"{SYSCTL}/{folder}", netdev)
        if isinstance(settings, Unknown):
            return settings
        found += [Setting(f"{folder}/{name}", value) for name, value in settings or () if name not in _TWICE]
    return tuple(found) or None


def read_port(files: Files, netdev: str) -> Fact[tuple[Setting, ...]]:
    """The settings of a bridge's port; None for an interface that is no port."""
    found = _read_folder(files, "/sys/class/net", netdev, "/brport")
    return tuple(Setting(name, value) for name, value in found) if isinstance(found, list) else found


def sysctl_path(netdev: str, name: str) -> str:
    """The path of the sysctl `ipv4/conf/rp_filter` of an interface."""
    folder, _, last = name.rpartition("/")
    return f"{SYSCTL}/{folder}/{netdev}/{last}"


def port_path(netdev: str, name: str) -> str:
    """The path of a setting of a bridge's port."""
    return f"/sys/class/net/{netdev}/brport/{name}"


def _read_folder(files: Files, parent: str, netdev: str, below: str = "") -> Fact[list[tuple[str, str]]]:
    """(name, value) of every file in an interface's folder that can be written and read."""
    if "/" in netdev or netdev in ("", ".", ".."):
        return Unknown(f"not the name of an interface: {netdev!r}")
    folder = f"{parent}/{netdev}{below}"
    names = files.list_directory(folder)
    if not isinstance(names, tuple):
        return names
    return list(_read_writable(files, folder, sorted(names)[:_MAX_FILES]))


def _read_writable(files: Files, folder: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        status = files.read_status(f"{folder}/{name}")
        if known(status) and stat.S_ISREG(status.st_mode) and status.st_mode & _WRITABLE:
            value = files.read_attribute(f"{folder}/{name}")
            if isinstance(value, str):
                yield name, value


def read_port_vlans(netdev: str) -> Fact[tuple[Setting, ...]]:
    """VLAN to `pvid`, `untagged`, both or neither, of a port of a bridge that filters VLANs."""
    try:
        return port_vlans_of(dump(_PORTS), netdev)
    except OSError as error:
        return Unknown(f"rtnetlink: {error.strerror or error}")


def port_vlans_of(bodies: Iterable[bytes], netdev: str) -> tuple[Setting, ...] | None:
    """The VLANs of a port out of the messages of a dump; None where the dump has no such port.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    for body in bodies:
        found = read_attributes(body, _IFINFO.size)
        if found.get(_IFNAME, b"").split(b"\0")[0] == netdev.encode():
            return tuple(_vlans_of(found.get(_AF_SPEC, b"")))
    return None


def _vlans_of(content: bytes) -> Iterator[Setting]:
    for kind, value in split_attributes(content):
        if kind == _VLAN_INFO:
            flags, number = fixed_part(_VLAN, value)
            yield Setting(str(number), " ".join(word for word, bit in VLAN_FLAGS.items() if flags & bit))
