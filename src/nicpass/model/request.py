# SPDX-License-Identifier: Apache-2.0
"""The changes that somebody asks for, in his words: a plan is made of each, and the journal keeps it with the plan."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from nicpass.model.vf import NOTHING, VfSetRequest, VfWish

Where: TypeAlias = Literal["both", "live", "config"]
"""Which of a running VM's two definitions a change is for: the lasting one, that of the running machine, or both."""


class AttachRequest(msgspec.Struct, frozen=True, kw_only=True, tag="attach"):
    """Give `nic`, and what goes in the same change, to the VM; all as the user named them."""

    vm: str
    nic: str
    more: tuple[str, ...] = ()
    """The NICs beside `nic`."""
    with_group: bool = False
    """Whether what else is in their IOMMU groups goes along."""
    from_pf: bool = False
    """Whether `nic` is a PF, and a free VF of it shall go."""
    start: bool = False
    mac: str | None = None
    vlan: int | None = None
    allow: frozenset[str] = frozenset()
    """Codes of `unsafe` findings that the administrator takes upon himself, each by its name."""
    confirm_within: int | None = None
    """Seconds after which all is taken back unless confirmed; 0 is never, None is as the findings demand."""
    where: Where = "both"
    """A stopped VM has only the lasting definition."""

    @property
    def nics(self) -> tuple[str, ...]:
        """Every NIC that was named."""
        return (self.nic, *self.more)


class DetachRequest(msgspec.Struct, frozen=True, kw_only=True, tag="detach"):
    """Take `nic`, and what goes in the same change, back from the VM."""

    vm: str
    nic: str
    more: tuple[str, ...] = ()
    """The NICs beside `nic`."""
    stop: bool = False
    """Shut the VM down first, and switch it off if it does not heed."""
    where: Where = "both"
    """As in AttachRequest."""

    @property
    def nics(self) -> tuple[str, ...]:
        """Every NIC that was named."""
        return (self.nic, *self.more)


class VfRequest(msgspec.Struct, frozen=True, kw_only=True, tag="vf"):
    """Make `count` VFs of the PF; 0 removes them."""

    pf: str
    count: int
    settings: VfWish = NOTHING
    """What all of them shall be set to."""
    for_host: bool = False
    """Whether the host's own drivers shall have the VFs, not only VMs."""
    until_reboot: bool = False
    """Whether the VFs are not to come back after the next boot; or, removed, are to come back then."""
    confirm_within: int | None = None
    """Seconds in which to confirm, as in AttachRequest."""


class UndoRequest(msgspec.Struct, frozen=True, kw_only=True, tag="undo"):
    """Take back a change that was done."""

    change: str
    stop: bool = False
    allow: frozenset[str] = frozenset()
    unconfirmed: bool = False
    """Whether nobody asked for the undoing but the dead man's hand."""


class PrepareRequest(msgspec.Struct, frozen=True, kw_only=True, tag="prepare"):
    """Make the host ready for passthrough, and these NICs vfio-pci's at every boot; or take all of that out again."""

    nics: tuple[str, ...] = ()
    remove: bool = False
    finish: bool = False
    """Whether the reboot has come: keep what was seen to work."""
    iommu_pt: bool = False
    """Whether the host's own devices shall do DMA without translation."""
    group: str | None = None
    """The group whose members may open VFIO devices without being root."""
    allow: frozenset[str] = frozenset()
    """Codes of findings that the administrator takes upon himself, as in AttachRequest."""
    confirm_within: int | None = None
    """Seconds after the reboot in which to confirm; else as in AttachRequest."""


class TuneRequest(msgspec.Struct, frozen=True, kw_only=True, tag="tune"):
    """Put the VM where its NICs are: CPUs, memory, huge pages, interrupts."""

    vm: str
    cpus: str | None = None
    """The CPUs to pin to, as a list such as `4-7`; None leaves the choice."""
    hugepages: bool = False
    """Whether the VM shall have huge pages, and nothing be done where there are not enough."""


Request: TypeAlias = (
    AttachRequest | DetachRequest | VfRequest | VfSetRequest | UndoRequest | PrepareRequest | TuneRequest
)
