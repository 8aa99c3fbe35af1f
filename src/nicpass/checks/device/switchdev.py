# SPDX-License-Identifier: Apache-2.0
"""A VF whose PF is in switchdev mode: where on the host its traffic comes out, and whether it goes on from there.

Source: Documentation/networking/switchdev.rst and representors.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label, pf_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction, Representor

make_finding = Finder("device.sriov")


def check_representor(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Of a VF: its other end, and what that is in. Nothing where the interface is not shown."""
    representor = representor_of(function, index)
    link = index.links.get(representor.netdev) if representor is not None else None
    place = pf_of(function, index) if link is not None else None
    if place is None or representor is None or link is None:
        return
    folder = f"/sys/bus/pci/devices/{place[0]}/net/{representor.netdev}"
    evidence = ((f"{folder}/phys_port_name", representor.port), (f"{folder}/master", link.master or "absent"))
    yield make_finding(
        "VF_REPRESENTOR" if link.master else "VF_REPRESENTOR_LOOSE",
        function.address,
        evidence,
        nic=label(function),
        representor=representor.netdev,
        pf=label(index.functions[place[0]]),
        upper=link.master or "",
    )


def representor_of(vf: PciFunction, index: HostIndex) -> Representor | None:
    """The interface of its PF that is the VF's other end; None where the PF has none, as in legacy mode."""
    place = pf_of(vf, index)
    pf = index.functions.get(place[0]) if place is not None else None
    if pf is None or place is None or place[1] is None:
        return None
    return next((each for each in pf.representors if each.vf_index == place[1]), None)
