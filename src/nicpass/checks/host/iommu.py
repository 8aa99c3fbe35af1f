# SPDX-License-Identifier: Apache-2.0
"""The IOMMU of the host: in use, off and why, or not there; and what the kernel's arguments say about it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.boot.arguments.iommu import (
    RELAX_RMRR,
    VENDOR_ARGUMENTS,
    asks_to_relax,
    find_iommu_off,
    find_passthrough,
    last_switch,
    unknown_values,
    values_for,
)
from nicpass.checks.catalogue import Finder
from nicpass.checks.host.firmware_menu import describe_menu, is_guest, is_other
from nicpass.checks.lookup.regions import relaxes_all
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.platform import Platform

make_finding = Finder("host.iommu")

CMDLINE = "/proc/cmdline"
_TABLES = "/sys/firmware/acpi/tables"
_UNITS = "/sys/class/iommu"
_GROUPS = "/sys/kernel/iommu_groups"

# How drivers name their units, each by iommu_device_sysfs_add().
_KINDS = (
    ("dmar", "Intel VT-d"),
    ("ivhd", "AMD-Vi"),
    ("smmu3.", "Arm SMMUv3"),
    ("smmu", "Arm SMMU"),
    ("virtio", "virtio-iommu"),
)
_TABLE_KINDS = {"DMAR": "Intel VT-d", "IVRS": "AMD-Vi", "IORT": "Arm SMMU", "VIOT": "virtio-iommu"}
_LOGGED = {"IVRS": "AMD-Vi", "IORT": "smmu", "VIOT": "virtio_iommu"}
"""Table to the word with which its driver begins its lines in the kernel's log."""
_OPTIONS = {
    "DMAR": ("CONFIG_INTEL_IOMMU",),
    "IVRS": ("CONFIG_AMD_IOMMU",),
    "IORT": ("CONFIG_ARM_SMMU_V3", "CONFIG_ARM_SMMU"),
    "VIOT": ("CONFIG_VIRTIO_IOMMU",),
}


def check_iommu(host: Host) -> Iterator[Finding]:
    """The IOMMU: on, off with the reason, or not there. The table tells Intel from AMD, not the processor's brand."""
    platform = host.platform
    tables = platform.iommu_tables
    if serves_no_pci(host):
        yield _describe_without_pci(host)
    elif count_groups(host) > 0:
        yield _describe_on(host)
    elif is_used(host):
        yield _describe_unread_groups(platform)
    elif tables == ():
        menu = describe_menu(platform, "iommu")
        if not is_guest(platform) and not is_other(platform):
            menu = _(
                "{menu} If there is no such switch, the board or the processor is too old to have an IOMMU."
            ).format(menu=menu)
        yield make_finding("IOMMU_TABLE_ABSENT", evidence=((_TABLES, "no DMAR, IVRS, IORT or VIOT"),), menu=menu)
    elif (option := _missing_option(platform)) is not None:
        evidence = ((_TABLES, ", ".join(value_or(tables, ()))), ("the kernel's configuration", f"{option} is not set"))
        yield make_finding("IOMMU_NOT_BUILT", evidence=evidence, option=option)
    else:
        reason, mend = explain_iommu_off(platform)
        mend = " ".join((mend, *_explain_files(host)))
        if not known(platform.iommu_groups):
            reason = _("{path} is not there to be read; {reason}").format(path=_GROUPS, reason=reason)
        found = ", ".join(tables) if known(tables) else why_unknown(tables) or "absent"
        groups = "none" if known(platform.iommu_groups) else why_unknown(platform.iommu_groups) or "absent"
        shown = ((_TABLES, found), (_GROUPS, groups))
        command = "" if is_other(platform) else "nicpass prepare"
        yield make_finding("IOMMU_OFF", evidence=shown, reason=reason, mend=mend, command=command)


def count_groups(host: Host) -> int:
    """How many IOMMU groups the kernel made; only an IOMMU that is in use has any."""
    counted = value_or(host.platform.iommu_groups, 0)
    return counted or len({f.iommu_group for f in host.pci if known(f.iommu_group)})


def serves_no_pci(host: Host) -> bool:
    """Whether there are groups, and no PCI function is in one: the IOMMU is there for other devices of the board.

    Where the bus could not be read in full, nobody knows what of it is in a group.
    """
    if host.pci_unread is not None or not host.pci or count_groups(host) == 0:
        return False
    return all(function.iommu_group is None for function in host.pci)


def _describe_without_pci(host: Host) -> Finding:
    units, groups = ", ".join(value_or(host.platform.iommu_units, ())) or _("no unit shown"), count_groups(host)
    evidence = ((_UNITS, units), (_GROUPS, groups), ("/sys/bus/pci/devices/*/iommu_group", "absent"))
    return make_finding("IOMMU_NOT_FOR_PCI", evidence=evidence, units=units, groups=groups)


def is_used(host: Host) -> bool:
    """Whether an IOMMU is in use: by its groups; where these were not read by its units, registered only for use.

    Source: iommu_device_register() in drivers/iommu/iommu.c.
    """
    return count_groups(host) > 0 or bool(
        not known(host.platform.iommu_groups) and value_or(host.platform.iommu_units, ())
    )


def arguments_of(platform: Platform) -> dict[str, list[str]]:
    """The kernel's arguments; none where they are unknown."""
    return parse_cmdline(platform.cmdline) if isinstance(platform.cmdline, str) else {}


def _describe_on(host: Host) -> Finding:
    units, groups = value_or(host.platform.iommu_units, ()), count_groups(host)
    names = ", ".join(units) or _("no unit shown")
    evidence = ((_UNITS, names), (_GROUPS, groups))
    return make_finding("IOMMU_ON", evidence=evidence, units=names, groups=groups, kind=_kind_of(host.platform))


def _describe_unread_groups(platform: Platform) -> Finding:
    names = ", ".join(value_or(platform.iommu_units, ()))
    reason = why_unknown(platform.iommu_groups) or f"absent: {_GROUPS}"
    return make_finding(
        "IOMMU_GROUPS_UNKNOWN",
        evidence=((_UNITS, names), (_GROUPS, reason)),
        units=names,
        kind=_kind_of(platform),
        reason=reason,
    )


def _kind_of(platform: Platform) -> str:
    for unit in value_or(platform.iommu_units, ()):
        for prefix, kind in _KINDS:
            if unit.startswith(prefix):
                return kind
    tables = value_or(platform.iommu_tables, ())
    return _TABLE_KINDS[tables[0]] if tables and tables[0] in _TABLE_KINDS else _("kind not shown")


def _missing_option(platform: Platform) -> str | None:
    """The build option that this firmware's IOMMU needs and the kernel lacks; None also where that is unknown."""
    options = platform.kernel_options
    if not known(options):
        return None
    built = {line.partition("=")[0] for line in options}
    needed = [_OPTIONS[table] for table in value_or(platform.iommu_tables, ()) if table in _OPTIONS]
    if not needed or any(option in built for alternatives in needed for option in alternatives):
        return None
    return needed[0][0]


def explain_iommu_off(platform: Platform) -> tuple[str, str]:
    """(Why the IOMMU is off, what to do): the argument that turns it off, or the lack of the one that turns it on."""
    tables = value_or(platform.iommu_tables, ())
    arguments = arguments_of(platform)
    argument = find_iommu_off(arguments, tables)
    if argument is not None:
        from nicpass.boot.arguments.purpose import explain_purpose  # late: for hosts whose IOMMU somebody turned off

        return (
            _("the kernel argument {argument}").format(argument=argument),
            _("Take {argument} out of the kernel's arguments and reboot.").format(argument=argument)
            + f" {explain_purpose(argument)}".rstrip(),
        )
    if "DMAR" in tables and last_switch(arguments, "intel_iommu"):
        return (
            _("the firmware has VT-d and intel_iommu=on is given, yet there are no groups"),
            _("Look for the reason: dmesg | grep -i -e iommu -e DMAR"),
        )
    if "DMAR" in tables and not isinstance(platform.cmdline, str):
        return (
            _("the firmware has VT-d, and whether the kernel was told to use it is not known"),
            _("Look for intel_iommu=on in /proc/cmdline."),
        )
    if "DMAR" in tables and "CONFIG_INTEL_IOMMU_DEFAULT_ON=y" in value_or(platform.kernel_options, ()):
        return (
            _("the firmware has VT-d and this kernel uses it unless told not to, yet there are no groups"),
            _("Look for the reason: dmesg | grep -i -e iommu -e DMAR"),
        )
    if "DMAR" in tables:
        return (
            _("the firmware has VT-d, and this kernel leaves it off unless told"),
            _("Add intel_iommu=on to the kernel's arguments and reboot."),
        )
    if tables:
        words = next((words for table, words in _LOGGED.items() if table in tables), "iommu")
        return (
            _("the firmware has it ({tables}), and no argument turns it off").format(tables=", ".join(tables)),
            _("Look for the reason: dmesg | grep -i -e iommu -e {words}").format(words=words),
        )
    if is_other(platform):
        return (
            _("whether the firmware describes an IOMMU, in a table or in the device tree, is unknown"),
            _("Look for the reason: dmesg | grep -i -e iommu -e smmu"),
        )
    return (
        _("whether the firmware has an IOMMU is unknown"),
        _("Look for DMAR or IVRS in /sys/firmware/acpi/tables, as root."),
    )


def _explain_files(host: Host) -> Iterator[str]:
    """Files that have arguments which the running kernel has not, and why such a file may have had no effect."""
    given = arguments_of(host.platform)
    intents = host.network.intents
    for word in intents.kernel_words if intents is not None and isinstance(host.platform.cmdline, str) else ():
        name, _equals, value = word.text.partition("=")
        if value in given.get(name, ()) or not _turns_on(name, value):
            continue
        if "/grub" in word.source:
            why = _("It counts once grub.cfg is made of it (update-grub, grub2-mkconfig), where GRUB boots this host.")
        elif "/dracut" in word.source:
            why = _("dracut gives its kernel_cmdline to the programs of the initramfs, and never to the kernel.")
        else:
            why = _("It counts once what boots is made of it (proxmox-boot-tool refresh, kernel-install), not by GRUB.")
        yield _("{path} has {argument} already, which the running kernel was not given. {why}").format(
            path=word.source, argument=word.text, why=why
        )


def _turns_on(name: str, value: str) -> bool:
    """Whether the argument would have an IOMMU, or interrupt remapping, in use."""
    return name in ("intel_iommu", "intremap") and last_switch({name: [value]}, name) is True


def check_iommu_arguments(host: Host) -> Iterator[Finding]:
    """Kernel arguments that do nothing here, and those that change what the IOMMU protects."""
    platform = host.platform
    arguments, tables = arguments_of(platform), value_or(platform.iommu_tables, ())
    if known(platform.cpu_vendor):  # the values are those of x86
        kernel = platform.kernel if isinstance(platform.kernel, str) else None
        for name, value in unknown_values(arguments, kernel):
            yield _describe_unknown(name, value, tables)
        if asks_to_relax(arguments):
            yield _describe_relaxing(host, kernel)
    for name, wanted in VENDOR_ARGUMENTS.items():
        if name in arguments and tables and wanted not in tables:
            argument = f"{name}={','.join(arguments[name])}"
            yield make_finding(
                "IOMMU_ARGUMENT_WRONG_VENDOR",
                evidence=((CMDLINE, argument), (_TABLES, ", ".join(tables))),
                argument=argument,
                wanted=wanted,
                present=", ".join(tables),
            )
    for value in arguments.get("pcie_acs_override", ())[-1:]:
        yield make_finding("ACS_OVERRIDE", evidence=((CMDLINE, f"pcie_acs_override={value}"),), value=value)


def _describe_unknown(name: str, value: str, tables: Sequence[str], *shown: tuple[str, object]) -> Finding:
    argument = f"{name}={value}"
    mend = _("Take {argument} out of the kernel's arguments.").format(argument=argument)
    if values := values_for(name, tables):
        mend = _("Take {argument} out of the kernel's arguments, or write one of: {values}.").format(
            argument=argument, values=", ".join(values)
        )
    evidence = ((CMDLINE, argument), *shown)
    return make_finding("IOMMU_ARGUMENT_UNKNOWN", evidence=evidence, name=name, value=value, mend=mend)


def _describe_relaxing(host: Host, kernel: str | None) -> Finding:
    """What relax_rmrr does here, by the groups first, then by the kernel's name: the patch is Proxmox VE's."""
    relaxes = relaxes_all(host)
    if relaxes is False:
        tables = value_or(host.platform.iommu_tables, ())
        return _describe_unknown("intel_iommu", RELAX_RMRR, tables, (f"{_GROUPS}/*/reserved_regions", "direct"))
    shown: tuple[str, object] = ("/proc/sys/kernel/osrelease", kernel or "not known")
    if relaxes:
        effect = _("and this kernel heeds it, for the groups of NICs have memory of type direct-relaxable")
        shown = (f"{_GROUPS}/*/reserved_regions", "direct-relaxable")
    elif kernel is not None and re.search(r"-pve\b", kernel):
        effect = _("and kernels of Proxmox VE, as this one is, know it")
    else:
        effect = _("which patched kernels alone know; whether this one does cannot be seen")
    argument = f"intel_iommu={RELAX_RMRR}"
    return make_finding("RMRR_RELAXED", evidence=((CMDLINE, argument), shown), argument=argument, effect=effect)


def check_iommu_state(host: Host) -> Iterator[Finding]:
    """How the IOMMU that is in use is used."""
    platform = host.platform
    if is_used(host):
        yield from _check_on_by_default(platform)
        yield from _check_passthrough(host)
    yield from _check_address_width(platform)
    dmar = host.firmware.dmar
    if known(dmar) and dmar.dma_ctrl_platform_opt_in:
        yield make_finding("DMA_OPT_IN", evidence=((f"{_TABLES}/DMAR", f"flags {dmar.flags:#04x}"),))
    if platform.noiommu_mode is True:
        yield make_finding("NOIOMMU_MODE", evidence=(("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y"),))


def _check_on_by_default(platform: Platform) -> Iterator[Finding]:
    """An IOMMU that is on unasked; of VT-d only: the others have no switch that turns them on."""
    units = value_or(platform.iommu_units, ())
    is_asked_for = last_switch(arguments_of(platform), "intel_iommu") is not None
    if isinstance(platform.cmdline, str) and not is_asked_for and any(unit.startswith("dmar") for unit in units):
        evidence = ((CMDLINE, _("no intel_iommu=on")), (_UNITS, ", ".join(units)))
        yield make_finding("IOMMU_ON_BY_DEFAULT", evidence=evidence)


def _check_passthrough(host: Host) -> Iterator[Finding]:
    """Passthrough by the domains of the groups, which are the truth; where the kernel shows none, by the argument."""
    types = Counter(group.type for group in value_or(host.iommu_groups, ()) if known(group.type))
    argument = find_passthrough(arguments_of(host.platform))
    shown = (f"{_GROUPS}/*/type", ", ".join(f"{name}: {count}" for name, count in sorted(types.items())))
    identity = types["identity"]
    if argument is not None and (not types or identity):
        reason = _("the kernel argument {argument}").format(argument=argument)
        yield make_finding("IOMMU_PASSTHROUGH", evidence=((CMDLINE, argument), shown), reason=reason)
    elif identity:
        reason = _("{identity} of {groups} groups have the domain type identity").format(
            identity=identity, groups=types.total()
        )
        yield make_finding("IOMMU_PASSTHROUGH", evidence=(shown,), reason=reason)


def _check_address_width(platform: Platform) -> Iterator[Finding]:
    bits = platform.physical_bits
    widths = {each.unit: width for each in platform.iommu_capabilities if (width := each.address_width) is not None}
    if not known(bits) or not widths or min(widths.values()) >= bits:
        return
    width = min(widths.values())
    units = [unit for unit, of_unit in widths.items() if of_unit == width]
    evidence = [(f"{_UNITS}/{unit}/intel-iommu/cap", f"{width} bits") for unit in units]
    evidence.append(("/proc/cpuinfo", f"{bits} bits physical"))
    yield make_finding("IOMMU_ADDRESS_WIDTH", evidence=tuple(evidence), units=", ".join(units), width=width, bits=bits)
