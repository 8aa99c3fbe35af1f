# SPDX-License-Identifier: Apache-2.0
"""A Tab in bash, zsh and fish: what may come next, quoted, without rights, and with an end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.cli.arguments.parser import _COMMANDS, _DOCUMENTS
from nicpass.cli.completion import names as names_at_hand
from nicpass.cli.completion.candidates import answer, complete_command
from nicpass.cli.completion.script import FOLDER, SCRIPTS
from nicpass.cli.completion.shell_line import Line, bash_word, split_line
from nicpass.cli.main import main
from nicpass.host.doors.files import Files
from nicpass.planner.refuse import OVERRIDABLE
from tests.support.hosts import bridge, nic, pf_with_vfs, ready_host
from tests.support.trees import UUID, Vm

if TYPE_CHECKING:
    from collections.abc import Sequence

BREAKS = " \t\n\"'><=;|&(:"
HOSTILE = ("it's", "we b", "$(touch pwned)", "a\nb", 'q"q', "ü", "`x`", "-dash", "7", "a:b")
"""Names that libvirt allows. The fifth from the end of a prompt would be run, were it not quoted."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A host with a PF, two VFs, a NIC that no driver has, and VMs with odd names."""
    functions = (
        bridge("0000:00:01.0"),
        *pf_with_vfs("0000:01:00.0", "enp1s0", 2, under="0000:00:01.0"),
        nic("0000:02:00.0", driver="vfio-pci"),
    )
    vms = tuple(Vm(name=name, uuid=UUID.format(number)) for number, name in enumerate(("web01", "web02", *HOSTILE), 1))
    files = {
        "/var/lib/nicpass/journal/20261130T101010-7.jsonl": "",
        "/var/lib/nicpass/journal/20261129T101010-7.jsonl": "",
        "/var/lib/nicpass/nics/0000:02:00.0.json": '{"state":{"address":"0000:02:00.0","links":[{"name":"lan7"}]}}',
        "/var/lib/nicpass/nics/0000:02:00.1.json": '{"state"',
        "/etc/group": "root:x:0:\nlibvirt:x:99:\n",
        "/run/libvirt/qemu/passing.xml": "<domstatus/>",
    }
    folder = tmp_path_factory.mktemp("host")
    return str(ready_host(*functions, vms=vms, files=files).write(folder))


def after(line: str, root: str, shell: str = "bash") -> list[str]:
    """What is offered at the end of the line."""
    if shell == "bash":
        return list(answer(["bash", line, str(len(line.encode())), BREAKS], root))
    return [each.partition("\t")[0] for each in answer([shell, *line.split(" ")], root)]


class TestWhatMayCome:
    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("nicpass att", ["attach"]),
            ("sudo -u root nicpass att", ["attach"]),
            ("LANG=C /usr/bin/nicpass att", ["attach"]),
            ("nicpass --lang zh att", ["attach"]),
            ("nicpass vf ", ["create", "set", "list", "remove", "restore"]),
            ("nicpass tune web", ["web01", "web02"]),
            ("nicpass attach web01 enp", ["enp1s0", "enp1s0v0", "enp1s0v1"]),
            ("nicpass attach web01 enp1s0v0 enp1s0v", ["enp1s0v1"]),
            ("nicpass detach web01 lan", ["lan7"]),
            ("nicpass attach web01 --from ", ["enp1s0"]),
            ("nicpass vf create ", ["enp1s0"]),
            ("nicpass vf set enp1s0 ", ["all"]),
            ("nicpass check --vm web0", ["web01", "web02"]),
            ("nicpass check --vm=web0", ["web01", "web02"]),
            ("nicpass explain GROUP_SH", [code for code in CATALOGUE if code.startswith("GROUP_SH")]),
            ("nicpass attach web01 enp1s0 --allow HAS", ["HAS_ADDRESS"]),
            ("nicpass attach web01 --dry-run=", ["plan", "shell"]),
            ("nicpass attach web01 --start --st", []),
            ("nicpass attach web01 x --allow HAS_ADDRESS --all", ["--allow"]),
            ("nicpass tune web01 --c", ["--cpus"]),
            ("nicpass tune web01 --cpus ", []),
            ("nicpass undo ", ["20261130T101010-7", "20261129T101010-7"]),
            ("nicpass prepare --group lib", ["libvirt"]),
            ("nicpass schema ", list(_DOCUMENTS)),
            ("nicpass completion ", ["bash", "zsh", "fish"]),
            ("nicpass list --snapshot ", [":files"]),
            ("nicpass list --root=/t", [":folders"]),
            ("nicpass list --lang ", ["en", "zh"]),
            ("nicpass xyzzy ", []),
            ("nicpass attach web01 --nosuch ", ["enp1s0", "enp1s0v0", "enp1s0v1", "0000\\:02\\:00.0", "lan7"]),
        ],
    )
    def test_at_the_end_of(self, line: str, wanted: list[str], root: str) -> None:
        assert after(line, root) == [word.replace("\\", "") for word in wanted]

    def test_every_command(self, root: str) -> None:
        assert after("nicpass ", root) == list(_COMMANDS)

    def test_every_reason_that_may_be_overridden(self, root: str) -> None:
        assert after("nicpass undo --allow ", root) == sorted(OVERRIDABLE)

    def test_an_address_that_is_being_typed(self, root: str) -> None:
        """bash takes what is behind the last colon for the word."""
        assert after("nicpass list 0000", root) == ["0000:01:00.0", "0000:01:02.0", "0000:01:02.1", "0000:02:00.0"]
        assert after("nicpass list 0000:01:02", root) == ["02.0", "02.1"]
        assert after("nicpass list 0000:01:02", root, "fish") == ["0000:01:02.0", "0000:01:02.1"]

    def test_a_transient_vm(self, root: str) -> None:
        assert after("nicpass tune pas", root) == ["passing"]

    def test_no_option_that_is_not_for_people(self, root: str) -> None:
        assert "--finish" not in after("nicpass prepare --", root)

    def test_in_the_middle_of_a_line(self, root: str) -> None:
        assert list(answer(["bash", "nicpass att web01", "11", BREAKS], root)) == ["attach"]

    def test_zsh_and_fish_are_told_what_each_is(self, root: str) -> None:
        assert list(answer(["fish", "nicpass", "list", "enp1s0v0"], root)) == ["enp1s0v0\t0000:01:02.0"]
        assert next(answer(["zsh", "nicpass", "tun"], root)).startswith("tune\tPut a VM")


def as_bash_reads(words: str) -> list[str]:
    argv = ["/bin/bash", "-c", f"printf '%s\\0' {words}"]
    return subprocess.run(argv, capture_output=True, check=True).stdout.decode().split("\0")[:-1]


class TestOddNames:
    @pytest.mark.spawns
    def test_bash_reads_back_what_it_is_given(self, root: str) -> None:
        told = as_bash_reads(" ".join(after("nicpass tune ", root)))
        by_uuid = {"-dash": UUID.format(10), "7": UUID.format(11), "a\nb": UUID.format(6)}
        assert sorted(told) == sorted(["passing", "web01", "web02", *(by_uuid.get(n, n) for n in HOSTILE)])

    @pytest.mark.parametrize("shell", ["zsh", "fish"])
    def test_a_line_each(self, shell: str, root: str) -> None:
        offered = after("nicpass tune ", root, shell)
        assert len(offered) == len(HOSTILE) + 3
        assert all(word.isprintable() for word in offered)

    @pytest.mark.spawns
    @pytest.mark.parametrize(
        ("typed", "name"), [("it", "it's"), ("it\\'", "it's"), ("we\\ ", "we b"), ("'we ", "we b"), ('"we ', "we b")]
    )
    def test_what_is_quoted_already_goes_on(self, typed: str, name: str, root: str) -> None:
        """Behind an open quote bash puts the text as it is, and closes the quote."""
        mark = typed[0] if typed[0] in "'\"" else ""
        (offered,) = after(f"nicpass tune {typed}", root)
        assert as_bash_reads(f"{mark}{offered}{mark}") == [name]

    def test_one_that_cannot_stand_between_these_quotes_is_not_offered(self, root: str) -> None:
        assert after('nicpass tune "$(', root) == []
        assert after("nicpass tune 'it", root) == []


class TestLines:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("", Line((), "")),
            ("a b", Line(("a",), "b", "b")),
            ("a b ", Line(("a", "b"), "")),
            ("a 'b c", Line(("a",), "b c", "'b c", "'")),
            ('a "b\\" c', Line(("a",), 'b" c', '"b\\" c', '"')),
            ("a b\\ c d", Line(("a", "b c"), "d", "d")),
            ("a $'x\\ny' ''", Line(("a", "x\ny"), "", "''")),
            ("a b\\", Line(("a",), "b\\", "b\\")),
            ("a x'y z'\"w\"", Line(("a",), "xy zw", "x'y z'\"w\"")),
        ],
    )
    def test_the_words_of(self, text: str, line: Line) -> None:
        assert split_line(text) == line

    def test_every_text_has_words(self) -> None:
        for text in ("'" * 999, "\\" * 999, "\"$'", "\0", "a" * 9999):
            split_line(text)

    def test_bytes_that_are_no_text(self) -> None:
        assert bash_word("a\udcff", Line((), ""), BREAKS) == "$'a\\377'"


@pytest.fixture
def stub(root: str, tmp_path: Path) -> dict[str, str]:
    """An environment in which `nicpass --complete` answers for that host."""
    program = tmp_path / "bin" / "nicpass"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom nicpass.cli.completion.candidates import answer\n"
        f"assert sys.argv[1] == '--complete'\n"
        f"sys.stdout.write(''.join(line + '\\n' for line in answer(sys.argv[2:], {root!r})))\n"
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)}


def run(argv: Sequence[str], environment: dict[str, str], folder: Path) -> list[str]:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment, cwd=folder, timeout=60)
    assert not (folder / "pwned").exists()
    return done.stdout.splitlines()


@pytest.mark.spawns
class TestRealShells:
    @pytest.mark.parametrize(("shell", "name"), SCRIPTS.items())
    def test_they_can_read_their_script(self, shell: str, name: str, stub: dict[str, str], tmp_path: Path) -> None:
        assert run([shell, "-n", str(FOLDER / name)], stub, tmp_path) == []

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("nicpass tune web", ["web01", "web02"]),
            ("nicpass list 0000:01:02", ["02.0", "02.1"]),
            ("nicpass tune we\\ ", ["we\\ b"]),
            ("nicpass tune $", ["\\$\\(touch\\ pwned\\)"]),
            ("nicpass list --snapshot ", ["-o default"]),
            ("nicpass list --root ", ["-o dirnames"]),
            ("nicpass xyzzy ", []),
        ],
    )
    def test_bash(self, line: str, wanted: list[str], stub: dict[str, str], tmp_path: Path) -> None:
        script = f"""source {FOLDER}/nicpass.bash
            compopt() {{ printf '%s\\n' "$*"; }}
            COMP_LINE=$1 COMP_POINT=${{#1}}
            _nicpass nicpass
            [[ ${{#COMPREPLY[@]}} -eq 0 ]] || printf '%s\\n' "${{COMPREPLY[@]}}"
            complete -p nicpass >&2"""
        assert run(["bash", "-c", script, "bash", line], stub, tmp_path) == wanted

    @pytest.mark.parametrize(
        ("words", "wanted"), [("tune web", ["web01", "web02"]), ("list 0000:02", ["0000:02:00.0"]), ("xyzzy ", [])]
    )
    def test_zsh(self, words: str, wanted: list[str], stub: dict[str, str], tmp_path: Path) -> None:
        script = f"""fpath=({FOLDER} $fpath); autoload -Uz compinit; compinit -D -u; autoload +X _nicpass
            compadd() {{ while [[ $1 != -- ]]; do shift; done; shift; print -rl -- "$@" }}
            words=(nicpass "${{(@s: :)1}}"); CURRENT=${{#words}}; PREFIX=$words[-1]
            _nicpass || true"""
        assert run(["zsh", "-fc", script, "zsh", words], stub, tmp_path) == wanted

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("nicpass tune web", ["web01", "web02"]),
            ("nicpass list 0000:02", ["0000:02:00.0\tvfio-pci"]),
            ("nicpass list --snapshot nos", ["nosuch.json"]),
        ],
    )
    def test_fish(self, line: str, wanted: list[str], stub: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "nosuch.json").touch()
        told = run(["fish", "--no-config", "-c", f"source {FOLDER}/nicpass.fish; complete -C'{line}'"], stub, tmp_path)
        assert [each.rstrip("\t") for each in told] == wanted


@pytest.mark.spawns
class TestATab:
    def test_needs_no_rights_writes_nothing_and_takes_little(self, tmp_path: Path) -> None:
        """Three tries, for the machine may be busy; what is said of it is 300 ms."""
        source = Path(FOLDER).parents[1]
        probe = "import sys; sys.path.insert(0, sys.argv.pop(1)); from nicpass.cli.main import main; main(None)"
        line = "nicpass attach web01 "
        argv = [sys.executable, "-c", probe, str(source), "--complete", "bash", line, str(len(line)), BREAKS]
        took = []
        for _each in range(3):
            before = os.times()
            done = subprocess.run(argv, capture_output=True, cwd=tmp_path, check=False)
            after_it = os.times()
            took.append(sum(after_it[2:4]) - sum(before[2:4]))
            assert (done.returncode, done.stderr) == (0, b"")
        assert min(took) < 0.3
        assert list(tmp_path.iterdir()) == []

    def test_nothing_of_libvirt_or_of_a_host_s_reader_is_loaded(self, root: str) -> None:
        probe = (
            "import sys; from nicpass.cli.completion.candidates import answer\n"
            "list(answer(['bash', 'nicpass attach ', '15', ''], sys.argv[1]))\n"
            "print([m for m in sys.modules if m in ('libvirt', 'pyroute2', 'nicpass.host.read', 'rich')])"
        )
        done = subprocess.run([sys.executable, "-c", probe, root], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_whatever_is_asked_it_ends_quietly(self) -> None:
        probe = (
            "from nicpass.cli.completion.candidates import complete_command; import sys; "
            "sys.exit(complete_command(sys.argv[1:]))"
        )
        for words in ([], ["bash"], ["bash", "nicpass ", "x", ""], ["tcsh"], ["zsh"], ["fish", "\udcff"]):
            done = subprocess.run([sys.executable, "-c", probe, *words], capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b"")

    def test_what_hangs_is_left_after_a_second(self) -> None:
        probe = (
            "import time, nicpass.cli.completion.candidates as c\n"
            "c.answer = lambda _: time.sleep(60)\n"
            "c.complete_command(['bash', 'nicpass ', '8', ''])"
        )
        began = time.monotonic()
        assert subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True).stdout == b""
        assert time.monotonic() - began < 20


class TestLibvirt:
    def test_it_is_asked_where_the_folder_may_not_be_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(names_at_hand, "_list", lambda *_: None)
        monkeypatch.setattr(names_at_hand, "_libvirt_names", lambda: {"web": UUID.format(1), "7": UUID.format(2)})
        assert list(names_at_hand.vm_names(Files())) == [(UUID.format(2), "7"), ("web", "")]

    def test_one_that_hangs_has_no_vms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(names_at_hand, "_list", lambda *_: None)
        monkeypatch.setattr(names_at_hand, "_libvirt_names", lambda: time.sleep(1))
        monkeypatch.setattr(names_at_hand, "_LIBVIRT_SECONDS", 0.01)
        assert list(names_at_hand.vm_names(Files())) == []


class TestInstalled:
    @pytest.mark.parametrize("shell", SCRIPTS)
    def test_the_command_prints_the_script(self, shell: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == (FOLDER / SCRIPTS[shell]).read_text()

    def test_no_other_shell(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["completion", "zhs"]) == 2
        assert "Did you mean zsh?" in capsys.readouterr().err

    @pytest.mark.spawns
    def test_the_wheel_brings_them_to_where_shells_look(self, tmp_path: Path) -> None:
        project = Path(__file__).resolve().parents[4]
        argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
        subprocess.run(argv, cwd=project, check=True, capture_output=True)
        with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
            names = {re.sub(r"^[^/]*\.data/data/", "", name) for name in wheel.namelist() if ".data/data/" in name}
        assert names == {
            "share/bash-completion/completions/nicpass",
            "share/zsh/site-functions/_nicpass",
            "share/fish/vendor_completions.d/nicpass.fish",
        }


def test_a_mistake_of_ours_shows_nothing(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.setitimer", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("nicpass.cli.completion.candidates.answer", lambda _: 1 // 0)
    assert complete_command(["bash"]) == 0
    assert capfd.readouterr() == ("", "")
