# SPDX-License-Identifier: Apache-2.0
"""Whether interrupts are isolated, without which VFIO gives no device away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.arguments.iommu import find_remapping_off, is_true
from nicpass.checks.catalogue import Finder
from nicpass.checks.host.firmware_menu import describe_menu, is_other
from nicpass.checks.host.iommu import CMDLINE, arguments_of, is_used
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host

make_finding = Finder("host.interrupts")

_INTERRUPTS = "/proc/interrupts"
_OPTION = "allow_unsafe_interrupts"
_PARAMETER = f"/sys/module/vfio_iommu_type1/parameters/{_OPTION}"
ISOLATED = ("IR-", "ITS-")
"""Beginnings of a controller's name: remapped ones on x86, and those of Arm's Interrupt Translation Service."""


def check_interrupts(host: Host) -> Iterator[Finding]:
    """Whether remapping of interrupts is on, off, not to be had, or unknown; and whether VFIO was told not to care."""
    platform = host.platform
    if is_other(platform) and platform.architecture != "arm":
        return  # POWER and others isolate interrupts in ways that VFIO does not ask for
    if (allowed := _find_permission(host)) is not None:
        finding = make_finding("UNSAFE_INTERRUPTS", evidence=(allowed,))
        # Before the module is loaded there is nothing to write to.
        yield finding if allowed[0] == _PARAMETER else msgspec.structs.replace(finding, command="")
        return  # VFIO gives devices all the same
    chips = platform.interrupt_chips
    if known(chips) and any(chip.startswith(ISOLATED) for chip in chips):
        return
    if known(chips):
        yield from _explain_off(host, chips)
    elif is_used(host):
        reason = why_unknown(chips) or _("absent: {path}").format(path=_INTERRUPTS)
        evidence = ((_INTERRUPTS, reason),)
        yield make_finding("INTERRUPT_REMAPPING_UNKNOWN", evidence=evidence, reason=reason)


def _find_permission(host: Host) -> tuple[str, str] | None:
    """Where VFIO is told to do without isolated interrupts: the loaded module, or what it will be loaded with."""
    if host.platform.unsafe_interrupts is not None and not why_unknown(host.platform.unsafe_interrupts):
        return (_PARAMETER, "Y") if host.platform.unsafe_interrupts else None
    said = [
        (each.path, word)
        for each in host.leftovers.directives
        if each.command == "options" and each.module == "vfio_iommu_type1"
        for word in each.value.split()
        if word.partition("=")[0] == _OPTION
    ]
    # modprobe(8) puts the kernel's arguments behind those of its files, and the last one wins.
    given = arguments_of(host.platform).get(f"vfio_iommu_type1.{_OPTION}", ())
    said += [(CMDLINE, f"vfio_iommu_type1.{_OPTION}={value}") for value in given]
    if not said:
        return None
    value = said[-1][1].partition("=")[2]
    return said[-1] if value == "" or is_true(value) else None


def _explain_off(host: Host, chips: tuple[str, ...]) -> Iterator[Finding]:
    """Why interrupt remapping is off; with no IOMMU in use only certain reasons: the rest may follow from that."""
    tables = value_or(host.platform.iommu_tables, ())
    shown = (_INTERRUPTS, ", ".join(chips))
    reason = _why_absent(host, tables)
    argument = find_remapping_off(arguments_of(host.platform))
    if reason is not None:
        menu = describe_menu(host.platform, "interrupt_remapping")
        yield make_finding("INTERRUPT_REMAPPING_ABSENT", evidence=(shown,), reason=reason, menu=menu)
    elif argument is not None:
        yield make_finding(
            "INTERRUPT_REMAPPING_OFF",
            evidence=((CMDLINE, argument), shown),
            reason=_("the kernel argument {argument}").format(argument=argument),
            mend=_("Take {argument} out of the kernel's arguments and reboot.").format(argument=argument),
        )
    elif is_used(host):
        yield make_finding(
            "INTERRUPT_REMAPPING_OFF",
            evidence=(shown,),
            reason=_("no kernel argument says why"),
            mend=_("Look for the reason: dmesg | grep -i -e GIC -e ITS")
            if is_other(host.platform)
            else _("Look for the reason: dmesg | grep -i -e remapping -e DMAR-IR -e AMD-Vi"),
        )


def _why_absent(host: Host, tables: tuple[str, ...]) -> str | None:
    """The reason that rules interrupt remapping out for good on this hardware and firmware; None if none is known."""
    dmar = host.firmware.dmar
    if known(dmar) and not dmar.intr_remap:
        return _("the firmware's DMAR table says that it lacks interrupt remapping")
    if tables == ("VIOT",) and known(host.platform.cpu_vendor):
        return _("virtio-iommu does not remap interrupts")
    return None
