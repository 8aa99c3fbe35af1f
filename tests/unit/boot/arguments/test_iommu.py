# SPDX-License-Identifier: Apache-2.0
"""What the kernel's arguments say to the IOMMU."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.boot.arguments.iommu import (
    KNOWN_VALUES,
    find_iommu_off,
    find_passthrough,
    find_remapping_off,
    is_true,
    last_switch,
    unknown_values,
)


@pytest.mark.parametrize(
    ("text", "switch"),
    [
        ("", None),
        ("intel_iommu=on", True),
        ("intel_iommu=on intel_iommu=off", False),
        ("intel_iommu=off,sm_on intel_iommu=igfx_off", False),  # sm_on and igfx_off are no switches
        ("intel_iommu=sm_on", None),
        ("intel_iommu=off intel_iommu=on,sm_on", True),
        ("intel_iommu=On", None),
        ("intel-iommu=on", True),
    ],
)
def test_the_last_switch_counts(text: str, switch: bool | None) -> None:
    assert last_switch(parse_cmdline(text), "intel_iommu") is switch


@pytest.mark.parametrize(
    ("text", "tables", "found"),
    [
        ("iommu=off intel_iommu=on iommu=pt", ("DMAR",), "iommu=off"),
        ("intel_iommu=off", ("DMAR",), "intel_iommu=off"),
        ("intel_iommu=off", ("IVRS",), None),
        ("amd_iommu=off amd_iommu=fullflush", ("IVRS",), "amd_iommu=off"),
        ("amd_iommu=off", ("DMAR",), None),
        ("iommu=noforce intel_iommu=on", ("DMAR",), None),
    ],
)
def test_what_keeps_it_off(text: str, tables: tuple[str, ...], found: str | None) -> None:
    assert find_iommu_off(parse_cmdline(text), tables) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("intremap=off", "intremap=off"),
        ("intremap=off intremap=on", None),
        ("intremap=nosid", None),
        ("nointremap", "nointremap"),
        ("noapic", "noapic"),
        ("nox2apic", None),
        ("intremap=no_x2apic_optout,off", "intremap=off"),
    ],
)
def test_what_keeps_interrupt_remapping_off(text: str, found: str | None) -> None:
    assert find_remapping_off(parse_cmdline(text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("iommu=pt", "iommu=pt"),
        ("iommu=pt iommu=nopt", None),
        ("iommu.passthrough=1", "iommu.passthrough=1"),
        ("iommu.passthrough=on", "iommu.passthrough=on"),
        ("iommu.passthrough=1 iommu.passthrough=0", None),
        ("iommu.passthrough=off", None),
        ("iommu=soft", None),
    ],
)
def test_what_leaves_dma_unconfined(text: str, found: str | None) -> None:
    assert find_passthrough(parse_cmdline(text)) == found


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("amd_iommu=on", [("amd_iommu", "on")]),
        ("iommu=on", [("iommu", "on")]),
        ("intel_iommu=On,sm_on", [("intel_iommu", "On")]),
        ("intel_iommu=enable iommu=1 intremap=no", [("intel_iommu", "enable"), ("intremap", "no")]),
        ("iommu=memaper=3", []),
        ("intel_iommu= iommu", []),
    ],
)
def test_what_no_kernel_knows(text: str, unknown: list[tuple[str, str]]) -> None:
    assert unknown_values(parse_cmdline(text)) == unknown


@given(st.lists(st.sampled_from([f"{name}={value}" for name, known in KNOWN_VALUES.items() for value in known])))
def test_what_is_known_is_never_reported(arguments: list[str]) -> None:
    assert unknown_values(parse_cmdline(" ".join(arguments))) == []


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    arguments = parse_cmdline(f"iommu={text} intel_iommu={text} iommu.passthrough={text} {text}")
    unknown_values(arguments)
    find_iommu_off(arguments, ("DMAR", "IVRS"))
    find_remapping_off(arguments)
    find_passthrough(arguments)


@pytest.mark.parametrize(
    ("text", "true"),
    [("1", True), ("y", True), ("Y", True), ("on", True), ("ON", True), ("0", False), ("off", False), ("", False)],
)
def test_booleans_are_those_of_the_kernel(text: str, true: bool) -> None:
    assert is_true(text) is true


@pytest.mark.parametrize(
    ("text", "release", "unknown"),
    [
        ("intel_iommu=on,brandnew", "6.1.0-28-amd64", [("intel_iommu", "brandnew")]),
        ("intel_iommu=on,brandnew", "7.2.1", []),  # such a kernel may know it
        (
            "intel_iommu=On amd_iommu=on iommu=on",
            "7.2.1",
            [("intel_iommu", "On"), ("amd_iommu", "on"), ("iommu", "on")],
        ),
        ("intel_iommu=relax_rmrr", "6.1.0", []),
        ("intel_iommu=brandnew", None, [("intel_iommu", "brandnew")]),
    ],
)
def test_only_what_this_kernel_cannot_know_is_unknown(
    text: str, release: str | None, unknown: list[tuple[str, str]]
) -> None:
    assert sorted(unknown_values(parse_cmdline(text), release)) == sorted(unknown)
