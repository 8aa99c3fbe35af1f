# SPDX-License-Identifier: Apache-2.0
"""Whether a NIC can make VFs: what its capability says against what the kernel does (sysfs wins), and room for them.

Source: `sriov_init()` and `sriov_enable()` in drivers/pci/iov.c; PCI Express 5.0, 9.2 and 9.3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import attribute, kind_of, label, pf_of
from nicpass.model.address import split_address
from nicpass.model.fact import known, value_or
from nicpass.model.network import NO_MAC
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.config_space import Sriov
    from nicpass.model.domain import Domain
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.sriov")

# ConnectX-3 to ConnectX-7, PFs: all can do SR-IOV, and mlxconfig's SRIOV_EN switches the capability in firmware
# (NVIDIA, "Single Root IO Virtualization (SR-IOV)"). Ids: pci.ids, drivers/net/ethernet/mellanox.
_SWITCHED_IN_FIRMWARE = {
    (0x15B3, device) for device in (0x1003, 0x1007, 0x1013, 0x1015, 0x1017, 0x1019, 0x101B, 0x101D, 0x101F, 0x1021)
}


def check_sriov(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    config = function.config
    if not known(config) or kind_of(function, index) == "vf":
        return
    if config.sriov is None:
        yield from _check_switched_off(function)
    elif known(config.sriov):
        yield from _check_kernel(function, config.sriov)
        yield from check_room(function, config.sriov)
        yield from _check_routing(function, config.sriov, index)


def check_vf_counts(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Of a PF: what else gives it VFs at every boot, so that a number that somebody sets now does not last."""
    if not known(function.totalvfs) or function.totalvfs == 0:
        return
    from nicpass.checks.lookup.boot_lines import find_counts  # late: few NICs have SR-IOV

    settings = find_counts(function, index)
    if settings:
        yield make_finding(
            "VFS_SET_AT_BOOT",
            function.address,
            tuple((each.source, each.text) for each in settings),
            nic=label(function),
            sources="; ".join(f"{each.source} ({each.text})" for each in settings),
            now=value_or(function.numvfs, 0),
        )


def check_vf_mac(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Of a VF that stands in a definition as `<hostdev>`: libvirt sets no MAC for such, so its PF has to have one."""
    plain = [domain for domain in index.owners.get(function.address, ()) if _has_plainly(domain, function)]
    place = pf_of(function, index) if plain else None
    pf = index.functions.get(place[0]) if place is not None else None
    for link in index.netdevs(pf) if pf is not None else ():
        settings = next((vf for vf in link.vfs if place and vf.vf_index == place[1]), None)
        if settings is not None and settings.mac == NO_MAC:
            yield make_finding(
                "VF_MAC_UNPINNED",
                function.address,
                ((f"rtnetlink, {link.name} vf {settings.vf_index}", f"MAC {settings.mac}"),),
                nic=label(function),
                owners=", ".join(domain.name for domain in plain),
                pf=link.name,
                owner=vm_word(plain[0].name, plain[0].uuid),
                address=function.address,
            )


def _has_plainly(domain: Domain, function: PciFunction) -> bool:
    devices = (*domain.config_devices, *domain.live_devices)
    return any(device.address == function.address and device.element == "hostdev" for device in devices)


def _check_switched_off(function: PciFunction) -> Iterator[Finding]:
    model = (value_or(function.vendor_id, 0), value_or(function.device_id, 0))
    if model in _SWITCHED_IN_FIRMWARE and function.totalvfs is None:
        evidence = ((attribute(function, "config"), "no SR-IOV capability"),)
        yield make_finding(
            "SRIOV_OFF_IN_FIRMWARE", function.address, evidence, nic=label(function), address=function.address
        )


def _check_kernel(function: PciFunction, sriov: Sriov) -> Iterator[Finding]:
    if function.totalvfs is None and sriov.total_vfs > 0:
        evidence = (
            (attribute(function, "config"), f"SR-IOV, {sriov.total_vfs} VFs"),
            (attribute(function, "sriov_totalvfs"), "absent"),
        )
        yield make_finding(
            "SRIOV_KERNEL_CANNOT", function.address, evidence, nic=label(function), total=sriov.total_vfs
        )


def check_room(function: PciFunction, sriov: Sriov) -> Iterator[Finding]:
    """The finding about VF BARs with a type and no address; the kernel drops a region for which it found no room."""
    if sriov.vf_enable or not known(function.totalvfs) or function.totalvfs == 0:
        return
    shown = {bar.index: bar for bar in function.vf_bars} if known(function.vf_bars) else {}
    without = [
        bar for bar in sriov.vf_bars if bar.address == 0 and not (bar.index in shown and shown[bar.index].assigned)
    ]
    without += [bar for bar in sriov.vf_bars if bar.address and bar.index in shown and not shown[bar.index].assigned]
    if without:
        bars = ", ".join(str(bar.index) for bar in without)
        evidence = ((attribute(function, "resource"), f"VF BAR {bars}: not assigned"),)
        yield make_finding("VF_BAR_UNASSIGNED", function.address, evidence, nic=label(function), bars=bars)


def _check_routing(function: PciFunction, sriov: Sriov, index: HostIndex) -> Iterator[Finding]:
    """The way to the VFs: offset and stride hold for the VFs' number and the hierarchy of now (9.3.3.9)."""
    bridge = index.functions.get(function.bridge) if function.bridge is not None else None
    if bridge is None or not known(bridge.config) or not known(function.totalvfs) or function.totalvfs == 0:
        return
    pcie = bridge.config.pcie
    if known(pcie) and pcie.ari_forwarding is False:
        no_ari = ((attribute(bridge, "config"), "ARIFwd-"),)
        yield make_finding("ARI_ABSENT", function.address, no_ari, nic=label(function), port=bridge.address)
    yield from check_bus_numbers(function, sriov, index)


def check_bus_numbers(
    function: PciFunction, sriov: Sriov, index: HostIndex, count: int | None = None
) -> Iterator[Finding]:
    """Whether the last of `count` VFs lies on a bus that the port above covers; without a number, the last of all."""
    bridge = index.functions.get(function.bridge) if function.bridge is not None else None
    if bridge is None or not known(bridge.config) or not known(function.totalvfs) or function.totalvfs == 0:
        return
    total = function.totalvfs if count is None else count
    last_bus, subordinate = _last_vf_bus(function, sriov, total), bridge.config.subordinate_bus
    if sriov.first_vf_offset and subordinate is not None and last_bus > subordinate:
        evidence = (
            (attribute(function, "config"), f"VF offset {sriov.first_vf_offset}, stride {sriov.vf_stride}"),
            (attribute(bridge, "config"), f"subordinate bus {subordinate:02x}"),
        )
        yield make_finding(
            "VF_BUS_NUMBERS",
            function.address,
            evidence,
            nic=label(function),
            total=total,
            last=f"{last_bus:02x}",
            subordinate=f"{subordinate:02x}",
            port=bridge.address,
        )


def _last_vf_bus(function: PciFunction, sriov: Sriov, count: int) -> int:
    _, bus, slot, number = split_address(function.address)
    last = sriov.first_vf_offset + sriov.vf_stride * (count - 1)
    return bus + ((slot << 3 | number) + last >> 8)
