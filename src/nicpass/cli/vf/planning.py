# SPDX-License-Identifier: Apache-2.0
"""From a request about VFs to its plan, with what makes them last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import pf_of
from nicpass.engine.boot.file_changes import image_at
from nicpass.engine.installation import PACKAGE, PYTHON
from nicpass.engine.nic.store import read_kept_nic
from nicpass.engine.vf.unsupported import read_unsupported
from nicpass.host.boot.declared_vfs import read_vf_places
from nicpass.host.network.link_settings import add_speed
from nicpass.model.boot import BootPurpose
from nicpass.model.fact import value_or
from nicpass.model.inverse import invert_step
from nicpass.model.plan import ChangeBoot, NicStep, SetNumvfs
from nicpass.model.request import VfRequest
from nicpass.planner.select import select_nic
from nicpass.planner.vf.count import plan_vf
from nicpass.planner.vf.lasting import Place, keep_declarations, with_declaration
from nicpass.planner.vf.set import plan_vf_set

if TYPE_CHECKING:
    from nicpass.cli.source import Source
    from nicpass.model.address import Address
    from nicpass.model.change import Change
    from nicpass.model.host import Host
    from nicpass.model.network import VfSettings
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import Plan
    from nicpass.model.vf import Unsupported, VfSetRequest

_SYSTEMD = "/run/systemd/system"
"""Is there where systemd is what booted the host: sd_booted(3)."""


def plan_lasting_vfs(request: VfRequest | VfSetRequest, source: Source) -> Plan:
    """The plan for the VFs, and that every boot makes them again; of a snapshot it is not known what is written."""
    host, unsupported = with_speed(source, request.pf), unsupported_of(source)
    if isinstance(request, VfRequest) and request.in_steps:
        host = with_own_settings(host, source)
    if isinstance(request, VfRequest):
        plan = plan_vf(host, request, unsupported)
    else:
        plan = plan_vf_set(host, request, unsupported)
    return plan if request.until_reboot else _lasting(plan, request.pf, source)


def with_own_settings(host: Host, source: Source) -> Host:
    """The host with the VFs that running VMs have as they are when these let go: libvirt sets them back then.

    What they were is in their records.
    """
    domains = value_or(host.domains, ())
    live = {device.address for domain in domains if domain.running for device in domain.live_devices}
    kept = [read_kept_nic(source.files, address) for address in sorted(live)] if source.is_live else []
    own: dict[Address, dict[int, VfSettings]] = {}
    for nic in kept:
        if nic is not None and nic.state.vf is not None and nic.state.pf is not None:
            own.setdefault(nic.state.pf, {})[nic.state.vf.vf_index] = nic.state.vf
    if not own:
        return host
    index = HostIndex(host)
    pfs = [index.functions[address] for address in own if address in index.functions]
    of_link = {link.name: own[pf.address] for pf in pfs for link in index.netdevs(pf)}
    links = []
    for link in host.network.links:
        settings = of_link.get(link.name, {})
        vfs = tuple(settings.get(vf.vf_index, vf) for vf in link.vfs)
        links.append(msgspec.structs.replace(link, vfs=vfs) if settings else link)
    return msgspec.structs.replace(host, network=msgspec.structs.replace(host.network, links=tuple(links)))


def with_undone_declaration(plan: Plan, change: Change, source: Source) -> Plan:
    """The plan that undoes a change of VFs, with what the boots are to make of them again as it was before.

    Where that was written anew since the change, it is what the undone VFs are.
    """
    steps = change.opened.plan.steps if change.opened is not None else ()
    kept = [step for step in steps if isinstance(step, ChangeBoot) and step.purpose == BootPurpose.VFS]
    if not kept:
        return plan
    if all(image_at(source.files, file.path) == file.after for step in kept for file in step.change.files):
        return msgspec.structs.replace(plan, steps=(*plan.steps, *map(invert_step, kept)))
    index = HostIndex(source.host)
    pfs = dict.fromkeys(step.address for step in steps if isinstance(step, SetNumvfs))
    first = next(step.address for step in steps if isinstance(step, NicStep))
    plans = [(plan, _pf_of(index, pf)) for pf in pfs or (first,)]
    keep, notes = keep_declarations(plans, source.host, place_of(source))
    return msgspec.structs.replace(
        plan, steps=(*plan.steps, *([keep] if keep is not None else [])), notes=(*plan.notes, *notes)
    )


def _lasting(plan: Plan, pf: str, source: Source) -> Plan:
    return with_declaration(plan, source.host, _pf_of(HostIndex(source.host), pf), place_of(source))


def place_of(source: Source) -> Place:
    """Where what lasts is kept on this host."""
    images = read_vf_places(source.files) if source.is_live else {}
    return Place(images, PYTHON, PACKAGE, systemd=not source.is_live or source.files.exists(_SYSTEMD))


def with_speed(source: Source, nic: str) -> Host:
    """The host with the speed of the PF that is meant, or of the VF's PF; of a snapshot nothing more can be read."""
    index = HostIndex(source.host)
    if source.is_snapshot:
        return source.host
    return add_speed(source.host, source.files, _pf_of(index, nic))


def _pf_of(index: HostIndex, nic: str) -> PciFunction:
    """The PF that is named, or whose VF is."""
    function = select_nic(index, nic)
    place = pf_of(function, index)
    return index.functions.get(place[0], function) if place is not None else function


def unsupported_of(source: Source) -> tuple[Unsupported, ...]:
    """What this machine's drivers were seen not to know."""
    return read_unsupported(source.files) if not source.is_snapshot else ()
