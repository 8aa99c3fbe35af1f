# SPDX-License-Identifier: Apache-2.0
"""The records of what each NIC was before it left, kept on disk.

Everything lies below /var/lib/nicpass, is owned by root, and is written so that it lasts through a power cut.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.system import given
from nicpass.model.address import Address, parse_address
from nicpass.model.errors import StepError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.language import _
from nicpass.model.plan import NicOwner, NicState

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

STATE, NICS = given.STATE, given.NICS
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class KeptNic(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC that is given away: what it was to the host, whose it is now, and whether it is out."""

    state: NicState
    owner: NicOwner | None = None
    """None in records of nicpass 0.1, which kept the state alone."""
    away: str | None = None
    """The id of the boot in which the NIC left for a start of the VM, until all of its state is back on the host."""
    renewed: bool = False
    """Whether `state` is that of a later start of the VM than the one that the NIC was given for."""


def keep_nic(files: Files, kept: KeptNic) -> None:
    """Write a NIC's record: its state and whose it is. Equal records are equal files, whatever order their sets have.

    Raises:
        OSError: nothing was written.
    """
    files.write_atomic(_nic_path(kept.state.address), _encode(kept))


def is_kept(files: Files, kept: KeptNic) -> bool:
    """Whether the record on disk is this one, byte for byte."""
    return files.read_bytes(_nic_path(kept.state.address)) == _encode(kept)


def is_half_written(files: Files, address: Address) -> bool:
    """Whether a run that was killed has left half of a record beside the whole one."""
    return files.has_leftover(_nic_path(address))


def _encode(kept: KeptNic) -> bytes:
    return msgspec.json.encode(kept, order="deterministic")


def read_kept_nic(files: Files, address: Address) -> KeptNic | None:
    """The record of a NIC; None if nicpass did not give it away.

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
        kept = _decode_kept(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StepError(
            _("The record of what {address} was before is damaged: {error}.").format(address=address, error=error), hint
        ) from None
    if kept.state.address != address:
        raise StepError(
            _("The record of what {address} was before is about {other}.").format(
                address=address, other=kept.state.address
            ),
            hint,
        )
    return kept


def _decode_kept(content: bytes) -> KeptNic:
    try:
        return msgspec.json.decode(content, type=KeptNic)
    except msgspec.ValidationError:
        with contextlib.suppress(msgspec.ValidationError):
            return KeptNic(state=msgspec.json.decode(content, type=NicState))
        raise


def list_kept_nics(files: Files) -> Fact[tuple[Address, ...]]:
    """The NICs that are given away, by their records' names."""
    names = files.list_directory(NICS)
    if not isinstance(names, tuple):
        return names
    found = (parse_address(name.removesuffix(".json")) for name in names if name.endswith(".json"))
    return tuple(sorted(address for address in found if address is not None))


def keep_nic_state(files: Files, state: NicState) -> None:
    """Write the record of a NIC of which no more is known than its state.

    Raises:
        OSError: nothing was written.
    """
    keep_nic(files, KeptNic(state=state))


def read_nic_state(files: Files, address: Address) -> NicState | None:
    """The state of a NIC when it left; None if nicpass did not give it away.

    Raises:
        StepError: the record is there and cannot be read: then what was is unknown, not absent.
    """
    kept = read_kept_nic(files, address)
    return kept.state if kept is not None else None


def forget_nic_state(files: Files, address: Address) -> None:
    files.remove(_nic_path(address))


def _nic_path(address: Address) -> str:
    return f"{NICS}/{address}.json"
