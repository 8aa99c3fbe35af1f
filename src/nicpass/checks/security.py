# SPDX-License-Identifier: Apache-2.0
"""The host as an auditor sees it: what guests with NICs of their own can reach. A verdict that can be kept in CI.

Exit codes, which the command line makes of it: 0 as long as nothing is `unsafe`, 4 when something is; with
`--strict` a `warning` is enough. `unsafe` means that isolation itself is broken: a guest can reach the host or
another guest, or nobody can say who has which NIC. A `warning` is something that an administrator can have meant,
or a smaller thing that could not be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.catalogue import Finder
from nicpass.checks.device.same_mac import check_same_mac
from nicpass.checks.device.sriov import check_vf_mac
from nicpass.checks.host.interrupts import ISOLATED
from nicpass.checks.lookup.groups import stays
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import is_nic, kind_of, label, on_vfio, pf_of
from nicpass.checks.preflight import check_host
from nicpass.checks.vm.definition import devices_of, handle_of, source_of
from nicpass.model.fact import known, why_unknown
from nicpass.model.finding import Finding, Severity
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.model.access import DeviceNode
    from nicpass.model.domain import Domain
    from nicpass.model.host import Host
    from nicpass.model.network import VfSettings
    from nicpass.model.pci import PciFunction

make_finding = Finder("security")

_CONTAINER_NODE = "/dev/vfio/vfio"
_OTHERS, _GROUP = 0o006, 0o060
_ROOT = frozenset({"root", "0", "+0"})

_AUDITED = {
    "ACS_OVERRIDE": Severity.UNSAFE,  # whether the kernel heeds it cannot be seen, and unknown is unsafe
    "NOIOMMU_MODE": Severity.UNSAFE,
    "UNSAFE_INTERRUPTS": Severity.UNSAFE,
    # Without these nothing is given away at all, so nobody breaks out; the host's own devices are not confined.
    "IOMMU_OFF": Severity.WARNING,
    "IOMMU_TABLE_ABSENT": Severity.WARNING,
    "INTERRUPT_REMAPPING_ABSENT": Severity.WARNING,
    "INTERRUPT_REMAPPING_OFF": Severity.WARNING,
    "INTERRUPT_REMAPPING_UNKNOWN": Severity.WARNING,
    "IOMMU_PASSTHROUGH": Severity.WARNING,
    "DMA_OPT_IN": Severity.INFO,
}
"""Codes of the preflight that an auditor reads too, each as grave as he takes it."""


def check_security(host: Host) -> tuple[Finding, ...]:
    """All findings that an auditor would write down about this host; the gravest first."""
    index = HostIndex(host)
    findings = [finding for check in SECURITY_CHECKS for finding in check(index)]
    return tuple(sorted(findings, key=lambda finding: -finding.severity.rank))


def check_platform_isolation(index: HostIndex) -> Iterator[Finding]:
    """The preflight's findings about the host that an auditor reads too, each as grave as he takes it."""
    for finding in check_host(index.host, index):
        severity = _AUDITED.get(finding.code)
        if finding.code == "UNSAFE_INTERRUPTS" and _isolates_interrupts(index.host):
            severity = Severity.WARNING  # the option has no effect as long as interrupts are isolated
        if severity is not None:
            yield msgspec.structs.replace(finding, severity=severity)
    dmar = index.host.firmware.dmar
    if known(dmar) and not dmar.dma_ctrl_platform_opt_in:
        evidence = (("/sys/firmware/acpi/tables/DMAR", f"flags {dmar.flags:#04x}"),)
        yield make_finding("PREBOOT_DMA_OPEN", evidence=evidence)
    ivrs = index.host.firmware.ivrs
    if known(ivrs) and not ivrs.preboot_dma_remap:
        evidence = (("/sys/firmware/acpi/tables/IVRS", f"IVinfo {ivrs.ivinfo}"),)
        yield make_finding("PREBOOT_DMA_OPEN", evidence=evidence)


def check_known(index: HostIndex) -> Iterator[Finding]:
    reason = why_unknown(index.host.domains)
    if reason is not None:
        yield make_finding("GIVEN_NICS_UNKNOWN", evidence=(("libvirt", reason),), reason=reason)


def check_groups(index: HostIndex) -> Iterator[Finding]:
    """Findings about IOMMU groups that two owners share: such a group is no border between them."""
    for group, members in sorted(index.groups.items()):
        inside = [member for member in members if not stays(member, index)]
        sets = [frozenset(d.uuid for d in index.owners.get(m.address, ())) for m in inside]
        given = [owners for owners in sets if owners]
        text = "; ".join(_describe_member(member, index) for member in inside)
        evidence = ((f"/sys/kernel/iommu_groups/{group}/devices", text),)
        if given and len(set(given)) > 1:
            yield make_finding("GROUP_OF_TWO_VMS", evidence=evidence, group=group, members=text)
        if given and any(not owners and _is_held(m) for m, owners in zip(inside, sets, strict=True)):
            yield make_finding("GROUP_OF_VM_AND_HOST", evidence=evidence, group=group, members=text)


def check_nodes(index: HostIndex) -> Iterator[Finding]:
    nodes = index.host.access.vfio_nodes
    reason = why_unknown(nodes)
    if reason is not None:
        yield make_finding("VFIO_NODES_UNKNOWN", evidence=(("/dev/vfio", reason),), reason=reason)
    for node in nodes if known(nodes) else ():
        if node.path != _CONTAINER_NODE:
            yield from _check_node(node)


def check_given_nics(index: HostIndex) -> Iterator[Finding]:
    """Every NIC that stands in a VM's definition: what the guest may do with it."""
    for address, owners in sorted(index.owners.items()):
        function = index.functions.get(address)
        if function is not None and is_nic(function):
            yield from _check_shared(function, owners)
            if kind_of(function, index) == "vf":
                yield from _check_vf(function, owners, index)
                yield from check_vf_mac(function, index)
                for finding in check_same_mac(function, index):  # one guest gets what is meant for the other
                    yield msgspec.structs.replace(finding, severity=Severity.UNSAFE)
            else:
                yield from _check_whole(function, owners, index)


def check_filters(index: HostIndex) -> Iterator[Finding]:
    """Findings about filter rules of the host that whoever wrote them may think to hold."""
    domains = index.host.domains
    given = [(d, nics) for d in (domains if known(domains) else ()) if (nics := _nics_of(d, index))]
    if given:
        names = ", ".join(domain.name for domain, _ in given)
        yield make_finding("FIREWALL_BYPASSED", evidence=(("libvirt, definitions", names),), vms=names)
    for domain, nics in given:
        definition = domain.definition
        wanted = dict.fromkeys(i.filter for i in (definition.interfaces if definition else ()) if i.filter)
        if wanted:
            filters, nic = ", ".join(wanted), ", ".join(label(function) for function in nics)
            evidence = ((source_of(domain, "filterref"), filters),)
            yield make_finding(
                "FILTERREF_BYPASSED", nics[0].address, evidence, vm=domain.name, filters=filters, nic=nic
            )


def check_qemu(index: HostIndex) -> Iterator[Finding]:
    access, source = index.host.access, "/etc/libvirt/qemu.conf"
    user, drivers = access.qemu_user, access.qemu_security_drivers
    if known(user) and user in _ROOT:
        yield make_finding("QEMU_AS_ROOT", evidence=((source, f"user = {user}"),), user=user)
    if known(drivers) and "none" in drivers:
        yield make_finding("QEMU_UNCONFINED", evidence=((source, f"security_driver = {', '.join(drivers)}"),))


SECURITY_CHECKS: tuple[Callable[[HostIndex], Iterator[Finding]], ...] = (
    check_platform_isolation,
    check_known,
    check_groups,
    check_nodes,
    check_given_nics,
    check_filters,
    check_qemu,
)
"""The checks of the audit. To add one: write it here, name its codes in the catalogue, list it here."""


def _isolates_interrupts(host: Host) -> bool:
    chips = host.platform.interrupt_chips
    return known(chips) and any(chip.startswith(ISOLATED) for chip in chips)


def _check_node(node: DeviceNode) -> Iterator[Finding]:
    mode, quoted = f"{node.mode:04o}", quote(node.path)
    evidence = ((node.path, f"mode {mode}, uid {node.uid}, gid {node.gid}"),)
    if node.mode & _OTHERS:
        yield make_finding("VFIO_NODE_OPEN", evidence=evidence, path=node.path, mode=mode, path_quoted=quoted)
    by_group = node.gid != 0 and node.mode & _GROUP
    if node.is_device and (node.uid != 0 or by_group):
        owner = f"{node.user or node.uid}:{node.group or node.gid}"
        yield make_finding(
            "VFIO_NODE_OF_USER", evidence=evidence, path=node.path, mode=mode, owner=owner, path_quoted=quoted
        )


def _check_shared(function: PciFunction, owners: list[Domain]) -> Iterator[Finding]:
    if len(owners) > 1:
        names = _names(owners)
        evidence = (("libvirt, definitions", names),)
        yield make_finding("NIC_OF_TWO_VMS", function.address, evidence, nic=label(function), owners=names)


def _check_vf(function: PciFunction, owners: list[Domain], index: HostIndex) -> Iterator[Finding]:
    """Findings about the settings that a VF's PF enforces on it, which only the PF's interface tells."""
    place = pf_of(function, index)
    pf = index.functions.get(place[0]) if place else None
    for link in index.netdevs(pf) if pf else ():
        settings = next((vf for vf in link.vfs if place and vf.vf_index == place[1]), None)
        if settings is None:
            continue
        facts = {"vf": f"VF {label(function)}", "owners": _names(owners), "vf_index": settings.vf_index}
        facts |= {"pf": link.name, "pf_quoted": quote(link.name)}
        source = f"rtnetlink, {link.name} vf {settings.vf_index}"
        if settings.trust:
            yield make_finding("VF_TRUSTED", function.address, ((source, "trust on"),), **facts)
        if settings.spoofchk is False:
            yield make_finding("VF_SPOOFCHK_OFF", function.address, ((source, "spoofchk off"),), **facts)
        vlans = sorted({vf.vlan for vf in link.vfs if vf.vlan and vf.vf_index != settings.vf_index})
        if vlans and not _has_vlan(settings, function, owners):
            text = ", ".join(str(vlan) for vlan in vlans)
            yield make_finding("VF_WITHOUT_VLAN", function.address, ((source, "no vlan"),), vlans=text, **facts)


def _has_vlan(settings: VfSettings, function: PciFunction, owners: list[Domain]) -> bool:
    """Whether the VF has a VLAN, set now or to be set by libvirt at the VM's next start."""
    devices = [device for domain in owners for device in devices_of(domain) if device.address == function.address]
    return bool(settings.vlan) or any(device.vlan for device in devices)


def _check_whole(function: PciFunction, owners: list[Domain], index: HostIndex) -> Iterator[Finding]:
    names, kind = _names(owners), kind_of(function, index)
    evidence = (("libvirt, definitions", f"{names}; {kind}"),)
    yield make_finding("WHOLE_NIC_GIVEN", function.address, evidence, nic=label(function), owners=names)
    showing = [
        domain
        for domain in owners
        if any(d.address == function.address and d.rom_bar is not False and not d.rom_file for d in devices_of(domain))
    ]
    if showing and function.rom_size is not None:  # None: the card has no ROM; unknown counts as one
        evidence = ((source_of(showing[0], "rom"), "bar not off"),)
        yield make_finding(
            "OPTION_ROM_SHOWN",
            function.address,
            evidence,
            nic=label(function),
            owners=_names(showing),
            handle=handle_of(showing[0]),
        )


def _describe_member(function: PciFunction, index: HostIndex) -> str:
    """A group's member in words: `0000:05:02.0 (VM web)`, `0000:05:02.1 (driver igb)`."""
    owners = index.owners.get(function.address, ())
    if owners:
        return f"{function.address} (VM {_names(list(owners))})"
    return f"{function.address} ({f'driver {function.driver}' if known(function.driver) else 'no driver'})"


def _is_held(function: PciFunction) -> bool:
    """Whether a driver of the host's drives the function; an unknown driver counts."""
    return function.driver is not None and not on_vfio(function)


def _nics_of(domain: Domain, index: HostIndex) -> list[PciFunction]:
    addresses = dict.fromkeys(device.address for device in devices_of(domain))
    functions = (index.functions.get(address) for address in addresses)
    return [function for function in functions if function is not None and is_nic(function)]


def _names(owners: list[Domain]) -> str:
    return ", ".join(domain.name for domain in owners)
