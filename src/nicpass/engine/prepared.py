# SPDX-License-Identifier: Apache-2.0
"""What a host was prepared for, on disk; and the files of ours that a plan needs, from what stands there now.

A plan of `planner/prepare.py` says which files of ours shall be there. What stood at their places before the first
preparation is kept in the record, so that taking out restores the host byte for byte.
"""

from __future__ import annotations

import os.path
import sys
from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.boot_steps import with_digests
from nicpass.engine.prepare_unit import finish_unit
from nicpass.engine.store import STATE
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import FileChange, FileImage, Folder, RegularFile, SymbolicLink
from nicpass.model.language import _
from nicpass.model.plan import BootPurpose, ChangeBoot
from nicpass.model.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.files import Files
    from nicpass.model.plan import Plan, Step

RECORD = f"{STATE}/prepared.json"
UNIT = "/etc/systemd/system/nicpass-prepare.service"
_WANTS = "/etc/systemd/system/multi-user.target.wants"
_RELOAD = Generator(argv=("systemctl", "daemon-reload"))
_OURS = (BootPurpose.BINDING, BootPurpose.RIGHTS)
"""Purposes whose files are ours alone; those with the kernel's arguments may be other people's too."""


def read_prepared(files: Files) -> Prepared | None:
    """What the host was prepared for; None if it was not.

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
    """The plan with the files as they are now in it, and with the record and its unit; `record` None takes them away.

    A plan without steps whose record stays as it is stays empty.
    """
    if not plan.steps and record == before:
        return plan
    originals = {change.path: change.before for change in before.originals} if before is not None else {}
    wanted = _wanted_files(plan.steps)
    gone = _restored(originals, wanted, record)
    steps = [_completed(step, files, gone) for step in plan.steps]
    kept = originals | {path: image_at(files, path) for path in (*wanted, UNIT, _LINK) if path not in originals}
    finish = _finish(record, {path: kept[path] for path in kept if path not in gone}, files)
    # First what looks at the next boot, then what makes it another one; on the way back the reverse.
    ordered = [*steps, finish] if record is None else [finish, *steps]
    return msgspec.structs.replace(plan, steps=tuple(ordered))


def image_at(files: Files, path: str) -> FileImage | None:
    """What stands there; what cannot be read is not put back."""
    image = files.read_image(path)
    return None if isinstance(image, Unknown) else image


_LINK = f"{_WANTS}/nicpass-prepare.service"


def _wanted_files(steps: Iterable[Step]) -> dict[str, FileImage]:
    """What of ours shall stand where, but for the kernel's arguments."""
    return {
        change.path: change.after
        for step in steps
        if isinstance(step, ChangeBoot) and step.purpose in _OURS
        for change in step.change.files
        if change.after is not None
    }


def _restored(
    originals: dict[str, FileImage | None], wanted: dict[str, FileImage], record: Prepared | None
) -> dict[str, FileImage | None]:
    """What is no longer wanted, and what shall stand there again; ours of the record itself go with it."""
    ours = (UNIT, _LINK)
    keeps_binding = record is not None and not wanted
    if keeps_binding:
        return {}
    return {path: image for path, image in reversed(originals.items()) if path not in wanted and path not in ours}


def _completed(step: Step, files: Files, gone: dict[str, FileImage | None]) -> Step:
    if not isinstance(step, ChangeBoot):
        return step
    changes: list[FileChange] = []
    for change in step.change.files:
        changes += _folders_above(change.path, files, {c.path for c in changes})
        changes.append(msgspec.structs.replace(change, before=image_at(files, change.path)))
    if step.purpose == BootPurpose.BINDING:
        changes += [FileChange(path=path, before=image_at(files, path), after=image) for path, image in gone.items()]
    whole = msgspec.structs.replace(step.change, files=tuple(c for c in changes if c.before != c.after))
    return with_digests(msgspec.structs.replace(step, change=whole), files)


def _folders_above(path: str, files: Files, made: set[str]) -> list[FileChange]:
    """Those that are not there, the uppermost first: others than root have to be able to read what is in /etc."""
    folder = os.path.dirname(path)
    if folder in made or files.exists(folder):
        return []
    return [*_folders_above(folder, files, made), FileChange(path=folder, after=Folder(0o755))]


def _finish(record: Prepared | None, originals: dict[str, FileImage | None], files: Files) -> ChangeBoot:
    desired: dict[str, FileImage | None] = {UNIT: None, _LINK: None, RECORD: None}
    if record is not None:
        package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
        kept = tuple(FileChange(path=path, before=image) for path, image in originals.items())
        content = msgspec.json.encode(msgspec.structs.replace(record, originals=kept), order="deterministic")
        desired = {
            RECORD: RegularFile(content + b"\n", 0o600),
            UNIT: RegularFile(finish_unit(sys.executable, package, RECORD).encode(), 0o644),
            _LINK: SymbolicLink(UNIT),
        }
    changes: list[FileChange] = []
    for path, image in desired.items():
        if image is not None:
            changes += _folders_above(path, files, {c.path for c in changes})
        now = image_at(files, path)
        if now != image:
            changes.append(FileChange(path=path, before=now, after=image))
    reload = (_RELOAD,) if any(change.path == UNIT for change in changes) else ()
    return ChangeBoot(purpose=BootPurpose.FINISH, change=BootChange(files=tuple(changes), generators=reload))
