# SPDX-License-Identifier: Apache-2.0
"""What is wished of VFs, word by word: whether it can be at all, whatever the host is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.nics import label
from nicpass.model.address import station_mac
from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.network import VLAN_IDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.pci import PciFunction
    from nicpass.model.request import VfRequest
    from nicpass.model.vf import VfSetRequest, VfWish

_PRIORITIES = range(8)
_RATES = range(2**32)  # struct ifla_vf_rate
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_GUID = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){7}", re.IGNORECASE)


def check_wish(wish: VfWish) -> VfWish:
    """The wish with its addresses in the kernel's form.

    Raises:
        BadInputError: a value that no VF can have.
    """
    if wish.vlan is not None and wish.vlan != 0 and wish.vlan not in VLAN_IDS:
        raise BadInputError(
            _("{vlan} is not a VLAN: they go from 1 to 4094.").format(vlan=wish.vlan),
            _("--vlan 20; --vlan 0 takes the VLAN away."),
        )
    if wish.qos is not None and wish.qos not in _PRIORITIES:
        raise BadInputError(_("{qos} is no priority: they go from 0 to 7.").format(qos=wish.qos), "--vlan 20 --qos 3")
    for option, rate in (("--min-tx-rate", wish.min_tx_rate), ("--max-tx-rate", wish.max_tx_rate)):
        if rate is not None and rate not in _RATES:
            raise BadInputError(
                _("{option} {rate} is no rate.").format(option=option, rate=rate),
                _("Rates are in Mbit/s; 0 is no limit."),
            )
    return msgspec.structs.replace(
        wish,
        mac=_checked_mac(wish.mac),
        node_guid=_checked_guid("--node-guid", wish.node_guid),
        port_guid=_checked_guid("--port-guid", wish.port_guid),
    )


def _checked_mac(text: str | None) -> str | None:
    if text is None:
        return None
    if (mac := station_mac(text)) is None:
        raise BadInputError(
            _("{mac!r} is not the MAC of one station.").format(mac=text), _("Such as 52:54:00:12:34:56.")
        )
    return mac


def _checked_guid(option: str, text: str | None) -> str | None:
    if text is None:
        return None
    if _GUID.fullmatch(text) is None or not any(bytes.fromhex(text.replace(":", ""))):
        raise BadInputError(
            _("{option} {guid!r} is no GUID.").format(option=option, guid=text), _("Such as 00:11:22:33:44:55:66:77.")
        )
    return text.lower()


def wishes_of(request: VfRequest | VfSetRequest, chosen: tuple[int, ...]) -> dict[int, VfWish]:
    """What is wished of each of the chosen VFs: what is for all of them, and over it what is for that one.

    Raises:
        BadInputError: a value that no VF can have, or one name for several of them.
    """
    common = check_wish(request.settings)
    refuse_one_for_several(common, len(chosen))
    own = {number: check_wish(wish) for number, wish in request.each}
    merged = {number: msgspec.structs.replace(common, **wish.given) for number, wish in own.items()}
    return {number: merged.get(number, common) for number in chosen}


def refuse_one_for_several(wish: VfWish, count: int) -> None:
    """Refuse a MAC or a GUID for several VFs: it is the name of one. Raises BadInputError."""
    for option, value in (("--mac", wish.mac), ("--node-guid", wish.node_guid), ("--port-guid", wish.port_guid)):
        if value is not None and count > 1:
            raise BadInputError(
                _("{option} is for one VF, not for {count}.").format(option=option, count=count),
                _("Set each by itself: nicpass vf set PF 0 {option} ...").format(option=option),
            )


def parse_vfs(text: str, pf: PciFunction, numvfs: int) -> tuple[int, ...]:
    """The VFs that `text` means, of the `numvfs` that the PF has: `3`, `0-3`, `0,2,5-6`, `all`; each once, in order.

    Raises:
        BadInputError: it means none, or one that is not there.
    """
    if not numvfs:
        raise BadInputError(_("{nic} has no VFs.").format(nic=label(pf)), f"nicpass vf create {pf.address} --count N")
    if text == "all":
        return tuple(range(numvfs))
    chosen: set[int] = set()
    for word in text.split(","):
        match = _RANGE.fullmatch(word)
        first, last = (_number(match[1], numvfs), _number(match[2] or match[1], numvfs)) if match else (1, 0)
        if last >= numvfs:  # before the range is walked: it may be a huge one
            raise BadInputError(
                _("{nic} has no VF {word}: its VFs are {all}.").format(
                    nic=label(pf), word=word, all=range_text(range(numvfs))
                ),
                f"nicpass vf list {pf.address}",
            )
        if first > last:
            raise BadInputError(
                _("{word!r} does not say which VFs.").format(word=word), _("3, 0-3, 0,2,5-6 or all, for example.")
            )
        chosen.update(range(first, last + 1))
    return tuple(sorted(chosen))


def _number(digits: str, limit: int) -> int:
    """The number, or `limit` where it is greater: a user may type more digits than Python reads."""
    digits = digits.lstrip("0") or "0"
    return min(int(digits), limit) if len(digits) < 10 else limit


def range_text(numbers: Iterable[int]) -> str:
    """Numbers as `parse_vfs` reads them: `0-3,5`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
