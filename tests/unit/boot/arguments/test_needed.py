# SPDX-License-Identifier: Apache-2.0
"""Which kernel arguments a host needs, and that the kernel then understands what was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.boot.arguments.iommu import find_iommu_off, find_remapping_off, last_switch
from nicpass.boot.arguments.needed import needed_arguments
from nicpass.model.errors import ImpossibleError
from nicpass.model.fact import Unknown
from nicpass.model.platform import Platform

OFF, ON = ("CONFIG_INTEL_IOMMU=y",), ("CONFIG_INTEL_IOMMU=y", "CONFIG_INTEL_IOMMU_DEFAULT_ON=y")


def intel(options: object = OFF) -> Platform:
    return Platform(iommu_tables=("DMAR",), kernel_options=options)  # type: ignore[arg-type]


AMD = Platform(iommu_tables=("IVRS",), kernel_options=("CONFIG_AMD_IOMMU=y",))


def texts(platform: Platform, others: str, *, iommu_pt: bool = False) -> list[str]:
    return [argument.text for argument in needed_arguments(platform, others, iommu_pt=iommu_pt)]


@pytest.mark.parametrize(
    ("platform", "others", "wanted"),
    [
        (intel(), "quiet", ["intel_iommu=on"]),
        (intel(ON), "quiet", []),
        (intel(Unknown("absent")), "quiet", ["intel_iommu=on"]),
        (intel(), "intel_iommu=on", []),
        (intel(ON), "intel_iommu=off", ["intel_iommu=on"]),
        (intel(), "intel_iommu=on,sm_on intel_iommu=off", ["intel_iommu=on"]),
        (intel(), "intel_iommu=off intel_iommu=on", []),
        (intel(ON), "intremap=off", ["intremap=on"]),
        (intel(), "intel_iommu=off nointremap", ["intel_iommu=on", "intremap=on"]),
        (AMD, "quiet", []),
        (AMD, "intel_iommu=off", []),
        (AMD, "amd_iommu=on", []),
    ],
)
def test_only_what_this_host_needs(platform: Platform, others: str, wanted: list[str]) -> None:
    assert texts(platform, others) == wanted


@pytest.mark.parametrize(
    ("platform", "others"),
    [(intel(), "iommu=off"), (AMD, "amd_iommu=off"), (intel(ON), "noapic"), (intel(), "iommu=pt,off intel_iommu=on")],
)
def test_what_no_later_argument_takes_back_is_said(platform: Platform, others: str) -> None:
    with pytest.raises(ImpossibleError, match="no later argument takes it back"):
        texts(platform, others)


def test_passthrough_is_for_those_who_ask() -> None:
    assert texts(AMD, "quiet", iommu_pt=True) == ["iommu=pt"]
    assert texts(AMD, "iommu=pt", iommu_pt=True) == []
    (argument,) = needed_arguments(AMD, "", iommu_pt=True)
    assert "confines nothing" in argument.reason


WORDS = st.lists(
    st.sampled_from(
        ["quiet", "intel_iommu=off", "intel_iommu=on", "intel_iommu=sm_on", "intremap=off", "nointremap", "iommu=pt"]
    )
)


@given(WORDS, st.sampled_from([OFF, ON]))
def test_with_them_the_kernel_has_it_on(words: list[str], options: tuple[str, ...]) -> None:
    platform, others = intel(options), " ".join(words)
    given = parse_cmdline(" ".join([others, *texts(platform, others)]))
    assert find_iommu_off(given, ("DMAR",)) is None
    assert find_remapping_off(given) is None
    assert options == ON or last_switch(given, "intel_iommu") is True
    # Once they are there, nothing more is needed.
    assert texts(platform, " ".join([others, *texts(platform, others)])) == []


@pytest.mark.parametrize(
    ("cmdline", "others", "has_groups", "wanted"),
    [
        ("ro", "ro", True, []),
        ("ro intel_iommu=on", "ro", True, ["intel_iommu=on"]),  # it may be on for that alone
        ("ro", "ro", False, ["intel_iommu=on"]),
        ("ro", "ro intel_iommu=off", True, ["intel_iommu=on"]),  # somebody has written it for the next boot
        (Unknown("not captured"), "ro", True, ["intel_iommu=on"]),
    ],
)
def test_groups_without_an_argument_need_none(
    cmdline: object, others: str, has_groups: bool, wanted: list[str]
) -> None:
    platform = Platform(iommu_tables=("DMAR",), kernel_options=Unknown("absent"), cmdline=cmdline)  # type: ignore[arg-type]
    found = needed_arguments(platform, others, has_groups=has_groups)
    assert [argument.text for argument in found] == wanted


@pytest.mark.parametrize(
    ("others", "milder"),
    [("intel_iommu=off", "igfx_off"), ("intremap=off intel_iommu=on", "intremap=nosid"), ("nointremap", "nosid")],
)
def test_what_was_set_on_purpose_is_overridden_with_the_reason(others: str, milder: str) -> None:
    assert any(milder in argument.reason for argument in needed_arguments(intel(ON), others))


@pytest.mark.parametrize(("argument", "milder"), [("iommu=off", "iommu=pt"), ("noapic", "newer firmware")])
def test_what_nobody_can_override_is_told_with_it_too(argument: str, milder: str) -> None:
    with pytest.raises(ImpossibleError) as caught:
        texts(intel(ON), argument)
    assert milder in caught.value.hint
