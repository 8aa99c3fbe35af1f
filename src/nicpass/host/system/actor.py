# SPDX-License-Identifier: Apache-2.0
"""The user who runs this program: the one who logged in, also behind sudo and su."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from nicpass.model.change import Actor
from nicpass.model.text import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files

_NO_LOGIN = 0xFFFFFFFF
"""The value of loginuid where nobody has logged in: a unit of systemd (audit's AUDIT_UID_UNSET)."""


def read_actor(files: Files, command: Iterable[str]) -> Actor:
    """The user by /proc/self/loginuid (audit(8)); where that says nobody, the one whom the process runs as."""
    number = files.read_int("/proc/self/loginuid")
    user = number if isinstance(number, int) and 0 <= number < _NO_LOGIN else os.getuid()
    return Actor(user=_name_of(user), process=os.getpid(), command=tuple(map(well_formed, command)))


def _name_of(user: int) -> str:
    try:
        return well_formed(pwd.getpwuid(user).pw_name)
    except KeyError:
        return str(user)
