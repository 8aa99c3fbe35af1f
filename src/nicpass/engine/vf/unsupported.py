# SPDX-License-Identifier: Apache-2.0
"""Keeps what a PF's driver has answered EOPNOTSUPP to, so that the next plan knows it; another kernel is asked anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.system.given import STATE
from nicpass.model.vf import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files
    from nicpass.model.pci import PciFunction

UNSUPPORTED = f"{STATE}/unsupported.json"
RELEASE = "/proc/sys/kernel/osrelease"


class _Record(msgspec.Struct, frozen=True):
    unsupported: tuple[Unsupported, ...] = ()


def read_unsupported(files: Files) -> tuple[Unsupported, ...]:
    """What is known to fail with this very kernel; nothing where the record is absent, damaged or not to be read."""
    release = files.read_text(RELEASE)
    return tuple(each for each in _read_all(files) if each.release == release)


def keep_unsupported(files: Files, pf: PciFunction, settings: Iterable[str]) -> None:
    """Put down that the PF's driver knows none of these settings of a VF, as this kernel has it.

    Raises:
        OSError: nothing was written.
    """
    release = files.read_text(RELEASE)
    if not isinstance(release, str) or not isinstance(pf.driver, str):
        return
    seen = {
        Unsupported(driver=pf.driver, setting=setting, release=release, switchdev=bool(pf.representors))
        for setting in settings
    }
    # Of another kernel nothing is kept: the file stays small, and who goes back to it asks once more.
    kept = {each for each in _read_all(files) if each.release == release}
    if not seen <= kept:
        record = _Record(tuple(sorted(kept | seen, key=lambda each: (each.driver, each.setting, each.switchdev))))
        files.write_atomic(UNSUPPORTED, msgspec.json.encode(record))


def _read_all(files: Files) -> tuple[Unsupported, ...]:
    content = files.read_bytes(UNSUPPORTED)
    if not isinstance(content, bytes):
        return ()
    try:
        return msgspec.json.decode(content, type=_Record).unsupported
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
