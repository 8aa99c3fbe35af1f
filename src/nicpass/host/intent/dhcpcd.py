# SPDX-License-Identifier: Apache-2.0
"""dhcpcd as a manager: run without the name of an interface, it configures every one that it is not told to leave.

Sources: dhcpcd(8), dhcpcd.conf(5) (`allowinterfaces`, `denyinterfaces`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.host.intent.patterns import matches

if TYPE_CHECKING:
    from nicpass.host.intent.reading import Reading

DHCPCD = "dhcpcd"
CONFIGURATION = "/etc/dhcpcd.conf"
UNIT = "dhcpcd.service"
_RUNNING = ("/run/dhcpcd.pid", "/run/dhcpcd/pid")
"""Of the process that has all interfaces; one that was started for one interface has a file of that name."""


def read_intents(reading: Reading) -> None:
    source = next((path for path in _RUNNING if reading.files.exists(path)), None)
    # Where it cannot be seen what a boot starts, its package alone says nothing: it is a part of others too.
    if source is None and not (reading.enabled and reading.is_at_work(UNIT)):
        return
    text = reading.read(CONFIGURATION)
    allowed, denied = (_patterns(text or "", key) for key in ("allowinterfaces", "denyinterfaces"))
    source = CONFIGURATION if text is not None else source or reading.enabled.get(UNIT, UNIT)
    told = f"allowinterfaces {' '.join(allowed)}" if allowed else "no denyinterfaces that names it"
    for nic in reading.nics:
        is_left = any(matches(pattern, nic.name) for pattern in denied)
        if not is_left and (not allowed or any(map(nic.is_named, allowed))):
            reading.add(nic, DHCPCD, "configure", source, told)


def _patterns(text: str, key: str) -> list[str]:
    lines = (line.split(None, 1) for line in text.splitlines() if line.strip())
    return [word for line in lines if line[0] == key for word in re.split(r"[\s,]+", "".join(line[1:])) if word]
