# SPDX-License-Identifier: Apache-2.0
"""Text from outside: printed without effect, quoted so that a shell reads back the same bytes."""

from __future__ import annotations

import random
import re
import shlex
import subprocess

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.model.text import printable, quote, shell_line, vm_word, well_formed

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1801"
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.text())
def test_what_is_printed_is_for_printing(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text())
def test_json_can_hold_it(text: str) -> None:
    assert msgspec.json.decode(msgspec.json.encode(well_formed(text))) == well_formed(text)


def test_bytes_are_spelled_alike_by_all_doors() -> None:
    name = b"a\xffb\xe4"
    assert well_formed(name.decode("utf-8", "surrogateescape")) == name.decode("utf-8", "backslashreplace")


def read_by_bash(words: list[str]) -> list[bytes]:
    done = subprocess.run(["/bin/bash", "-c", f"printf '%s\\0' {shell_line(words)}"], capture_output=True, check=True)
    return done.stdout.split(b"\0")[:-1]


def raw(text: str) -> bytes:
    """The name that is meant: with the bytes that are spelled in it."""
    return re.sub(rb"\\x([89a-f][0-9a-f])", lambda found: bytes([int(found[1], 16)]), text.encode())


@pytest.mark.spawns
def test_a_shell_reads_back_the_same_words() -> None:
    words = [
        "a\x1b]0;b\x07", "\x9b31m", "a\nb\n", "'; rm -rf /; '", "$(reboot)", "`id`", "-x", "", "a\\b", "\u202e\u2066",
        r"eth\xff1", "\\xffa\x1b\\xe4b'", "\\\\xff", "#", "~", "é直", "!!", "a\tb", "\x7f", "*", "a=b",
        "\U000e0041" * 3,
        "x" * 10000,
    ]  # fmt: skip
    assert read_by_bash(words) == [raw(word) for word in words]
    assert shell_line(words).isprintable()


@pytest.mark.spawns
@pytest.mark.parametrize("seed", range(5))
def test_a_shell_reads_back_any_words(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    letters = ["\\", "'", '"', "$", "\n", "\x1b", "x", "f", "é", "\x85", "\u2028", " ", "x80", "\\xff", "0", "7"]
    words = ["".join(draw.choices(letters, k=8)) for _ in range(400)]
    assert read_by_bash(words) == [raw(word) for word in words]


@given(NAMES)
def test_what_is_plain_is_quoted_as_ever(text: str) -> None:
    assert quote(text).isprintable()
    if text.isprintable() and not re.search(r"\\x[89a-f][0-9a-f]", text):
        assert shlex.split(quote(text)) == [text]


@pytest.mark.parametrize("name", ["-f", "7", "a\nb", " a", "", UUID.replace("c7", "d8"), "\x1b[1m", "--domain"])
def test_a_vm_whose_name_might_be_misread_goes_by_its_uuid(name: str) -> None:
    assert vm_word(name, UUID) == UUID


@pytest.mark.parametrize("name", ["web", "a b", "a;b", "$(reboot)", "it's"])
def test_any_other_vm_goes_by_its_name(name: str) -> None:
    assert shlex.split(vm_word(name, UUID)) == [name]


def test_a_uuid_that_is_none_is_not_pasted() -> None:
    assert vm_word("-f", "; reboot") == "-f"
    assert vm_word("7", None) == "7"
