# SPDX-License-Identifier: Apache-2.0
"""What is published is what the program prints."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings

from nicpass.cli.arguments.parser import _COMMANDS, _DOCUMENTS
from nicpass.cli.main import main
from nicpass.cli.schemas import DOCUMENTS, build_schema
from nicpass.engine.journal import Journal
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Phase
from nicpass.model.host import Host
from nicpass.model.plan import Plan, SetNumvfs
from nicpass.model.request import VfRequest
from tests.support.documents import DOCS, make_documents
from tests.support.hosts import VM, nic, pf_with_vfs, ready_host
from tests.support.strategies import values_of
from tests.support.trees import Tree

HOSTS = {
    "a NIC": ready_host(),
    "a PF": ready_host(*pf_with_vfs("0000:01:00.0", "eth1", 2)),
    "no NIC": ready_host(functions=()),
    "much unknown": ready_host(nic("0000:01:00.0", "eth1", config_size=64), network=None, vms=None, available=None),
}
COMMANDS = {
    "check": ["check"],
    "security": ["check", "--security"],
    "list": ["list"],
    "vfs": ["vf", "list"],
    "pools": ["pool", "list"],
    "state": ["export"],
    "snapshot": ["snapshot"],
    "plan": ["attach", "guest", "0000:01:00.0", "--dry-run"],
}
NAMES = {"snapshot": "nicpass.host/1"}
"""Those whose `schema` is not called as the document is."""
WALK = {
    "list": ["list"],
    "list of one": ["list", "0000:01:00.0"],
    "check": ["check"],
    "check of a VM": ["check", "0000:01:00.0", "--vm", "guest"],
    "security": ["check", "--security"],
    "snapshot": ["snapshot"],
    "redacted": ["snapshot", "--redact"],
    "attach": ["attach", "guest", "0000:01:00.0", "--dry-run"],
    "detach": ["detach", "guest", "0000:01:00.0", "--dry-run"],
    "vf create": ["vf", "create", "0000:01:00.0", "--count", "2", "--dry-run"],
    "vf remove": ["vf", "remove", "0000:01:00.0", "--dry-run"],
    "pool list": ["pool", "list"],
    "pool create": ["pool", "create", "blue", "--pf", "0000:01:00.0", "--vfs", "0", "--dry-run"],
    "pool remove": ["pool", "remove", "blue", "--dry-run"],
    "attach from a pool": ["attach", "guest", "--from-pool", "blue", "--dry-run"],
    "tune": ["tune", "guest", "--dry-run"],
    "export": ["export"],
    "plan of a file": ["plan", "nosuch.yaml"],
    "apply of a file": ["apply", "nosuch.yaml", "--dry-run"],
    "prepare": ["prepare", "--dry-run"],
    "prepare of a NIC": ["prepare", "0000:01:00.0", "--dry-run"],
    "explain": ["explain"],
    "explain one": ["explain", "GROUP_SHARED"],
    "explain none": ["explain", "XYZZY"],
    "history": ["history"],
    "show": ["show"],
    "undo": ["undo", "nosuch", "--dry-run"],
    "confirm": ["confirm"],
    "recover": ["recover"],
    "recover one": ["recover", "--abandon", "nosuch"],
    "attach here": ["attach", "guest", "0000:01:00.0"],
    "no command": ["xyzzy"],
    "no option": ["list", "--xyzzy"],
}
"""Every command that takes --json; `simulated/test_json.py` has those that change a host, when they do."""
ROOTLESS = ("explain", "undo", "confirm", "recover", "xyzzy")


@functools.cache
def validator(what: str) -> jsonschema.Draft202012Validator:
    schema = build_schema(what)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests is not root, so that no command changes this machine."""
    monkeypatch.setattr("os.geteuid", lambda: 65534)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("tree", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("argv", WALK.values(), ids=WALK)
def test_every_command_prints_one_document_that_names_its_schema(
    argv: list[str], tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = [] if argv[0] in ROOTLESS else ["--root", str(tree.write(tmp_path))]
    json_word = [] if argv[0] == "snapshot" else ["--json"]
    code = main([*argv, *json_word, *root])
    document = json.loads(capsys.readouterr().out)
    names = {f"nicpass.{what}/1": what for what in DOCUMENTS} | {name: what for what, name in NAMES.items()}
    what = names[document["schema"]]
    validator(what).validate(document)
    assert (what == "error") == ("error" in document)
    if what == "error":
        assert document["error"]["exit_code"] == code


def test_the_walk_goes_through_every_command() -> None:
    walked = {argv[0] for argv in WALK.values()}
    assert walked >= set(_COMMANDS) - {"schema", "completion"}


def test_the_command_line_knows_every_document() -> None:
    assert tuple(DOCUMENTS) == _DOCUMENTS


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("argv", [["list"], ["check"], ["snapshot"], ["attach", "guest", "eth1", "--dry-run"]])
def test_an_interrupt_is_a_document_too(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("nicpass.cli.run.dispatch", interrupted)
    assert main([*argv, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    validator("error").validate(document)
    assert document["error"]["sentence"] == "Interrupted."


@pytest.mark.parametrize("name", sorted(make_documents()))
def test_a_published_document_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == make_documents()[name], "make documents"


@pytest.mark.parametrize("tree", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("what", sorted(set(COMMANDS) - {"plan"}))
def test_what_is_printed_is_of_its_schema(
    what: str, tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*COMMANDS[what], "--json", "--root", str(tree.write(tmp_path))])
    validator(what).validate(json.loads(capsys.readouterr().out))


def test_a_plan_is_of_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = ready_host(vms=(VM,))
    assert main([*COMMANDS["plan"], "--json", "--root", str(tree.write(tmp_path))]) == 0
    validator("plan").validate(json.loads(capsys.readouterr().out))


def test_the_journal_is_of_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(
        summary="Make 4 VFs",
        request=VfRequest(pf="eth1", count=4),
        steps=(SetNumvfs(address=Address("0000:01:00.0"), before=0, after=4),),
    )
    journal = Journal.open(Files(str(tmp_path)), plan)
    journal.record(0, Phase.DOING, plan.steps[0])
    for what, command in (("history", "history"), ("change", "show")):
        assert main([command, "--json", "--root", str(tmp_path)]) == 0
        validator(what).validate(json.loads(capsys.readouterr().out))


@given(values_of(Host))
@settings(max_examples=10)
def test_any_snapshot_is_of_its_schema(host: Host) -> None:
    validator("snapshot").validate(json.loads(msgspec.json.encode(host)))


def test_the_schema_refuses_what_is_none() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator("check").validate({"host": [{"code": 5}], "nics": []})
