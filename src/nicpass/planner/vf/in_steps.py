# SPDX-License-Identifier: Apache-2.0
"""Another number of VFs for a PF of which running VMs have some: these let go of them for as long as it takes.

The kernel knows no way from one number to another but by none (drivers/pci/iov.c, sriov_numvfs_store), and a VF comes
back at the address that it had (PCI Express Base 6.0, 9.2.1.2). So a VM's lasting definition stays as it is; a VM that
runs is asked to let go, and gets its VF again at the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.lookup.nics import label
from nicpass.model.errors import RefusedError
from nicpass.model.language import _
from nicpass.model.plan import PlugDevice, UnplugDevice
from nicpass.model.text import printable, vm_word
from nicpass.planner.nic.running import take_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.domain import Domain
    from nicpass.model.pci import PciFunction


def let_go(pf: PciFunction, count: int, index: HostIndex) -> tuple[UnplugDevice, ...]:
    """The steps by which running VMs let go of VFs of this PF, which is to have `count` of them.

    Raises:
        RefusedError: a VM has a VF that would not come back, or is paused.
    """
    steps: list[UnplugDevice] = []
    for vf in index.vfs.get(pf.address, ()):
        number = index.vf_indices.get(vf.address, (pf.address, count))[1]
        for owner in index.owners.get(vf.address, ()):
            if number >= count:
                raise RefusedError(
                    _("VF {nic} belongs to the VM {owner}, and with {count} VFs there is none of its number.").format(
                        nic=label(vf), owner=printable(owner.name), count=count
                    ),
                    f"nicpass detach {vm_word(owner.name, owner.uuid)} {vf.address}",
                )
            steps += _unplug(owner, vf)
    return tuple(steps)


def _unplug(owner: Domain, vf: PciFunction) -> tuple[UnplugDevice, ...]:
    if not any(device.address == vf.address for device in owner.live_devices):
        return ()
    return take_out(owner, vf.address, "live", stop=False).unplugs


def take_again(steps: tuple[UnplugDevice, ...]) -> Iterator[PlugDevice]:
    """The steps by which the VMs get their VFs again, the last first."""
    for step in reversed(steps):
        yield PlugDevice(address=step.address, domain=step.domain, uuid=step.uuid, device=step.device, again=True)


def notes_of(steps: tuple[UnplugDevice, ...]) -> tuple[str, ...]:
    """What goes out meanwhile."""
    by_vm: dict[str, list[str]] = {}
    for step in steps:
        by_vm.setdefault(printable(step.domain), []).append(step.address)
    return tuple(
        _("{name} is without {nics} from when its guest lets go of it until all VFs are made and set anew.").format(
            name=name, nics=", ".join(nics)
        )
        for name, nics in by_vm.items()
    )
