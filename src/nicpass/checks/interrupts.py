# SPDX-License-Identifier: Apache-2.0
"""Whether interrupts are isolated, without which VFIO gives no device away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.iommu_arguments import find_remapping_off
from nicpass.checks.catalogue import make_finding
from nicpass.checks.firmware_menu import describe_menu
from nicpass.checks.iommu import CMDLINE, arguments_of, count_groups
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host

_INTERRUPTS = "/proc/interrupts"
ISOLATED = ("IR-", "ITS-")
"""Beginnings of a controller's name: remapped ones on x86, and those of Arm's Interrupt Translation Service."""


def check_interrupts(host: Host) -> Iterator[Finding]:
    """In force, off, not to be had, or unknown; and whether VFIO was told not to care."""
    platform = host.platform
    if platform.unsafe_interrupts is True:
        evidence = (("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y"),)
        yield make_finding("UNSAFE_INTERRUPTS", evidence=evidence)
        return  # VFIO gives devices all the same
    chips = platform.interrupt_chips
    if known(chips) and any(chip.startswith(ISOLATED) for chip in chips):
        return
    if known(chips):
        yield from _explain_off(host, chips)
    elif count_groups(host) > 0:
        reason = why_unknown(chips) or _("absent: {path}").format(path=_INTERRUPTS)
        evidence = ((_INTERRUPTS, reason),)
        yield make_finding("INTERRUPT_REMAPPING_UNKNOWN", evidence=evidence, reason=reason)


def _explain_off(host: Host, chips: tuple[str, ...]) -> Iterator[Finding]:
    """With no IOMMU in use only what is certain is told: the rest may follow from that."""
    tables = value_or(host.platform.iommu_tables, ())
    shown = (_INTERRUPTS, ", ".join(chips))
    reason = _why_absent(host, tables)
    argument = find_remapping_off(arguments_of(host.platform))
    if reason is not None:
        menu = describe_menu(host.platform.dmi, "interrupt_remapping")
        yield make_finding("INTERRUPT_REMAPPING_ABSENT", evidence=(shown,), reason=reason, menu=menu)
    elif argument is not None:
        yield make_finding(
            "INTERRUPT_REMAPPING_OFF",
            evidence=((CMDLINE, argument), shown),
            reason=_("the kernel argument {argument}").format(argument=argument),
            mend=_("Take {argument} out of the kernel's arguments and reboot.").format(argument=argument),
        )
    elif count_groups(host) > 0:
        yield make_finding(
            "INTERRUPT_REMAPPING_OFF",
            evidence=(shown,),
            reason=_("no kernel argument says why"),
            mend=_("Look for the reason: dmesg | grep -i -e remapping -e DMAR-IR -e AMD-Vi"),
        )


def _why_absent(host: Host, tables: tuple[str, ...]) -> str | None:
    """What rules it out for good on this hardware and firmware; None if nothing known does."""
    dmar = host.firmware.dmar
    if known(dmar) and not dmar.intr_remap:
        return _("the firmware's DMAR table says that it lacks interrupt remapping")
    if tables == ("VIOT",) and known(host.platform.cpu_vendor):
        return _("virtio-iommu does not remap interrupts")
    return None
