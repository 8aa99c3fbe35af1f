# SPDX-License-Identifier: Apache-2.0
"""`nicpass export`, `plan` and `apply` on trees: what they print, and what they answer to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from nicpass.cli.main import main
from nicpass.cli.schemas import build_schema
from nicpass.planner.pool.states import uuid_of
from tests.support.given import given
from tests.support.hosts import bridge, nic, pf_with_vfs, ready_host
from tests.support.pools import pool_file
from tests.support.trees import UUID, Tree, Vm, vf_interface_xml

VF = "0000:01:02.0"
HEAD = "schema: nicpass.state/1\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PF with two VFs, of which a VM has one, and a plain NIC."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    tree: Tree = ready_host(
        bridge("0000:00:01.0"),
        *pf_with_vfs("0000:01:00.0", "eth1", 2, under="0000:00:01.0"),
        nic("0000:02:00.0", "eth2", group=40),
    ).but(vms=(Vm(name="web", devices=vf_interface_xml(VF, "52:54:00:00:00:07")), Vm(name="db", uuid=UUID.format(2))))
    return str(tree.write(tmp_path / "tree"))


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main([*argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_what_export_writes_is_what_plan_finds(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, written, _ = told(capsys, "export", "--root", root)
    assert code == 0
    assert "vfs: 2" in written
    assert "{pf: eth1, vf: 0, mac: '52:54:00:00:00:07'}" in written
    (tmp_path / "host.yaml").write_text(written)
    assert told(capsys, "plan", "host.yaml", "--root", root) == (0, "The host is as host.yaml says.\n", "")
    assert told(capsys, "apply", "host.yaml", "--dry-run", "--root", root)[:2] == (
        0,
        "Make the host as host.yaml says.\n",
    )
    code, state, _ = told(capsys, "export", "--json", "--root", root)
    jsonschema.validate(json.loads(state), build_schema("state"))
    assert json.loads(state)["pfs"]["eth1"]["vfs"] == 2


def test_plan_ends_with_10_and_names_the_line(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "host.yaml").write_text(f"{HEAD}vms:\n  db:\n    nics:\n    - {{pf: eth1, vf: 1, vlan: 9}}\n")
    code, output, error = told(capsys, "plan", "host.yaml", "--root", root)
    assert (code, error) == (10, "")
    assert [line.split() for line in output.splitlines()] == [
        ["LINE", "OF", "WHAT", "NOW", "WANTED"],
        ["5", "vm", "db", "eth1", "vf", "1", "-", "vlan", "9"],
    ]
    code, output, _ = told(capsys, "plan", "host.yaml", "--json", "--root", root)
    document = json.loads(output)
    jsonschema.validate(document, build_schema("difference"))
    assert code == 10
    assert document["differences"] == [
        {"kind": "vm", "name": "db", "what": "eth1 vf 1", "now": None, "wanted": "vlan 9", "line": 5}
    ]
    assert document["refused"] is None


def test_plan_shows_what_prune_would_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = ready_host(bridge("0000:00:01.0"), *pf_with_vfs("0000:01:00.0", "eth1", 2, under="0000:00:01.0")).but(
        vms=(Vm(name="web", devices=vf_interface_xml(VF, "52:54:00:00:00:07")),)
    )
    root = str(given(tree, VF).write(tmp_path / "tree"))
    (tmp_path / "host.yaml").write_text(HEAD)
    file = str(tmp_path / "host.yaml")
    assert told(capsys, "plan", file, "--root", root)[0] == 0
    code, output, _ = told(capsys, "plan", file, "--prune", "--root", root)
    assert code == 10
    assert ["-", "vm", "web", "eth1v0", f"({VF})", "present", "-"] in [line.split() for line in output.splitlines()]


def test_plan_says_why_apply_would_be_refused(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "host.yaml").write_text(f"{HEAD}pfs:\n  eth1: {{vfs: 4}}\n")
    code, output, error = told(capsys, "plan", "host.yaml", "--root", root)
    assert code == 10
    assert "vfs" in output
    assert error.startswith("nicpass: nicpass apply would be refused: host.yaml, line 3, column 3: ")
    assert "web" in error
    code, output, _ = told(capsys, "plan", "host.yaml", "--json", "--root", root)
    assert json.loads(output)["refused"]["exit_code"] == 4


def test_plan_with_prune_shows_what_would_go(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pool by whose UUID nicpass knows it, and an interface by whose MAC nicpass knows that."""
    own = pool_file("0000:01:02.1").popitem()
    path, text = own[0], own[1].replace("</name>", f"</name><uuid>{uuid_of('blue')}</uuid>")
    Path(root + path).parent.mkdir(parents=True, exist_ok=True)
    Path(root + path).write_text(text)
    autostart = Path(root, "etc/libvirt/qemu/networks/autostart")
    autostart.mkdir()
    (autostart / "blue.xml").symlink_to("../blue.xml")
    (tmp_path / "host.yaml").write_text(f"{HEAD}pools: {{}}\n")
    assert told(capsys, "plan", "host.yaml", "--root", root)[0] == 0
    code, output, error = told(capsys, "plan", "host.yaml", "--prune", "--root", root)
    assert (code, error) == (10, "")
    assert [line.split() for line in output.splitlines()[1:]] == [["-", "pool", "blue", "vfs", "0000:01:02.1", "-"]]
    assert told(capsys, "apply", "host.yaml", "--prune", "--dry-run", "--root", root)[0] == 0
    code, written, _ = told(capsys, "export", "--root", root)
    assert "blue:\n    vfs: {eth1: '1'}" in written
    (tmp_path / "host.yaml").write_text(written)
    assert told(capsys, "plan", "host.yaml", "--prune", "--root", root)[:2] == (0, "The host is as host.yaml says.\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "absent: host.yaml"),
        ("", "host.yaml, line 1, column 1: the file is empty."),
        (f"{HEAD}vms: {{web: {{nics: [eth9]}}}}", "line 2, column 20: There is no NIC 'eth9'"),
        (f"{HEAD}vms: {{web: {{nics: [eth2]}}, db: {{nics: [eth2]}}}}", "eth2 is web's already"),
    ],
)
@pytest.mark.parametrize("command", [("plan", "host.yaml"), ("apply", "host.yaml", "--dry-run")])
def test_bad_input_is_one_sentence_a_hint_and_2(
    content: str | None,
    words: str,
    command: tuple[str, ...],
    root: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / "host.yaml").write_text(content)
    code, output, error = told(capsys, *command, "--root", root)
    first, *rest = error.splitlines()
    assert (code, output) == (2, "")
    assert words in first
    assert rest
    assert rest[0].startswith("  hint: ")


def test_a_tree_is_planned_and_not_changed(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "host.yaml").write_text(f"{HEAD}vms: {{db: {{nics: [{{pf: eth1, vf: 1}}]}}}}")
    assert told(capsys, "apply", "host.yaml", "--root", root)[0] == 2
    code, output, _ = told(capsys, "apply", "host.yaml", "--dry-run", "--root", root)
    assert code == 0
    assert "into the definition of db" in output


def test_in_chinese_too(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "host.yaml").write_text(f"{HEAD}vms: {{web: {{nics: [eth9]}}}}")
    code, _, error = told(capsys, "--lang", "zh", "plan", "host.yaml", "--root", root)
    assert code == 2
    assert "host.yaml 第 2 行第 20 列：" in error


def test_of_what_has_no_end_only_so_much_is_read(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = told(capsys, "plan", "/dev/zero", "--root", root)
    assert code == 2
    assert "longer than 1048576 bytes" in error
