# SPDX-License-Identifier: Apache-2.0
"""What each NIC was before it left, kept on disk.

Everything lies below /var/lib/nicpass, is owned by root, and is written so that it lasts through a power cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.language import _
from nicpass.model.plan import NicState

if TYPE_CHECKING:
    from nicpass.host.files import Files
    from nicpass.model.address import Address

STATE = "/var/lib/nicpass"


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
