# SPDX-License-Identifier: Apache-2.0
"""All that is meant to be done with the host's NICs: what managers are at now, and what files say for later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.host.intent import boot_files
from nicpass.host.intent.nic import Nic
from nicpass.host.intent.reading import NETWORKD_FOLDERS, NETWORKD_SHIPPED, UNIT_FOLDERS, Reading
from nicpass.host.network.managers import IFSTATE, NETWORKD_LINKS, NM_DEVICES
from nicpass.model.fact import Unknown
from nicpass.model.network import IFUPDOWN, NETWORK_MANAGER, NETWORKD, Intent, Intents

if TYPE_CHECKING:
    from collections.abc import Collection

    from nicpass.host.doors.files import Files
    from nicpass.model.network import LinkManager, Network

_CONFIGURATION = "/etc"
_STATES = {NETWORK_MANAGER: NM_DEVICES, NETWORKD: NETWORKD_LINKS, IFUPDOWN: IFSTATE}
_NETPLAN_FOLDERS = ("/run/netplan", "/etc/netplan", "/usr/lib/netplan", "/lib/netplan")
"""By precedence (netplan-generate(8)): a file hides those of its name in the folders behind."""
_DHCPCD = ("/etc/dhcpcd.conf", "/run/dhcpcd.pid", "/run/dhcpcd/pid")
_GENERATED = ("/run/systemd/network/10-netplan-", "/run/NetworkManager/system-connections/netplan-")


def read_intents(files: Files, network: Network, only: Collection[str] | None = None) -> Intents:
    """By interface and file, of all NICs or of those with `only` these names.

    What cannot be read may name any of them, and is told by its reason.
    """
    links = [link for link in network.links if link.kind is None and link.name != "lo"]
    nics = [Nic(files, link) for link in links if only is None or link.name in only]
    if not nics:
        return Intents()
    if not files.exists(_CONFIGURATION):
        return Intents(unread=(f"not captured: {_CONFIGURATION}",))
    reading = Reading(files, nics)
    # Each manager's reader is loaded late, where its files are: no host has all of them.
    has_networkd = any(reading.names(folder) for folder in NETWORKD_FOLDERS)
    if has_networkd:
        from nicpass.host.intent import networkd

        networkd.name_by_links(reading)
    boot_files.name_by_arguments(reading)
    if has_networkd:
        networkd.read_intents(reading)
    stanzas, provided = _read_ifupdown(reading), _read_ifcfg(reading)
    # A profile that NetworkManager has made by itself is in its hands already: it is told by that.
    provided |= {manager.netdev for manager in network.managers if manager.manager == NETWORK_MANAGER}
    if _exists(files, "/etc/NetworkManager", "/run/NetworkManager", "/usr/lib/NetworkManager"):
        from nicpass.host.intent import network_manager

        network_manager.read_intents(reading, stanzas, provided)
    if _exists(files, *_NETPLAN_FOLDERS):
        from nicpass.host.intent import netplan

        netplan.read_intents(reading, _NETPLAN_FOLDERS)
    if _exists(files, *_DHCPCD):
        from nicpass.host.intent import dhcpcd

        dhcpcd.read_intents(reading)
    boot_files.read_intents(reading)
    if any(reading.names(folder) for folder in UNIT_FOLDERS):
        from nicpass.host.intent import units

        units.read_intents(reading)
    _add_managers(reading, network.managers)
    return Intents(
        found=tuple(_without_generated(reading)),
        vf_counts=tuple(reading.vf_counts.values()),
        kernel_words=tuple(reading.kernel_words.values()),
        unread=tuple(reading.unread),
    )


def _exists(files: Files, *paths: str) -> bool:
    return any(files.exists(path) for path in paths)


def _read_ifupdown(reading: Reading) -> set[str]:
    """The NICs that have a stanza."""
    if not reading.files.exists("/etc/network/interfaces"):
        return set()
    from nicpass.host.intent import ifupdown

    lines = ifupdown.read_lines(reading)
    ifupdown.read_intents(reading, lines)
    return ifupdown.mentioned(reading, lines)


def _read_ifcfg(reading: Reading) -> set[str]:
    """The NICs that have a file of Red Hat's kind."""
    if not _exists(reading.files, "/etc/sysconfig/network-scripts", "/etc/sysconfig/network", "/etc/wicked"):
        return set()
    from nicpass.host.intent import ifcfg

    return ifcfg.read_intents(reading)


def _without_generated(reading: Reading) -> list[Intent]:
    """What netplan has made of a file of its own is told by that file alone: it is the one to change."""
    found = [*reading.found.values()]
    planned = {(intent.netdev, intent.purpose) for intent in found if intent.manager == "netplan"}
    return [i for i in found if not (i.source.startswith(_GENERATED) and (i.netdev, i.purpose) in planned)]


def _add_managers(reading: Reading, managers: tuple[LinkManager, ...]) -> None:
    """What a manager has in hand at this minute, where no file of it has said so already."""
    by_name = {nic.name: nic for nic in reading.nics}
    for manager in managers:
        nic = by_name.get(manager.netdev)
        if nic is None or manager.profile is None or reading.has(nic, manager.manager):
            continue
        if not isinstance(manager.profile, Unknown):
            source, text = _describe(reading, manager, manager.profile)
            reading.add(nic, manager.manager, "configure", source, text)
        elif not _is_settled_by_files(reading, manager):
            reading.add(nic, manager.manager, "unclear", _STATES[manager.manager], manager.profile.unknown)


def _is_settled_by_files(reading: Reading, manager: LinkManager) -> bool:
    """What systemd-networkd has not decided about yet it will decide by its files, where these were all to be seen."""
    return manager.manager == NETWORKD and not reading.unread and reading.files.exists(NETWORKD_SHIPPED)


def _describe(reading: Reading, manager: LinkManager, profile: str) -> tuple[str, str]:
    if manager.manager == NETWORK_MANAGER:
        from nicpass.host.intent import network_manager

        state = f"{NM_DEVICES}/{reading.files.read_int(f'/sys/class/net/{manager.netdev}/ifindex')}"
        return network_manager.path_of(reading, profile) or state, f"uuid={profile}"
    return (IFSTATE, profile) if manager.manager == IFUPDOWN else (profile, "NETWORK_FILE")
