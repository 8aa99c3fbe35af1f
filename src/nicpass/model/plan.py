# SPDX-License-Identifier: Apache-2.0
"""A plan is data: ordered steps, each of which knows what was before and has an inverse that is a step too.

Undoing a step means applying its inverse and verifying it, so there is one way to change a host, not two.
What a step *does* is not here: `engine` and `hypervisor` hold a handler for each kind.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from nicpass.model.address import Address
from nicpass.model.network import IpAddress, Link, LinkManager, Route, VfSettings


class AttachRequest(msgspec.Struct, frozen=True, kw_only=True, tag="attach"):
    """Give `nic` to the VM; both as the user named them."""

    vm: str
    nic: str
    start: bool = False
    mac: str | None = None
    vlan: int | None = None
    allow: frozenset[str] = frozenset()
    """Codes of `unsafe` findings that the administrator takes upon himself, each by its name."""


class DetachRequest(msgspec.Struct, frozen=True, kw_only=True, tag="detach"):
    """Take `nic` back from the VM."""

    vm: str
    nic: str


class VfRequest(msgspec.Struct, frozen=True, kw_only=True, tag="vf"):
    """Make `count` VFs of the PF; 0 removes them."""

    pf: str
    count: int


Request: TypeAlias = AttachRequest | DetachRequest | VfRequest


class NicState(msgspec.Struct, frozen=True, kw_only=True):
    """What a NIC was to the host before it left, and shall be again (law 4)."""

    address: Address
    driver: str | None
    links: tuple[Link, ...] = ()
    addresses: tuple[IpAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    vf: VfSettings | None = None
    """For a VF, what its PF enforces on it."""
    managers: tuple[LinkManager, ...] = ()
    """Who configured its interfaces; whoever did is asked to do it again."""


class Difference(msgspec.Struct, frozen=True):
    """One field of a NIC, as it was and as it is, in the words of the report."""

    field: str
    before: str
    after: str

    @property
    def equal(self) -> bool:
        return self.before == self.after


class DeviceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the NIC stands in a VM's definition; a hypervisor turns it into its own language."""

    address: Address
    element: Literal["hostdev", "interface"]
    managed: bool = True
    mac: str | None = None
    vlan: int | None = None
    xml: str | None = None
    """The element as the hypervisor had it, so that undoing a detach loses nothing of it."""


class StepBase(msgspec.Struct, frozen=True, kw_only=True):
    """What all steps share: the NIC that it is about."""

    address: Address


class TakeNic(StepBase, frozen=True, kw_only=True, tag="take_nic"):
    """Keep on disk what the NIC is to the host; from here on it may leave."""

    state: NicState


class GiveBackNic(StepBase, frozen=True, kw_only=True, tag="give_back_nic"):
    """Bind the NIC's own driver and restore name, MAC, MTU, link state, addresses and routes."""

    state: NicState


class DefineDevice(StepBase, frozen=True, kw_only=True, tag="define_device"):
    """Write the NIC into a stopped VM's lasting definition."""

    domain: str
    uuid: str
    device: DeviceSpec


class UndefineDevice(StepBase, frozen=True, kw_only=True, tag="undefine_device"):
    """Take the NIC out of a stopped VM's lasting definition."""

    domain: str
    uuid: str
    device: DeviceSpec


class StartDomain(StepBase, frozen=True, kw_only=True, tag="start_domain"):
    """Start the VM; done when it runs, the NIC is on vfio-pci and its netdev has left the host."""

    domain: str
    uuid: str


class StopDomain(StepBase, frozen=True, kw_only=True, tag="stop_domain"):
    """Stop a VM that this plan started; never one that was running before."""

    domain: str
    uuid: str


class SetNumvfs(StepBase, frozen=True, kw_only=True, tag="set_numvfs"):
    """Make or remove a PF's VFs (`sriov_numvfs`); the kernel knows only all or none in between."""

    before: int
    after: int


Step: TypeAlias = TakeNic | GiveBackNic | DefineDevice | UndefineDevice | StartDomain | StopDomain | SetNumvfs


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done, in order. No steps: the host is already as it was asked to be."""

    summary: str
    request: Request
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def invert_step(step: Step) -> Step:
    """The step that takes `step` back."""
    match step:
        case TakeNic():
            return GiveBackNic(address=step.address, state=step.state)
        case GiveBackNic():
            return TakeNic(address=step.address, state=step.state)
        case DefineDevice():
            return UndefineDevice(address=step.address, domain=step.domain, uuid=step.uuid, device=step.device)
        case UndefineDevice():
            return DefineDevice(address=step.address, domain=step.domain, uuid=step.uuid, device=step.device)
        case StartDomain():
            return StopDomain(address=step.address, domain=step.domain, uuid=step.uuid)
        case StopDomain():
            return StartDomain(address=step.address, domain=step.domain, uuid=step.uuid)
        case SetNumvfs():
            return SetNumvfs(address=step.address, before=step.after, after=step.before)
