# SPDX-License-Identifier: Apache-2.0
"""The VFs that would vanish with their PF, and who uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.machines import tell_use, uses_of
from nicpass.checks.lookup.chains import chain_text
from nicpass.checks.lookup.nics import kind_of, label, on_vfio, pf_of
from nicpass.model.fact import value_or
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.usage")


def check_vfs(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    count = max(value_or(function.numvfs, 0), len(function.virtfns))
    if kind_of(function, index) != "vf" and count:
        address = function.address
        evidence = ((f"/sys/bus/pci/devices/{address}/sriov_numvfs", count),)
        yield make_finding("PF_HAS_VFS", address, evidence, nic=label(function), count=count, address=address)
        yield from _check_used(function, index)
    elif kind_of(function, index) != "vf" and (stray := index.stray_vfs.get((function.bridge, function.vendor_id))):
        address, vfs = function.address, ", ".join(stray)
        yield make_finding("VFS_NEARBY", address, (("drivers", vfs),), nic=label(function), vfs=vfs, address=address)
    elif kind_of(function, index) == "vf":
        yield from _check_pf_is_up(function, index)


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
    for chain in index.chains(vf):
        uses += [chain_text(chain)] if len(chain) == 2 else []
        uses += [a.text for a in index.addresses.get(chain[-1].name, ()) if not a.comes_with_link]
    return ", ".join(dict.fromkeys(uses))
