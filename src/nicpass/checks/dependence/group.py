# SPDX-License-Identifier: Apache-2.0
"""Law 2: every device of the group is looked at before any is touched, with what the host does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.machines import tell_use, uses_of
from nicpass.checks.dependence.usage import summarize_usage, tell_usage
from nicpass.checks.host.firmware_menu import describe_menu
from nicpass.checks.lookup.nics import group_companions, is_bridge, kind_of, label, on_vfio, pf_of
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.class_devices import ClassDevice
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.group")

_SLOTS_NAMED = 3
_SHOWN = 4  # devices of one member that a sentence names
_NAMED_CLASSES = {"sound": "snd", "tty": "tty", "tpm": "tpm", "drm": "card"}
"""Class to the beginning of the devices worth naming in it: `controlC0` and connectors are parts of others."""


def check_group(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Findings about the IOMMU group as a whole, then about each thing in it that makes it worse."""
    group, address, nic = function.iommu_group, function.address, label(function)
    evidence = f"/sys/bus/pci/devices/{address}/iommu_group"
    if not known(group):
        # With the IOMMU off no device has a group: that is one finding about the host, not one a device.
        count = index.host.platform.iommu_groups
        if index.groups or (known(count) and count > 0):
            yield make_finding("GROUP_ABSENT", address, ((evidence, "absent"),), nic=nic)
        return
    companions = group_companions(function, index)
    if not companions:
        return
    ways = describe_ways_out(function, companions, index)
    busy = [companion for companion in companions if not _is_idle(companion, index)]
    named: list[tuple[str, list[PciFunction]]] = [("GROUP_SHARED" if busy else "GROUP_SHARED_IDLE", busy or companions)]
    named += [(code, [c for c in companions if has(c, index)]) for code, has in _WORSE]
    for code, members in named:
        if members:
            words = "; ".join(describe_companion(companion, index) for companion in members)
            yield make_finding(code, address, ((evidence, group),), nic=nic, group=group, members=words, ways=ways)
    yield from _check_pf(function, companions, ways, index)


def _check_pf(function: PciFunction, companions: list[PciFunction], ways: str, index: HostIndex) -> Iterator[Finding]:
    parent = pf_of(function, index)
    pf = next((c for c in companions if parent is not None and c.address == parent[0]), None)
    if pf is not None:
        evidence = (
            (f"/sys/bus/pci/devices/{function.address}/physfn", pf.address),
            (f"/sys/kernel/iommu_groups/{function.iommu_group}/devices", pf.address),
        )
        yield make_finding(
            "VF_GROUP_HAS_PF",
            function.address,
            evidence,
            nic=label(function),
            group=function.iommu_group,
            pf=label(pf),
            ways=ways,
        )


# What the host does with a member


def _has_storage(function: PciFunction, index: HostIndex) -> bool:
    return any(device.mounts or device.swap for device in index.class_devices.get(function.address, ()))


def _has_console(function: PciFunction, index: HostIndex) -> bool:
    """Whether the function has the console, on a screen or a serial port, or every keyboard of the machine."""
    devices = index.class_devices.get(function.address, ())
    return any(device.console for device in devices) or _has_all_keyboards(devices, index)


def _has_all_keyboards(devices: list[ClassDevice] | tuple[ClassDevice, ...], index: HostIndex) -> bool:
    own = sum(device.keyboard for device in devices)
    return own > 0 and own == sum(device.keyboard for device in value_or(index.host.class_devices, ()))


def _has_other_vm(function: PciFunction, index: HostIndex) -> bool:
    return function.address in index.owners or bool(uses_of(function, index))


_WORSE: tuple[tuple[str, Callable[[PciFunction, HostIndex], bool]], ...] = (
    ("GROUP_HAS_STORAGE", _has_storage),
    ("GROUP_HAS_CONSOLE", _has_console),
    ("GROUP_HAS_OTHER_VM", _has_other_vm),
)


def _is_idle(function: PciFunction, index: HostIndex) -> bool:
    """Whether no driver of the host drives the function, and neither a VM nor a pool for VMs has it.

    An unknown driver is not idle.
    """
    return (function.driver is None or on_vfio(function)) and not _has_other_vm(function, index)


def describe_companion(function: PciFunction, index: HostIndex) -> str:
    """A member: `0000:05:02.0 (eth3, driver e1000: 10.1.2.3/24)`, `0000:00:17.0 (driver ahci: sda1 mounted at /)`."""
    netdevs = ", ".join(link.name for link in index.netdevs(function))
    driver = _("driver {name}").format(name=function.driver) if known(function.driver) else _("no driver")
    if why_unknown(function.driver):
        driver = _("driver unknown")
    used = _describe_devices(function, index)
    disks = [disk for disk in function.block_devices if not any(words.startswith(disk) for words in used)]
    what = ", ".join(word for word in (netdevs, driver, *disks) if word)
    owners = [_("VM {name}").format(name=domain.name) for domain in index.owners.get(function.address, ())]
    owners += [tell_use(use) for use in uses_of(function, index)]
    usage = ", ".join(filter(None, [tell_usage(summarize_usage(function, index)), *used, *owners]))
    return f"{function.address} ({what}{': ' + usage if usage else ''})"


def _describe_devices(function: PciFunction, index: HostIndex) -> list[str]:
    """A member's devices, the gravest first: those mounted, the console, then the rest, as many as a sentence bears."""
    devices = index.class_devices.get(function.address, ())
    words = [text for device in sorted(devices, key=_gravity) if (text := _describe_device(device, devices, index))]
    more = len(words) - _SHOWN
    return words if more <= 0 else [*words[:_SHOWN], _("and {count} more").format(count=more)]


def _gravity(device: ClassDevice) -> tuple[bool, bool, bool, str]:
    return not (device.mounts or device.swap), not device.console, not device.keyboard, device.name


def _describe_device(
    device: ClassDevice, devices: list[ClassDevice] | tuple[ClassDevice, ...], index: HostIndex
) -> str | None:
    if device.mounts:
        return _("{name} mounted at {places}").format(name=device.name, places=" ".join(device.mounts))
    if device.swap:
        return _("{name} in use as swap").format(name=device.name)
    if device.console:
        return _("{name} with the console").format(name=device.name)
    if device.keyboard:
        only = _has_all_keyboards(devices, index)
        text = _("the only keyboard, {name}") if only else _("keyboard {name}")
        return text.format(name=device.label or device.name)
    if device.subsystem == "input":
        return _("mouse {name}").format(name=device.label or device.name)
    prefix = _NAMED_CLASSES.get(device.subsystem)
    is_part = device.subsystem == "drm" and "-" in device.name
    return device.name if prefix is not None and device.name.startswith(prefix) and not is_part else None


# The ways out


def describe_ways_out(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> str:
    """The ways out in order of safety, each a sentence: a VF, another slot, the firmware's option for ACS."""
    ways = [_way_by_vf(function, companions, index), _way_by_slot(function, index), _way_by_firmware(index)]
    found = [way for way in ways if way]
    return " ".join(f"({number}) {way}" for number, way in enumerate(found, 1))


def _way_by_vf(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> str:
    """The sentence about a VF as the way out; empty where a VF would land in the same group.

    That is so where a bridge above does not isolate, mostly not where only functions do not; VFs that are there tell.
    """
    if kind_of(function, index) != "pf":
        return ""
    vfs = [index.functions[vf] for vf in function.virtfns if vf in index.functions]
    if any(known(vf.iommu_group) and len(index.groups[vf.iommu_group]) == 1 for vf in vfs):
        return _("Give the VM a VF of it: its VFs have groups of their own.")
    card = function.address.rsplit(".", 1)[0]
    if vfs or any(companion.address.rsplit(".", 1)[0] != card for companion in companions):
        return ""
    return _("Give the VM a VF of it: mostly VFs have groups of their own.")


def _way_by_slot(function: PciFunction, index: HostIndex) -> str:
    """The way by empty root ports with groups of their own; whether a slot leads there, only eyes can see."""
    free = [f.address for f in index.host.pci if f.address != function.bridge and _is_free_port(f, index)]
    if not free:
        return _("Put the card into another slot, one behind another root port.")
    return _("Put the card into another slot: behind these root ports there is nothing: {ports}.").format(
        ports=", ".join(free[:_SLOTS_NAMED])
    )


def _is_free_port(function: PciFunction, index: HostIndex) -> bool:
    is_root_port = is_bridge(function) and function.bridge is None and function.driver == "pcieport"
    alone = known(function.iommu_group) and len(index.groups[function.iommu_group]) == 1
    return is_root_port and alone and function.address not in index.bridges_in_use


def _way_by_firmware(index: HostIndex) -> str:
    return describe_menu(index.host.platform.dmi, "acs")
