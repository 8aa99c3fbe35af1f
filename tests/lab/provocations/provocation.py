# SPDX-License-Identifier: Apache-2.0
"""What a provocation is: how the lab makes a host deserve a finding, and how it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MendedBy(StrEnum):
    """What makes a finding go away."""

    COMMAND = "its own command"
    ADVICE = "what its advice says, done by hand"
    BOOT = "another start of the host, its firmware or kernel arguments as the advice says"
    ROOT = "the same check, run by root"
    NOTHING = "nothing: it is a note, or the hardware is so"


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
    arguments: tuple[str, ...] = ()
    """Of `nicpass check`, beside --json."""
    user: str = "root"
    """Who runs the check."""
    nic: str | None = None
    """The address of the NIC that it is about; None where it is about the host."""
    scene: str = ""
    """Provocations of one scene are provoked together and mended together; without one, alone."""
    guest: str = ""
    """A VM that is started, and whose guest is up, before anything is provoked."""
    session: bool = False
    """The check is run by somebody who came in by ssh over the test NIC; the mend is to go again."""
    provoke: tuple[str, ...] = ()
    """Nothing where the host is born with it."""
    mended_by: MendedBy
    edit: str = ""
    """For COMMAND, if that opens an editor: what sed(1) does in it."""
    mend: tuple[str, ...] = ()
    """The lines for ADVICE; for COMMAND what is to be waited for."""
    undo: tuple[str, ...] = ()
    """What is left to put back after the mend."""
    sound_shape: str = "intel"
    """The shape that is the mended host, for BOOT."""
    spoils: bool = False
    """It cannot be undone, so the host is thrown away."""
    full: bool = False
    """Only in `make test-full`: it takes long."""

    @property
    def view(self) -> tuple[str, tuple[str, ...], str]:
        """What is looked at, how, and by whom."""
        return self.shape, self.arguments, self.user

    @property
    def place(self) -> tuple[tuple[str, tuple[str, ...], str], str]:
        """The scene, told from all others."""
        return self.view, self.scene or f"{self.code} {self.nic} {self.how}"
