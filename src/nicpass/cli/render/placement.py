# SPDX-License-Identifier: Apache-2.0
"""Where a VM is placed, in words and as the lines of a shell that place it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.language import _
from nicpass.model.memory import format_size
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from nicpass.model.domain import Placement
    from nicpass.model.plan import PlaceDomain


def describe_placement(placement: Placement) -> str:
    """`vCPUs 0-1 on CPUs 4, 5; QEMU's own threads on 0-3; memory of node 0 (strict); huge pages of 2 MiB`."""
    words = []
    if placement.pins:
        pins = ", ".join(f"{pin.vcpu}→{pin.cpus}" for pin in placement.pins)
        words.append(_("virtual CPUs {pins}").format(pins=pins))
    else:
        words.append(_("virtual CPUs on no CPUs in particular"))
    if placement.emulator is not None:
        words.append(_("QEMU's own threads on {cpus}").format(cpus=placement.emulator))
    if placement.nodes is not None:
        words.append(_("memory of node {nodes} ({mode})").format(nodes=placement.nodes, mode=placement.mode))
    if placement.hugepages:
        size = _("huge pages of {size}").format(size=format_size(placement.page_size)) if placement.page_size else ""
        words.append(size or _("huge pages"))
    return "; ".join(words)


def placement_lines(step: PlaceDomain) -> list[str]:
    """What virsh has commands for; the rest by an editor, whose lines stand there as comments."""
    vm, after, before = vm_word(step.domain, step.uuid), step.after, step.before
    lines = [f"virsh vcpupin {vm} {pin.vcpu} {pin.cpus} --config" for pin in after.pins]
    if after.emulator is not None:
        lines.append(f"virsh emulatorpin {vm} {after.emulator} --config")
    if after.nodes is not None:
        lines.append(f"virsh numatune {vm} --mode {after.mode} --nodeset {after.nodes} --config")
    edits = []
    if before.pins and not after.pins:
        edits.append(_("# take out <vcpupin>"))
    if before.emulator is not None and after.emulator is None:
        edits.append(_("# take out <emulatorpin>"))
    if before.nodes is not None and after.nodes is None:
        edits.append(_("# take out <numatune>"))
    if before.hugepages != after.hugepages:
        edits.append(_shown_pages(after))
    if before.by_hand != after.by_hand:
        edits.append(f"# <vcpu placement='{'static' if after.by_hand else 'auto'}'>")
    return [*lines, *([*edits, f"virsh edit {vm}"] if edits else [])]


def _shown_pages(after: Placement) -> str:
    if not after.hugepages:
        return _("# take out <hugepages>")
    page = f"<page size='{after.page_size >> 10}' unit='KiB'/>" if after.page_size else ""
    return f"# <memoryBacking><hugepages>{page}</hugepages></memoryBacking>"
