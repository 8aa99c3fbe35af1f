# SPDX-License-Identifier: Apache-2.0
"""Files of shell assignments as distributions and people write them: read as a real shell reads them, edited so that
ours come last, and put back byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.loader import grub
from nicpass.boot.text.shell_words import read_assignments
from nicpass.model.boot import Boot, BootChange, BootFile
from nicpass.model.errors import BadInputError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import RegularFile
from tests.support.boot import after_change, ask_shell

DATA = Path(__file__).resolve().parents[3] / "data" / "boot" / "grub"
FILES = {path.name: path.read_bytes() for path in sorted(DATA.iterdir())}
WHOLE = {name: content for name, content in FILES.items() if not name.startswith("unclear")}
NAMES = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")
TOKENS = ("intel_iommu=on", "iommu=pt")
LAST = b" intel_iommu=on iommu=pt"


def shell_for(name: str) -> str:
    return "bash" if "bash" in name else "sh"


def boot_with(content: bytes | None, *, folder: bool = False) -> Boot:
    files = () if content is None else (BootFile(path=grub.DEFAULTS, content=content, mode=0o640),)
    return Boot(files=files, reads_grub_d=folder, folders=(grub.DEFAULTS_FOLDER,) if folder else ())


def content_after(boot: Boot, change: BootChange, path: str) -> bytes | None:
    file = after_change(boot, change).file(path)
    if file is None:
        return None
    assert isinstance(file.content, bytes)
    return file.content


def test_there_are_files_enough() -> None:
    assert len(FILES) >= 40


@pytest.mark.spawns
@pytest.mark.parametrize("name", WHOLE)
def test_they_are_read_as_the_shell_reads_them(name: str) -> None:
    values = read_assignments([FILES[name].decode("utf-8", "surrogateescape")]).values
    said = ask_shell(FILES[name], NAMES, shell_for(name))
    read = {key: str(values.get(key, "")).encode("utf-8", "surrogateescape") for key in NAMES}
    assert read == said


@pytest.mark.spawns
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("folder", [False, True], ids=["one file", "grub.d"])
def test_ours_come_last_and_nothing_else_changes(name: str, folder: bool) -> None:
    boot = boot_with(FILES[name], folder=folder)
    change = grub.plan_arguments(boot, TOKENS)
    edited = after_change(boot, change)
    text = b"\n".join(content for file in edited.files if isinstance(content := file.content, bytes))
    before, after = ask_shell(FILES[name], NAMES, shell_for(name)), ask_shell(text, NAMES, shell_for(name))
    assert after == before | {NAMES[1]: before[NAMES[1]] + LAST}
    configured = grub.configured_arguments(edited)
    assert isinstance(configured, Unknown) or str(configured).encode("utf-8", "surrogateescape").endswith(LAST)


@pytest.mark.parametrize("name", FILES)
def test_taken_out_again_every_byte_is_as_it_was(name: str) -> None:
    boot = boot_with(FILES[name])
    change = grub.plan_arguments(boot, TOKENS)
    assert [getattr(each.after, "mode", None) for each in change.files] == [0o640]
    edited = after_change(boot, change)
    assert not grub.plan_arguments(edited, TOKENS).files
    assert content_after(edited, grub.plan_removal(edited), grub.DEFAULTS) == FILES[name]


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("unclear")])
def test_what_only_a_shell_can_know_is_unknown(name: str) -> None:
    assert isinstance(grub.configured_arguments(boot_with(FILES[name])), Unknown)


def test_a_file_that_was_not_there_is_made_and_goes() -> None:
    boot = boot_with(None)
    edited = after_change(boot, grub.plan_arguments(boot, TOKENS))
    assert grub.configured_arguments(edited) == "intel_iommu=on iommu=pt".rjust(24)
    assert content_after(edited, grub.plan_removal(edited), grub.DEFAULTS) is None


@pytest.mark.parametrize("name", FILES)
def test_what_others_wrote_meanwhile_stays(name: str) -> None:
    boot = boot_with(FILES[name])
    edited = after_change(boot, grub.plan_arguments(boot, TOKENS))
    content = content_after(boot, grub.plan_arguments(boot, TOKENS), grub.DEFAULTS)
    assert content is not None
    others = boot_with(b"# above\n" + content + b"GRUB_TIMEOUT=7\n")
    kept = content_after(others, grub.plan_removal(others), grub.DEFAULTS)
    glue = b"\n" if FILES[name] and not FILES[name].endswith(b"\n") else b""
    assert kept == b"# above\n" + FILES[name] + glue + b"GRUB_TIMEOUT=7\n"
    assert edited != boot


_LINES = st.lists(
    st.sampled_from(
        [
            b'GRUB_CMDLINE_LINUX_DEFAULT="quiet"',
            b"# nicpass prepare: ",
            b"# nicpass end",
            b"A='x'",
            b"",
            b"\r",
            b"GRUB_CMDLINE_LINUX_DEFAULT= # nicpass",
        ]
    )
    | st.binary(max_size=12).filter(lambda line: b"\n" not in line),
    max_size=6,
)


@given(_LINES, st.booleans(), st.lists(st.sampled_from(["intel_iommu=on", "iommu=pt", "a.b=c,d"]), min_size=1))
def test_whatever_stands_there_comes_back(lines: list[bytes], ends: bool, tokens: list[str]) -> None:
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    boot = boot_with(content)
    try:
        change = grub.plan_arguments(boot, tokens)
    except BadInputError:
        return  # it ends within quotes: left alone
    edited = after_change(boot, change)
    assert content_after(edited, grub.plan_removal(edited), grub.DEFAULTS) == content


_SHELL_TEXT = st.text(st.sampled_from("AB=+ \t\n'\"\\$`(){};&|#~<>[]xif"), max_size=40)


@given(_SHELL_TEXT | st.text(max_size=40))
def test_no_text_is_too_odd_to_be_read(text: str) -> None:
    read_assignments([text, "A=1\n"])


def test_a_value_that_doubles_itself_does_not_fill_the_memory() -> None:
    values = read_assignments(["A=xxxxxxxx\n" + 'A="$A$A"\n' * 60]).values
    assert isinstance(values["A"], Unknown)


# Nothing with which a shell would run or write something: these texts are sourced by a real one.
_HARMLESS = st.text(st.sampled_from("ab0 \t$\\'\"{}AB_#=~:*?[]!%+,-./"), max_size=12)


@pytest.mark.spawns
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("'\"n"), _HARMLESS), max_size=5))
def test_what_is_read_is_what_sh_reads(parts: list[tuple[str, str, str]]) -> None:
    """Any assignments: where the reader claims to know a value, sh has the same."""
    text = "".join(f"{name}={_quoted(kind, value)}\n" for name, kind, value in parts)
    values = read_assignments([text]).values
    known = {name: value for name, value in values.items() if isinstance(value, str)}
    try:
        said = ask_shell(text.encode(), tuple(known))
    except subprocess.CalledProcessError:
        return  # no shell takes it
    assert {name: value.encode() for name, value in known.items()} == said


def _quoted(kind: str, value: str) -> str:
    return value if kind == "n" else f"{kind}{value}{kind}"


def test_the_mode_of_a_new_file_is_that_of_its_kind() -> None:
    change = grub.plan_arguments(boot_with(None), TOKENS)
    assert isinstance(change.files[0].after, RegularFile)
    assert change.files[0].after.mode == 0o644
