# SPDX-License-Identifier: Apache-2.0
"""Waits for NICs that are on their way: at a boot, their VM may be started before driver and udev are done with them.

It reads little, for every start of a VM passes here: whether all of the NIC is there is decided later, of all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.handler import wait_until
from nicpass.host.network.naming import why_unsettled
from nicpass.host.pci.functions import DEVICES, read_function
from nicpass.model.fact import known, value_or

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files
    from nicpass.model.plan import NicState

BOOT_SECONDS = 25.0
"""While the host comes up: a driver that loads firmware needs several seconds, VFs are made by a unit of their own."""
LATER_SECONDS = 2.0
"""A NIC that has no driver by then will hardly get one by waiting."""
_BOOT_ENDS = 900.0
"""Seconds after which nothing of a boot is on its way any more."""


def await_arrival(files: Files, states: Iterable[NicState]) -> bool:
    """Whether each of these NICs has what its record says, as far as it is seen at once; waits for it, bounded."""
    states = tuple(states)
    seconds = LATER_SECONDS if _is_long_up(files) else BOOT_SECONDS
    return wait_until(lambda: all(_has_arrived(files, state) for state in states), seconds)


def _has_arrived(files: Files, state: NicState) -> bool:
    if not files.exists(f"{DEVICES}/{state.address}"):
        return False
    function = read_function(files, state.address)
    if on_vfio(function) or (state.driver is None and not state.links):
        return True
    names = value_or(function.netdevs, ())
    recorded = [link.name for link in state.links]
    enough = known(function.driver) and len(names) >= len(recorded)
    return enough and why_unsettled(files, names, recorded) is None


def _is_long_up(files: Files) -> bool:
    """By the first number of /proc/uptime (proc(5)); where it cannot be read, the host may be coming up."""
    text = files.read_text("/proc/uptime")
    first = text.split(" ", 1)[0].split(".", 1)[0] if isinstance(text, str) else ""
    return first.isdecimal() and int(first) > _BOOT_ENDS
