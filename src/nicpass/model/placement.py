# SPDX-License-Identifier: Apache-2.0
"""Where a VM is put on the host, out of its definition, and whether two such places are one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.domain import Placement
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.memory import parse_cpulist

if TYPE_CHECKING:
    from nicpass.model.domain import Definition


def placement_of(definition: Definition) -> Placement | None:
    """What the definition says of it; None where it cannot be read what it says."""
    if not known(definition.vcpus) or why_unreadable(definition) is not None:
        return None
    sizes = value_or(definition.hugepage_sizes, ())
    return Placement(
        vcpus=definition.vcpus,
        pins=tuple(sorted(value_or(definition.vcpu_pins, ()), key=lambda pin: pin.vcpu)),
        emulator=value_or(definition.emulator_pin, None),
        by_hand=definition.placement != "auto",
        mode=value_or(definition.memory_mode, None),
        nodes=value_or(definition.memory_nodes, None),
        hugepages=definition.hugepages,
        page_size=sizes[0] if len(sizes) == 1 else None,
        numatune_xml=definition.numatune_xml,
        hugepages_xml=definition.hugepages_xml,
    )


def why_unreadable(definition: Definition) -> str | None:
    """Why the definition's pins cannot be read; None where they can."""
    facts = (definition.vcpus, definition.vcpu_pins, definition.emulator_pin, definition.memory_nodes)
    return next((reason for fact in facts if (reason := why_unknown(fact)) is not None), None)


def same_place(one: Placement, other: Placement) -> bool:
    """Whether two placements say the same, whatever words they say it in."""
    return _facts_of(one) == _facts_of(other)


def _facts_of(placement: Placement) -> tuple[object, ...]:
    pins = {pin.vcpu: _numbers(pin.cpus) for pin in placement.pins}
    memory = (placement.mode, _numbers(placement.nodes), placement.hugepages, placement.page_size)
    return (placement.vcpus, pins, _numbers(placement.emulator), placement.by_hand, *memory)


def _numbers(text: str | None) -> frozenset[int] | None:
    return parse_cpulist(text) if text is not None else None
