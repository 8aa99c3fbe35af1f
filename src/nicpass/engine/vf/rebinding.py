# SPDX-License-Identifier: Apache-2.0
"""Lets the drivers of a PF's VFs find them again, so that each asks for its MAC; what is half done is on record.

Between two writes to sysfs a VF has no driver, and nothing but the record knows which it had. It lies in /run: a boot
makes VFs and binds them by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.pci.functions import read_function
from nicpass.model.address import Address
from nicpass.model.fact import known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nicpass.engine.attempts import Attempts
    from nicpass.host.doors.files import Files

FOLDER = "/run/nicpass/rebinding"
"""A folder with a file for each PF whose VFs are between two drivers: VF to driver."""


def read_rebinding(files: Files, pf: Address) -> dict[Address, str]:
    """The VFs that have not all their driver back; one whose record is damaged has none that is known."""
    content = files.read_bytes(_path(pf))
    if not isinstance(content, bytes):
        return {}
    try:
        return msgspec.json.decode(content, type=dict[Address, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def rebind_vfs(
    files: Files, pf: Address, vfs: Iterable[Address], bind: Callable[[Address, str], None], attempts: Attempts
) -> bool:
    """Bind these VFs anew, and those that an earlier run has left without a driver; whether there was one.

    `bind` lets a VF go, and waits until the driver has it again.
    """
    present = set(read_function(files, pf).virtfns)
    left = read_rebinding(files, pf)
    wanted = {vf: driver for vf, driver in left.items() if vf in present and read_function(files, vf).driver != driver}
    for vf in vfs:
        driver = read_function(files, vf).driver
        if known(driver):
            wanted[vf] = driver
    if wanted:
        files.write_atomic(_path(pf), msgspec.json.encode(wanted))
    failed = len(attempts.refusals)
    for vf, driver in wanted.items():
        with attempts:
            bind(vf, driver)
    if (wanted or left) and len(attempts.refusals) == failed:
        files.remove(_path(pf))
    return bool(wanted)


def _path(pf: Address) -> str:
    return f"{FOLDER}/{pf}.json"
