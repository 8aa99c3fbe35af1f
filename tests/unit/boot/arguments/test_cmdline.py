# SPDX-License-Identifier: Apache-2.0
"""The kernel's arguments, as the kernel reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.arguments.cmdline import parse_cmdline


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("  \t\n", {}),
        ("quiet ro", {"quiet": "", "ro": ""}),
        ("root=/dev/sda1 ro\n", {"root": "/dev/sda1", "ro": ""}),
        ("intel-iommu=on", {"intel_iommu": "on"}),
        ("root=UUID=a=b", {"root": "UUID=a=b"}),
        ('dyndbg="file drivers/pci/* +p" quiet', {"dyndbg": "file drivers/pci/* +p", "quiet": ""}),
        ('"dyndbg=file a b" quiet', {"dyndbg": "file a b", "quiet": ""}),
        ('dyndbg="never closed intel_iommu=on', {"dyndbg": "never closed intel_iommu=on"}),
        ("a=1 -- intel_iommu=on", {"a": "1"}),
        ("a=1 --b=2", {"a": "1", "__b": "2"}),
        ("a=", {"a": ""}),
        ("vfio_pci.ids=8086:10c9,8086:10ca", {"vfio_pci.ids": "8086:10c9,8086:10ca"}),
    ],
)
def test_arguments(text: str, arguments: dict[str, str]) -> None:
    assert {name: values[-1] for name, values in parse_cmdline(text).items()} == arguments


def test_what_stands_twice_keeps_its_order() -> None:
    assert parse_cmdline("iommu=off ro iommu=pt") == {"iommu": ["off", "pt"], "ro": [""]}


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    assert all("-" not in name for name in parse_cmdline(text))


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.from_regex(r"[a-z0-9,]{0,8}", fullmatch=True)))
def test_plain_arguments_come_back(arguments: dict[str, str]) -> None:
    text = " ".join(f"{name}={value}" for name, value in arguments.items())
    assert parse_cmdline(text) == {name: [value] for name, value in arguments.items()}
