# SPDX-License-Identifier: Apache-2.0
"""A plan for people: each step in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.boot import BootPurpose
from nicpass.model.file_image import Folder
from nicpass.model.language import _
from nicpass.model.plan import (
    AddPorts,
    ArmTimer,
    ChangeBoot,
    DefineDevice,
    DisarmTimer,
    GiveBackNic,
    InstallGuard,
    JoinPool,
    LeavePool,
    NicState,
    PlaceDomain,
    PlugDevice,
    RemoveGuard,
    RemovePorts,
    SetNumvfs,
    SetPool,
    SetTerms,
    StartDomain,
    StartWindow,
    SteerInterrupts,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.text import shell_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.model.network import Link
    from nicpass.model.plan import DeviceSpec


def _describe_ports(step: AddPorts | RemovePorts) -> str:
    text = _("write root ports {indices} into the definition of {domain}, for its next start")
    if isinstance(step, RemovePorts):
        text = _("take root ports {indices} out of the definition of {domain}")
    return text.format(indices=", ".join(map(str, step.indices)), domain=step.domain)


def describe_step(step: Step) -> str:  # noqa: C901 - a case for each kind, so that mypy sees that none is missing
    """A line that says what the step does."""
    match step:
        case TakeNic():
            return _("keep on disk what {address} is to the host ({state})").format(
                address=step.address, state=_describe_state(step.state)
            )
        case SetTerms():
            return _("put down that {name} may have {address} although: {codes}").format(
                name=step.after.domain, address=step.address, codes=", ".join(sorted(step.after.allow)) or _("none")
            )
        case GiveBackNic(gone=True):
            return _("forget what {address} was to the host").format(address=step.address)
        case GiveBackNic():
            return _("give {address} back to the host as it was ({state})").format(
                address=step.address, state=_describe_state(step.state)
            )
        case DefineDevice():
            return _("write {address} into the definition of {domain}{settings}").format(
                address=step.address, domain=step.domain, settings=_describe_device(step.device)
            )
        case UndefineDevice():
            return _("take {address} out of the definition of {domain}").format(
                address=step.address, domain=step.domain
            )
        case AddPorts() | RemovePorts():
            return _describe_ports(step)
        case PlugDevice():
            return _("plug {address} into {domain}, which runs; libvirt binds it to vfio-pci").format(
                address=step.address, domain=step.domain
            )
        case UnplugDevice():
            return _("have the guest of {domain} let go of {address}, within 30 s").format(
                domain=step.domain, address=step.address
            )
        case StartDomain() if step.pool_macs:
            return _("start {domain}; libvirt picks a VF of the pool, and binds it to vfio-pci").format(
                domain=step.domain
            )
        case StartDomain():
            return _("start {domain}; libvirt binds {address} to vfio-pci").format(
                domain=step.domain, address=", ".join(step.addresses)
            )
        case StopDomain(for_all=True):
            return _("shut {domain} down, and switch it off if it does not heed within 30 s").format(domain=step.domain)
        case StopDomain():
            return _("stop {domain}").format(domain=step.domain)
        case SetNumvfs():
            return _describe_vfs(step)
        case SetPool():
            return _describe_pool(step)
        case JoinPool() | LeavePool():
            return _describe_member(step)
        case ArmTimer() if step.allowance:
            return _("set a timer that takes all back in {seconds} s if the change hangs").format(
                seconds=step.seconds + step.allowance
            )
        case ArmTimer() | StartWindow():
            return _("set a timer that takes all back in {seconds} s unless you say nicpass confirm").format(
                seconds=step.seconds
            )
        case DisarmTimer():
            return _("take away the timer that would take all back")
        case InstallGuard():
            return _("install the guard: a hook of libvirt's that looks at the host again before each start of the VM")
        case RemoveGuard():
            return _("remove the guard: no VM has a NIC any more that it would watch over")
        case PlaceDomain():
            from nicpass.cli.render.placement import describe_placement  # late: most changes place no VM

            return _("write into the definition of {domain} where it runs: {place}").format(
                domain=step.domain, place=describe_placement(step.after)
            )
        case SteerInterrupts():
            return _("have the interrupts of {address} handled by CPUs {cpus}").format(
                address=step.address, cpus=", ".join(dict.fromkeys(each.cpus for each in step.after))
            )
        case ChangeBoot():
            return _describe_boot(step)


def _describe_vfs(step: SetNumvfs) -> str:
    from nicpass.cli.render.vf_words import summary_of_step  # late: most changes are not of the number of VFs

    settings = summary_of_step(step)
    if step.before == step.after:
        sentence = _("set VFs of {address} ({settings})") if settings else _("give VFs of {address} a MAC that stays")
    elif settings:
        sentence = _("set the number of VFs of {address} from {before} to {after}, and VFs ({settings})")
    else:
        sentence = _("set the number of VFs of {address} from {before} to {after}")
    return sentence.format(address=step.address, before=step.before, after=step.after, settings=settings)


def _describe_pool(step: SetPool) -> str:
    before, after = step.before, step.after
    if after is None:
        return _("take the network {pool} away from libvirt").format(pool=before.name if before is not None else "")
    if before is None or (before.addresses, before.vlan) != (after.addresses, after.vlan):
        sentence = _("define the network {pool} of libvirt's, which lends {vfs}")
        if after.vlan is not None:
            sentence = _("define the network {pool} of libvirt's, which lends {vfs} in VLAN {vlan}")
        return sentence.format(pool=after.name, vfs=", ".join(after.addresses) or _("none"), vlan=after.vlan)
    if before.autostart != after.autostart:
        sentence = _("have libvirt start the pool {pool} at every boot")
        sentence = sentence if after.autostart else _("have libvirt start the pool {pool} at no boot any more")
    else:
        sentence = _("start the pool {pool}") if after.active else _("stop the pool {pool}")
    return sentence.format(pool=after.name)


def _describe_member(step: JoinPool | LeavePool) -> str:
    if isinstance(step, JoinPool):
        sentence = _("write an interface of the pool {pool} into the definition of {domain}, with MAC {mac}")
        if step.live:
            sentence = _("plug a VF of the pool {pool} into {domain}, which runs, with MAC {mac}; libvirt picks it")
    else:
        sentence = _("take the interface {mac} of the pool {pool} out of the definition of {domain}")
        if step.live:
            sentence = _("have the guest of {domain} let go of its VF of the pool {pool}, within 30 s")
    return sentence.format(pool=step.pool, domain=step.domain, mac=step.mac)


def _describe_boot(step: ChangeBoot) -> str:
    """A line for a boot's step, with the files that people may want to know and the slow programs, without folders."""
    files = [change.path for change in step.change.files if not isinstance(change.after or change.before, Folder)]
    programs = [shell_line(generator.argv) for generator in step.change.generators]
    sentence = (_BOOT_REMOVALS if step.removes else _BOOT_SENTENCES)[step.purpose]()
    return f"{sentence} ({'; '.join([', '.join(files), *programs])})"


_BOOT_SENTENCES: dict[BootPurpose, Callable[[], str]] = {
    BootPurpose.ARGUMENTS: lambda: _("write the kernel's arguments for every boot"),
    BootPurpose.TRIAL: lambda: _("make an entry with the new kernel arguments, which the next boot alone takes"),
    BootPurpose.BINDING: lambda: _("bind at every boot before any other driver sees it"),
    BootPurpose.RIGHTS: lambda: _("say who may use VFIO, and who is to leave the NIC alone"),
    BootPurpose.VFS: lambda: _("keep the VFs and their settings, and have every boot make them again"),
    BootPurpose.FINISH: lambda: _("keep what was prepared, and have the next boot looked at"),
}
_BOOT_REMOVALS: dict[BootPurpose, Callable[[], str]] = {
    BootPurpose.ARGUMENTS: lambda: _("take our arguments for the kernel out"),
    BootPurpose.TRIAL: lambda: _("take the entry out that was tried once"),
    BootPurpose.BINDING: lambda: _("bind it no more at boot"),
    BootPurpose.RIGHTS: lambda: _("take out who may use VFIO, and who was to leave the NIC alone"),
    BootPurpose.VFS: lambda: _("have no boot make these VFs any more"),
    BootPurpose.FINISH: lambda: _("forget what was prepared"),
}


def _describe_state(state: NicState) -> str:
    driver = _("driver {name}").format(name=state.driver) if state.driver else _("no driver")
    links = [_describe_link(link) for link in state.links]
    addresses = [address.text for address in state.addresses if not address.comes_with_link]
    managers = dict.fromkeys(_("configured by {manager}").format(manager=each.manager) for each in state.managers)
    return ", ".join([driver, *links, *addresses, *managers])


def _describe_link(link: Link) -> str:
    text = _("{name}, MTU {mtu}, up") if link.up else _("{name}, MTU {mtu}, down")
    return text.format(name=link.name, mtu=link.mtu)


def _describe_device(device: DeviceSpec) -> str:
    words = [f"MAC {device.mac}"] if device.mac else []
    words += [f"VLAN {device.vlan}"] if device.vlan is not None else []
    return _(", {words}").format(words=", ".join(words)) if words else ""
