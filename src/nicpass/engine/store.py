# SPDX-License-Identifier: Apache-2.0
"""What nicpass keeps on disk: the journal of every change, and what each NIC was before it left.

Everything lies below /var/lib/nicpass, is owned by root, and is written so that it lasts through a power cut.
"""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.errors import StepError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.language import _
from nicpass.model.plan import NicState, Plan, Step

if TYPE_CHECKING:
    from nicpass.host.files import Files
    from nicpass.model.address import Address

STATE = "/var/lib/nicpass"


class Phase(enum.StrEnum):
    """Where a step is. `doing` is on disk before the step acts."""

    DOING = "doing"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The first record: the whole plan, and in which boot it was begun."""

    time: float
    boot_id: Fact[str]
    plan: Plan


class StepRecord(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """One step entering a phase; the step itself holds the previous value."""

    time: float
    number: int
    phase: Phase
    step: Step


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """The last record. A journal without one was cut off."""

    time: float
    exit_code: int
    sentence: str = ""


class Journal:
    """One change's records, a line of JSON each, on disk before the caller goes on."""

    def __init__(self, files: Files, plan: Plan) -> None:
        now = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        self.files = files
        self.identity = f"{stamp}-{int(now * 1e6) % 1_000_000:06d}"
        self.path = f"{STATE}/journal/{self.identity}.jsonl"
        self._write(Opened(time=now, boot_id=files.read_text("/proc/sys/kernel/random/boot_id"), plan=plan))

    def record(self, number: int, phase: Phase, step: Step) -> None:
        self._write(StepRecord(time=time.time(), number=number, phase=phase, step=step))

    def close(self, exit_code: int, sentence: str = "") -> None:
        self._write(Closed(time=time.time(), exit_code=exit_code, sentence=sentence))

    def _write(self, record: Opened | StepRecord | Closed) -> None:
        self.files.append_line(self.path, msgspec.json.encode(record))


def keep_nic_state(files: Files, state: NicState) -> None:
    """Put down what a NIC is to the host, before it leaves.

    Raises:
        OSError: nothing was written.
    """
    files.write_atomic(_nic_path(state.address), msgspec.json.encode(state))


def read_nic_state(files: Files, address: Address) -> NicState | None:
    """What the NIC was when it left; None if nicpass did not give it away.

    Raises:
        StepError: the record is there and cannot be read: then what was is unknown, not absent.
    """
    content = files.read_bytes(_nic_path(address))
    if content is None:
        return None
    hint = _("Look at {value}; moved away, only the driver can be given back.").format(value=_nic_path(address))
    if isinstance(content, Unknown):
        raise StepError(
            _("What {address} was before cannot be read: {reason}.").format(address=address, reason=content.unknown),
            hint,
        )
    try:
        state = msgspec.json.decode(content, type=NicState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StepError(
            _("The record of what {address} was before is damaged: {error}.").format(address=address, error=error), hint
        ) from None
    if state.address != address:
        raise StepError(
            _("The record of what {address} was before is about {other}.").format(address=address, other=state.address),
            hint,
        )
    return state


def forget_nic_state(files: Files, address: Address) -> None:
    files.remove(_nic_path(address))


def _nic_path(address: Address) -> str:
    return f"{STATE}/nics/{address}.json"
