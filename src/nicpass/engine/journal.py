# SPDX-License-Identifier: Apache-2.0
"""The journal of every change, below /var/lib/nicpass/journal: a file a change, a line of JSON a record.

A record is on disk, file and folder, before its writer goes on (fsync(2), NOTES), so whatever ends the run, the
journal knows at least as much as was done. Closed journals are kept up to a number; unfinished ones always.

Their order is that of a number, which ends each name and is one more than the highest that is there. The time before
it is for people alone: a clock that was set back would make the newest change the oldest, and `undo` take another.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import re
import time
from typing import TYPE_CHECKING

import msgspec

from nicpass import __version__
from nicpass.model.change import (
    Actor,
    Change,
    Closed,
    Confirmed,
    Extended,
    Opened,
    Outcome,
    Phase,
    Record,
    Resumed,
    StepRecord,
)
from nicpass.model.errors import BadInputError, NotPermittedError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.language import _
from nicpass.model.plan import NicStep
from nicpass.model.request import UndoRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.host.doors.files import Files
    from nicpass.model.plan import Plan, Step

JOURNALS = "/var/lib/nicpass/journal"
_KEPT = 100
"""How many closed journals stay; one is some 10 kB."""
_SUFFIX = ".jsonl"
_NUMBERED = r"\d{8}T\d{6}-(\d{7,})"
"""Before there were numbers a name ended with six digits, the microseconds: those come first, by their names."""


class Journal:
    """One change's records, written one by one; each is on disk before the caller goes on."""

    def __init__(self, files: Files, identity: str) -> None:
        self.files = files
        self.identity = identity
        self.path = f"{JOURNALS}/{identity}{_SUFFIX}"

    @classmethod
    def open(cls, files: Files, plan: Plan, actor: Actor | None = None) -> Journal:
        """Begin the journal of a change, and let old ones go.

        Raises:
            OSError: nothing was written, and nothing may be done.
        """
        now = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        # The caller holds the lock, so nobody else takes the same number.
        journal = cls(files, f"{stamp}-{_next_number(files):07d}")
        journal.write(
            Opened(time=now, boot_id=read_boot_id(files), plan=plan, actor=actor or Actor(), version=__version__)
        )
        _prune(files)
        return journal

    def extend(self, plan: Plan) -> None:
        """Add to the change the steps of a plan that was made when those before were done."""
        self.write(Extended(time=time.time(), steps=plan.steps, notes=plan.notes, more=plan.more))

    def record(self, number: int, phase: Phase, step: Step, error: str = "") -> None:
        self.write(StepRecord(time=time.time(), number=number, phase=phase, step=step, error=error))

    def close(self, exit_code: int, sentence: str = "", *, abandoned: bool = False) -> None:
        self.write(Closed(time=time.time(), exit_code=exit_code, sentence=sentence, abandoned=abandoned))

    def confirm(self, actor: Actor) -> None:
        self.write(Confirmed(time=time.time(), actor=actor))

    def resume(self, actor: Actor, *, finishing: bool) -> None:
        self.write(Resumed(time=time.time(), boot_id=read_boot_id(self.files), finishing=finishing, actor=actor))

    def write(self, record: Record) -> None:
        self.files.append_line(self.path, msgspec.json.encode(record))


def read_boot_id(files: Files) -> Fact[str]:
    """The id of this boot of the machine. Source: random(4), /proc/sys/kernel/random/boot_id."""
    return files.read_text("/proc/sys/kernel/random/boot_id")


def list_changes(files: Files) -> tuple[str, ...]:
    """The identities of all changes, the oldest first, whatever the clock has done meanwhile.

    Raises:
        NotPermittedError: the folder is there and cannot be read.
    """
    names = files.list_directory(JOURNALS)
    if isinstance(names, Unknown):
        raise NotPermittedError(
            _("The journal cannot be read: {reason}.").format(reason=names.unknown), _("Run it as root.")
        )
    identities = (name.removesuffix(_SUFFIX) for name in names or () if name.endswith(_SUFFIX))
    return tuple(sorted(identities, key=lambda identity: (_number_of(identity), identity)))


def _number_of(identity: str) -> int:
    found = re.fullmatch(_NUMBERED, identity)
    return int(found[1]) if found else 0


def _next_number(files: Files) -> int:
    """Raises OSError where it cannot be known: a change in the wrong order would be undone in the wrong order."""
    try:
        return max(map(_number_of, list_changes(files)), default=0) + 1
    except NotPermittedError as error:
        raise OSError(errno.EACCES, error.sentence, JOURNALS) from None


def read_changes(files: Files) -> tuple[Change, ...]:
    """Every change, the oldest first. Raises NotPermittedError as `list_changes` does."""
    return tuple(read_change(files, identity) for identity in list_changes(files))


def read_change(files: Files, identity: str) -> Change:
    """One change from its journal; a broken journal is told in `damage`, never raised."""
    content = files.read_bytes(f"{JOURNALS}/{identity}{_SUFFIX}")
    if not isinstance(content, bytes):
        return Change(identity=identity, damage=content.unknown if content else "gone")
    return parse_change(identity, content)


def parse_change(identity: str, content: bytes) -> Change:
    """The change that a journal's lines tell. The last line may be cut off: then its record had not been acted upon."""
    *lines, rest = content.split(b"\n")
    records: list[Record] = []
    damage = ""
    for number, line in enumerate((*lines, rest) if rest else lines, 1):
        try:
            records.append(_decoder().decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number <= len(lines):
                damage = damage or f"line {number}: {error}"
    return _gather(identity, records, damage)


@functools.cache
def _decoder() -> msgspec.json.Decoder[Record]:
    """The decoder of records, made late: to be made, it goes through all that a plan can hold."""
    return msgspec.json.Decoder(Record)


def _gather(identity: str, records: list[Record], damage: str) -> Change:
    """The change that its records tell; the last Closed counts, for a change that was resumed is closed again."""
    opened = records[0] if records and isinstance(records[0], Opened) else None
    for record in records:
        if isinstance(record, Extended) and opened is not None:
            opened = _extend(opened, record)
    closed = [record for record in records if isinstance(record, Closed)]
    confirmed = [record for record in records if isinstance(record, Confirmed)]
    return Change(
        identity=identity,
        opened=opened,
        steps=tuple(record for record in records if isinstance(record, StepRecord)),
        confirmed=confirmed[0] if confirmed else None,
        resumed=tuple(record for record in records if isinstance(record, Resumed)),
        closed=closed[-1] if closed else None,
        damage=damage,
    )


def _extend(opened: Opened, by: Extended) -> Opened:
    plan = opened.plan
    whole = msgspec.structs.replace(plan, steps=(*plan.steps, *by.steps), notes=(*plan.notes, *by.notes), more=by.more)
    return msgspec.structs.replace(opened, plan=whole)


def select_change(changes: tuple[Change, ...], identity: str) -> Change:
    """The change with this identity, or the only one that begins so.

    Raises:
        BadInputError: no change does, or several do.
    """
    found = [change for change in changes if change.identity.startswith(identity)]
    exact = [change for change in found if change.identity == identity]
    if exact:
        return exact[0]
    if not found:
        raise BadInputError(_("There is no change {identity!r}.").format(identity=identity), "nicpass history")
    if len(found) > 1:
        names = ", ".join(change.identity for change in found[-5:])
        raise BadInputError(
            _("{identity!r} begins {count} changes: {names}.").format(identity=identity, count=len(found), names=names),
            _("Give more of it."),
        )
    return found[0]


def unsettled(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes that `nicpass recover` has to settle before anything else is changed, the newest first."""
    return tuple(change for change in reversed(changes) if change.outcome in (Outcome.UNFINISHED, Outcome.DAMAGED))


def find_unsettled(files: Files) -> tuple[Change, ...]:
    """The `unsettled` of all changes, without parsing changes that are plainly closed: every `nicpass list` asks."""
    found = [
        read_change(files, identity) for identity in list_changes(files) if not _is_plainly_closed(files, identity)
    ]
    return unsettled(tuple(found))


def read_changes_unless_settled(files: Files) -> tuple[Change, ...]:
    """Every change, where one may be unsettled or await confirmation; none where each is plainly neither.

    Every attach asks for them, and to parse a hundred changes takes longer than all else that it does by itself.

    Raises:
        NotPermittedError: as `list_changes`.
    """
    settled = all(_is_plainly_settled(files, identity) for identity in list_changes(files))
    return () if settled else read_changes(files)


_CLOSED, _CONFIRMED = (b'{"type":"%s"' % name for name in (b"closed", b"confirmed"))


def _is_plainly_closed(files: Files, identity: str) -> bool:
    return _last_line(_read_whole(files, identity)).startswith(_CLOSED)


def _is_plainly_settled(files: Files, identity: str) -> bool:
    """Whether a change is plainly closed, without a dead man's hand in it that nobody has confirmed."""
    content = _read_whole(files, identity)
    confirmed = b'"arm_timer"' not in content or _CONFIRMED in content
    return confirmed and _CLOSED in content and _last_line(content).startswith((_CLOSED, _CONFIRMED))


def _read_whole(files: Files, identity: str) -> bytes:
    """A journal's content; nothing where it is not whole: cut off, not readable, or with an undoing that failed."""
    content = files.read_bytes(f"{JOURNALS}/{identity}{_SUFFIX}")
    whole = isinstance(content, bytes) and content.endswith(b"\n") and b'"undo_failed"' not in content
    return content if isinstance(content, bytes) and whole else b""


def _last_line(content: bytes) -> bytes:
    return content[content.rfind(b"\n", 0, -1) + 1 :]


def owed(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes that did not bring a NIC back as it was, newest first, unless the NIC is somebody's again since."""
    found: list[Change] = []
    moved: set[str] = set()
    for change in reversed(changes):
        steps = change.opened.plan.steps if change.opened is not None else ()
        addresses = {step.address for step in steps if isinstance(step, NicStep)}
        if change.owes_the_nic and not addresses & moved:
            found.append(change)
        if change.outcome != Outcome.TAKEN_BACK:
            moved |= addresses
    return tuple(found)


def _prune(files: Files) -> None:
    """Let the oldest closed journals go. A journal that cannot be removed stops no change."""
    with contextlib.suppress(OSError, NotPermittedError):
        for identity in list_changes(files)[:-_KEPT]:
            unsettled = (Outcome.UNFINISHED, Outcome.DAMAGED, Outcome.UNCONFIRMED)
            if _is_plainly_settled(files, identity) or read_change(files, identity).outcome not in unsettled:
                files.remove(f"{JOURNALS}/{identity}{_SUFFIX}")


def undone_by(change: Change, changes: Iterable[Change]) -> str | None:
    """The change that has taken `change` back already, if any."""
    for other in changes:
        if other.opened is None or other.outcome not in (Outcome.DONE, Outcome.NEEDS_PERSON):
            continue
        request = other.opened.plan.request
        if isinstance(request, UndoRequest) and request.change == change.identity:
            return other.identity
    return None


def last_to_undo(changes: tuple[Change, ...]) -> Change:
    """The newest change that was done and not taken back; undoing twice does not do it again.

    Raises:
        BadInputError: there is no such change.
    """
    for change in reversed(changes):
        is_undo = change.opened is not None and isinstance(change.opened.plan.request, UndoRequest)
        done = change.outcome in (Outcome.DONE, Outcome.UNCONFIRMED)
        if done and not is_undo and undone_by(change, changes) is None:
            return change
    raise BadInputError(_("There is no change to undo."), "nicpass history")
