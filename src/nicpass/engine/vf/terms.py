# SPDX-License-Identifier: Apache-2.0
"""What a step promises of a PF's VFs: which of them it sets, and what is to be seen of each."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.attempts import Attempts
from nicpass.engine.handler import wait_until
from nicpass.engine.nic.give_back import restore_vfs
from nicpass.engine.vf.rebinding import read_rebinding
from nicpass.engine.vf.unsupported import read_unsupported
from nicpass.host.network.interfaces import read_network
from nicpass.host.pci.functions import read_function
from nicpass.model.errors import NotSupportedError, StepError
from nicpass.model.fact import value_or
from nicpass.model.host import Host
from nicpass.model.language import _
from nicpass.model.network import NO_MAC, VfSettings
from nicpass.planner.nic_state.words import describe_vf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.engine.nic.give_back import OpenInterface
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicState, SetNumvfs

_BUSY_SECONDS = 10.0
"""How long a VF may be in reset, as it is when its own driver has just found it: ice waits 12 s itself, i40e not."""
_LEARNING_SECONDS = 5.0
"""How long a VF's driver may take until its interface has the MAC: iavf makes it some time after it was bound."""
_BUSY = (errno.EAGAIN, errno.EBUSY)


def set_vfs(
    read_pf: Callable[[], NicState], step: SetNumvfs, open_interface: OpenInterface
) -> tuple[set[int], Attempts]:
    """Set what the step sets: (indices of VFs whose MAC was written, what was refused). Asks a busy VF again.

    Raises:
        StepError: the PF shows no interface.
    """
    given = {vf.vf_index: vf.mac for vf in step.before_vfs}
    written: set[int] = set()
    attempts = Attempts()

    def is_settled() -> bool:
        nonlocal attempts
        attempts = Attempts()
        written.update(restore_vfs(read_pf(), vfs_to_set(step), open_interface, attempts, given=given))
        return not any(map(_is_busy, attempts.refusals))

    wait_until(is_settled, _BUSY_SECONDS, 0.3)
    return written, attempts


def _is_busy(error: BaseException) -> bool:
    """Whether the kernel said that it would take this later; a refusal of several settings tells of the first."""
    cause = error.__cause__
    return getattr(error, "code", None) in _BUSY or (cause is not None and _is_busy(cause))


def vfs_to_set(step: SetNumvfs) -> tuple[VfSettings, ...]:
    """The VFs that the step sets: of VFs that stay, those that it changes; the others are whoever's they are."""
    stay = step.before == step.after
    return tuple(vf for vf in step.after_vfs if not (stay and vf in step.before_vfs))


def learns_at_binding(vf: PciFunction, step: SetNumvfs) -> bool:
    """Whether a VF is the host's own to bind anew, so that its driver learns its MAC: no VM's, and no container's.

    The driver of one that was just made may take its time to make an interface.
    """
    return not on_vfio(vf) and (step.before != step.after or bool(value_or(vf.netdevs, ())))


def lacks_only_derived(step: SetNumvfs, attempts: Attempts) -> bool:
    """Whether nothing was refused but MACs that nobody asked for, by a driver that knows none."""
    asked = any(vf.mac != NO_MAC and vf.vf_index not in step.derived for vf in vfs_to_set(step))
    refused = all(isinstance(e, NotSupportedError) and set(e.settings) == {"mac"} for e in attempts.refusals)
    return refused and not asked


def verify_vfs(files: Files, step: SetNumvfs, pf: PciFunction, state: NicState) -> None:
    """Compare what the PF tells of its VFs with what the step promised. Raises StepError with the first difference."""
    if left := [vf for vf in read_rebinding(files, step.address) if vf in pf.virtfns]:
        raise StepError(_("{address} is between two drivers.").format(address=left[0]))
    now = {vf.vf_index: vf for link in state.links for vf in link.vfs}
    for vf in _promised(files, step, pf, now):
        wanted, is_so = describe_vf(vf, vf), describe_vf(now.get(vf.vf_index), vf)
        if is_so != wanted:
            raise StepError(
                _("VF {vf_index} of {address} was {before}, is {after}.").format(
                    vf_index=vf.vf_index, address=step.address, before=wanted, after=is_so
                )
            )
    late: tuple[Address, ...] = ()

    def all_know() -> bool:
        nonlocal late
        late = stale_vfs(files, step, state)
        return not late

    if not wait_until(all_know, _LEARNING_SECONDS, 0.3):
        raise StepError(
            _("The interface of {address} does not have the MAC that its PF has given it.").format(address=late[0])
        )


def stale_vfs(files: Files, step: SetNumvfs, state: NicState) -> tuple[Address, ...]:
    """The host's own VFs whose interfaces do not know yet which MAC the PF has given them, or that it gave none."""
    pf = read_function(files, step.address)
    now = {vf.vf_index: vf for link in state.links for vf in link.vfs}
    before = {vf.vf_index: vf.mac for vf in step.before_vfs} if step.before == step.after else {}
    changed = {vf.vf_index: vf.mac for vf in _promised(files, step, pf, now) if vf.mac != before.get(vf.vf_index)}
    if not changed:
        return ()
    links = {link.name: link for link in read_network(files).links}
    late = []
    for address, (_pf, number) in HostIndex(Host(pci=(pf,))).vf_indices.items():
        vf = read_function(files, address) if number in changed else None
        own = [links[name] for name in value_or(vf.netdevs, ()) if name in links] if vf is not None else []
        if vf is None or not own or not learns_at_binding(vf, step):
            continue
        macs = {mac for link in own for mac in (link.mac, link.permanent_mac)}
        old = before.get(number, NO_MAC)
        if changed[number] not in macs if changed[number] != NO_MAC else old != NO_MAC and old in macs:
            late.append(address)
    return tuple(late)


def _promised(files: Files, step: SetNumvfs, pf: PciFunction, now: dict[int, VfSettings]) -> Iterator[VfSettings]:
    """What is to be seen: MACs that nobody asked for only where the driver takes them, and tells of its VFs at all."""
    known = read_unsupported(files) if step.derived else ()
    macless = not now or any(each.driver == pf.driver and each.setting == "mac" for each in known)
    for vf in vfs_to_set(step):
        if macless and vf.vf_index in step.derived:
            if vf != VfSettings(vf_index=vf.vf_index, mac=vf.mac):
                yield msgspec.structs.replace(vf, mac=NO_MAC)
        else:
            yield vf
