# SPDX-License-Identifier: Apache-2.0
"""The record, on disk, of what a host was prepared for, and the unit that looks at the host after the reboot."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.boot.file_changes import image_at
from nicpass.engine.boot.steps import with_digests
from nicpass.engine.boot.unit import finish_unit
from nicpass.engine.installation import PYTHON
from nicpass.engine.nic.store import STATE
from nicpass.model.boot import BootChange, BootPurpose, Generator
from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import FileChange, FileImage, Folder, RegularFile, SymbolicLink
from nicpass.model.language import _
from nicpass.model.plan import ChangeBoot
from nicpass.model.prepared import Prepared

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.plan import Plan

RECORD = f"{STATE}/prepared.json"
UNIT = "/etc/systemd/system/nicpass-prepare.service"
_LINK = "/etc/systemd/system/multi-user.target.wants/nicpass-prepare.service"
_RELOAD = Generator(argv=("systemctl", "daemon-reload"))


def read_prepared(files: Files) -> Prepared | None:
    """The record of what the host was prepared for; None if it was not prepared.

    Raises:
        StepError: the record cannot be read.
    """
    content = files.read_bytes(RECORD)
    if content is None:
        return None
    reason = content.unknown if isinstance(content, Unknown) else ""
    if isinstance(content, bytes):
        try:
            return msgspec.json.decode(content, type=Prepared)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = str(error)
    raise StepError(
        _("What this host was prepared for cannot be read: {reason}.").format(reason=reason),
        _("Look at {path}; moved away, the host counts as not prepared.").format(path=RECORD),
    )


def complete_plan(plan: Plan, record: Prepared | None, before: Prepared | None, files: Files) -> Plan:
    """The plan with the record, its unit, and digests of what programs replace; `record` None takes both away.

    A plan without steps whose record stays as it is stays empty.
    """
    if not plan.steps and record == before:
        return plan
    steps = [with_digests(step, files) if isinstance(step, ChangeBoot) else step for step in plan.steps]
    finish = _finish(record, files)
    # First the unit that looks at the next boot, then the steps that change that boot; on the way back the reverse.
    ordered = [*steps, finish] if record is None else [finish, *steps]
    return msgspec.structs.replace(plan, steps=tuple(ordered))


def _folders_above(path: str, files: Files, made: set[str]) -> list[FileChange]:
    """The missing folders above `path`, uppermost first: others than root have to be able to read what is in /etc."""
    folder = str(PurePosixPath(path).parent)
    if folder in made or files.exists(folder):
        return []
    return [*_folders_above(folder, files, made), FileChange(path=folder, after=Folder(0o755))]


def _finish(record: Prepared | None, files: Files) -> ChangeBoot:
    desired: dict[str, FileImage | None] = {_LINK: None, UNIT: None, RECORD: None}
    if record is not None:
        content = msgspec.json.encode(record, order="deterministic")
        desired = {
            RECORD: RegularFile(content + b"\n", 0o600),
            UNIT: RegularFile(finish_unit(PYTHON, RECORD).encode(), 0o644),
            _LINK: SymbolicLink(UNIT),
        }
    changes: list[FileChange] = []
    for path, image in desired.items():
        if image is not None:
            changes += _folders_above(path, files, {change.path for change in changes})
        now = image_at(files, path)
        if now != image:
            changes.append(FileChange(path=path, before=now, after=image))
    reload = (_RELOAD,) if any(change.path == UNIT for change in changes) else ()
    change = BootChange(files=tuple(changes), generators=reload)
    return ChangeBoot(purpose=BootPurpose.FINISH, change=change, removes=record is None)
