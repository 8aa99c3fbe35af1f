# SPDX-License-Identifier: Apache-2.0
"""A plan is data: ordered steps, each of which knows what was before and has an inverse that is a step too.

Undoing a step means applying its inverse and verifying it, so there is one way to change a host, not two.
What a step *does* is not here: `engine` and `hypervisor` hold a handler for each kind.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from nicpass.model.address import Address
from nicpass.model.boot import BootChange, BootPurpose, DeviceIdentity
from nicpass.model.cpus import Interrupt
from nicpass.model.domain import GuestPlace, Placement
from nicpass.model.file_image import FileChange
from nicpass.model.libvirt_network import PoolState
from nicpass.model.network import IpAddress, Link, LinkManager, Route, VfSettings
from nicpass.model.request import Request


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What other interfaces had in common with a NIC when it left: none of that has been moved there since."""

    addresses: tuple[IpAddress, ...] = ()
    """The NIC's addresses on other interfaces, as on the loopback of a host with unnumbered links."""
    routes: tuple[Route, ...] = ()
    """Other interfaces' default routes, and their routes to where the NIC's routes lead."""
    ports: tuple[str, ...] = ()
    """The other ports of the bridge or bond that the NIC was in."""


class NicState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a NIC: what it was to the host before it left, and shall be again (law 4)."""

    address: Address
    driver: str | None
    links: tuple[Link, ...] = ()
    addresses: tuple[IpAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    vf: VfSettings | None = None
    """For a VF, the settings that its PF enforces on it."""
    pf: Address | None = None
    """For a VF, its PF: who looks for a VF that is gone is to know where it was. None also where not recorded."""
    numvfs: int | None = None
    """How many VFs a PF has; None for a NIC that makes no VFs, or where the number was not recorded."""
    uppers: tuple[Link, ...] | None = None
    """Interfaces that stand on the NIC's and leave with them (VLANs, macvlans), the lower first; None: not recorded.

    A VLAN's addresses and routes are among `addresses` and `routes`.
    """
    managers: tuple[LinkManager, ...] = ()
    """The managers that configured the NIC's interfaces; they are asked to do it again."""
    beside: Beside | None = None
    """None: not recorded."""
    identity: DeviceIdentity | None = None
    """The card's identity; None: not recorded, or not all of it could be read."""


class NicOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The VM that a NIC was given to, and on which terms; a later start of that VM is held to them."""

    domain: str
    uuid: str
    allow: frozenset[str] = frozenset()
    """Codes of findings that the administrator took upon himself when he gave the NIC away."""
    managed: bool = True
    """Whether the hypervisor takes the NIC from the host at each start, and gives it back at each stop."""


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
    place: GuestPlace | None = None
    """Where in the guest it shall stand; None leaves that to the hypervisor."""
    xml: str | None = None
    """The element as the hypervisor had it, so that undoing a detach loses nothing of it."""


class StepBase(msgspec.Struct, frozen=True, kw_only=True):
    """The base class of all steps."""


class NicStep(StepBase, frozen=True, kw_only=True):
    """A step that is about one NIC."""

    address: Address


class TakeNic(NicStep, frozen=True, kw_only=True, tag="take_nic"):
    """Keep on disk what the NIC is to the host; from here on it may leave."""

    state: NicState
    owner: NicOwner | None = None
    keeps: bool = False
    """Whether the VM had it in its lasting definition before: then its record stays when this is taken back."""


class GiveBackNic(NicStep, frozen=True, kw_only=True, tag="give_back_nic"):
    """Bind the NIC's own driver and restore name, MAC, MTU, link state, addresses and routes."""

    state: NicState
    after_boot: bool = False
    """Whether a boot has set the NIC up since, so that only the record that was kept of it is let go."""
    gone: bool = False
    """Whether the card has left the host, or left this address, so that here too only the record is let go."""
    owner: NicOwner | None = None
    """The VM that the NIC comes back from."""
    keeps: bool = False
    """Whether its record stays: the VM has it in its lasting definition, and gets it again at its next start."""


class SetTerms(NicStep, frozen=True, kw_only=True, tag="set_terms"):
    """Put into the record of a NIC that is given away what its VM's later starts are held to."""

    before: NicOwner
    after: NicOwner
    back: bool = False
    """Whether the step takes another back: then a record that is gone, or on other terms by now, is left alone."""


class DefineDevice(NicStep, frozen=True, kw_only=True, tag="define_device"):
    """Write the NIC into a VM's lasting definition."""

    domain: str
    uuid: str
    device: DeviceSpec
    running: bool = False
    """Whether the VM runs, so that this is for its next start; the running machine has steps of its own."""


class UndefineDevice(NicStep, frozen=True, kw_only=True, tag="undefine_device"):
    """Take the NIC out of a VM's lasting definition."""

    domain: str
    uuid: str
    device: DeviceSpec
    running: bool = False
    """As in the step that wrote it."""


class PlugDevice(NicStep, frozen=True, kw_only=True, tag="plug_device"):
    """Plug the NIC into the running VM; done when the VM has it, and the host has not."""

    domain: str
    uuid: str
    device: DeviceSpec
    again: bool = False
    """Whether it had it before: a VM that has ended since needs it no more, and nobody waits for it."""


class UnplugDevice(NicStep, frozen=True, kw_only=True, tag="unplug_device"):
    """Have the running VM's guest let go of the NIC; done when the VM has it no more."""

    domain: str
    uuid: str
    device: DeviceSpec
    forced: bool = False
    """Whether a VM whose guest does not let go is stopped: nobody is there who could ask it again."""


class AddPorts(NicStep, frozen=True, kw_only=True, tag="add_ports"):
    """Write root ports into a VM's lasting definition, for NICs that are to be plugged in while it runs."""

    domain: str
    uuid: str
    indices: tuple[int, ...]
    """The controllers' indices, which are the numbers of the guest's buses behind them."""


class RemovePorts(NicStep, frozen=True, kw_only=True, tag="remove_ports"):
    """Take these root ports out of a VM's lasting definition, unless something stands on them."""

    domain: str
    uuid: str
    indices: tuple[int, ...]


class StartDomain(NicStep, frozen=True, kw_only=True, tag="start_domain"):
    """Start the VM; done when it runs, its NICs are on vfio-pci and their netdevs have left the host."""

    domain: str
    uuid: str
    more: tuple[Address, ...] = ()
    """The NICs of the change beside the one at `address`."""
    guarded: bool = False
    """Whether the step is done only when the guard was seen to let this start through, with the NIC at `address`."""
    pool_macs: tuple[str, ...] = ()
    """Interfaces for which libvirt picks a VF of a pool; then `address` is that of the VFs' PF, which stays."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The NICs that leave the host, as far as that is known before the start."""
        return self.more if self.pool_macs else (self.address, *self.more)


class StopDomain(NicStep, frozen=True, kw_only=True, tag="stop_domain"):
    """Switch off a VM that this run has started and no other; or, `for_all`, whoever started it."""

    domain: str
    uuid: str
    more: tuple[Address, ...] = ()
    """As in the step that started the VM."""
    for_all: bool = False
    """Whether the VM is stopped whoever started it: asked to shut down first, switched off if it does not heed."""
    unattended: bool = False
    """Nobody is there to mend a libvirt that hangs: then the VM's process is ended without it."""
    guarded: bool = False
    """Whether the start was guarded, as in the step that started the VM."""
    pool_macs: tuple[str, ...] = ()
    """As in the step that started the VM."""


class SetNumvfs(NicStep, frozen=True, kw_only=True, tag="set_numvfs"):
    """Make or remove a PF's VFs (`sriov_numvfs`), or only set them; the kernel knows but all or none in between."""

    before: int
    after: int
    before_vfs: tuple[VfSettings, ...] = ()
    """The settings that the PF enforced on each VF: lost with the VFs."""
    after_vfs: tuple[VfSettings, ...] = ()
    """The settings that the PF shall enforce on the VFs once they are made; of VFs that stay, what differs is set."""
    derived: tuple[int, ...] = ()
    """The VFs whose MAC nobody asked for: where the driver takes or tells none, they have none."""
    before_autoprobe: bool | None = None
    autoprobe: bool | None = None
    """Whether the host's drivers shall take VFs as they are made; None leaves that as it is.

    It stays so for as long as there are VFs: a VF that comes back from a VM is probed too.
    """


class SetPool(StepBase, frozen=True, kw_only=True, tag="set_pool"):
    """Make a pool of VFs, change it, or take it away."""

    before: PoolState | None
    after: PoolState | None

    @property
    def name(self) -> str:
        """The pool's name; empty where the step is about none."""
        state = self.after or self.before
        return state.name if state is not None else ""


class PoolInterface(StepBase, frozen=True, kw_only=True):
    """An interface of a VM for which libvirt picks a VF of a pool at each start."""

    domain: str
    uuid: str
    pool: str
    mac: str
    place: GuestPlace | None = None
    """Where in the guest it stands; None leaves that to the hypervisor."""
    live: bool = False
    """Whether it is about the running machine, and not about the lasting definition."""
    running: bool = False
    """Whether the VM runs, so that its lasting definition is for its next start."""
    xml: str | None = None
    """The element as libvirt had it."""
    again: bool = False
    """As in PlugDevice."""


class JoinPool(PoolInterface, frozen=True, kw_only=True, tag="join_pool"):
    """Give the VM the interface."""


class LeavePool(PoolInterface, frozen=True, kw_only=True, tag="leave_pool"):
    """Take the interface out of the VM."""


class ArmTimer(NicStep, frozen=True, kw_only=True, tag="arm_timer"):
    """The dead man's hand: unless the change is confirmed, a timer of systemd takes all back.

    Without an `allowance` `seconds` from now. With one it stands behind the change itself while that is made, and goes
    off when it takes longer than the allowance for it, so that nobody could confirm it in time.
    """

    seconds: int
    allowance: int = 0
    """Seconds that the change may take before the time to confirm it begins."""


class StartWindow(NicStep, frozen=True, kw_only=True, tag="start_window"):
    """The change is made: from now there are `seconds` to confirm it, whatever it took."""

    seconds: int
    allowance: int


class DisarmTimer(NicStep, frozen=True, kw_only=True, tag="disarm_timer"):
    """Take the dead man's hand away."""

    seconds: int
    allowance: int = 0
    """As in the step that set the timer."""


class InstallGuard(NicStep, frozen=True, kw_only=True, tag="install_guard"):
    """See to it that every later start of a VM is as safe as the first, and that a boot tidies up after a crash.

    The guard is a hook that the hypervisor calls, and a unit of systemd; `files` are in the order of writing.
    """

    files: tuple[FileChange, ...]


class RemoveGuard(NicStep, frozen=True, kw_only=True, tag="remove_guard"):
    """Take the guard away: what stood at its places before stands there again."""

    files: tuple[FileChange, ...]


class PlaceDomain(StepBase, frozen=True, kw_only=True, tag="place_domain"):
    """Write into a VM's lasting definition on which CPUs of the host it runs, and which memory it gets."""

    domain: str
    uuid: str
    before: Placement
    after: Placement
    back: bool = False
    """Whether the step takes another back: then what somebody else has written there since is left alone."""


class SteerInterrupts(NicStep, frozen=True, kw_only=True, tag="steer_interrupts"):
    """Say which CPUs handle the interrupts that a NIC has while its VM runs; they go with the VM's end."""

    before: tuple[Interrupt, ...]
    after: tuple[Interrupt, ...]


class ChangeBoot(StepBase, frozen=True, kw_only=True, tag="change_boot"):
    """Write the files that the next boots go by, and have the distribution's programs make the rest of them."""

    purpose: BootPurpose
    change: BootChange
    removes: bool = False
    """Whether the change takes out what is nicpass's."""


Step: TypeAlias = (
    TakeNic
    | GiveBackNic
    | SetTerms
    | DefineDevice
    | UndefineDevice
    | PlugDevice
    | UnplugDevice
    | AddPorts
    | RemovePorts
    | StartDomain
    | StopDomain
    | SetNumvfs
    | SetPool
    | JoinPool
    | LeavePool
    | ArmTimer
    | StartWindow
    | DisarmTimer
    | InstallGuard
    | RemoveGuard
    | PlaceDomain
    | SteerInterrupts
    | ChangeBoot
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The steps that will be done, in order. No steps: the host is already as it was asked to be."""

    summary: str
    request: Request
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    more: bool = False
    """Whether further steps are planned once these are done, for a host that shows only then what they depend on."""
