# SPDX-License-Identifier: Apache-2.0
"""The preparation of a host for passthrough, kept on disk from one boot to the next."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nicpass.model.boot import BootBinding
from nicpass.model.fact import Fact
from nicpass.model.plan import NicState


class Stage(StrEnum):
    """How far the preparation of a host has come."""

    WAITING = "waiting"
    """All is written; the reboot is to come."""
    DONE = "done"
    """A boot has shown that the preparation works."""
    FAILED = "failed"
    """A boot has shown that the preparation does not work. Nothing more is tried by itself."""


class PreparedNic(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC that is vfio-pci's from the boot on, and what it was to the host before."""

    binding: BootBinding
    state: NicState


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a host's preparation, of which there is one."""

    stage: Stage
    boot_id: Fact[str]
    """The id of the boot in which the preparation came to this stage."""
    arguments: tuple[str, ...] = ()
    """The tokens of nicpass on the kernel's command line."""
    trial: bool = False
    """Whether the arguments are given to the next boot only; after it they are written for good, or are gone."""
    nics: tuple[PreparedNic, ...] = ()
    group: str | None = None
    """The group whose members may open VFIO devices without being root."""
    confirm_within: int = 0
    """Seconds after the reboot in which somebody has to confirm that he can still reach the host; 0 is never."""
    saw: str = ""
    """The sentence about what the boot showed instead, where the preparation failed."""
