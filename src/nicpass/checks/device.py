# SPDX-License-Identifier: Apache-2.0
"""One NIC as a device: its group and what else is in it, its driver, its reset, whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import make_finding
from nicpass.checks.nics import group_companions, kind_of, label, on_vfio
from nicpass.checks.usage import summarize_usage
from nicpass.model.fact import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction


def check_group(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Law 2: every device of the group is looked at before any is touched."""
    group, address, nic = function.iommu_group, function.address, label(function)
    evidence = f"/sys/bus/pci/devices/{address}/iommu_group"
    if not known(group):
        # With the IOMMU off no device has a group: that is one finding about the host, not one a device.
        count = index.host.platform.iommu_groups
        if index.groups or (known(count) and count > 0):
            yield make_finding("GROUP_ABSENT", address, ((evidence, "absent"),), nic=nic)
        return
    companions = group_companions(function, index)
    busy = [companion for companion in companions if not _is_idle(companion, index)]
    if companions:
        code = "GROUP_SHARED" if busy else "GROUP_SHARED_IDLE"
        members = "; ".join(describe_companion(companion, index) for companion in busy or companions)
        yield make_finding(code, address, ((evidence, group),), nic=nic, group=group, members=members)


def describe_companion(function: PciFunction, index: HostIndex) -> str:
    """`0000:05:02.0 (eth3, driver e1000: 10.1.2.3/24)`."""
    netdevs = ", ".join(link.name for link in index.netdevs(function))
    driver = f"driver {function.driver}" if known(function.driver) else "no driver"
    what = ", ".join(word for word in (netdevs, driver, *function.block_devices) if word)
    owners = [f"VM {domain.name}" for domain in index.owners.get(function.address, ())]
    usage = ", ".join(filter(None, [summarize_usage(function, index), *owners]))
    return f"{function.address} ({what}{': ' + usage if usage else ''})"


def check_driver(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    nic, address = label(function), function.address
    evidence = f"/sys/bus/pci/devices/{address}/driver"
    if function.driver is None:
        yield make_finding("DRIVER_ABSENT", address, ((evidence, "absent"),), nic=nic)
    if on_vfio(function):
        if address not in index.owners:  # libvirt leaves its override in place for as long as a VM runs
            yield make_finding(
                "ON_VFIO", address, ((evidence, function.driver),), nic=nic, driver=function.driver, address=address
            )
    elif known(function.driver_override):
        override = function.driver_override
        source = f"{evidence}_override"
        yield make_finding("OVERRIDE_LEFT", address, ((source, override),), nic=nic, override=override, address=address)


def check_owner(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    owners = index.owners.get(function.address)
    if owners:
        names = ", ".join(domain.name for domain in owners)
        yield make_finding(
            "OWNED_BY_VM",
            function.address,
            (("libvirt, domain definition", names),),
            nic=label(function),
            owners=names,
            owner=owners[0].name,
            address=function.address,
        )


def check_vf_preferred(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    if kind_of(function, index) == "pf" and known(function.totalvfs):
        totalvfs, address = function.totalvfs, function.address
        evidence = ((f"/sys/bus/pci/devices/{address}/sriov_totalvfs", totalvfs),)
        yield make_finding("VF_PREFERRED", address, evidence, nic=label(function), totalvfs=totalvfs, address=address)


def _is_idle(function: PciFunction, index: HostIndex) -> bool:
    """No driver of the host drives it and no VM has it. An unknown driver is not idle."""
    return (function.driver is None or on_vfio(function)) and function.address not in index.owners
