# SPDX-License-Identifier: Apache-2.0
"""What files have already and the running kernel has not: a reboot is missing, or what boots was never made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.arguments.needed import needed_arguments
from nicpass.boot.loader.choice import arguments_of_next_boot
from nicpass.checks.host.iommu import is_used
from nicpass.model.errors import ImpossibleError
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.model.host import Host
    from nicpass.model.plan import ChangeBoot
    from nicpass.model.request import PrepareRequest


def awaited_arguments(host: Host, request: PrepareRequest) -> str:
    """What the running kernel needed, and the next one is given by files as they are; empty where it lacks nothing."""
    given, running = arguments_of_next_boot(host.boot), host.platform.cmdline
    if not known(given) or not known(running) or given.split() == running.split():
        return ""
    try:
        needed = needed_arguments(host.platform, running, iommu_pt=request.iommu_pt, has_groups=is_used(host))
    except ImpossibleError:
        return given  # the next boot has no more what no later argument takes back
    return " ".join(argument.text for argument in needed)


def notes_on_old_files(written: Iterable[ChangeBoot], arguments: tuple[str, ...]) -> Iterator[str]:
    """Why programs are run although no file changes."""
    changes = [step.change for step in written]
    if changes and not any(change.files for change in changes):
        yield _(
            "The files have {arguments} already, which the running kernel was not given; what boots is made anew."
        ).format(arguments=" ".join(arguments))
