# SPDX-License-Identifier: Apache-2.0
"""One NIC as a device: its driver, its reset, whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.device.vf_making import can_serve
from nicpass.checks.lookup.nics import kind_of, label, on_vfio, pf_of
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.text import quote, vm_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.ownership", "host.leftovers", "dependence.usage")


def check_driver(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    nic, address = label(function), function.address
    evidence = f"/sys/bus/pci/devices/{address}/driver"
    if function.driver is None and not _is_for_vms(function, index):
        yield make_finding("DRIVER_ABSENT", address, ((evidence, "absent"),), nic=nic)
    binding = index.boot_bindings.get(address)
    if binding is not None and binding.driver in (function.driver, function.driver_override):
        return  # our own doing, which has findings of its own
    if on_vfio(function):
        if address not in index.owners:  # libvirt leaves its override in place for as long as a VM runs
            binders = _find_binders(function, index)
            unbind = quote(f"/sys/bus/pci/drivers/{function.driver}/unbind")
            yield make_finding(
                "ON_VFIO",
                address,
                ((evidence, function.driver), *binders),
                nic=nic,
                driver=function.driver,
                address=address,
                unbind=unbind,
                binders="; ".join(f"{source} ({text})" for source, text in binders)
                or _("nothing of that kind was found"),
            )
    elif known(function.driver_override):
        override = function.driver_override
        shown = ((f"{evidence}_override", override), *_find_binders(function, index))
        yield make_finding("OVERRIDE_LEFT", address, shown, nic=nic, override=override, address=address)


def _is_for_vms(function: PciFunction, index: HostIndex) -> bool:
    """Whether it is a VF that was made without letting drivers of the host have it."""
    place = pf_of(function, index)
    pf = index.functions.get(place[0]) if place is not None else None
    return pf is not None and pf.vf_autoprobe is False


def _find_binders(function: PciFunction, index: HostIndex) -> list[tuple[str, str]]:
    from nicpass.checks.lookup.boot_lines import find_binders  # late: few NICs are bound by an earlier hand

    return find_binders(function, index)


def check_owner(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    owners = index.owners.get(function.address)
    if owners:
        names = ", ".join(domain.name for domain in owners)
        yield make_finding(
            "OWNED_BY_VM",
            function.address,
            ((_("libvirt, domain definition"), names),),
            nic=label(function),
            owners=names,
            owner=vm_word(owners[0].name, owners[0].uuid),
            address=function.address,
        )


def check_vf_preferred(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    if kind_of(function, index) == "pf" and known(function.totalvfs) and can_serve(function, index):
        totalvfs, address = function.totalvfs, function.address
        evidence = ((f"/sys/bus/pci/devices/{address}/sriov_totalvfs", totalvfs),)
        yield make_finding("VF_PREFERRED", address, evidence, nic=label(function), totalvfs=totalvfs, address=address)
