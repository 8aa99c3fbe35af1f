# SPDX-License-Identifier: Apache-2.0
"""Starts that the guard has vetoed, put down where `list`, `check` and `history` find them: nobody sees a boot's veto.

A file a VM: libvirt starts a VM once at a time, so no two hooks write the same. Nothing here keeps a start waiting or
stops one: what cannot be written is not written.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.system.given import VETOES
from nicpass.model.given import Veto, VetoedVm

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.errors import NicpassError

_KEPT = 10
"""How many vetoes of one VM stay."""
_MOST_VMS = 100
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def note_veto(files: Files, uuid: str, vm: str, error: NicpassError, command: str = "") -> None:
    """Put down that a start was vetoed, and why; `command` is the way out, where one command is."""
    if not _UUID.fullmatch(uuid):  # it is part of a path, and comes from outside
        return
    now = time.time()
    veto = Veto(
        time=now,
        when=time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)),
        sentence=error.sentence,
        hint=error.hint,
        mend=error.findings[0].mend if error.findings and command else "",
        command=command,
        codes=tuple(dict.fromkeys(finding.code for finding in error.findings)),
    )
    before = _read(files, uuid)
    earlier = before.vetoes if before is not None else ()
    passed = before.passed if before is not None else None
    with contextlib.suppress(OSError):
        if before is None:
            _make_room(files)
        _write(files, VetoedVm(vm=vm, uuid=uuid, vetoes=(*earlier, veto)[-_KEPT:], passed=passed))


def note_passed(files: Files, uuid: str) -> None:
    """Put down that a start was let through, where one was vetoed before."""
    before = _read(files, uuid) if _UUID.fullmatch(uuid) else None
    if before is not None and before.standing is not None:
        with contextlib.suppress(OSError):
            # A clock that was set back does not make the veto stand on.
            passed = max(time.time(), before.standing.time)
            _write(files, msgspec.structs.replace(before, passed=passed))


def _read(files: Files, uuid: str) -> VetoedVm | None:
    content = files.read_bytes(_path(uuid))
    try:
        return msgspec.json.decode(content, type=VetoedVm) if isinstance(content, bytes) else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _write(files: Files, vm: VetoedVm) -> None:
    files.write_atomic(_path(vm.uuid), msgspec.json.encode(vm))


def _make_room(files: Files) -> None:
    """Let the oldest file go where there are many: VMs come and go, and nobody else clears this."""
    names = files.list_directory(VETOES)
    found = [name for name in names if name.endswith(".json")] if isinstance(names, tuple) else []
    if len(found) < _MOST_VMS:
        return
    ages = {name: getattr(files.read_status(f"{VETOES}/{name}"), "st_mtime", 0.0) for name in found}
    files.remove(f"{VETOES}/{min(found, key=lambda name: ages[name])}")


def _path(uuid: str) -> str:
    return f"{VETOES}/{uuid}.json"
