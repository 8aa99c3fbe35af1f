# SPDX-License-Identifier: Apache-2.0
"""What a provocation is: how the lab makes a host deserve a finding, and how it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MendedBy(StrEnum):
    """What makes a finding go away."""

    COMMAND = "its own command"
    ADVICE = "what its advice says, done by hand"
    BOOT = "another start of the host: firmware or kernel arguments as its advice says"
    NOTHING = "nothing: it is a note, or the hardware"


@dataclass(frozen=True, kw_only=True)
class Provocation:
    """One way to one finding. Lines are run by bash as root, each on its own."""

    code: str
    how: str
    """What is done to the host, for the table in the documentation."""
    sees: str
    """A regular expression for the finding's sentence."""
    evidence: str = ""
    """A regular expression for one of its pieces of evidence, `source: value`."""
    shape: str = "intel"
    nic: str | None = None
    """The address of the NIC that it is about; None where it is about the host."""
    provoke: tuple[str, ...] = ()
    """Nothing where the host is born with it."""
    mended_by: MendedBy
    mend: tuple[str, ...] = ()
    """The lines for ADVICE."""
    undo: tuple[str, ...] = ()
    """What is left to put back after the mend."""
    sound_shape: str = "intel"
    """The shape that is the mended host, for BOOT."""
    full: bool = False
    """Only in `make test-full`: it takes long."""
