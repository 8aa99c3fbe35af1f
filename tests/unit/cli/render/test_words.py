# SPDX-License-Identifier: Apache-2.0
"""Words for somebody who is tired: what was meant, which command mends it, what is true now."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from nicpass.cli.arguments.parser import _COMMANDS
from nicpass.cli.journal.retelling import retell
from nicpass.cli.main import main
from nicpass.cli.render.output import say_error, say_table
from nicpass.cli.render.report import say_outcome
from nicpass.cli.render.translation import speak
from nicpass.cli.source import Source
from nicpass.engine.transaction import _conclude
from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt.steps import LibvirtSteps
from nicpass.model.address import Address
from nicpass.model.errors import RefusedError, StepError
from nicpass.model.finding import Finding, Severity
from nicpass.model.host import Host
from nicpass.model.language import use_translation
from nicpass.model.network import VfSettings
from nicpass.model.plan import DefineDevice, DeviceSpec, Plan, SetNumvfs, StartDomain
from nicpass.model.request import AttachRequest, VfRequest
from nicpass.model.text import clause
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import address, link, network, nic, pf_with_vfs, ready_host, route
from tests.support.terminal import cells, terminal

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.plan import Step
    from tests.support.trees import Tree

NIC = "0000:01:00.0"
MAC = "52:54:00:00:00:09"
USED = ready_host(net=network(link("eth1"), address("eth1", "10.0.0.5/24"), route("eth1", "192.168.7.0/24")))


@pytest.fixture
def chinese() -> None:
    speak("zh")


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(list(argv)) != 0
    return capsys.readouterr().err


class TestMeant:
    """What somebody most likely meant."""

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (("atach", "web", "lan0"), "Did you mean attach?"),
            (("vf", "creat", "eth1"), "Did you mean create?"),
            (("attach", "web", "lan0", "--alow", "X"), "Did you mean --allow? nicpass attach --help"),
            (("recover", "--abandn", "X"), "Did you mean --abandon? nicpass recover --help"),
            (("explain", "group_shard"), "Did you mean GROUP_SHARED?"),
        ],
    )
    def test_a_misspelt_word(self, argv: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert words in told(capsys, *argv)

    @pytest.mark.parametrize("argv", [("recover", "--dry-run"), ("confirm", "--dry-run"), ("history", "--dry-run")])
    def test_no_word_that_nobody_typed(self, argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
        error = told(capsys, *argv)
        assert "--dry-run." in error
        assert "=plan" not in error
        assert f"nicpass {argv[0]} --help" in error

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (("list", "eht1"), "Did you mean eth1?"),
            (("attach", "gest", "eth1", "--dry-run"), "Did you mean guest?"),
            (("attach", "guest", "eth1", "--dry-run", "--allow", "HAS_ADRESS"), "Did you mean HAS_ADDRESS?"),
            (("attach", "eth1", "guest", "--dry-run"), "nicpass attach guest eth1"),
            (("detach", "eth1", "guest", "--dry-run"), "nicpass detach guest eth1"),
        ],
    )
    def test_of_this_host(
        self, argv: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert words in told(capsys, *argv, "--root", str(ready_host().write(tmp_path)))

    def test_what_is_like_nothing_gets_no_suggestion(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "Did you mean" not in told(capsys, "explain", "XYZZY")


class TestRefusal:
    """Every reason has its way out."""

    def test_the_commands_of_check_for_every_reason(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = str(USED.write(tmp_path))
        main(["check", "eth1", "--root", root])
        commands = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("       ip ")]
        assert len(commands) == 2
        error = told(capsys, "attach", "guest", "eth1", "--dry-run", "--root", root)
        for command in commands:
            assert f"      {command}\n" in error

    def test_a_command_that_cannot_be_shown_is_left_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        finding = Finding(code="X", severity=Severity.UNSAFE, sentence="No.", mend="Mend it.", command="rm \x1b[2J")
        say_error(RefusedError("No.", "Mend it.", findings=(finding,)), as_json=False)
        assert capsys.readouterr().err == "nicpass: No.\n  hint: Mend it.\n"


@pytest.mark.parametrize("said", ["Hook failed: no\n", "Hook failed: no.", "Hook\nfailed: no .\n"])
def test_what_libvirt_says_leaves_no_period_alone(said: str) -> None:
    error = StepError(f"libvirt, about web: {clause(said)}.")
    assert _conclude(error, [], "").sentence == "libvirt, about web: Hook failed: no. All was taken back."


class TestVfs:
    """vf create."""

    @pytest.mark.parametrize(
        ("before", "after", "summary"),
        [
            (0, 1, f"Make 1 VF of eth1 ({NIC})"),
            (0, 2, f"Make 2 VFs of eth1 ({NIC})"),
            (1, 0, f"Remove the VF of eth1 ({NIC})"),
            (1, 1, f"eth1 ({NIC}) has 1 VF already"),
            (0, 0, f"eth1 ({NIC}) has no VFs"),
        ],
    )
    def test_one_is_no_plural(self, before: int, after: int, summary: str, tmp_path: Path) -> None:
        links = (link("eth1"), *(link(f"eth1v{number}") for number in range(before)))
        host = ready_host(*pf_with_vfs(NIC, "eth1", before), net=network(*links)).read(tmp_path)
        assert plan_vf(host, VfRequest(pf="eth1", count=after)).summary == summary

    def test_the_vfs_are_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        told = link("eth1", vfs=(VfSettings(vf_index=0, mac=MAC, vlan=20),))
        ready_host(*pf_with_vfs(NIC, "eth1", 2), net=network(told)).write(tmp_path)
        step = SetNumvfs(address=Address(NIC), before=0, after=2)
        plan = Plan(summary="Make 2 VFs", request=VfRequest(pf="eth1", count=2), steps=(step,))
        say_outcome(plan, Source(Files(str(tmp_path)), Host(pci=()), is_live=False), None)
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert rows == [
            ["VF", "ADDRESS", "NETDEV", "MAC", "VLAN"],
            ["0", "0000:01:02.0", "eth1v0", MAC, "20"],
            ["1", "0000:01:02.1", "eth1v1", "?", "-"],
        ]


class TestStop:
    """detach --stop."""

    @pytest.mark.parametrize(("heeded", "words"), [(True, "web heeded"), (False, "switched off")])
    def test_whether_it_was_heeded(self, heeded: bool, words: str, tmp_path: Path) -> None:
        lines: list[str] = []
        LibvirtSteps(Files(str(tmp_path)), lines.append)._tell_stop("web", heeded=heeded)
        assert words in lines[0]


class TestRetelling:
    """The journal in the reader's language."""

    SUMMARIES = (
        "Give lan0 (0000:03:00.0) to web",
        "Take lan0 (0000:03:00.0) back from web",
        "Make 4 VFs of eth1 (0000:01:00.0)",
        "Set VF 3 of eth1 (0000:01:00.0)",
        "Set VFs 0-2,5 of eth1 (0000:01:00.0)",
        "Undo 20261129T220022-0000001: Give lan0 (0000:03:00.0) to web",
    )

    @pytest.mark.usefixtures("chinese")
    @pytest.mark.parametrize("summary", SUMMARIES)
    def test_there_and_back(self, summary: str) -> None:
        in_chinese = retell(summary)
        assert not in_chinese.isascii()
        assert retell(in_chinese) == in_chinese
        use_translation(str)
        assert retell(in_chinese) == summary
        assert retell(summary) == summary

    def test_what_is_not_known_stays(self) -> None:
        assert retell("Something else {nic}") == "Something else {nic}"


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_the_chinese_help_is_no_wider_than_the_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["--lang", "zh", *(command.split()), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if cell_len(line) > 80] == []


def test_the_help_says_what_vm_nic_and_pf_are_within_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["--help"])
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    for words in ("A VM is", "A NIC is", "A PF is", "for example:"):
        assert words in output


@pytest.mark.parametrize(
    ("start", "lines"),
    [
        (False, ["web has 0000:01:00.0 from its next start on. To take that back:", "  nicpass undo NAME"]),
        (True, ["web runs, and has 0000:01:00.0. To take that back:", "  nicpass undo NAME --stop"]),
    ],
)
def test_an_attach_ends_with_what_is_so_now_and_the_way_back(
    start: bool, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = DeviceSpec(address=Address(NIC), element="hostdev")
    steps: list[Step] = [DefineDevice(address=Address(NIC), domain="web", uuid="1", device=device)]
    steps += [StartDomain(address=Address(NIC), domain="web", uuid="1")] if start else []
    plan = Plan(summary="Give it", request=AttachRequest(vm="web", nic="eth1"), steps=tuple(steps))
    say_outcome(plan, Source(Files(str(tmp_path)), Host(pci=()), is_live=False), "NAME")
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.spawns
@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("check",),
        ("check", "--security"),
        ("snapshot",),
        ("attach", "guest", NIC, "--dry-run"),
        ("detach", "guest", NIC, "--dry-run"),
        ("vf", "remove", NIC, "--dry-run"),
        ("prepare", NIC, "--dry-run"),
    ],
)
def test_a_snapshot_comes_by_a_pipe_too(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same as of a file that holds it."""
    main(["snapshot", "--root", str(ready_host().write(tmp_path))])
    snapshot = capsys.readouterr().out
    (tmp_path / "host.json").write_text(snapshot)
    exit_code = main([*words, "--snapshot", str(tmp_path / "host.json")])
    told = capsys.readouterr()
    argv = [sys.executable, "-m", "nicpass", *words, "--snapshot", "-"]
    done = subprocess.run(argv, input=snapshot, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (exit_code, told.out, told.err)


def test_the_table_of_codes_has_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain"])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("DRIVERCTL_OVERRIDE"))
    assert "driverctl binds NIC to DRIVER" in row


WARNED = ready_host(nic(NIC, "eth1"), cmdline="intel_iommu=on vfio-pci.ids=8086:10fb")
LONG = ready_host(
    nic(NIC, "enp1s0f0np0"),
    nic("0000:01:00.1", "enp1s0f1np1"),
    net=network(
        link("enp1s0f0np0", master="br0"),
        link("br0", kind="bridge"),
        link("enp1s0f1np1"),
        address("br0", "2001:db8:1111:2222:3333:4444:5555:6666/64"),
        route("br0"),
    ),
)


@pytest.mark.spawns
class TestAtATerminal:
    """What stands on the screen, 80 columns wide."""

    PROGRAM = "from nicpass.cli.main import main; main()"

    def lines(self, root: Path, *argv: str) -> list[str]:
        with terminal(self.PROGRAM, *argv, "--root", str(root), TERM="dumb") as seen:
            seen.end()
        return seen.screen

    @pytest.mark.parametrize("language", ["en", "zh"])
    @pytest.mark.parametrize("argv", [("check",), ("check", "-v"), ("list",), ("list", NIC)])
    @pytest.mark.parametrize("tree", [WARNED, LONG], ids=["warned", "long"])
    def test_no_line_is_too_wide(self, tree: Tree, argv: tuple[str, ...], language: str, tmp_path: Path) -> None:
        lines = self.lines(tree.write(tmp_path), *argv, "--lang", language)
        # Commands are to be pasted, and stand behind seven spaces.
        assert [line for line in lines if cells(line) > 80 and not line.startswith("       ")] == []

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_a_code_is_whole_in_the_table(self, language: str, tmp_path: Path) -> None:
        lines = self.lines(LONG.write(tmp_path), "list", "--lang", language)
        assert any("CARRIES_DEFAULT_ROUTE" in line for line in lines)
        assert any("enp1s0f0np0" in line for line in lines)

    def test_the_link_is_told_in_the_readers_language(self, tmp_path: Path) -> None:
        told = "\n".join(self.lines(LONG.write(tmp_path), "list", NIC, "--lang", "zh"))
        assert "carrier" not in told


@pytest.mark.parametrize("width", [80, 72, 60])
def test_no_code_in_a_table_is_cut_where_the_terminal_is_narrow(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [
        ("-", "11-30 18:55", "启动 web01", "被拒绝：HAS_ADDRESS, CARRIES_DEFAULT_ROUTE"),
        ("20261130T185548-0000007", "11-30 18:56", "把 enp2s0 交给 web01", "完成"),
    ]
    say_table(("改动", "时间", "内容", "结果"), rows, whole=("改动",), whole_words=("内容", "结果"))
    output = capsys.readouterr().out
    assert max(map(cell_len, output.splitlines())) <= 80
    for word in ("HAS_ADDRESS", "CARRIES_DEFAULT_ROUTE", "20261130T185548-0000007"):
        assert word in output
