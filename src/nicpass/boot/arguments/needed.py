# SPDX-License-Identifier: Apache-2.0
"""Which kernel arguments a host needs so that its IOMMU is on: no more than these, each with its reason.

Sources as in boot/arguments/iommu.py. An opposite argument that somebody left stays where it is: nicpass's arguments
come after it, and of two `intel_iommu=` or `intremap=` the kernel heeds the last. Arguments that no later one takes
back are a reason to stop. An ACS override is never among the needed ones: it would show groups that the hardware does
not keep apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.boot.arguments.iommu import find_iommu_off, find_passthrough, find_remapping_off, is_asked_for, last_switch
from nicpass.boot.arguments.purpose import explain_purpose
from nicpass.model.errors import ImpossibleError
from nicpass.model.fact import Fact, known, value_or
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nicpass.model.platform import Platform

    Arguments = Mapping[str, Sequence[str]]

_DEFAULT_ON = "CONFIG_INTEL_IOMMU_DEFAULT_ON=y"


class NeededArgument(msgspec.Struct, frozen=True, kw_only=True):
    """One token for the kernel's command line, and why this host needs it."""

    text: str
    reason: str


def needed_arguments(
    platform: Platform, others: str, *, iommu_pt: bool = False, has_groups: bool = False
) -> tuple[NeededArgument, ...]:
    """The arguments that have to stand behind `others`, which are all the arguments of the next boot but nicpass's.

    `has_groups`: the running kernel has made IOMMU groups. Where no argument asked it to, none is needed for that.

    Raises:
        ImpossibleError: an argument keeps the IOMMU off, or interrupt remapping, and no later one takes it back; or
            the kernel's own setting is unknown.
    """
    arguments = parse_cmdline(others)
    running = parse_cmdline(platform.cmdline) if isinstance(platform.cmdline, str) else None
    by_itself = has_groups and running is not None and not is_asked_for(running)
    return tuple(_needed(platform, arguments, iommu_pt=iommu_pt, by_itself=by_itself))


def _needed(platform: Platform, arguments: Arguments, *, iommu_pt: bool, by_itself: bool) -> Iterator[NeededArgument]:
    tables = value_or(platform.iommu_tables, ())
    off = find_iommu_off(arguments, tables)
    if off in ("iommu=off", "amd_iommu=off"):
        raise _not_taken_back(off)
    if "DMAR" in tables and (reason := _why_off(platform, arguments, by_itself=by_itself)) is not None:
        yield NeededArgument(text="intel_iommu=on", reason=reason)
    remapping = find_remapping_off(arguments)
    if remapping in ("intremap=off", "nointremap"):
        reason = _("{argument} stands before it; without interrupt remapping a VM's device could forge interrupts")
        reason = f"{reason.format(argument=remapping)}. {explain_purpose(remapping)}"
        yield NeededArgument(text="intremap=on", reason=reason)
    elif remapping is not None:
        raise _not_taken_back(remapping)
    if iommu_pt and find_passthrough(arguments) is None:
        reason = _("asked for: the host's own devices do DMA without translation, which is faster and confines nothing")
        yield NeededArgument(text="iommu=pt", reason=reason)


def _why_off(platform: Platform, arguments: Arguments, *, by_itself: bool) -> str | None:
    """Why VT-d would stay off; None where it will be on."""
    said = last_switch(arguments, "intel_iommu")
    if said is not None:
        argument = "intel_iommu=off"
        reason = _("{argument} stands before it, and the last one wins").format(argument=argument)
        return None if said else f"{reason}. {explain_purpose(argument)}"
    if by_itself or _is_on_by_default(platform.kernel_options):
        return None
    return _("this kernel leaves VT-d off unless told")


def _is_on_by_default(options: Fact[tuple[str, ...]]) -> bool:
    """Whether VT-d is on by default; False where that cannot be read, for the argument does no harm then."""
    return known(options) and _DEFAULT_ON in options


def _not_taken_back(argument: str) -> ImpossibleError:
    return ImpossibleError(
        _("The kernel argument {argument} is given, and no later argument takes it back.").format(argument=argument),
        " ".join(
            word
            for word in (
                _("Take it out where it was written, and try again. nicpass changes no argument but its own."),
                explain_purpose(argument),
            )
            if word
        ),
    )
