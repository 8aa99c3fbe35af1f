# SPDX-License-Identifier: Apache-2.0
"""What a PF enforces on a VF, in the words of `ip link set DEV vf N`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.network import NO_MAC, VfSettings
from nicpass.planner.vf.wish import range_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.plan import SetNumvfs

_SWITCHES = ("spoofchk", "trust", "query_rss")
_VALUES = {
    "link_state": ("state", "auto"),
    "node_guid": ("node_guid", None),
    "port_guid": ("port_guid", None),
    "min_tx_rate": ("min_tx_rate", 0),
    "max_tx_rate": ("max_tx_rate", 0),
}
"""Field to its word and to what the kernel tells of a driver that does not know it."""


def words_of_vf(vf: VfSettings, now: VfSettings | None = None) -> list[str]:
    """The words that set the VF: all that are known, or those that differ from `now`."""
    words: list[str] = []
    if vf.mac != (now.mac if now is not None else NO_MAC):
        words += ["mac", vf.mac]
    if now is None or _vlan_of(vf) != _vlan_of(now):
        words += ["vlan", str(vf.vlan)]
        words += ["qos", str(vf.qos)] if vf.vlan and vf.qos else []
        words += ["proto", vf.vlan_protocol] if vf.vlan and vf.vlan_protocol == "802.1ad" else []
    for name in _SWITCHES:
        if (on := getattr(vf, name)) is not None and (now is None or on != getattr(now, name)):
            words += [name, "on" if on else "off"]
    for name, (word, usual) in _VALUES.items():
        if (value := getattr(vf, name)) is not None and value != (usual if now is None else getattr(now, name)):
            words += [word, str(value)]
    return words


def _vlan_of(vf: VfSettings) -> tuple[object, ...]:
    return (vf.vlan, vf.qos or 0, vf.vlan_protocol == "802.1ad") if vf.vlan else (0,)


def lines_of_step(step: SetNumvfs) -> Iterator[tuple[VfSettings, list[str]]]:
    """Each VF that the step sets, with the words that set it."""
    stay = step.before == step.after
    before = {vf.vf_index: vf for vf in step.before_vfs} if stay else {}
    for vf in step.after_vfs:
        words = words_of_vf(vf, before.get(vf.vf_index, VfSettings(vf_index=vf.vf_index, mac=NO_MAC)))
        if words:
            yield vf, words


def summary_of_step(step: SetNumvfs) -> str:
    """What the step sets, in a line, without MACs chosen here: `0-3: vlan 20 trust on; 4: mac 52:54:00:00:00:01`."""
    grouped: dict[str, list[int]] = {}
    for vf, words in lines_of_step(step):
        left = words[2:] if words[0] == "mac" and vf.vf_index in step.derived else words
        if left:
            grouped.setdefault(" ".join(left), []).append(vf.vf_index)
    return "; ".join(f"{range_text(numbers)}: {words}" for words, numbers in grouped.items())


def flags_of(vf: VfSettings) -> tuple[str, ...]:
    """What differs from how most drivers make a VF, beside its MAC and VLAN: `trust on`."""
    plain = msgspec.structs.replace(vf, spoofchk=True, trust=False, query_rss=False, link_state="auto")
    plain = msgspec.structs.replace(plain, min_tx_rate=0, max_tx_rate=0, node_guid=None, port_guid=None)
    words = words_of_vf(vf, plain)
    return tuple(map(" ".join, zip(words[::2], words[1::2], strict=True)))
