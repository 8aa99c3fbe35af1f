# SPDX-License-Identifier: Apache-2.0
"""systemd-networkd's .network files: which of them means a NIC, and what it wants of it.

The first that means a NIC is the one that counts (systemd.network(5)). One whose conditions are not all understood
counts as well, and does not hide those behind it. What is generated in /run/systemd/network from netplan's files
counts like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.intent.reading import NETWORKD_FOLDERS as FOLDERS
from nicpass.host.intent.unit_file import (
    NO,
    PERHAPS,
    YES,
    Assignment,
    Conditions,
    collect_match,
    describe_match,
    is_true,
    last,
    match_nic,
    parse_unit,
)
from nicpass.model.network import NETWORKD, IntentPurpose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.intent.nic import Nic
    from nicpass.host.intent.reading import Reading

_PORT_OF = ("Bridge", "Bond", "VRF", "BatmanAdvanced")
_PARENT_OF = ("VLAN", "MACVLAN", "MACVTAP", "IPVLAN", "IPVTAP", "VXLAN", "MACsec", "Tunnel", "Xfrm", "IPoIB")
_PERMANENT = "PermanentMACAddress"
_VFS = "SR-IOVVirtualFunctions"
_WISHES = ("DHCP", "Address", "IPv6AcceptRA", "DHCPServer")
"""Those that are worth telling; a file that has none of them brings the NIC up, with what IPv6 gives by itself."""


class Profile(msgspec.Struct, frozen=True):
    """One .network or .link file with its drop-ins."""

    path: str
    conditions: Conditions
    assignments: list[Assignment]
    unmanaged: bool
    wants: tuple[tuple[IntentPurpose, str, str | None], ...]
    """Of each NIC that it means: (purpose, words, what that becomes a part of), told once for a thousand of them."""


def read_profiles(reading: Reading, end: str) -> list[Profile]:
    """All files that end so (`.network`), by name, which is the order in which they are tried."""
    drop_ins = _read_drop_ins(reading, end)
    profiles = []
    for name, path in reading.overlay(FOLDERS, (end,)).items():
        text = reading.read(path)
        if text is None or not text.strip():  # an empty file hides those behind it, as a link to /dev/null does
            continue
        assignments = parse_unit(text)
        for more in drop_ins.get(name, ()):
            assignments += parse_unit(reading.read(more) or "")
        unmanaged = is_true(last(assignments, "Link", "Unmanaged"))
        conditions = collect_match(assignments)
        wants = tuple(_wants(describe_match(conditions), assignments))
        profiles.append(Profile(path, conditions, assignments, unmanaged, wants))
    return profiles


def _read_drop_ins(reading: Reading, end: str) -> dict[str, list[str]]:
    """`10-lan.network` to the paths in its folders `10-lan.network.d`."""
    owners = {name for folder in FOLDERS for name in reading.names(folder) if name.endswith(f"{end}.d")}
    return {
        owner.removesuffix(".d"): list(
            reading.overlay([f"{folder}/{owner}" for folder in FOLDERS], (".conf",)).values()
        )
        for owner in owners
    }


def read_intents(reading: Reading) -> None:
    """By .network files, where systemd-networkd runs or will."""
    profiles = read_profiles(reading, ".network")
    if not profiles or not reading.is_at_work("systemd-networkd.service", "systemd-networkd.socket"):
        return
    for nic in reading.nics:
        for profile in _profiles_for(nic, profiles):
            for purpose, text, target in profile.wants:
                reading.add(nic, NETWORKD, purpose, profile.path, text, target)


def _profiles_for(nic: Nic, profiles: list[Profile]) -> Iterator[Profile]:
    for profile in profiles:
        answer = match_nic(profile.conditions, nic)
        if answer != NO and not profile.unmanaged:
            yield profile
        if answer == YES:
            return


def _wants(who: str, assignments: list[Assignment]) -> Iterator[tuple[IntentPurpose, str, str | None]]:
    is_port = False
    for key, value in ((a.key, a.value) for a in assignments if a.section == "Network"):
        if key in _PORT_OF and value:
            is_port = True
            yield "port", f"{who}: {key}={value}", value
        elif key in _PARENT_OF:
            for name in value.split():
                yield "parent", f"{who}: {key}={name}", name
    if not is_port:
        wishes = [f"{a.key}={a.value}" for a in assignments if a.section != "Match" and a.key in _WISHES]
        yield "configure", f"{who}: {' '.join(wishes)}" if wishes else who, None


def name_by_links(reading: Reading) -> None:
    """By .link files, the names that NICs get at the next boot (systemd.link(5)); they are theirs already here."""
    files = read_profiles(reading, ".link")
    _count_by_links(reading, files)
    profiles = [p for p in files if last(p.assignments, "Link", "Name")]
    for nic in reading.nics if profiles else ():
        for profile in profiles:
            if "OriginalName" not in profile.conditions and match_nic(profile.conditions, nic) == YES:
                nic.names.add(last(profile.assignments, "Link", "Name"))
                break


def _count_by_links(reading: Reading, profiles: list[Profile]) -> None:
    """The number of VFs that udev gives to NICs; the first file that means a NIC is the only one (systemd.link(5))."""
    for nic in reading.nics if any(last(p.assignments, "Link", _VFS) for p in profiles) else ():
        for profile in profiles:
            answer = _match_link(profile.conditions, nic)
            count = last(profile.assignments, "Link", _VFS)
            if answer != NO and count:
                reading.add_count(nic, profile.path, f"{_VFS}={count}", count)
            if answer == YES:
                break


def _match_link(conditions: Conditions, nic: Nic) -> int:
    """As `match_nic`; of a NIC whose permanent MAC was not read, a file for one may mean it."""
    answer = match_nic(conditions, nic)
    if answer == NO and _PERMANENT in conditions and not nic.knows_permanent_mac:
        rest = {key: words for key, words in conditions.items() if key != _PERMANENT}
        return min(PERHAPS, match_nic(rest, nic))
    return answer
