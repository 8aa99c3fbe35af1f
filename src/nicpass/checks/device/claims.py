# SPDX-License-Identifier: Apache-2.0
"""A device that another manager of devices has for its own: no competing binding (law 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label, on_vfio, pf_of
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.leftovers import PROXMOX
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.leftovers import Claim, DriverctlOverride
    from nicpass.model.pci import PciFunction

make_finding = Finder("host.leftovers")


def check_claims(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    for override in index.host.leftovers.driverctl:
        if override.address == function.address:
            yield _driverctl_finding(function, override)
    pf = pf_of(function, index)
    for claim in index.host.leftovers.claims:
        if claim.manager == PROXMOX:
            if claim.device in (function.address, function.address.rpartition(".")[0]):
                yield _proxmox_finding(function, claim)
        elif claim.device == function.address or (pf is not None and claim.device == pf[0]):
            evidence = ((claim.path, claim.device),)
            yield make_finding("CLAIMED_BY_OPERATOR", function.address, evidence, nic=label(function), path=claim.path)


def _driverctl_finding(function: PciFunction, override: DriverctlOverride) -> Finding:
    """A NIC on VFIO by its override is left to driverctl; any other binding would be undone by one or the other."""
    in_force = on_vfio(function) and known(function.driver_override) and function.driver == override.driver
    return make_finding(
        "DRIVERCTL_OVERRIDE" if in_force else "CLAIMED_BY_DRIVERCTL",
        function.address,
        ((override.path, override.driver),),
        nic=label(function),
        driver=override.driver or _("a driver that the file does not name"),
        path=override.path,
        file=quote(override.path),
        address=function.address,
    )


def _proxmox_finding(function: PciFunction, claim: Claim) -> Finding:
    """A VM's own entry can be taken out by one command; a mapping may be named by several VMs."""
    command = f"qm set {quote(claim.holder)} --delete {quote(claim.entry)}" if claim.entry else ""
    vm, mapping = _("the VM {number}").format(number=claim.holder), _("the mapping {name}").format(name=claim.holder)
    return make_finding(
        "CLAIMED_BY_PROXMOX",
        function.address,
        ((claim.path, f"{claim.entry or claim.holder}: {claim.device}"),),
        nic=label(function),
        holder=vm if claim.entry else mapping,
        path=claim.path,
        mend=_("Take it out of that VM.") if claim.entry else _("Take the mapping away, and out of every VM with it."),
        command=command,
    )
