# SPDX-License-Identifier: Apache-2.0
"""What else is in a NIC's IOMMU group (law 2), with what the host does with it, and the ways out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.blocking import blocking
from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.machines import tell_use, uses_of
from nicpass.checks.dependence.usage import check_usage, summarize_usage, tell_usage
from nicpass.checks.device.path import lacking_isolation
from nicpass.checks.device.vf_making import can_serve
from nicpass.checks.host.firmware_menu import describe_menu, is_guest
from nicpass.checks.lookup.groups import leaves_dma
from nicpass.checks.lookup.nics import is_bridge, is_nic, kind_of, label, on_vfio, pf_of
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _
from nicpass.model.text import quote, vm_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.class_devices import ClassDevice
    from nicpass.model.domain import Domain
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.group")

_STORAGE = 0x01  # base class, as those of `checks/lookup/nics.py`
_SLOTS_NAMED = 3
_SHOWN = 4  # devices of one member that a sentence names
_NAMED_CLASSES = {"sound": "snd", "tty": "tty", "tpm": "tpm", "drm": "card"}
"""Class to the beginning of the devices worth naming in it: `controlC0` and connectors are parts of others."""
_NEEDED_CLASSES = frozenset({"block", "net"})
"""A program of the host may have such a device without anything here that shows it."""


def check_companions(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> Iterator[Finding]:
    """Findings about the IOMMU group as a whole, then about each thing in it that makes it worse."""
    group, address, nic = function.iommu_group, function.address, label(function)
    evidence = f"/sys/bus/pci/devices/{address}/iommu_group"
    others = [companion for companion in companions if not _comes_along(companion, function, index)]
    if not others:
        return
    ways = describe_ways_out(function, companions, index)
    for code, members in _sort(others, function, index):
        if members:
            words = "; ".join(describe_companion(companion, index) for companion in members)
            facts = {"nic": nic, "group": group, "members": words, "ways": ways}
            yield make_finding(code, address, ((evidence, group),), unbind=_unbind(members, index), **facts)
    yield from _check_pf(function, companions, ways, index)


def _sort(
    others: list[PciFunction], function: PciFunction, index: HostIndex
) -> Iterator[tuple[str, list[PciFunction]]]:
    """Each code about the members with those that it is about; some have several."""
    busy: list[PciFunction] = []
    idle: list[PciFunction] = []
    for other in others:
        (idle if is_idle(other, index) else busy).append(other)
    bound = [other for other in idle if not leaves_dma(other, index)]
    yield "GROUP_SHARED", busy
    yield "GROUP_SHARED_BOUND", bound
    if not busy and not bound:
        yield "GROUP_SHARED_IDLE", others
    yield from ((code, [other for other in others if has(other, index)]) for code, has in _WORSE)


def _comes_along(member: PciFunction, function: PciFunction, index: HostIndex) -> bool:
    """Whether the member is the very VM's that shall have the function, or has it: a group goes to one VM whole.

    libvirt then takes the member from its driver too, when that VM starts: not one that the host uses all the same.
    What goes in the same change, or at the same start, is looked at by itself. A VF's PF never goes along with it.
    """
    if member.address in index.together:
        return (pf_of(function, index) or (None,))[0] != member.address
    owners = index.owners.get(member.address, ())
    takers = {owner.uuid for owner in index.owners.get(function.address, ())}
    if index.taker is not None:
        takers = {index.taker.uuid}  # libvirt hands its hook the definition anew, which need not be as we have read it
    if not owners or any(owner.uuid not in takers for owner in owners) or uses_of(member, index):
        return False
    if not (leaves_dma(member, index) or any(_takes(owner, member) for owner in owners)):
        return False  # the start would fail: nobody takes it from its driver
    if is_nic(member):
        return _is_unused(member, index) or _is_allowed(member, index)
    return not _may_be_needed(member, index)


def _is_allowed(member: PciFunction, index: HostIndex) -> bool:
    """Whether the VM was given the member although the host uses it, as it does now and in no other way."""
    given = index.given.get(member.address)
    if given is None or index.taker is None or given.uuid != index.taker.uuid or not given.allow:
        return False
    return not blocking(check_usage(member, index), given.allow)


def _takes(owner: Domain, member: PciFunction) -> bool:
    """Whether libvirt takes the member from its driver for this VM: `managed='yes'`."""
    devices = (*owner.config_devices, *owner.live_devices)
    return any(device.managed for device in devices if device.address == member.address)


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


def _may_be_needed(function: PciFunction, index: HostIndex) -> bool:
    """Whether the host loses a disk, its console or a network interface with the function, which is no NIC.

    A disk that is mounted nowhere counts too: ZFS, or a VM that has it as a disk, shows no mount. What could not be
    read may be all of these.
    """
    if function.driver is None or on_vfio(function):
        return False
    if why_unknown(function.driver) or not known(function.class_code) or not known(index.host.class_devices):
        return True
    if function.netdevs not in (None, ()):  # some that send and receive have the class of another kind of device
        return True
    held = {device.subsystem for device in index.class_devices.get(function.address, ())}
    return bool(held & _NEEDED_CLASSES) or _has_console(function, index)


def _has_other_vm(function: PciFunction, index: HostIndex) -> bool:
    """Whether a VM has it that is not the one that shall have the NIC, or any uses it by another way."""
    taker = index.taker.uuid if index.taker is not None else None
    return any(owner.uuid != taker for owner in index.owners.get(function.address, ())) or bool(
        uses_of(function, index)
    )


_WORSE: tuple[tuple[str, Callable[[PciFunction, HostIndex], bool]], ...] = (
    ("GROUP_HAS_STORAGE", _has_storage),
    ("GROUP_HAS_CONSOLE", _has_console),
    ("GROUP_HAS_OTHER_VM", _has_other_vm),
)


def is_idle(function: PciFunction, index: HostIndex) -> bool:
    """Whether nobody uses the function: neither a VM, nor a pool for VMs, nor the host, nor is anybody about to."""
    return not _has_other_vm(function, index) and _is_unused(function, index)


def _is_unused(function: PciFunction, index: HostIndex) -> bool:
    """Whether the host does not use the function and is not about to.

    Of what is no NIC and no bridge a driver is taken for a user of it, for nobody can see who uses that. With an
    unknown driver it is in use.
    """
    if function.driver is None or on_vfio(function):
        return True
    if known(function.driver) and is_bridge(function):
        return not index.class_devices.get(function.address)
    if not known(function.driver) or not is_nic(function):
        return False
    if function.address not in index.idle:
        index.idle[function.address] = not any(found.severity.blocks for found in check_usage(function, index))
    return index.idle[function.address]


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
    if device.subsystem == "net":
        return device.name
    if device.subsystem == "input":
        return _("mouse {name}").format(name=device.label or device.name)
    prefix = _NAMED_CLASSES.get(device.subsystem)
    is_part = device.subsystem == "drm" and "-" in device.name
    return device.name if prefix is not None and device.name.startswith(prefix) and not is_part else None


# The ways out


def describe_ways_out(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> str:
    """The ways out in order of safety, each a sentence: a VF, another slot, the group whole, the firmware's option."""
    is_cards_own = _is_cards_own(function, companions, index)
    ways = [
        _way_by_vf(function, companions, index),
        "" if is_cards_own else _way_by_slot(function, index),
        _way_by_whole(function, companions, index),
        _way_by_taking_back(function, companions, index),
        _way_by_unbinding(companions, index),
        "" if is_cards_own else _way_by_firmware(index),
    ]
    found = [way for way in ways if way]
    return " ".join(f"({number}) {way}" for number, way in enumerate(found, 1))


def _is_cards_own(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> bool:
    """Whether the card itself lets its functions reach each other, and nothing else does: it takes that along."""
    return (
        all(_is_same_card(function, companion) for companion in companions)
        and bool(lacking_isolation(function))
        and kind_of(function, index) != "vf"
    )


def _way_by_vf(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> str:
    """The sentence about a VF as the way out; empty where a VF would land in the same group.

    That is so where a bridge above does not isolate, mostly not where only functions do not; VFs that are there tell.
    """
    if kind_of(function, index) != "pf":
        return ""
    vfs = [index.functions[vf] for vf in function.virtfns if vf in index.functions]
    if any(known(vf.iommu_group) and len(index.groups[vf.iommu_group]) == 1 for vf in vfs):
        return _("Give the VM a VF of it: its VFs have groups of their own.")
    if vfs or not all(_is_same_card(function, companion) for companion in companions):
        return ""
    if not can_serve(function, index):
        return ""
    return _("Give the VM a VF of it: mostly VFs have groups of their own.")


def _way_by_whole(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> str:
    """The sentence about giving all members to one VM; empty where one of them is in use, or cannot be given."""
    given = [companion for companion in companions if not _comes_along(companion, function, index)]
    if not all(_may_go_along(other, index) for other in given) or kind_of(function, index) == "vf":
        return ""
    members = ", ".join(member.address for member in (function, *companions))
    vm = vm_word(index.taker.name, index.taker.uuid) if index.taker is not None else "VM"
    command = f"nicpass attach {vm} {function.address} --with-group"
    if index.taker is not None:
        return _("Give all of it to this VM ({members}): {command}").format(members=members, command=command)
    return _("Give all of it to one VM ({members}): {command}").format(members=members, command=command)


def _may_go_along(member: PciFunction, index: HostIndex) -> bool:
    """Whether `attach --with-group` gives the member too."""
    known_kind = known(member.class_code) and not is_bridge(member) and not is_storage(member)
    return known_kind and is_idle(member, index)


def is_storage(function: PciFunction) -> bool:
    """Whether it is a controller of disks: without a driver nobody uses it now, and all may be on them."""
    return known(function.class_code) and function.class_code >> 16 == _STORAGE


def _way_by_taking_back(function: PciFunction, companions: list[PciFunction], index: HostIndex) -> str:
    """The sentence about what other VMs have of the group; empty where none has any."""
    taken = [c for c in companions if index.owners.get(c.address) and not _comes_along(c, function, index)]
    if not taken:
        return ""
    vms = sorted({owner.name for member in taken for owner in index.owners[member.address]})
    return _("Take back what {vms} has of it ({members}); then all of it may go to one VM.").format(
        vms=", ".join(vms), members=", ".join(member.address for member in taken)
    )


def _way_by_unbinding(companions: list[PciFunction], index: HostIndex) -> str:
    """The sentence about bridges to the processor or to ISA whose drivers only read what is in them."""
    held = _held_bridges(companions, index)
    if not held or not all(is_bridge(companion) or leaves_dma(companion, index) for companion in companions):
        return ""
    return _(
        "Take {bridges} from the driver until the next boot; what that shows (temperatures, counters, a watchdog) is "
        "missing then."
    ).format(bridges=", ".join(bridge.address for bridge in held))


def _held_bridges(companions: list[PciFunction], index: HostIndex) -> list[PciFunction]:
    return [c for c in companions if is_bridge(c) and known(c.driver) and not leaves_dma(c, index)]


def _unbind(companions: list[PciFunction], index: HostIndex) -> str:
    """The lines that do it; none where something else stands in the way too."""
    if not _way_by_unbinding(companions, index):
        return ""
    return "\n".join(
        f"echo {bridge.address} > {quote(f'/sys/bus/pci/drivers/{bridge.driver}/unbind')}"
        for bridge in _held_bridges(companions, index)
    )


def _way_by_slot(function: PciFunction, index: HostIndex) -> str:
    """The way by empty root ports with groups of their own; whether a slot leads there, only eyes can see."""
    if _is_built_in(function) or is_guest(index.host.platform):
        return ""
    free = [f.address for f in index.host.pci if f.address != function.bridge and _is_free_port(f, index)]
    if not free:
        return _("Put the card into another slot, one behind another root port.")
    return _("Put the card into another slot: behind these root ports there is nothing: {ports}.").format(
        ports=", ".join(free[:_SLOTS_NAMED])
    )


def _is_same_card(one: PciFunction, other: PciFunction) -> bool:
    return one.address[:-2] == other.address[:-2]


def _is_built_in(function: PciFunction) -> bool:
    """Whether it is a part of the chipset or the processor, which is in no slot: no link of PCI Express leads to it."""
    config = function.config
    if function.bridge is not None or not known(config):
        return False
    return config.pcie is None or (known(config.pcie) and config.pcie.port_type == "root complex integrated endpoint")


def _is_free_port(function: PciFunction, index: HostIndex) -> bool:
    is_root_port = is_bridge(function) and function.bridge is None and function.driver == "pcieport"
    alone = known(function.iommu_group) and len(index.groups[function.iommu_group]) == 1
    return is_root_port and alone and function.address not in index.bridges_in_use


def _way_by_firmware(index: HostIndex) -> str:
    return describe_menu(index.host.platform, "acs")
