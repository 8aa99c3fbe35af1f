# SPDX-License-Identifier: Apache-2.0
"""Shell patterns, held against the C library's own fnmatch(3)."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.intent.patterns import matches
from nicpass.host.intent.unit_file import is_in_list

_LIBC = ctypes.CDLL(None)
TEXTS = st.text("abe01-.", max_size=6)
PATTERNS = st.text("abe01-.*?[]!^\\", max_size=8)


def in_c(pattern: str, text: str) -> bool:
    return bool(_LIBC.fnmatch(pattern.encode(), text.encode(), 0) == 0)


@given(PATTERNS, TEXTS)
def test_a_pattern_means_what_the_c_library_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) == in_c(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "meant"),
    [
        ("en*", "enp1s0", True),
        ("eth[0-3]", "eth2", True),
        ("eth[!0-3]", "eth2", False),
        ("eth[[:digit:]]", "eth7", True),
        ("e?p1s0", "enp1s0", True),
        ("en*", "xen0", False),
        (r"eth\*", "eth*", True),
        ("eth[0-3", "eth[0-3", True),
        ("*", "", True),
    ],
)
def test_patterns_as_files_have_them(pattern: str, text: str, meant: bool) -> None:
    assert matches(pattern, text) == in_c(pattern, text) == meant


@given(st.lists(PATTERNS.map(lambda p: p.lstrip("!")), max_size=3), st.lists(PATTERNS, max_size=3), TEXTS)
def test_what_a_list_excludes_it_does_not_mean(named: list[str], excluded: list[str], text: str) -> None:
    """systemd's net_condition_test_strv(): whatever else the list has, and in any order."""
    words = [*named, *(f"!{pattern}" for pattern in excluded)]
    expected = not any(in_c(p, text) for p in excluded) and (not named or any(in_c(p, text) for p in named))
    for order in (words, words[::-1]):
        assert is_in_list(order, lambda pattern: matches(pattern, text)) == expected
