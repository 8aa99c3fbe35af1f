# SPDX-License-Identifier: Apache-2.0
"""Makes the VFs again that were asked for: at a boot, or when their PF has come back.

Nothing is written in a journal: what is asked for stands on disk, and whoever is killed here leaves it to the next run.
A VF that is somebody's is left alone, and so is a number of VFs that somebody else has chosen.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.binding.identity import match_identity
from nicpass.boot.vfs.declaration import address_of
from nicpass.engine.handler import wait_until
from nicpass.engine.journal import read_changes_unless_settled
from nicpass.host.network.interfaces import read_network
from nicpass.host.pci.functions import read_function, read_pci
from nicpass.model.address import Address
from nicpass.model.boot import BootPurpose
from nicpass.model.change import Outcome
from nicpass.model.errors import ExitCode, NicpassError, StepError
from nicpass.model.fact import Unknown, known, value_or
from nicpass.model.language import _
from nicpass.model.plan import ChangeBoot, SetNumvfs
from nicpass.planner.nic_state.whole import is_stub

if TYPE_CHECKING:
    from nicpass.engine.host_steps import HostSteps
    from nicpass.host.doors.files import Files
    from nicpass.model.declared_vfs import DeclaredVfs
    from nicpass.model.network import Link
    from nicpass.model.pci import PciFunction

_PATIENCE = 30.0
"""Seconds for the drivers of all PFs together, after udev has settled: whoever waits at the boot, waits for us."""
_OPEN = (Outcome.UNFINISHED, Outcome.DAMAGED, Outcome.UNCONFIRMED)


class MadeVfs(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the VFs of one PF."""

    address: Address
    """The PF's address now, or when the VFs were asked for, where it is not there."""
    count: int
    sentence: str
    changed: bool = False
    exit_code: int = ExitCode.DONE


def make_declared(files: Files, steps: HostSteps, declared: tuple[DeclaredVfs, ...]) -> tuple[MadeVfs, ...]:
    """Make and set what is missing of the declared VFs, each PF by itself: one that fails keeps no other waiting.

    A PF whose VFs a change was about that is not settled is left to whoever settles it, and then calls this.
    """
    changing = _changing(files) if declared else frozenset()
    waiting = [one for one in declared if one.address not in changing]
    if not waiting:
        return ()
    steps.settle()
    deadline = time.monotonic() + _PATIENCE
    functions = read_pci(files)
    made = []
    for one in waiting:
        try:
            made.append(_make(files, steps, one, functions, deadline))
        except (NicpassError, OSError) as error:
            sentence = error.sentence if isinstance(error, NicpassError) else str(error)
            failed = MadeVfs(address=one.address, count=one.count, sentence=sentence, exit_code=ExitCode.ROLLED_BACK)
            made.append(failed)
    return tuple(made)


def _changing(files: Files) -> frozenset[Address]:
    """The PFs whose VFs are between before and after: the change was cut off, or nobody has confirmed it yet."""
    open_ones = [change for change in read_changes_unless_settled(files) if change.outcome in _OPEN]
    steps = [step for change in open_ones if change.opened is not None for step in change.opened.plan.steps]
    changed = {step.address for step in steps if isinstance(step, SetNumvfs)}
    kept = [step for step in steps if isinstance(step, ChangeBoot) and step.purpose == BootPurpose.VFS]
    return frozenset(changed | {a for step in kept for file in step.change.files if (a := address_of(file.path))})


def _make(
    files: Files, steps: HostSteps, one: DeclaredVfs, functions: tuple[PciFunction, ...], deadline: float
) -> MadeVfs:
    match = match_identity(one.identity, functions)
    if match.outcome != "found":
        raise StepError(
            _("The PF that was {address} when its VFs were asked for is not there: {outcome}.").format(
                address=one.address, outcome=match.outcome
            )
        )
    (address,) = match.addresses
    links = _wait_for_links(files, one, address, deadline)
    _refuse_other_card(one, address, links)
    _bring_up(steps, one, links)
    function = read_function(files, address)
    if function.numvfs == one.count:
        return _set_idle(files, steps, one, function)
    if function.numvfs != 0:
        raise StepError(
            _("{address} has {numvfs} VFs, not the {count} that were asked for: somebody has set that.").format(
                address=address, numvfs=function.numvfs, count=one.count
            )
        )
    step = SetNumvfs(
        address=address, before=0, after=one.count, after_vfs=one.vfs, derived=one.derived, autoprobe=one.for_host
    )
    steps.apply_numvfs(step)
    steps.verify_numvfs(step)
    sentence = _("{address} has its {count} VFs again.").format(address=address, count=one.count)
    return MadeVfs(address=address, count=one.count, sentence=sentence, changed=True)


def _set_idle(files: Files, steps: HostSteps, one: DeclaredVfs, function: PciFunction) -> MadeVfs:
    """Set the VFs that are there already, but those that a VM or a program may have: their settings are its own."""
    address, idle = function.address, _idle_of(files, function)
    vfs = tuple(vf for vf in one.vfs if vf.vf_index in idle)
    step = SetNumvfs(
        address=address, before=one.count, after=one.count, after_vfs=vfs, derived=one.derived, autoprobe=one.for_host
    )
    try:
        steps.verify_numvfs(step)
    except StepError:
        steps.apply_numvfs(step)
        steps.verify_numvfs(step)
        sentence = _("The VFs of {address} are set again.").format(address=address)
        return MadeVfs(address=address, count=one.count, sentence=sentence, changed=True)
    sentence = _("{address} has its {count} VFs.").format(address=address, count=one.count)
    return MadeVfs(address=address, count=one.count, sentence=sentence)


def _idle_of(files: Files, pf: PciFunction) -> frozenset[int]:
    indices = pf.virtfn_indices if pf.virtfn_indices is not None else tuple(range(len(pf.virtfns)))
    idle = []
    for vf_index, address in zip(indices, pf.virtfns, strict=True):
        driver = read_function(files, address).driver
        if not isinstance(driver, Unknown) and (driver is None or not is_stub(driver)):
            idle.append(vf_index)
    return frozenset(idle)


def _wait_for_links(files: Files, one: DeclaredVfs, address: Address, deadline: float) -> tuple[Link, ...]:
    """The interfaces of the PF, once its driver has made them; VFs without settings need a driver alone."""

    def links() -> tuple[Link, ...]:
        netdevs = value_or(read_function(files, address).netdevs, ())
        return tuple(link for link in read_network(files).links if link.name in netdevs)

    def is_ready() -> bool:
        return bool(links()) if one.vfs else known(read_function(files, address).driver)

    if not wait_until(is_ready, max(deadline - time.monotonic(), 0)):
        driver = read_function(files, address).driver
        raise StepError(
            _("{address} has no interface to set its VFs by: {driver}.").format(
                address=address, driver=_("driver {name}").format(name=driver) if driver else _("no driver")
            )
        )
    return links()


def _bring_up(steps: HostSteps, one: DeclaredVfs, links: tuple[Link, ...]) -> None:
    """Bring the PF up where it was so: the host may have no network manager for it, for it serves VMs alone."""
    if one.up and links and not any(link.up for link in links):
        with steps.open_interface(links[0].name) as interface:
            interface.restore(msgspec.structs.replace(links[0], up=True), links[0])


def _refuse_other_card(one: DeclaredVfs, address: Address, links: tuple[Link, ...]) -> None:
    """Refuse a card of the same kind in the same slot: identical cards without serial numbers can only be told so."""
    macs = [link.permanent_mac for link in links if link.permanent_mac is not None]
    if one.identity.permanent_mac is not None and macs and one.identity.permanent_mac not in macs:
        raise StepError(
            _("Another card stands at {address} now: its MAC is {mac}.").format(address=address, mac=macs[0])
        )
