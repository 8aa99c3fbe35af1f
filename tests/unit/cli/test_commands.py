# SPDX-License-Identifier: Apache-2.0
"""The commands, on trees and snapshots: what they print, and what they answer to bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.checks.verdict import Report
from nicpass.cli.main import main
from nicpass.cli.nic.views import NicList
from nicpass.cli.render.documents import PlanDocument
from nicpass.model.host import Host
from nicpass.model.plan import DefineDevice, StartDomain, TakeNic
from tests.support.hosts import address, link, network, nic, pf_with_vfs, ready_host, route
from tests.support.trees import Tree, Vm, hostdev_xml, vf_interface_xml

NIC = "0000:01:00.0"
DEFAULT_ROUTE = ready_host(net=network(link("eth1"), address("eth1", "10.0.0.5/24"), route("eth1")))


class Told(NamedTuple):
    """What a run answered."""

    code: int
    output: str
    error: str

    def json(self) -> Any:
        return json.loads(self.output)


class Cli:
    """Runs nicpass in this process, on one tree."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys

    def __call__(self, *argv: str, on: Tree | None = None) -> Told:
        where = ["--root", str(on.write(self.root))] if on is not None else []
        code = main([*argv, *where])
        captured = self.capsys.readouterr()
        return Told(code, captured.out, captured.err)


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's own runners set it
    return Cli(tmp_path, capsys)


class TestWidth:
    """What a terminal shows of the list."""

    @pytest.mark.parametrize("width", [250, 180, 130, 100])
    def test_a_narrow_terminal_loses_columns_and_not_words(
        self, width: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        told = cli("list", on=DEFAULT_ROUTE)
        heading, row, *more = told.output.splitlines()
        assert max(len(heading), len(row)) <= width
        assert "MAY GO" in heading
        assert NIC in row
        assert "CARRIES_DEFAULT_ROUTE, 1 more" in row
        assert more == []


class TestVerdict:
    """The short answer, and what to do in which order."""

    def test_a_ready_nic_is_one_line(self, cli: Cli) -> None:
        assert cli("check", on=ready_host()).output == f"This host: ready\neth1 ({NIC}): ready\n"

    def test_what_stands_in_the_way_is_numbered_the_gravest_first(self, cli: Cli) -> None:
        told = cli("check", on=DEFAULT_ROUTE)
        assert f"eth1 ({NIC}): ready after 2 mends" in told.output
        assert told.output.index("  1. CARRIES_DEFAULT_ROUTE: ") < told.output.index("  2. HAS_ADDRESS: ")

    def test_the_hosts_own_mends_count(self, cli: Cli) -> None:
        told = cli("check", on=DEFAULT_ROUTE.but(kvm=False, loaded=("vfio", "vfio_pci")))
        assert "This host: 1 to mend" in told.output
        assert f"eth1 ({NIC}): ready after 3 mends" in told.output

    def test_strict_belongs_to_security(self, cli: Cli) -> None:
        told = cli("check", "--strict", on=ready_host())
        assert told.code == 2
        assert "--security" in told.error


class TestReading:
    """list, check, snapshot, explain."""

    def test_list_is_a_table(self, cli: Cli) -> None:
        told = cli("list", on=ready_host())
        header, row = told.output.splitlines()
        assert told.code == 0
        assert header.split()[:3] == ["ADDRESS", "NETDEV", "KIND"]
        assert row.split()[:3] == [NIC, "eth1", "nic"]
        assert row.endswith("yes")

    def test_list_says_why_not(self, cli: Cli) -> None:
        told = cli("list", on=DEFAULT_ROUTE)
        assert "no: CARRIES_DEFAULT_ROUTE, 1 more" in told.output
        assert "default route, 10.0.0.5/24" in told.output

    def test_list_as_json_decodes(self, cli: Cli) -> None:
        told = cli("list", "--json", on=ready_host(*pf_with_vfs(NIC, "eth1", 2)))
        nics = msgspec.json.decode(told.output, type=NicList).nics
        assert [view.kind for view in nics] == ["pf", "vf", "vf"]
        assert [view.vf_index for view in nics] == [None, 0, 1]
        assert nics[0].why_not == ("PF_HAS_VFS",)
        assert nics[1].may_go
        assert nics[1].pf == NIC

    def test_one_nic_in_detail(self, cli: Cli) -> None:
        told = cli("list", "eth1", on=ready_host())
        assert told.code == 0
        for words in ("address", NIC, "IOMMU group", "8086:10fb", "may go"):
            assert words in told.output
        assert len(cli("list", "eth1", "--json", "--root", str(cli.root)).json()["nics"]) == 1

    def test_a_host_without_nics_says_so(self, cli: Cli) -> None:
        assert "No network controller" in cli("list", on=Tree()).output
        assert cli("list", "--json", "--root", str(cli.root)).json() == {
            "schema": "nicpass.list/1",
            "nics": [],
            "owed": [],
            "findings": [],
        }

    @pytest.mark.parametrize(
        ("tree", "code"),
        [
            (ready_host(), 0),
            (DEFAULT_ROUTE, 4),
            (ready_host(kvm=False), 3),
            (ready_host(nic(NIC, "eth1", group=None), cmdline="ro", iommu_units=()), 5),
        ],
    )
    def test_check_exits_by_the_gravest_finding(self, tree: Tree, code: int, cli: Cli) -> None:
        assert cli("check", on=tree).code == code
        assert cli("check", "eth1", "--root", str(cli.root)).code == code

    def test_check_as_json_decodes(self, cli: Cli) -> None:
        report = msgspec.json.decode(cli("check", "--json", on=DEFAULT_ROUTE).output, type=Report)
        (verdict,) = report.nics
        assert not verdict.ready
        assert {f.code for f in verdict.findings} == {"CARRIES_DEFAULT_ROUTE", "HAS_ADDRESS"}
        assert [f.code for f in report.host] == ["IOMMU_ON"]

    def test_check_shows_what_mends_it_and_verbose_where_it_was_seen(self, cli: Cli) -> None:
        brief = cli("check", on=DEFAULT_ROUTE).output
        assert "mend: Move the default route" in brief
        assert "seen:" not in brief
        assert "IOMMU_ON" not in brief
        verbose = cli("check", "-v", "--root", str(cli.root)).output
        assert "seen: rtnetlink, routes: default via 10.0.0.1 dev eth1" in verbose
        assert "IOMMU_ON" in verbose

    def test_a_snapshot_is_the_host_again(self, cli: Cli) -> None:
        tree = ready_host(*pf_with_vfs(NIC, "eth1", 2))
        told = cli("snapshot", on=tree)
        saved = cli.root / "host.json"
        saved.write_text(told.output)
        assert isinstance(msgspec.json.decode(told.output, type=Host), Host)
        for command in (("list",), ("list", "--json"), ("check", "--json"), ("snapshot",)):
            from_tree = cli(*command, "--root", str(cli.root))
            from_file = cli(*command, "--snapshot", str(saved))
            assert from_tree == from_file

    @pytest.mark.parametrize("code", sorted(CATALOGUE))
    def test_explain_leaves_no_gap(self, code: str, cli: Cli) -> None:
        told = cli("explain", code.lower())
        assert told.code == 0
        assert told.output.startswith(f"{code} ({CATALOGUE[code].severity})")
        assert not set("{}") & set(told.output)

    def test_explain_all(self, cli: Cli) -> None:
        table = cli("explain").output
        assert all(code in table for code in CATALOGUE)
        assert set(cli("explain", "--json").json()["findings"]) == set(CATALOGUE)

    def test_version(self, cli: Cli) -> None:
        assert cli("--version").output.startswith("nicpass ")


class TestDryRun:
    """Plans, shown."""

    def test_a_plan_in_sentences(self, cli: Cli) -> None:
        told = cli("attach", "guest", "eth1", "--start", "--dry-run", on=ready_host())
        assert told.code == 0
        assert told.output.splitlines() == [
            "Give eth1 (0000:01:00.0) to guest:",
            "  1. keep on disk what 0000:01:00.0 is to the host (driver ixgbe, eth1, MTU 1500, up)",
            "  2. write 0000:01:00.0 into the definition of guest",
            "  3. start guest; libvirt binds 0000:01:00.0 to vfio-pci",
        ]

    def test_a_plan_as_json_decodes(self, cli: Cli) -> None:
        told = cli("attach", "guest", "eth1", "--start", "--dry-run", "--json", on=ready_host())
        plan = msgspec.json.decode(told.output, type=PlanDocument)
        assert [type(step) for step in plan.steps] == [TakeNic, DefineDevice, StartDomain]

    def test_a_plan_as_shell_lines(self, cli: Cli) -> None:
        told = cli("attach", "guest", "eth1", "--start", "--dry-run=shell", on=ready_host())
        lines = told.output.splitlines()
        assert "virsh start guest" in lines
        (define,) = (line for line in lines if line.startswith("virsh attach-device guest "))
        assert "--config" in define
        assert define.endswith("<<'XML'")

    def test_shell_lines_quote_what_a_shell_would_read(self, cli: Cli) -> None:
        tree = ready_host(vms=(Vm(name="a; rm -rf x"),))
        told = cli("attach", "a; rm -rf x", "eth1", "--start", "--dry-run=shell", on=tree)
        assert "virsh start 'a; rm -rf x'" in told.output

    def test_a_vf_with_its_mac_and_vlan(self, cli: Cli) -> None:
        tree = ready_host(*pf_with_vfs(NIC, "eth1", 2))
        told = cli("attach", "guest", "eth1v1", "--mac", "52:54:00:00:00:07", "--vlan", "7", "--dry-run", on=tree)
        assert "definition of guest, MAC 52:54:00:00:00:07, VLAN 7" in told.output
        shell = cli("attach", "guest", "eth1v1", "--vlan", "7", "--dry-run=shell", "--root", str(cli.root))
        assert '<tag id="7" />' in shell.output

    def test_detach(self, cli: Cli) -> None:
        tree = ready_host(vms=(Vm(name="web", devices=hostdev_xml(NIC)),))
        told = cli("detach", "web", "eth1", "--dry-run", on=tree)
        assert [line.split()[1] for line in told.output.splitlines()[1:]] == ["take", "give", "nicpass"]
        shell = cli("detach", "web", "eth1", "--dry-run=shell", "--root", str(cli.root))
        assert f"echo {NIC} > /sys/bus/pci/drivers_probe" in shell.output

    def test_detach_leaves_addresses_to_the_network_manager(self, cli: Cli) -> None:
        net = network(link("eth1"), address("eth1", "10.0.0.5/24"))
        vms = (Vm(name="web", devices=hostdev_xml(NIC)),)
        files = {"/run/network/ifstate": "eth1=eth1\n"}
        told = cli("detach", "web", "eth1", "--dry-run", on=ready_host(net=net, vms=vms, files=files))
        assert "10.0.0.5/24, configured by ifupdown" in told.output
        shell = cli("detach", "web", "eth1", "--dry-run=shell", "--root", str(cli.root))
        assert "ifdown --force eth1\nifup eth1\n" in shell.output
        assert "ip address replace" not in shell.output

    def test_vf(self, cli: Cli) -> None:
        tree = ready_host(nic(NIC, "eth1", totalvfs=8))
        assert "from 0 to 4" in cli("vf", "create", "eth1", "--count", "4", "--dry-run", on=tree).output
        assert "has no VFs." in cli("vf", "remove", "eth1", "--dry-run", "--root", str(cli.root)).output

    def test_nothing_to_do_is_said(self, cli: Cli) -> None:
        tree = ready_host(vms=(Vm(name="web", devices=hostdev_xml(NIC)),))
        assert cli("attach", "web", "eth1", "--dry-run", on=tree).output == "web has eth1 (0000:01:00.0) already.\n"


HOST = ready_host(
    *pf_with_vfs(NIC, "eth1", 1),
    nic("0000:02:00.0", "eth2", group=50, totalvfs=8),
    vms=(Vm(name="guest"), Vm(name="web", uuid="2", devices=vf_interface_xml("0000:01:02.0", "52:54:00:aa:00:01"))),
)
BAD: list[tuple[list[str], int, str]] = [
    ([], 2, "COMMAND"),
    (["frobnicate"], 2, "invalid choice"),
    (["list", "eth9"], 2, "no NIC 'eth9'"),
    (["list", "--bogus"], 2, "--bogus"),
    (["check", "eth9"], 2, "no NIC"),
    (["explain", "NO_SUCH_CODE"], 2, "no finding 'NO_SUCH_CODE'"),
    (["attach", "guest"], 2, "NIC"),
    (["attach", "nobody", "eth2", "--dry-run"], 2, "no VM 'nobody'"),
    (["attach", "guest", "eth9", "--dry-run"], 2, "no NIC"),
    (["attach", "guest", "eth2", "--dry-run=later"], 2, "invalid choice"),
    (["attach", "guest", "eth2", "--mac", "52:54:00:00:00:01", "--dry-run"], 2, "whole NIC"),
    (["attach", "guest", "eth2", "--vlan", "many", "--dry-run"], 2, "invalid int"),
    (["attach", "guest", "eth2", "--allow", "GROUP_SHARED", "--dry-run"], 2, "cannot be overridden"),
    (["attach", "guest", "eth2", "--allow", "NONSENSE", "--dry-run"], 2, "There is no finding NONSENSE"),
    (["attach", "guest", "eth1", "--dry-run"], 4, "would vanish with it"),
    (["attach", "guest", "eth1v0", "--mac", "52:54:00:00:00:01", "--dry-run"], 4, "belongs to the VM web"),
    (["attach", "guest", "eth2"], 2, "cannot be changed"),
    (["detach", "guest", "eth2", "--dry-run"], 2, "does not have"),
    (["vf", "create", "eth2"], 2, "--count"),
    (["vf", "create", "eth2", "--count", "0", "--dry-run"], 2, "no such number of VFs"),
    (["vf", "create", "eth2", "--count", "9", "--dry-run"], 2, "0 to 8"),
    (["vf", "create", "eth1v0", "--count", "1", "--dry-run"], 3, "cannot make VFs"),
    (["vf", "remove", "eth1", "--dry-run"], 4, "belongs to the VM web"),
    (["vf"], 2, "ACTION"),
]


@pytest.mark.parametrize(("argv", "code", "words"), BAD, ids=[" ".join(argv) or "nothing" for argv, _, _ in BAD])
class TestBadInput:
    """One sentence, one hint, the promised exit code; never a traceback."""

    @staticmethod
    def full(argv: list[str], root: Path) -> list[str]:
        return argv if not argv or argv == ["vf"] or argv[0] == "explain" else [*argv, "--root", str(root)]

    def test_in_words(self, argv: list[str], code: int, words: str, cli: Cli) -> None:
        told = cli(*self.full(argv, HOST.write(cli.root)))
        assert told.code == code
        assert told.output == ""
        first, *more = told.error.splitlines()
        assert first.startswith("nicpass: ")
        assert words in first
        assert first.endswith(".")
        assert not any(strange in told.error for strange in ("Traceback", "mistake of nicpass", "None", "Unknown("))
        if code == 2 and "0 to 8" not in first:
            assert more[-1].startswith("  hint: ")

    def test_as_json(self, argv: list[str], code: int, words: str, cli: Cli) -> None:
        told = cli(*self.full(argv, HOST.write(cli.root)), "--json")
        assert told.code == code
        assert told.error == ""
        error = told.json()["error"]
        assert set(error) == {"code", "exit_code", "sentence", "hint", "findings"}
        assert error["exit_code"] == code
        if argv != ["vf"]:
            assert words in error["sentence"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--root", "/no/such/folder"], "no folder /no/such/folder"),
        (["--snapshot", "/no/such/file"], "absent: /no/such/file"),
        (["--snapshot", "/"], "is a directory"),
        (["--snapshot", __file__], "is not a snapshot"),
        (["--snapshot", "x", "--root", "y"], "not allowed with"),
    ],
)
@pytest.mark.parametrize("command", [["list"], ["check"], ["snapshot"], ["attach", "a", "b", "--dry-run"]])
def test_a_source_that_cannot_be_read(command: list[str], argv: list[str], words: str, cli: Cli) -> None:
    told = cli(*command, *argv)
    assert told.code == 2
    assert words in told.error
    assert "  hint: " in told.error


def test_a_damaged_tree_is_bad_input_not_a_mistake(cli: Cli) -> None:
    HOST.write(cli.root)
    (cli.root / "netlink.json").write_text("{")
    told = cli("list", "--root", str(cli.root))
    assert told.code == 2
    assert "netlink.json" in told.error


def test_only_a_live_host_can_be_changed(cli: Cli, tmp_path: Path) -> None:
    saved = tmp_path / "host.json"
    saved.write_text(cli("snapshot", on=HOST).output)
    for argv in (["attach", "guest", "eth2"], ["vf", "remove", "eth1"], ["detach", "web", "eth1v0"]):
        told = cli(*argv, "--snapshot", str(saved))
        assert told.code == 2
        assert "--dry-run" in told.error


@pytest.mark.spawns
def test_the_reader_of_our_output_may_go_away(tmp_path: Path) -> None:
    HOST.write(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-c", "import sys; from nicpass.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    done = subprocess.run(
        [*program, "list", "--json", "--root", str(tmp_path)], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_a_snapshot_holds_is_no_shell_code(cli: Cli, tmp_path: Path) -> None:
    """Its lines are pasted by an administrator, and the snapshot may come from anywhere."""
    net = network(link("eth1", up=True), address("eth1", "10.0.0.5/24"), route("eth1", "$(reboot)"))
    host = ready_host(net=net, vms=(Vm(name="guest", devices=hostdev_xml(NIC)),)).read(tmp_path / "tree")
    path = tmp_path / "host.json"
    path.write_bytes(msgspec.json.encode(host))
    told = cli("detach", "guest", NIC, "--dry-run=shell", "--snapshot", str(path))
    assert "ip route replace '$(reboot)'" in told.output


def test_a_name_in_a_snapshot_steers_no_terminal(cli: Cli, tmp_path: Path) -> None:
    host = ready_host().read(tmp_path / "tree")
    pci = tuple(msgspec.structs.replace(function, driver="a\nb\x1b[31m\u202e") for function in host.pci)
    path = tmp_path / "host.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(host, pci=pci)))
    for command in (("list",), ("list", NIC), ("check", "-v")):
        told = cli(*command, "--snapshot", str(path)).output
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert "a\nb" not in told
