# SPDX-License-Identifier: Apache-2.0
"""The VFs that would vanish with their PF, and who uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.machines import tell_use, uses_of
from nicpass.checks.device.vf_making import check_vf_group
from nicpass.checks.lookup.chains import chain_text, walk_uppers
from nicpass.checks.lookup.nics import kind_of, label, on_vfio, pf_of
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.activity import FunctionDevice, Holder
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.usage")


def check_vfs(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    yield from _check_subdevices(function, index)
    if kind_of(function, index) == "vf":
        yield from _check_pf_is_up(function, index)
        return
    address, count = function.address, max(value_or(function.numvfs, 0), len(function.virtfns))
    if count:
        evidence = ((f"/sys/bus/pci/devices/{address}/sriov_numvfs", count),)
        mend = _("Give away one of its VFs instead, or remove them.")
        if any(check_vf_group(function, index)):
            mend = _("Remove them; none of them can be given away either, for they are in the group of the PF.")
        yield make_finding(
            "PF_HAS_VFS", address, evidence, nic=label(function), count=count, address=address, mend=mend
        )
        yield from _check_used(function, index)
    elif stray := index.stray_vfs.get((function.bridge, function.vendor_id)):
        vfs = ", ".join(stray)
        yield make_finding("VFS_NEARBY", address, (("drivers", vfs),), nic=label(function), vfs=vfs, address=address)


def _check_subdevices(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Subfunctions and vDPA devices are the PF's as its VFs are, only that they have no PCI address."""
    found = [device for device in index.devices.get(function.address, ()) if device.kind in ("sf", "vdpa")]
    if not found:
        return
    told = "; ".join(describe_subdevice(device, index) for device in found)
    yield make_finding(
        "HAS_SUBDEVICES",
        function.address,
        tuple(("/sys/bus/auxiliary, /sys/bus/vdpa", device.name) for device in found),
        nic=label(function),
        devices=told,
        undo="\n".join(_undo(device) for device in found),
    )


def describe_subdevice(device: FunctionDevice, index: HostIndex) -> str:
    """`mlx5_core.sf.4 (enp1s0f0s88 → br0, 10.0.0.5/24)`, `vdpa0 (open in qemu-system-x86 (4711))`."""
    uses = [_open_in(holder) for node in device.nodes for holder in index.holders.get(node, ())]
    for name in device.netdevs:
        for chain in walk_uppers(index.links[name], index.uppers) if name in index.links else ():
            uses.append(chain_text(chain))
            uses += [a.text for a in index.addresses.get(chain[-1].name, ()) if not a.comes_with_link]
    return f"{device.name} ({', '.join(dict.fromkeys(uses))})" if uses else device.name


def _open_in(holder: Holder) -> str:
    return _("open in {program} ({process})").format(program=holder.program, process=holder.process)


def _undo(device: FunctionDevice) -> str:
    """A subfunction is taken away by its port, which the device does not name."""
    return f"vdpa dev del {quote(device.name)}" if device.kind == "vdpa" else "devlink port show"


def _check_pf_is_up(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    place = pf_of(function, index)
    pf = index.functions.get(place[0]) if place is not None else None
    links = index.netdevs(pf) if pf is not None else []
    if pf is not None and links and not any(link.up for link in links):
        evidence = ((f"/sys/class/net/{links[0].name}/flags", "down"),)
        yield make_finding(
            "PF_DOWN", function.address, evidence, nic=label(function), pf=label(pf), netdev=links[0].name
        )


def _check_used(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    used = [(vf, use) for vf in index.vfs.get(function.address, ()) if (use := describe_use(vf, index))]
    if used:
        evidence = tuple((f"/sys/bus/pci/devices/{vf.address}", use) for vf, use in used)
        told = "; ".join(f"{label(vf)}: {use}" for vf, use in used)
        yield make_finding("PF_OF_USED_VFS", function.address, evidence, nic=label(function), vfs=told)


def describe_use(vf: PciFunction, index: HostIndex) -> str:
    """Who has a VF, or what stands on its interface; empty when nobody uses it as far as can be seen."""
    uses = [_("VM {name}").format(name=domain.name) for domain in index.owners.get(vf.address, ())]
    uses += [tell_use(use) for use in uses_of(vf, index)]
    if not uses and on_vfio(vf):
        uses.append(_("bound to {driver}").format(driver=vf.driver))
    for chain in index.chains(vf) if index.is_occupied(vf) else ():
        uses += [chain_text(chain)] if len(chain) == 2 else []
        uses += [a.text for a in index.addresses.get(chain[-1].name, ()) if not a.comes_with_link]
    devices = index.devices.get(vf.address, ())
    uses += [_open_in(holder) for device in devices for node in device.nodes for holder in index.holders.get(node, ())]
    return ", ".join(dict.fromkeys(uses))
