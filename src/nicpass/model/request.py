# SPDX-License-Identifier: Apache-2.0
"""The changes that somebody asks for, in his words: a plan is made of each, and the journal keeps it with the plan."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from nicpass.model.state import DeclaredState
from nicpass.model.vf import NOTHING, VfSetRequest, VfWish

Where: TypeAlias = Literal["both", "live", "config"]
"""Which of a running VM's two definitions a change is for: the lasting one, that of the running machine, or both."""


class NicWish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for of one NIC among several."""

    nic: str
    """The NIC as the request names it."""
    mac: str | None = None
    vlan: int | None = None


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
    each: tuple[NicWish, ...] = ()
    """MAC and VLAN of single NICs; only a file says so."""
    add_ports: int = 0
    """How many root ports the VM's definition is to have more, from its next start on."""

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
    each: tuple[tuple[int, VfWish], ...] = ()
    """What single ones shall be set to besides, by the VF's number; only a file says so."""
    for_host: bool = False
    """Whether the host's own drivers shall have the VFs, not only VMs."""
    until_reboot: bool = False
    """Whether the VFs are not to come back after the next boot; or, removed, are to come back then."""
    in_steps: bool = False
    """Whether running VMs let go of VFs of this PF meanwhile."""
    confirm_within: int | None = None
    """Seconds in which to confirm, as in AttachRequest."""


class PoolRequest(msgspec.Struct, frozen=True, kw_only=True, tag="pool"):
    """Make a pool of VFs, change which VFs are in it, or take it away."""

    action: Literal["create", "add", "drain", "remove"]
    name: str
    pf: str | None = None
    """The PF of a pool that is to be made, as the user named it."""
    vfs: str | None = None
    """Which VFs of that PF, or of the PF that the pool has VFs of: `2-7`, `2-7,9`; None where all are drained."""
    vlan: int | None = None


class PoolAttachRequest(msgspec.Struct, frozen=True, kw_only=True, tag="attach_pool"):
    """Give the VM an interface for which libvirt picks a free VF of the pool at each start."""

    vm: str
    pool: str
    mac: str | None = None
    start: bool = False
    where: Where = "both"
    """As in AttachRequest."""


class PoolDetachRequest(msgspec.Struct, frozen=True, kw_only=True, tag="detach_pool"):
    """Take an interface of a pool's out of the VM."""

    vm: str
    pool: str
    mac: str | None = None
    """Which one, where the VM has several of that pool."""
    stop: bool = False
    where: Where = "both"
    """As in AttachRequest."""


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


class ApplyRequest(msgspec.Struct, frozen=True, kw_only=True, tag="apply"):
    """Make the host as a file says."""

    file: str
    """The file's name, as the user gave it."""
    state: DeclaredState
    """What it said at that moment."""
    prune: bool = False
    """Whether what nicpass has made goes, where the file does not name it."""
    confirm_within: int | None = None
    """Seconds in which to confirm, as in AttachRequest."""


class TuneRequest(msgspec.Struct, frozen=True, kw_only=True, tag="tune"):
    """Put the VM where its NICs are: CPUs, memory, huge pages, interrupts."""

    vm: str
    cpus: str | None = None
    """The CPUs to pin to, as a list such as `4-7`; None leaves the choice."""
    hugepages: bool = False
    """Whether the VM shall have huge pages, and nothing be done where there are not enough."""


Request: TypeAlias = (
    AttachRequest
    | DetachRequest
    | VfRequest
    | VfSetRequest
    | PoolRequest
    | PoolAttachRequest
    | PoolDetachRequest
    | UndoRequest
    | PrepareRequest
    | ApplyRequest
    | TuneRequest
)
