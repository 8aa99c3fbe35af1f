# SPDX-License-Identifier: Apache-2.0
"""Files of shell assignments as distributions and people write them: read as a real shell reads them, edited so that
ours come last, and put back byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.loader import grub
from nicpass.boot.text.shell_words import read_assignments
from nicpass.host.boot.configuration import read_boot
from nicpass.model.boot import Boot, BootChange, BootFile
from nicpass.model.errors import BadInputError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import RegularFile
from tests.support.boot import BootTree, after_change, ask_shell
from tests.support.reports import lay_out, run_on

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
    shell = "bash" if "bash" in name else "dash"
    values = read_assignments([FILES[name].decode("utf-8", "surrogateescape")], shell).values
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


BROKEN = {
    "unfinished": ('#GRUB="x"\n`GRUB_CMDLINE_LINUX="quiet\n', "within quotes, or a substitution"),
    "quote": ("A=1\nGRUB_CMDLINE_LINUX='quiet\n", "within quotes, or a substitution"),
    "open": ("if true; then\nA=1\n", "not closed"),
    "left": ("A=1\nexit 0\n", "`exit` or `exec`"),
    "appended": ('GRUB_CMDLINE_LINUX+=" quiet"\n', "has NAME+=, which dash"),
}


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize("place", [grub.DEFAULTS, f"{grub.DEFAULTS_FOLDER}/50-x.cfg", "alone"])
def test_a_file_at_which_grub_mkconfig_stops_is_refused(content: str, place: str) -> None:
    text, words = BROKEN[content]
    boot = boot_with(text.encode(), folder=place != "alone")
    path = grub.DEFAULTS if place == "alone" else place
    boot = msgspec.structs.replace(boot, mkconfig_shell="dash", files=(BootFile(path=path, content=text.encode()),))
    with pytest.raises(BadInputError) as caught:
        grub.plan_arguments(boot, TOKENS)
    assert words in caught.value.sentence
    assert path in caught.value.sentence


@pytest.mark.spawns
@pytest.mark.parametrize("content", BROKEN)
def test_dash_stops_at_them_too(content: str) -> None:
    script = "set -e\n. /dev/stdin\necho made\n"
    done = subprocess.run(
        ["/bin/dash", "-c", script], input=BROKEN[content][0].encode(), capture_output=True, check=False
    )
    assert b"made" not in done.stdout


@pytest.mark.parametrize(
    ("text", "shell"),
    [
        ('A+=" x"\n', "bash"),
        ('A+=" x"\n', None),
        ("return 0\n`\n", "dash"),
        ("if true; then A=1; fi\nfor x in a; do A=2; done\ncase x in (a) A=3;; b) A=4;; esac\n", "dash"),
        ("if false; then exit 1; fi\nif false; then A+=1; fi\n", "dash"),
        ("cat <<X >/dev/null\n`\nX\n", "dash"),
    ],
)
def test_files_at_which_it_does_not_stop(text: str, shell: str | None) -> None:
    assert read_assignments([text], shell).stop is None


@pytest.mark.parametrize("shell", ["dash", None])
def test_what_another_shell_would_append_is_not_known(shell: str | None) -> None:
    read = read_assignments(['GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX+=" b"\n'], shell)
    assert isinstance(read.value_of("GRUB_CMDLINE_LINUX"), Unknown)
    assert read_assignments(["A=a\nA+=b\n"], "bash").value_of("A") == "ab"


def test_what_was_lost_before_it_was_assigned_is_unknown() -> None:
    text = "`GRUB_CMDLINE_LINUX=quiet\n"
    assert isinstance(read_assignments([text]).value_of("GRUB_CMDLINE_LINUX"), Unknown)
    assert isinstance(grub.configured_arguments(boot_with(text.encode(), folder=True)), Unknown)


def test_the_report_of_a_file_that_is_no_shell(tmp_path: Path) -> None:
    code, told = run_on(
        lay_out("h18-unparsable-default-grub-accepted-where-grub.d-is-read", tmp_path), "prepare", "--dry-run"
    )
    assert code == 2
    assert "/etc/default/grub ends in the middle of something" in told


@pytest.mark.parametrize(("target", "shell"), [("dash", "dash"), ("/usr/bin/bash", "bash")])
def test_the_shell_is_the_one_that_sh_leads_to(target: str, shell: str, tmp_path: Path) -> None:
    files = BootTree(files={"/usr/bin/dash": "", "/usr/bin/bash": ""}).write(tmp_path)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "usr/bin/sh").symlink_to(target)
    assert read_boot(files).mkconfig_shell == shell
