# SPDX-License-Identifier: Apache-2.0
"""Whether udev is done with an interface: before that, its name and its settings are on their way.

Sources: systemd, src/libsystemd/sd-device/device-private.c (`device_update_db`: a file `n3` for the interface with the
index 3, a line `I:` once its rules have been carried out for the first time) and src/udev/udev-event.c
(`ID_RENAMING=1` from before a new name until the kernel's event of it); udev(7), `/run/udev/queue`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files

DATABASE = "/run/udev/data"
CONTROL = "/run/udev/control"
"""The socket of a udev that runs; a host without one has names that nobody changes."""
QUEUE = "/run/udev/queue"
"""Is there while an event waits or is worked at."""
_LIMIT = 1 << 20  # bytes; an entry has a few kB


def why_unsettled(files: Files, names: Iterable[str], recorded: Iterable[str] = ()) -> str | None:
    """Why the names of these interfaces may change yet; None where they are settled.

    One that is called as it was `recorded` is not about to be called otherwise, whatever else udev is at.
    """
    names = tuple(names)
    if not files.exists(CONTROL):
        return None
    for name in names:
        if (why := _why_at_work(files, name)) is not None:
            return why
    if not set(names) <= set(recorded) and files.exists(QUEUE):
        return "udev has not carried out all events yet"
    return None


def _why_at_work(files: Files, name: str) -> str | None:
    """An interface that has gone meanwhile is none that is settled."""
    index = files.read_int(f"/sys/class/net/{name}/ifindex")
    if not isinstance(index, int):
        return f"the index of {name} cannot be read"
    content = files.read_bytes(f"{DATABASE}/n{index}", _LIMIT)
    if isinstance(content, Unknown):
        return content.unknown
    lines = content.splitlines() if content is not None else []
    if not any(line.startswith(b"I:") for line in lines):
        return f"udev has not seen {name} yet"
    return f"udev gives {name} another name" if b"E:ID_RENAMING=1" in lines else None
